"""Real servers for the tests of the demonstration, and a person who signs in."""

import base64
import hashlib
import secrets
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import requests

from hushkey_install.demo import repository, visitor
from hushkey_install.demo.gitserver import GitServer
from hushkey_install.demo.idserver import IdentityServer


class Receiver:
    """A loopback redirect target that keeps the query it was sent."""

    def __init__(self) -> None:
        self.query: dict[str, str] = {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                receiver.query = dict(parse_qsl(urlsplit(self.path).query))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"done")

            def log_message(self, *_: object) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.handle_request)
        self._server.timeout = 60
        self._thread.start()
        self.uri = f"http://127.0.0.1:{self._server.server_port}/callback"

    def close(self) -> None:
        self._thread.join()
        self._server.server_close()


@dataclass(frozen=True)
class Person:
    """Signs in at one server, as hushkey and its user would together."""

    server: IdentityServer

    def authorize_url(self, redirect_uri: str, state: str, verifier: str) -> str:
        digest = hashlib.sha256(verifier.encode()).digest()
        return f"{self.server.issuer}/authorize/?" + urlencode(
            {
                "response_type": "code",
                "client_id": self.server.client_id,
                "redirect_uri": redirect_uri,
                "scope": "openid git",
                "state": state,
                "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"="),
                "code_challenge_method": "S256",
            }
        )

    def sign_in(self) -> dict[str, Any]:
        """Return the answer of the token endpoint."""
        state, verifier = secrets.token_urlsafe(), secrets.token_urlsafe(48)
        receiver = Receiver()
        try:
            visitor.visit(self.authorize_url(receiver.uri, state, verifier))
        finally:
            receiver.close()
        assert receiver.query["state"] == state
        answer = self.token(
            grant_type="authorization_code",
            code=receiver.query["code"],
            redirect_uri=receiver.uri,
            code_verifier=verifier,
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def refresh(self, refresh_token: str) -> requests.Response:
        return self.token(grant_type="refresh_token", refresh_token=refresh_token)

    def token(self, **form: str) -> requests.Response:
        form["client_id"] = self.server.client_id
        return requests.post(f"{self.server.issuer}/token/", form, timeout=20)

    def introspect(self, token: str) -> dict[str, Any]:
        asker = self.server.introspection
        login = (asker.client_id, asker.client_secret)
        answer = requests.post(asker.url, {"token": token}, auth=login, timeout=20)
        return dict(answer.json())


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityServer]:
    """A running identity server, shared by a module's tests."""
    pytest.importorskip("oauth2_provider")
    with IdentityServer(tmp_path_factory.mktemp("identity")) as server:
        yield server


@pytest.fixture(scope="module")
def person(identity: IdentityServer) -> Person:
    return Person(identity)


@pytest.fixture(scope="module")
def git_program() -> Path:
    found = shutil.which("git")
    if not found:
        pytest.skip("needs git")
    return Path(found)


@pytest.fixture(scope="module")
def git_server(
    tmp_path_factory: pytest.TempPathFactory,
    identity: IdentityServer,
    git_program: Path,
) -> Iterator[GitServer]:
    """A running git server with one repository, hello.git."""
    folder = tmp_path_factory.mktemp("git")
    with GitServer(folder, git_program, identity.introspection) as server:
        repository.create(git_program, server.projects, "hello.git")
        yield server
