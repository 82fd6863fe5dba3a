"""Hosts and paths against readings of their own: RFC 3986, UTS 46, and lax servers.

Nothing of `hushkey.origins` is used to say what is right.
"""

import posixpath
import re
import unicodedata
from contextlib import suppress
from urllib.parse import unquote_to_bytes, urlsplit

from hypothesis import example, given, settings
from hypothesis import strategies as st
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url as urllib3_url

from hushkey.errors import Permanent
from hushkey.model import Request
from hushkey.origins import parse_url
from kit.core import ANY, config_of, pattern_of, rule

# ---------------------------------------------------------------- hosts

#: RFC 3986, appendix B: what stands between // and the next / ? or #
_AUTHORITY = re.compile(r"^https://([^/?#]*)", re.DOTALL)
_IDN = "b\u00fccher"
HOSTS = config_of(
    rule("exact.example"), rule("*.wild.example"), rule(f"{_IDN}.example")
)
SERVED = {"exact.example": "", "xn--bcher-kva.example": "", "wild.example": "*."}


def rfc_host(text: str) -> str:
    """Return the host in *text* by RFC 3986 3.2, without user info and port."""
    found = _AUTHORITY.match(f"https://{text}")
    assert found
    return re.sub(r":[0-9]*$", "", found[1].rpartition("@")[2])


def uts46_host(host: str) -> str:
    """Return *host* by UTS 46: mapped, and each label in ASCII."""
    mapped = "".join(c for c in host if unicodedata.category(c) != "Cf")
    for dot in "\u3002\uff0e\uff61":
        mapped = mapped.replace(dot, ".")
    lower = "".join(c.lower() for c in unicodedata.normalize("NFKC", mapped))
    labels = unicodedata.normalize("NFKC", lower).removesuffix(".").split(".")
    return ".".join(
        label
        if label.isascii()
        else "xn--" + label.encode("punycode", "surrogatepass").decode()
        for label in labels
    )


def is_served(host: str) -> bool:
    return HOSTS.rule_for(Request("https", host)) is not None


LETTERS = st.sampled_from(
    [
        *("exact", "wild", "example", _IDN, "xn--bcher-kva", "EXACT", "a.evil", "one"),
        *(".", "\u3002", "\uff0e", "@", ":", ":443", ":8443", "/", "?", "#", "\\"),
        *("\uff03", "\uff0f", "\uff1f", "\uff20", "\uff1a", "\u2100", "\u00a0"),
        *("\uff45", "\uff4d", "\u212a", "\u0130", "\u00df", "\u00ad", "\u200d"),
        *("u\u0308", "\u0308", "\u0435", "\udcc0", "exact.example", "one.wild.example"),
        *(f"{_IDN}.example", f"{_IDN}.exa\uff4dple", "exact.exa\uff4dple"),
    ]
)
ADDRESSES = st.lists(st.one_of(LETTERS, LETTERS, ANY), max_size=6).map("".join)


@given(ADDRESSES)
@settings(max_examples=700)
@example(f"{_IDN}.exa\uff4dple")
@example("a.evil\uff03@exact.example")
@example(f"{_IDN}.example.\u00ad")
@example("exact.example.\u200d")
def test_served_host_is_the_same_one_to_every_reader(text: str) -> None:
    if not is_served(text):
        return
    host = uts46_host(rfc_host(text))
    assert host in SERVED or host.partition(".")[2] == "wild.example"
    # Whoever reads it at all reads this host.
    url = f"https://{text}/"
    with suppress(ValueError):
        assert uts46_host(urlsplit(url).hostname or "") == host
    with suppress(HTTPError, ValueError):
        assert uts46_host(urllib3_url(url).host or "") == host


@given(ADDRESSES)
@settings(max_examples=700)
@example(f"{_IDN}.exa\uff4dple")
@example("exact.exa\uff4dple")
@example("a.evil\uff03@exact.example")
def test_letters_that_stand_for_ascii_are_never_served(text: str) -> None:
    """Neither in a label, nor as a delimiter in the user info."""
    userinfo, _, host = text.rpartition("@")
    mapped = "".join(
        normal
        for letter in host
        if not letter.isascii()
        for normal in (unicodedata.normalize("NFKC", letter),)
        if any(c.isascii() for c in normal)
    )
    hidden = "".join(
        unicodedata.normalize("NFKC", c) for c in userinfo if not c.isascii()
    )
    if mapped or set(hidden) & set("/?#@:\\"):
        assert not is_served(text)


CASES = st.sampled_from([str.lower, str.upper, str.title, str.swapcase])
FORMS = st.sampled_from(["NFC", "NFD"])


@given(st.sampled_from(["exact", "one.wild", _IDN]), CASES, FORMS, st.booleans())
def test_same_host_in_other_letters_is_served(
    name: str, case: object, form: str, dot: bool
) -> None:
    assert callable(case)
    host = unicodedata.normalize(form, case(f"{name}.example"))  # type: ignore[arg-type]

    assert is_served(host + "." * dot)


