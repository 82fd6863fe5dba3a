import json
import re
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hushkey import origins
from hushkey.errors import Permanent
from hushkey.model import Request
from hushkey.origins import (
    folded,
    parse_origin,
    parse_pattern,
    parse_url,
    split_path,
)
from kit.core import ANY, config_of, pattern_of, rule

CYRILLIC = "d\u0435v.azure.com"  # the e is Cyrillic
FULL_WIDTH = "\uff44\uff45\uff56.azure.com"
KELVIN = "\u212aelvin.example"
SCHEMES = st.sampled_from(["https", "http", "smtp"])


# ---------------------------------------------------------------- origins


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("dev.azure.com", "dev.azure.com", 443),
        ("DEV.Azure.Com", "dev.azure.com", 443),
        ("dev.azure.com.", "dev.azure.com", 443),
        ("dev.azure.com:443", "dev.azure.com", 443),
        ("dev.azure.com.:8443", "dev.azure.com", 8443),
        ("contoso@dev.azure.com", "dev.azure.com", 443),
        ("me:secret@dev.azure.com:1", "dev.azure.com", 1),
        ("me@contoso.com@dev.azure.com", "dev.azure.com", 443),
        ("localhost:65535", "localhost", 65535),
        ("my_server", "my_server", 443),
        ("192.0.2.1", "192.0.2.1", 443),
        ("[::1]", "[::1]", 443),
        ("[0:0:0:0:0:0:0:1]:8080", "[::1]", 8080),
        ("[2001:DB8:0::1]", "[2001:db8::1]", 443),
        ("m\u00fcnchen.example", "xn--mnchen-3ya.example", 443),
        ("M\u00dcNCHEN.example.", "xn--mnchen-3ya.example", 443),
        ("mu\u0308nchen.EXAMPLE", "xn--mnchen-3ya.example", 443),
        (
            "m\u00fcnchen.\u03b2\u03cc\u03bb\u03bf\u03c2",
            "xn--mnchen-3ya.xn--nxasmm1c",
            443,
        ),
        ("j\u00fcrgen@dev.azure.com", "dev.azure.com", 443),
        ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example", 443),
    ],
)
def test_parse_origin_normalises(text: str, host: str, port: int) -> None:
    assert parse_origin("https", text) == (host, port)


