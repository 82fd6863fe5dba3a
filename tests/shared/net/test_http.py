import gzip
import os
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hushkey import runtime
from hushkey.config import schema
from hushkey.errors import HushkeyError, Permanent, Transient
from hushkey.net import http, trust
from hushkey.net.http import ClientWords, Network, Refused, Session
from hushkey.net.oauth import Client
from kit.oauth import Answer, Reply, Scripted, network
from servers.authority import Authority

#: seconds for requests that are to end by our deadline
SHORT = 0.4
TOKEN = {"access_token": "at", "token_type": "Bearer"}


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as running:
        yield running


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def tls_server(ca: Authority) -> Iterator[Scripted]:
    with Scripted(ca.server_context()) as running:
        running.on("/token", Reply(TOKEN))
        yield running


def refresh(session: Session, url: str) -> Any:
    words = ClientWords({"client_id": "c"}, {})
    with session:
        return http.guarded(lambda: session.renew(url, "rt-s3cret", "git", words))


@pytest.mark.parametrize(
    ("method", "secret"),
    [
        ("none", ""),
        ("client_secret_post", "s&=+ \u00e9\u20ac"),
        ("client_secret_basic", "s&=+ :\u00e9"),
    ],
)
@pytest.mark.parametrize("scopes", ["", "git", "api://x/.default offline_access"])
def test_renewal_sends_what_authlib_would(
    server: Scripted, method: str, secret: str, scopes: str
) -> None:
    url = f"{server.url}/token"
    server.on("/token", Reply(TOKEN), Reply(TOKEN))
    client_id = "a client/1"
    with network().session() as session:
        ours = session.renew(
            url, "rt+/=&", scopes, http.client_words(client_id, secret, method)
        )
    made = Client(
        client_id,
        network(),
        client_secret=secret or None,
        token_endpoint_auth_method=method,
    )
    with made as client:
        theirs = client.refresh_token(url, refresh_token="rt+/=&", scope=scopes)

    assert server.calls[0] == server.calls[1]
    moment = {"server_date": "", "expires_at": None}
    assert {**ours, **moment} == {**theirs, **moment}


def refusal(server: Scripted, *answers: Answer, timeout: float = 10) -> HushkeyError:
    """Refresh at a server that gives *answers*, and return what it came to."""
    server.on("/token", *answers)
    with pytest.raises(HushkeyError) as caught:
        refresh(network(timeout).session(), f"{server.url}/token")
    return caught.value


# -- what goes out ---------------------------------------------------------------


def test_refresh_sends_the_token_and_nothing_of_the_machine(
    server: Scripted, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = home / ".netrc"
    netrc.write_text("default login me password from-netrc\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server.on("/token", Reply(TOKEN))

    refresh(network().session(), f"{server.url}/token")

    (call,) = server.calls
    assert call.form == {
        "grant_type": "refresh_token",
        "refresh_token": "rt-s3cret",
        "scope": "git",
        "client_id": "c",
    }
    assert "Authorization" not in call.headers
    assert call.headers["User-Agent"] == "hushkey"
    assert call.headers["Accept"] == "application/json"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(server: Scripted, status: int) -> None:
    with Scripted() as elsewhere:
        elsewhere.on("/steal", Reply(TOKEN))

        error = refusal(server, Reply(status=status, Location=f"{elsewhere.url}/steal"))

    assert type(error) is Transient
    assert f"a redirect instead of an answer (HTTP {status})" in error.line()
    assert elsewhere.calls == []


# -- every request ends ----------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"", id="status line drips"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Long: ", id="header drips"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", id="endless body drips"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", id="body drips"
        ),
    ],
)
def test_dripping_answer_ends_at_the_deadline(server: Scripted, first: bytes) -> None:
    began = time.monotonic()

    error = refusal(server, server.drip(first), timeout=SHORT)

    assert type(error) is Transient
    assert time.monotonic() - began < SHORT + 3