@given(ADDRESSES)
@settings(max_examples=500)
@example("a.evil\uff03@exact.example")
@example("me:a.evil\uff0f@exact.example")
def test_url_is_read_as_the_same_host_by_every_reader(text: str) -> None:
    """The keyring's clients send whole URLs."""
    url = f"https://{text}/simple/"
    try:
        found = parse_url(url)
    except ValueError:
        return
    if is_served(found.host):
        with suppress(ValueError):
            assert uts46_host(urlsplit(url).hostname or "") == uts46_host(
                rfc_host(found.host)
            )


# ---------------------------------------------------------------- paths

CONTOSO, WHOLE = "git.example/contoso", "git.example"
PATHS = config_of(rule(CONTOSO, "work"), rule(WHOLE))
PIECES = st.sampled_from(
    [
        *("contoso", "Contoso", "CONTOSO", "fabrikam", "app", "contosox", "x"),
        *("/", "/", "/", "//", "\\", "..", ".", "...", ";", ";x", ";contoso"),
        *("?", "?x", "#x", "%3f", "%23", "%253f", "\uff1f"),
        *("%2e", "%2E%2e", "%2f", "%5c", "%3b", "%63", "%43", "%00", "%c0%ae", "%"),
        *("%252e", "%252f", "%255c", "%253b", "%2563", "%25252e", "%25c0%25ae"),
        *("\udcc0\udcae", "\udcc0\udcaf", "%c0\udcae", "\u212a", "\u00e9", "%C3%A9"),
        *("conto\u017fo", "\uff0f", "\uff0e\uff0e", "100%25", "my app", "a.git"),
    ]
)
TARGETS = st.lists(PIECES, max_size=7).map("".join)


def overlong(data: bytes) -> bytes:
    """Decode two-byte forms of ASCII, which UTF-8 forbids and lax servers take."""
    return re.sub(
        rb"[\xc0\xc1][\x80-\xbf]",
        lambda m: bytes([(m[0][0] & 3) << 6 | m[0][1] & 63]),
        data,
    )


def lax_owner(path: str) -> str:
    """Return the owner that the laxest of servers finds in *path*, in lower case."""
    data = path.encode("utf-8", "surrogateescape")
    while (decoded := overlong(unquote_to_bytes(data))) != data:
        data = decoded
    for slash in ("\\", "\uff0f", "\uff3c"):
        data = data.replace(slash.encode(), b"/")
    data = data.replace("\uff0e".encode(), b".").replace("\uff1b".encode(), b";")
    data = re.split(rb"[?#]", data.replace("\uff1f".encode(), b"?"))[0]
    plain = re.sub(rb";[^/]*", b"", data)
    whole = posixpath.normpath(b"/" + plain).lstrip(b"/")
    return whole.split(b"/")[0].lower().decode("utf-8", "replace")


def strict_owner(path: str) -> str:
    """Return the owner in *path* by RFC 3986: split, then decoded once."""
    first = path.removeprefix("/").split("/")[0]
    data = unquote_to_bytes(first.encode("utf-8", "surrogateescape"))
    return data.lower().decode("utf-8", "replace")


@given(TARGETS)
@settings(max_examples=1000)
@example("Contoso/app")
@example("contoso;v=1/app")
@example("fabrikam/..%255ccontoso/app")
@example("fabrikam/\udcc0\udcae\udcc0\udcae/contoso/app")
@example("conto\u017fo/app")
@example("%2563ontoso/app")
def test_path_has_one_owner_to_every_server(path: str) -> None:
    try:
        pattern = pattern_of(PATHS.rule_for(Request("https", "git.example", path)))
    except Permanent:
        # What has only one reading is never refused.
        assert re.search(r"[%;\\?#]|//|(^|/)\.{1,2}(/|$)|[^\x20-\x7e]", path)
        return
    ours = pattern == CONTOSO
    assert (strict_owner(path) == "contoso") == ours
    assert (lax_owner(path) == "contoso") == ours


NAMES = st.text(st.sampled_from("contosCONTOS\u017f\u212ak"), min_size=1, max_size=8)


@given(st.one_of(NAMES, st.sampled_from(["contoso", "CONTOSO", "cOnToSo"])))
def test_owner_is_the_same_in_the_path_and_as_the_user_name(name: str) -> None:
    by_path = PATHS.rule_for(Request("https", "git.example", f"{name}/app"))
    by_user = PATHS.rule_for(Request("https", "git.example", "", name))

    assert pattern_of(by_path) == pattern_of(by_user)
    ascii_lower = "".join(c.lower() if c.isascii() else c for c in name)
    assert (pattern_of(by_path) == CONTOSO) == (ascii_lower == "contoso")