def test_parse_origin_of_http_has_port_80() -> None:
    assert parse_origin("http", "git.example.com") == ("git.example.com", 80)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param(".", id="only a dot"),
        pytest.param(".dev.azure.com", id="empty first label"),
        pytest.param("dev..azure.com", id="empty label"),
        pytest.param("dev.azure.com..", id="two trailing dots"),
        pytest.param("a" * 64 + ".example", id="label too long"),
        pytest.param(".".join(["a" * 60] * 5), id="name too long"),
        pytest.param("dev.azure.com:", id="empty port"),
        pytest.param("dev.azure.com:0", id="port 0"),
        pytest.param("dev.azure.com:65536", id="port too high"),
        pytest.param("dev.azure.com:443:443", id="two ports"),
        pytest.param("dev.azure.com:+443", id="signed port"),
        pytest.param("dev.azure.com:\u0664\u0664\u0663", id="Arabic digits"),
        pytest.param("dev.azure.com:" + "0" * 5000 + "443", id="endless port"),
        pytest.param("dev.azure.com/x", id="path"),
        pytest.param("dev%2eazure.com", id="percent encoding"),
        pytest.param("dev.azure.com%00.evil.example", id="encoded NUL"),
        pytest.param("dev.azure.com\0.evil.example", id="NUL"),
        pytest.param("dev.azure.com\n", id="newline"),
        pytest.param("dev azure.com", id="space"),
        pytest.param("dev.azure.com\\.evil.example", id="backslash"),
        pytest.param("*.azure.com", id="star"),
        pytest.param("::1", id="IPv6 without brackets"),
        pytest.param("[::1", id="open bracket"),
        pytest.param("[::1]x", id="text after the bracket"),
        pytest.param("[]", id="empty brackets"),
        pytest.param("[dev.azure.com]", id="name in brackets"),
        pytest.param("[fe80::1%eth0]", id="IPv6 with a zone"),
        pytest.param("[::1%\n]", id="zone with a newline"),
        pytest.param(FULL_WIDTH, id="full-width letters"),
        pytest.param(KELVIN, id="Kelvin sign"),
        pytest.param("dev\u3002azure.com", id="ideographic full stop"),
        pytest.param("dev.azure.com\u200b", id="zero width space"),
        pytest.param("dev\u00ad.azure.com", id="soft hyphen"),
        pytest.param("\udcff.example", id="not UTF-8"),
        pytest.param("evil.example#@dev.azure.com", id="fragment before @"),
        pytest.param("evil.example?@dev.azure.com", id="query before @"),
        pytest.param("evil.example/@dev.azure.com", id="path before @"),
        pytest.param("evil.example\\@dev.azure.com", id="backslash before @"),
        pytest.param("evil.example @dev.azure.com", id="space before @"),
        pytest.param("evil.example\uff03@dev.azure.com", id="NFKC: # before @"),
        pytest.param("evil.example\uff0f@dev.azure.com", id="NFKC: / before @"),
        pytest.param("evil.example\uff1f@dev.azure.com", id="NFKC: ? before @"),
        pytest.param("evil.example\uff3c@dev.azure.com", id="NFKC: \\ before @"),
        pytest.param("me@evil.example\uff20@dev.azure.com", id="NFKC: @ before @"),
        pytest.param("evil.example\u2100@dev.azure.com", id="NFKC: a/c before @"),
        pytest.param("evil.example\u00a0@dev.azure.com", id="NFKC: space before @"),
        pytest.param("b\u00fccher.exa\uff4dple", id="full-width beside an IDN label"),
        pytest.param("\uff42\u00fccher.example", id="full-width inside an IDN label"),
        pytest.param("b\u00fc\u212aer.example", id="Kelvin sign in an IDN label"),
        pytest.param("b\u00fccher\u3002example", id="full stop beside an IDN label"),
        pytest.param("b\u00fc\u00adcher.example", id="soft hyphen in an IDN label"),
        pytest.param("dev.azure.com.\u200b", id="nothing behind the last dot"),
        pytest.param("b\u00fccher.example.\u00ad", id="nothing after an IDN name"),
    ],
)
def test_parse_origin_of_what_is_no_host_is_none(text: str) -> None:
    assert parse_origin("https", text) is None


def test_parse_origin_of_unknown_scheme_needs_a_port() -> None:
    assert parse_origin("ssh", "git.example.com") is None


def test_parse_origin_of_cyrillic_look_alike_is_another_host() -> None:
    found = parse_origin("https", CYRILLIC)

    assert found is not None
    assert found[0].startswith("xn--")


@given(SCHEMES, ANY)
@example("https", "[::1%]")
@example("https", "\u3002")
def test_parse_origin_of_any_text_is_normal(scheme: str, text: str) -> None:
    found = parse_origin(scheme, text)

    if found is not None:
        host, port = found
        assert re.fullmatch(r"[a-z0-9_.-]{1,253}|\[[0-9a-f:.]+\]", host)
        assert 0 < port < 65536
        assert parse_origin(scheme, f"{host}:{port}") == found