def test_server_that_says_nothing_ends_at_the_deadline(server: Scripted) -> None:
    began = time.monotonic()

    error = refusal(server, server.hang, timeout=SHORT)

    assert type(error) is Transient
    assert "no answer in time" in error.line()
    assert time.monotonic() - began < SHORT + 3


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"])
def test_end_of_a_read_is_told_as_the_deadline_is(
    method: str, part: bytes, server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come together, and either may be the first."""

    def begin(handler: Any) -> None:
        handler.wfile.write(part)
        server.hang(handler)

    monkeypatch.setattr(http, "within", lambda seconds, call: call())
    server.on("/", begin)
    with (
        network(timeout=SHORT).session() as session,
        pytest.raises(Transient, match="no answer in time"),
    ):
        session.request(method, f"{server.url}/")


def test_body_over_the_limit_is_refused(server: Scripted) -> None:
    error = refusal(server, Reply(b"x" * (http.MAX_BYTES + 1)))

    assert type(error) is Transient
    assert "too long" in error.line()


def test_body_that_unpacks_over_the_limit_is_refused(server: Scripted) -> None:
    packed = gzip.compress(bytes(64 * http.MAX_BYTES))

    error = refusal(server, Reply(packed, Content_Encoding="gzip"))

    assert "too long" in error.line()


def test_body_of_exactly_the_limit_is_taken(server: Scripted) -> None:
    padding = http.MAX_BYTES - len(b'{"access_token": "at", "p": ""}')
    server.on("/token", Reply({"access_token": "at", "p": "x" * padding}))

    token = refresh(network().session(), f"{server.url}/token")

    assert token["access_token"] == "at"


def test_whole_renewal_has_one_deadline() -> None:
    """A request that nobody would wait for is not begun: it could rotate."""
    settings = {**schema.DEFAULTS, "silent_timeout": SHORT}

    every, whole = (Network(settings, {}, whole=whole) for whole in (False, True))

    assert every.left() == SHORT
    assert 0 < whole.left() < SHORT
    time.sleep(SHORT)
    assert every.left() == SHORT
    with pytest.raises(Transient, match="no time is left"):
        whole.left()


def test_request_ends_when_the_answer_is_expected() -> None:
    """Each has its own time, but together no more than the tool waits."""
    every = Network({**schema.DEFAULTS, "silent_timeout": 30}, {})

    with runtime.Expected(2):
        assert 1 < every.left() <= 2
    with runtime.Expected(0.1), pytest.raises(Transient, match="no time is left"):
        every.left()
    assert every.left() == 30


# -- never twice -----------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_answer_of_a_failing_server_is_not_asked_for_again(
    server: Scripted, status: int
) -> None:
    error = refusal(server, Reply(b"oops", status, Retry_After="1"))

    assert type(error) is Transient
    assert error.retry_after == 1
    assert len(server.calls) == 1


def test_request_that_arrived_is_not_repeated(server: Scripted) -> None:
    error = refusal(server, server.hang_up)

    assert type(error) is Transient
    assert len(server.calls) == 1


def test_connection_that_could_not_be_made_is_tried_once_more() -> None:
    with Scripted() as gone:
        url = gone.url
    session = network().session()
    retries = vars(session.get_adapter(url))["max_retries"]

    with pytest.raises(Transient, match="cannot be reached"):
        refresh(session, f"{url}/token")
    assert (retries.connect, retries.read, retries.status, retries.other) == (
        1,
        0,
        0,
        0,
    )


# -- trust -----------------------------------------------------------------------


def test_ca_file_of_the_settings_is_trusted(
    tls_server: Scripted, ca: Authority
) -> None:
    session = network(ca_file=str(ca.ca_file)).session()

    assert refresh(session, f"{tls_server.url}/token")["access_token"] == "at"


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_ca_of_the_environment_is_trusted(
    tls_server: Scripted, ca: Authority, name: str
) -> None:
    session = network(environ={name: str(ca.ca_file)}).session()

    assert refresh(session, f"{tls_server.url}/token")["access_token"] == "at"


def test_unknown_ca_is_permanent(
    tls_server: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Authority(tmp_path / "other")
    session = network(ca_file=str(other.ca_file)).session()

    with pytest.raises(Permanent, match="certificate is not trusted"):
        refresh(session, f"{tls_server.url}/token")
    assert tls_server.calls == []


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_environment_does_not_override_ca_file(
    tls_server: Scripted,
    ca: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """requests itself lets these beat `verify`, both ways."""
    other = Authority(tmp_path / "other")
    monkeypatch.setenv(name, str(ca.ca_file))

    with pytest.raises(Permanent, match="certificate is not trusted"):
        refresh(
            network(ca_file=str(other.ca_file)).session(), f"{tls_server.url}/token"
        )

    monkeypatch.setenv(name, str(other.ca_file))
    session = network(ca_file=str(ca.ca_file)).session()
    assert refresh(session, f"{tls_server.url}/token")["access_token"] == "at"


@pytest.mark.parametrize("content", [None, "no certificates here"])
def test_ca_file_that_cannot_serve_is_permanent(
    tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)

    with pytest.raises(Permanent, match=str(path)):
        network(ca_file=str(path)).trust()


@pytest.mark.parametrize("kind", ["file", "folder", "file in a folder"])
def test_ca_file_that_others_can_change_is_refused(
    ca: Authority, tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "ca"
    folder.mkdir(mode=0o755)
    file = folder / "ca.pem"
    file.write_bytes(ca.ca_file.read_bytes())
    file.chmod(0o644)
    chosen = file if kind == "file" else folder
    network(ca_file=str(chosen)).trust()
    (folder if kind == "folder" else file).chmod(0o777)

    with pytest.raises(Permanent, match="can be changed by others") as caught:
        network(ca_file=str(chosen)).trust()

    assert "chmod go-w" in caught.value.line()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_ca_file_of_another_user_is_refused(ca: Authority, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(ca.ca_file.read_bytes())
    os.chown(file, 65534, 65534)

    with pytest.raises(Permanent, match="belongs to another user"):
        network(ca_file=str(file)).trust()


def test_certificates_are_read_once_and_for_tls_alone(
    ca: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading a system's whole bundle takes longer than most answers."""
    read: list[str] = []

    def context(*words: Any) -> ssl.SSLContext:
        read.append("once")
        return original(*words)

    original = trust.context
    monkeypatch.setattr(trust, "context", context)
    ours = network(ca_file=str(ca.ca_file))
    with Scripted() as plain:
        assert ours.session().get(f"{plain.url}/").status_code == 404
    assert read == []

    with Scripted(ca.server_context()) as server:
        for _ in range(2):
            assert ours.session().get(f"{server.url}/").status_code == 404
    assert read == ["once"]


def hashed(folder: Path, ca: Authority) -> Path:
    """A folder as SSL_CERT_DIR names it: one file for each subject, by its hash."""
    words = ["openssl", "x509", "-noout", "-hash", "-in", str(ca.ca_file)]
    done = subprocess.run(words, capture_output=True, check=True, text=True)
    folder.mkdir()
    (folder / f"{done.stdout.strip()}.0").write_bytes(ca.ca_file.read_bytes())
    return folder


@pytest.fixture
def cloned(tmp_path: Path, ca: Authority, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a repository with the server's own trust in it."""
    folder = tmp_path / "cloned"
    folder.mkdir()
    (folder / "ca.pem").write_bytes(ca.ca_file.read_bytes())
    for path in hashed(folder / "certs", ca).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(folder)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    return folder


RELATIVE = [
    ("SSL_CERT_FILE", "ca.pem"),
    ("SSL_CERT_FILE", "./ca.pem"),
    ("SSL_CERT_FILE", "../cloned/ca.pem"),
    ("SSL_CERT_FILE", "."),
    ("SSL_CERT_FILE", ""),
    ("REQUESTS_CA_BUNDLE", "ca.pem"),
    ("REQUESTS_CA_BUNDLE", "certs"),
    ("CURL_CA_BUNDLE", "ca.pem"),
    ("SSL_CERT_DIR", "certs"),
    ("SSL_CERT_DIR", "."),
    ("SSL_CERT_DIR", ""),
    ("SSL_CERT_DIR", ":"),
    ("SSL_CERT_DIR", "/nowhere:certs"),
    ("SSL_CERT_DIR", "certs::/nowhere"),
    ("SSL_CERT_DIR", "/usr:."),
]


@pytest.mark.parametrize(("name", "value"), RELATIVE)
def test_trust_of_the_working_directory_is_none(
    tls_server: Scripted,
    cloned: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
) -> None:
    """Neither for what we read, nor for OpenSSL, which reads the process's own."""
    monkeypatch.setenv(name, value)
    for environ in ({name: value}, {}):
        with pytest.raises(Permanent, match="certificate is not trusted"):
            refresh(network(environ=environ).session(), f"{tls_server.url}/token")
    assert tls_server.calls == []


@pytest.mark.parametrize("form", ["{}", "{}:certs", "::{}", "/nowhere:{}:"])
def test_absolute_folder_in_the_environment_is_trusted(
    tls_server: Scripted, cloned: Path, form: str
) -> None:
    value = form.format(cloned / "certs")
    session = network(environ={"SSL_CERT_DIR": value}).session()

    assert refresh(session, f"{tls_server.url}/token")["access_token"] == "at"


@pytest.mark.parametrize(("name", "value"), [("SSL_CERT_FILE", "x"), RELATIVE[0]])
def test_relative_path_leaves_the_system_s_trust_as_it_is(
    cloned: Path, name: str, value: str
) -> None:
    """As many roots as without it; a folder's are looked up when one is needed."""
    usual = network().trust()

    assert network(environ={name: value}).trust().get_ca_certs() == usual.get_ca_certs()


@pytest.mark.parametrize("file", [True, False])
def test_python_whose_openssl_knows_no_place_finds_the_system_s(
    tls_server: Scripted,
    ca: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: bool,
) -> None:
    """Pythons that are built elsewhere bring the paths of where they were built."""
    paths = ssl.get_default_verify_paths()._replace(
        openssl_cafile=str(ca.ca_file) if file else "/nowhere/cert.pem",
        openssl_capath="/nowhere/certs",
    )
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    if not file:
        monkeypatch.setattr(trust, "_BUNDLES", ("/nowhere", str(ca.ca_file)))

    session = network().session()

    assert refresh(session, f"{tls_server.url}/token")["access_token"] == "at"


@pytest.mark.parametrize("trusted", [True, False])
def test_proxy_with_tls_is_trusted_as_the_server_is(
    tls_server: Scripted,
    ca: Authority,
    cloned: Path,
    monkeypatch: pytest.MonkeyPatch,
    trusted: bool,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "ca.pem")
    ca_file = str(ca.ca_file) if trusted else ""
    session = network(proxy=tls_server.url, ca_file=ca_file).session()

    with pytest.raises(HushkeyError) as caught:
        refresh(session, "https://id.test/token")

    # What the proxy makes of CONNECT is another matter: it was spoken to.
    assert ("CERTIFICATE_VERIFY_FAILED" in str(caught.value.__cause__)) != trusted


# -- proxies ---------------------------------------------------------------------


def test_proxy_of_the_settings_is_used(server: Scripted) -> None:
    server.on("http://id.test/token", Reply(TOKEN))
    session = network(proxy=server.url).session()

    assert refresh(session, "http://id.test/token")["access_token"] == "at"
    assert server.calls[0].path == "http://id.test/token"


def test_proxy_of_the_environment_is_used(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    server.on("http://id.test/token", Reply(TOKEN))

    assert refresh(network().session(), "http://id.test/token")


def test_proxy_setting_beats_the_environment(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server.on("http://id.test/token", Reply(TOKEN))

    assert refresh(network(proxy=server.url).session(), "http://id.test/token")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_what_stays_here_goes_to_no_proxy(host: str) -> None:
    found = network(proxy="http://proxy.test").proxies(f"http://{host}:1/token")

    assert found == {}


def test_proxy_that_wants_a_password_is_permanent(server: Scripted) -> None:
    server.on("http://id.test/token", Reply(b"who?", 407))

    with pytest.raises(Permanent, match="407"):
        refresh(network(proxy=server.url).session(), "http://id.test/token")


# -- answers that are no tokens --------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Reply({"error": "invalid_grant"}, 400), id="error"),
        pytest.param(Reply({"error": "invalid_grant"}, 200), id="error with 200"),
        pytest.param(Reply({"message": "no"}, 400), id="400 without error"),
        pytest.param(Reply({"message": "no"}, 401), id="401 without error"),
        pytest.param(Reply({"message": "no"}, 429), id="429 without error"),
        pytest.param(Reply({"ok": True}), id="200 without token"),
        pytest.param(Reply({"access_token": ""}), id="empty token"),
        pytest.param(Reply({"access_token": None}), id="token is null"),
        pytest.param(Reply({"access_token": ["at"]}), id="token is a list"),
        pytest.param(Reply({"access_token": "a\nb"}), id="token with a line end"),
        pytest.param(Reply({"access_token": "t\u00f6ken"}), id="token not ASCII"),
        pytest.param(Reply(TOKEN, 201), id="201"),
        pytest.param(Reply(TOKEN, 403), id="403 with a token"),
        pytest.param(Reply(TOKEN, 500), id="500 with a token"),
        pytest.param(Reply(b"<html>sign in to the Wi-Fi"), id="HTML 200"),
        pytest.param(Reply(b"<html>", 403), id="HTML 403"),
        pytest.param(Reply(b"access_token=at&token_type=bearer"), id="a form"),
        pytest.param(Reply(b""), id="empty"),
        pytest.param(Reply(b'["at"]'), id="a list"),
        pytest.param(Reply(b"[" * 100_000), id="deeply nested"),
        pytest.param(Reply(b"\xff\xfe\x00"), id="not text"),
        pytest.param(Reply({"error": {"code": 1}}, 400), id="error is an object"),
    ],
)
def test_answer_that_is_no_token_is_never_one(server: Scripted, answer: Reply) -> None:
    error = refusal(server, answer)

    assert "rt-s3cret" not in error.line()


def test_refused_keeps_code_and_status(server: Scripted) -> None:
    server.on("/token", Reply({"error": "slow_down"}, 400))

    with network().session() as session, pytest.raises(Refused) as caught:
        session.renew(f"{server.url}/token", "rt", "", ClientWords({}, {}))
    assert caught.value.code == "slow_down"
    assert caught.value.response.status_code == 400


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (3600, 3600),
        ("3600", 3600),
        ("3600.5", 3600),
        (3600.9, 3600),
        (0, None),
        (-5, None),
        ("soon", None),
        (None, None),
        ([], None),
        ({}, None),
        ("nan", None),
        ("inf", None),
        (10**20, None),
    ],
)
def test_lifetime_is_read_or_unknown(
    server: Scripted, value: object, seconds: int | None
) -> None:
    server.on("/token", Reply({**TOKEN, "expires_in": value}))

    token = refresh(network().session(), f"{server.url}/token")

    assert token["expires_in"] == seconds


