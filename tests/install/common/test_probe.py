import http.server
import threading
from collections.abc import Callable, Iterator

import pytest

from hushkey.config import schema
from hushkey.errors import HushkeyError
from hushkey_install.common import probe
from servers.apache import Apache
from servers.authority import Authority
from servers.issuer import Issuer


@pytest.fixture
def answers() -> Iterator[Callable[..., str]]:
    """Start a server that answers every HEAD with a status and headers."""
    servers = []

    def start(status: int, *headers: tuple[str, str]) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                assert "Authorization" not in self.headers
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/x"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("headers", "schemes"),
    [
        (['Basic realm="a, b"'], ("Basic",)),
        (["Bearer", "Basic realm=x"], ("Bearer", "Basic")),
        (["Bearer realm=x, scope=y, Basic realm=z"], ("Bearer", "Basic")),
        (["Negotiate"], ("Negotiate",)),
        (["Negotiate dG9rZW4="], ("Negotiate",)),
        (["Bearer authorization_uri=https://login.test/x"], ("Bearer",)),
        ([], ()),
    ],
)
def test_schemes_are_named(
    answers: Callable[..., str], headers: list[str], schemes: tuple[str, ...]
) -> None:
    url = answers(401, *(("WWW-Authenticate", value) for value in headers))

    found = probe.host(url, schema.DEFAULTS, {})

    assert (found.status, found.schemes) == (401, schemes)


def test_redirect_is_named_and_not_followed(answers: Callable[..., str]) -> None:
    target = answers(200)
    url = answers(302, ("Location", target.replace("//", "//me:secret@")))

    found = probe.host(url, schema.DEFAULTS, {})

    assert found.status == 302
    assert "secret" not in found.line()
    assert "redirects to 127.0.0.1:" in found.line()


def test_nobody_there_is_an_error_of_ours() -> None:
    with pytest.raises(HushkeyError):
        probe.host("http://127.0.0.1:9/", schema.DEFAULTS, {})


@pytest.mark.contract
def test_real_host_and_issuer(
    apache: Apache, issuer: Issuer, authority: Authority, tmp_path: object
) -> None:
    settings = {**schema.DEFAULTS, "ca_file": str(authority.ca_file)}
    environ = {"HUSHKEY_DATA_DIR": f"{tmp_path}/data"}

    host = probe.host(apache.url_of("contoso/app"), settings, environ)
    server = probe.issuer(issuer.url, settings, environ)

    assert host.status == 401
    assert "Bearer" in host.schemes
    assert "openid" in server.scopes
    assert "offers sign-in" in server.line()


@pytest.mark.contract
def test_authority_that_is_not_trusted_is_an_error_of_ours(apache: Apache) -> None:
    with pytest.raises(HushkeyError):
        probe.host(apache.url_of("contoso/app"), schema.DEFAULTS, {})