# ---------------------------------------------------------------- patterns


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("dev.azure.com", ("https", "dev.azure.com", 443, (), False)),
        ("https://dev.azure.com", ("https", "dev.azure.com", 443, (), False)),
        ("http://git.example", ("http", "git.example", 80, (), False)),
        ("smtp://mail.example", ("smtp", "mail.example", 25, (), False)),
        ("smtp://*.mail.example:587", ("smtp", "mail.example", 587, (), True)),
        ("*.azurecr.io:8443", ("https", "azurecr.io", 8443, (), True)),
        ("A.example/B/c/", ("https", "a.example", 443, ("B", "c"), False)),
        ("a.example/%41", ("https", "a.example", 443, ("A",), False)),
        ("[::0001]:1/x", ("https", "[::1]", 1, ("x",), False)),
    ],
)
def test_parse_pattern_normalises(text: str, normal: tuple[object, ...]) -> None:
    found = parse_pattern(text)

    assert (found.scheme, found.host, found.port, found.path, found.wild) == normal


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("ssh://a.example", "not a scheme", id="scheme"),
        pytest.param("HTTPS://a.example", "not a scheme", id="scheme in capitals"),
        pytest.param("me@a.example", "a user name", id="user name"),
        pytest.param("a.example?x", "no query", id="query"),
        pytest.param("a.example#x", "no query or fragment", id="fragment"),
        pytest.param("", "not a host name", id="nothing"),
        pytest.param("*", "not a host name", id="star alone"),
        pytest.param("*.", "not a host name", id="star and dot"),
        pytest.param("a.*.example", "not a host name", id="star inside"),
        pytest.param("*.*.example", "not a host name", id="two stars"),
        pytest.param("*a.example", "not a host name", id="star as a part"),
        pytest.param("*.com", "two labels", id="star before a top level"),
        pytest.param("*.[::1]", "two labels", id="star before an address"),
        pytest.param(FULL_WIDTH, "not a host name", id="full-width"),
        pytest.param("a.example/../b", "path prefix", id="climbing"),
        pytest.param("a.example/x//y", "path prefix", id="empty segment"),
        pytest.param("a.example/%2e%2e/b", "path prefix", id="encoded climbing"),
        pytest.param("a.example/a%2fb", "path prefix", id="encoded slash"),
    ],
)
def test_parse_pattern_says_what_is_wrong(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        parse_pattern(text)


@given(ANY)
@settings(max_examples=300)
def test_parse_pattern_of_any_text_is_normal_or_value_error(text: str) -> None:
    try:
        found = parse_pattern(text)
    except ValueError:
        return
    star = "*." if found.wild else ""
    path = "/".join(quote(segment, safe="") for segment in found.path)
    again = parse_pattern(f"{found.scheme}://{star}{found.host}:{found.port}/{path}")
    assert again == found


# ---------------------------------------------------------------- paths


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("", ()),
        ("/", ()),
        ("///", ()),
        ("contoso", ("contoso",)),
        ("/contoso/app.git/", ("contoso", "app.git")),
        ("contoso/my%20app", ("contoso", "my app")),
        ("%63ontoso", ("contoso",)),
        ("a/100%25", ("a", "100%")),
        ("caf%C3%A9", ("caf\u00e9",)),
        ("caf\udcc3\udca9", ("caf\u00e9",)),
        ("a/...", ("a", "...")),
    ],
)
def test_split_path_decodes_segments(path: str, segments: tuple[str, ...]) -> None:
    assert split_path(path) == segments


@pytest.mark.parametrize(
    "path",
    [
        *("a/%252e%252e/b", "a/%252f/b", "team/..%255cx", "team/..%255Cx"),
        *("a/%25252e%25252e/b", "a/%2500b", "a/%253bx", "a/%25c0%25ae%25c0%25ae/b"),
        *("%2561cme/x", "a/%2525/b", "a/\uff0520/b"),
    ],
)
def test_split_path_refuses_what_could_be_decoded_once_more(path: str) -> None:
    assert split_path(path) is None


@pytest.mark.parametrize("path", ["a?x/b", "a%3fx/b", "a#x/b", "a%23x/b", "a\uff1fb"])
def test_split_path_refuses_what_would_end_the_path(path: str) -> None:
    """git decodes a path before it hands it over: nobody knows how it was written."""
    assert split_path(path) is None