@pytest.mark.parametrize("value", [[], {}, "garbage", 1e400])
def test_expires_at_of_a_server_is_not_believed(
    server: Scripted, value: object
) -> None:
    server.on("/token", Reply({**TOKEN, "expires_in": 60, "expires_at": value}))

    token = refresh(network().session(), f"{server.url}/token")

    assert token["access_token"] == "at"


def test_error_names_the_server_without_user_and_query() -> None:
    assert http.server_of("https://me:pw@id.test:8443/t?code=x") == "id.test:8443"


def test_answer_that_makes_no_sense_is_transient() -> None:
    def fail() -> None:
        raise ValueError("token=s3cret")

    with pytest.raises(Transient) as caught:
        http.guarded(fail)
    assert "s3cret" not in caught.value.line()


# -- whether a server answers at all ------------------------------------------------


@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 405, 429, 500, 501])
def test_server_that_answers_anything_is_asked_once(
    server: Scripted, status: int
) -> None:
    server.on_head = Reply(status=status)
    asking = network()

    for _ in range(3):
        asking.check_answers(f"{server.url}/token?x=1")

    assert len(server.heads) == 1
    assert server.calls == []


def test_server_that_has_just_answered_is_not_asked(server: Scripted) -> None:
    server.on("/other", Reply({}))
    asking = network()
    with asking.session() as session:
        session.get(f"{server.url}/other")

    asking.check_answers(f"{server.url}/token")

    assert server.heads == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [(502, Transient), (503, Transient), (504, Transient), (407, Permanent)],
)
def test_answer_of_what_stands_in_front_is_none(
    server: Scripted, status: int, kind: type[HushkeyError]
) -> None:
    server.on_head = Reply(status=status)
    asking = network()

    for _ in range(2):
        with pytest.raises(kind):
            asking.check_answers(f"{server.url}/token")
    assert len(server.heads) == 2


def test_server_that_is_not_there_does_not_answer() -> None:
    with Scripted() as gone:
        url = f"{gone.url}/token"

    with pytest.raises(Transient, match="cannot be reached"):
        network().check_answers(url)


def test_server_that_says_nothing_is_waited_for_shortly(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_QUICK", SHORT)
    server.on_head = server.hang
    began = time.monotonic()

    with pytest.raises(Transient):
        network().check_answers(f"{server.url}/token")
    assert time.monotonic() - began < 5


def test_server_of_an_authority_that_nobody_trusts_is_named(
    tls_server: Scripted,
) -> None:
    with pytest.raises(Permanent, match="certificate is not trusted"):
        network().check_answers(f"{tls_server.url}/token")