@pytest.mark.parametrize("path", ["a/..;/b", "a/.;x", "a;v=1/b", "a%3bx", "a/b;"])
def test_split_path_refuses_parameters_of_a_segment(path: str) -> None:
    """A servlet container reads ``a;v=1`` as ``a`` (RFC 3986 3.3)."""
    assert split_path(path) is None


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("a/../b", id="climbing"),
        pytest.param("..", id="only climbing"),
        pytest.param("a/%2e%2e/b", id="encoded"),
        pytest.param("a/.%2E/b", id="half encoded"),
        pytest.param("a/./b", id="dot"),
        pytest.param("a//b", id="empty segment"),
        pytest.param("//a", id="two slashes in front"),
        pytest.param("a%2fb", id="encoded slash"),
        pytest.param("a%5cb", id="encoded backslash"),
        pytest.param("a\\..\\b", id="backslash"),
        pytest.param("a%00b", id="encoded NUL"),
        pytest.param("a\nb", id="newline"),
        pytest.param("a%7fb", id="encoded DEL"),
        pytest.param("a%zz", id="no hex digits"),
        pytest.param("a%4", id="cut short"),
        pytest.param("a%\uff14\uff11", id="full-width digits"),
        pytest.param("a%ff", id="not UTF-8"),
        pytest.param("a%41\ud800", id="lone surrogate"),
        pytest.param("a%c0%ae", id="overlong dot"),
        pytest.param("a\udcc0\udcae", id="overlong dot in bytes"),
        pytest.param("\udcc0\udcae\udcc0\udcae/b", id="overlong climbing in bytes"),
        pytest.param("a\udcff", id="bytes that are not UTF-8"),
        pytest.param("a%c3\udc28", id="half encoded, half in bytes"),
        pytest.param("a/\uff0e\uff0e/b", id="full-width dots"),
        pytest.param("a/\u2025/b", id="two dots in one letter"),
        pytest.param("a\uff0fb", id="full-width slash"),
        pytest.param("a\uff1bb", id="full-width semicolon"),
    ],
)
def test_split_path_that_could_climb_is_none(path: str) -> None:
    assert split_path(path) is None


@given(ANY)
def test_split_path_of_any_text_is_flat(path: str) -> None:
    segments = split_path(path)

    for segment in segments or ():
        assert segment not in ("", ".", "..")
        assert not set(segment) & set("/\\\0\r\n")


@given(st.lists(st.text(min_size=1), max_size=4))
def test_split_path_undoes_quoting(names: list[str]) -> None:
    segments = split_path("/".join(quote(name, safe="") for name in names))

    assert segments is None or segments == tuple(names)


# ---------------------------------------------------------------- URLs


@pytest.mark.parametrize(
    ("url", "request_"),
    [
        ("https://a.example/x/y", Request("https", "a.example", "x/y")),
        ("HTTP://a.example", Request("http", "a.example")),
        ("a.example:8443/v2/", Request("https", "a.example:8443", "v2/")),
        (" https://a.example\n", Request("https", "a.example")),
        ("https://me:pw@a.example/x", Request("https", "a.example", "x", "me")),
        ("https://a%40b@a.example", Request("https", "a.example", "", "a@b")),
        ("https://a.example?x=/y#z", Request("https", "a.example")),
        (
            "https://dev.azure.com@evil.example",
            Request("https", "evil.example"),
        ),
        ("https://evil.example#@dev.azure.com", Request("https", "evil.example")),
        ("https://evil.example?@dev.azure.com", Request("https", "evil.example")),
    ],
)
def test_parse_url_reads_what_the_tool_will_contact(
    url: str, request_: Request
) -> None:
    found = parse_url(url)

    assert (found.protocol, found.host, found.path) == (
        request_.protocol,
        request_.host,
        request_.path,
    )
    if request_.username:
        assert found.username == request_.username


@pytest.mark.parametrize(
    "url",
    [
        "ssh://a.example",
        "file:///etc/passwd",
        "https://",
        "https:///x",
        "https://me@/x",
        "https://a.example /x",
        "https://a.example/x\ty",
        "https://a.example/\0",
        "https://x%0ahost=evil@a.example",
        "https://evil.example\\@a.example",
        "https://evil.example\uff03@a.example",
        "https://evil.example\uff0f:x@a.example",
        "https://me:evil.example\uff1f@a.example",
        "https://\udcc0\udcae@a.example",
        "https://%ff@a.example",
        "",
    ],
)
def test_parse_url_of_what_is_not_http_is_an_error(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|scheme"):
        parse_url(url)


@given(ANY)
def test_parse_url_of_any_text_is_a_request_or_value_error(url: str) -> None:
    try:
        found = parse_url(url)
    except ValueError:
        return
    again = parse_url(f"{found.protocol}://{found.host}/{found.path}")
    assert (again.host, again.path) == (found.host, found.path)
    assert not set(found.host + found.username) & set("\r\n\0")


@pytest.mark.parametrize(
    ("scheme", "host", "port", "shown"),
    [
        ("https", "a.example", 443, "a.example"),
        ("https", "a.example", 8443, "a.example:8443"),
        ("http", "a.example", 80, "http://a.example"),
        ("http", "[::1]", 8080, "http://[::1]:8080"),
    ],
)
def test_origin_text_leaves_out_the_default_port(
    scheme: str, host: str, port: int, shown: str
) -> None:
    assert origins.origin_text(scheme, host, port) == shown


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.255.0.9", True),
        ("[::1]", True),
        ("127.0.0.256", False),
        ("127.0.0", False),
        ("127.0.0.1.evil.example", False),
        ("127.0.0.x", False),
        ("localhost.evil.example", False),
        ("128.0.0.1", False),
        ("[::2]", False),
        ("", False),
    ],
)
def test_is_loopback(host: str, loopback: bool) -> None:
    assert origins.is_loopback(host) is loopback


# ---------------------------------------------------------------- matching

EXACT = config_of(rule("dev.azure.com"), rule("*.azurecr.io"))


@pytest.mark.parametrize(
    ("host", "pattern"),
    [
        ("dev.azure.com", "dev.azure.com"),
        ("DEV.AZURE.COM.", "dev.azure.com"),
        ("me@dev.azure.com:443", "dev.azure.com"),
        ("one.azurecr.io", "*.azurecr.io"),
        ("azurecr.io", ""),
        ("two.one.azurecr.io", ""),
        (".azurecr.io", ""),
        ("oneazurecr.io", ""),
        ("one.azurecr.io.evil.example", ""),
        ("dev.azure.com:8443", ""),
        ("dev.azure.com.evil.example", ""),
        ("evildev.azure.com", ""),
        ("x.dev.azure.com", ""),
        ("dev.azure.com@evil.example", ""),
        ("evil.example#@dev.azure.com", ""),
        ("evil.example\\@dev.azure.com", ""),
        (CYRILLIC, ""),
        (FULL_WIDTH, ""),
        ("dev-azure.com", ""),
        ("devXazure.com", ""),
    ],
)
def test_site_for_host_matches_on_label_boundaries(host: str, pattern: str) -> None:
    assert pattern_of(EXACT.rule_for(Request("https", host))) == pattern


@pytest.mark.parametrize(
    "protocol", ["http", "ssh", "HTTPS", "", "httpss", "https\n", "cert"]
)
def test_site_for_another_protocol_is_not_ours(protocol: str) -> None:
    assert EXACT.rule_for(Request(protocol, "dev.azure.com:443")) is None


def test_site_for_http_only_if_written() -> None:
    config = config_of(rule("http://git.example.com"))

    assert config.rule_for(Request("http", "git.example.com")) is not None
    assert config.rule_for(Request("https", "git.example.com")) is None


def test_site_for_idn_pattern_knows_each_spelling() -> None:
    config = config_of(rule("m\u00fcnchen.example"))

    for host in (
        "m\u00fcnchen.example",
        "M\u00dcNCHEN.EXAMPLE",
        "xn--mnchen-3ya.example",
    ):
        assert config.rule_for(Request("https", host)) is not None


def test_site_for_ipv6_pattern_knows_each_spelling() -> None:
    config = config_of(rule("[2001:db8::1]:8443"))

    host = "[2001:0DB8:0000:0::0001]:8443"
    assert config.rule_for(Request("https", host)) is not None
    assert config.rule_for(Request("https", "[2001:db8::1]")) is None


def test_site_for_ipv4_pattern_knows_one_spelling() -> None:
    config = config_of(rule("127.0.0.1"))

    assert config.rule_for(Request("https", "127.0.0.1")) is not None
    for host in ("127.1", "0x7f.0.0.1", "2130706433", "127.0.0.01"):
        assert config.rule_for(Request("https", host)) is None


OURS = re.compile(
    r"(?:[^/?#\\\x00-\x20]*@)?(?:dev\.azure\.com|[a-z0-9_-]{1,63}\.azurecr\.io)\.?(?::0{0,2}443)?",
    re.ASCII | re.IGNORECASE,
)


@pytest.mark.parametrize(
    "written",
    [
        "git.example/my project",
        "git.example/my project/_git/the app",
        "git.example/100%25",
        "git.example/a%20b",
        "git.example/@scope/app",
        "git.example/*.d/x",
        "*.git.example/*.d/my project",
        "http://git.example:8080/my project",
        "git.example/m\u00fcnchen ost",
        "[::1]:8443/a+b=c&d,e'f(g)!~$",
    ],
)
def test_what_a_pattern_says_a_url_says_too(written: str) -> None:
    check_one_grammar(written)


ODD = st.text(
    st.sampled_from("a %20 5@:*+=&,'()!~$.\u00fc\u3000-_\"|<>^`{}"), max_size=9
)


@given(
    st.sampled_from(["", "http://", "https://"]),
    st.sampled_from(["git.example", "*.git.example", "git.example:8443", "[::1]"]),
    st.lists(st.one_of(ODD, ANY), max_size=4),
)
@settings(max_examples=500)
def test_pattern_and_url_have_one_grammar(
    scheme: str, host: str, path: list[str]
) -> None:
    written = "/".join((scheme + host, *path))
    try:
        parse_pattern(written)
    except ValueError:
        return
    check_one_grammar(written)


def check_one_grammar(written: str) -> None:
    """Ask for what the pattern *written* names, in each way in which people do."""
    pattern = parse_pattern(written)
    table = f'[host.{json.dumps(written, ensure_ascii=False)}]\nidentity = "corp"\n'
    config = config_of(table)
    asked = [origins.request_for(written)]
    if not pattern.wild:
        asked += [origins.request_for(written, label=""), parse_url(written)]
    for request in asked:
        assert split_path(request.path) == pattern.path
        assert pattern_of(config.rule_for(request)) == written


PIECES = st.sampled_from(
    [
        *("dev", "azure", "com", "azurecr", "io", "evil", "example", "one"),
        *(".", "..", "@", ":", "443", "0443", "/", "\\", "#", "?", "%2e", "%00"),
        *("[", "]", "::1", "*", "-", "_", " ", "\0", "\n", "\u3002", "\uff0e"),
        *("\u0435", "\uff44", "\u212a", "\u00ad", "xn--", "DEV.AZURE.COM"),
        *("dev.azure.com", "one.azurecr.io", "\u2024", "\udc2e"),
    ]
)


@given(st.lists(st.one_of(PIECES, PIECES, ANY), max_size=8).map("".join))
@settings(max_examples=500)
def test_site_for_any_host_is_never_a_look_alike(host: str) -> None:
    rule = EXACT.rule_for(Request("https", host))

    name = host.rpartition("@")[2]
    if not name.isascii() and (origin := parse_origin("https", host)):
        # A label in another script is a label of its own: xn--.
        assert "xn--" in origin[0]
        host = f"{origin[0]}:{origin[1]}"
    assert (rule is not None) == bool(OURS.fullmatch(host))


PATHS = config_of(rule("git.example.com/acme/app"))


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ("acme/app", True),
        ("/acme/app/", True),
        ("acme/app/info/refs", True),
        ("acme/%61pp", True),
        ("acme/application", False),
        ("acme/app.git", True),
        ("Acme/APP.Git/info/refs", True),
        ("acme/app.git.git", False),
        ("acme.git/app", False),
        ("acme", False),
        ("Acme/APP", True),
        ("x/acme/app", False),
    ],
)
def test_site_for_path_matches_on_segment_boundaries(path: str, ours: bool) -> None:
    rule = PATHS.rule_for(Request("https", "git.example.com", path))

    assert (rule is not None) is ours


@given(ANY)
def test_site_for_any_path_is_inside_the_prefix(tail: str) -> None:
    path = "acme/app" + tail
    try:
        rule = PATHS.rule_for(Request("https", "git.example.com", path))
    except Permanent:
        assert split_path(path) is None
        return
    first = (split_path(path) or ())[:2]
    assert (rule is not None) == (
        tuple(map(folded, first)) in (("acme", "app"), ("acme", "app.git"))
    )


@pytest.mark.parametrize(
    ("host", "near"),
    [
        ("169.254.169.254", True),
        ("169.254.169.254.evil.example", False),
        ("169.254.1", False),
        ("169.254.1.256", False),
        ("169.255.1.1", False),
    ],
)
def test_link_local_is_an_address_and_no_name(host: str, near: bool) -> None:
    assert origins.is_link_local(host) is near
