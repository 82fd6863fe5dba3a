"""What the tests of the core's OAuth side share.

A server on loopback that answers from a script, ID tokens signed as told, a provider
that grants or refuses as told, and a home where our programs can run.
"""

import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from joserfc.jws import JWSRegistry

from hushkey.acquire.acquirer import Acquirer
from hushkey.config import schema
from hushkey.errors import HushkeyError
from hushkey.model import (
    Account,
    CodeFlow,
    DeviceCode,
    Grant,
    HostRule,
    Identity,
    Token,
    TokenKey,
)
from hushkey.net.http import Network
from hushkey.store.datakey import open_data_key
from hushkey.store.sealedfile import sealed_files
from hushkey.store.tokenfile import TokenFile
from hushkey.store.typed import (
    StoredCredential,
    TypedCredentials,
    open_typed_credentials,
)
from hushkey.store.typed_index import CredentialKey
from hushkey.tokenrequest import PromptOptions, Session
from kit.signin import Clock

WELL_KNOWN = "/.well-known/openid-configuration"
KEY = ECKey.generate_key("P-256", {"kid": "k1"})
ROTATED = ECKey.generate_key("P-256", {"kid": "k2"})
RSA = RSAKey.generate_key(2048, {"kid": "r1"})


# -- a server that does as told --------------------------------------------------


class Call(NamedTuple):
    """One request as the server saw it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form that was posted."""
        return {k: v[0] for k, v in parse_qs(self.body.decode()).items()}


class Reply:
    """One answer: a dict becomes JSON, everything else is sent as it is."""

    def __init__(self, body: object = b"", status: int = 200, **headers: str) -> None:
        kind = "application/json" if isinstance(body, dict) else "text/html"
        self.data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.status = status
        self.headers = {"Content-Type": kind} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }

    def __call__(self, handler: "_Handler") -> None:
        handler.send_response(self.status)
        for name, value in self.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(self.data)))
        handler.end_headers()
        handler.wfile.write(self.data)


Answer = Callable[["_Handler"], None]


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        scripted = self.server.scripted
        scripted.heads.append(self.path)
        if scripted.on_head is not None:
            scripted.on_head(self)
        else:
            self.send_response(405)  # as most token endpoints say
            self.end_headers()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        call = Call(self.command, self.path, dict(self.headers.items()), body)
        self.server.scripted.calls.append(call)
        self.server.scripted.reply_to(call)(self)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    scripted: "Scripted"
    daemon_threads = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up are what is tested here."""


class Scripted:
    """A server on loopback: each path has a list of answers, the last one stays."""

    def __init__(self, context: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.calls: list[Call] = []
        self.routes: dict[str, list[Answer]] = {}
        #: the paths of HEAD requests, and what answers them
        self.heads: list[str] = []
        self.on_head: Answer | None = None
        #: set when the server stops: what drips or hangs ends then
        self.over = threading.Event()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.scripted = self
        if context is not None:
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True
            )
        scheme = "http" if context is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def on(self, path: str, *answers: Answer) -> None:
        """Answer requests for *path* with *answers* in turn."""
        self.routes[path] = list(answers)

    def reply_to(self, call: Call) -> Answer:
        answers = self.routes.get(call.path.partition("?")[0], [Reply(status=404)])
        return answers[0] if len(answers) == 1 else answers.pop(0)

    def calls_to(self, path: str) -> list[Call]:
        return [call for call in self.calls if call.path.partition("?")[0] == path]

    def drip(self, first: bytes) -> Answer:
        """Send *first*, then a byte now and then until the test is over."""

        def answer(handler: _Handler) -> None:
            handler.wfile.write(first)
            while not self.over.wait(0.05):
                handler.wfile.write(b"x")

        return answer

    def hang(self, handler: _Handler) -> None:
        """Read the request and say nothing."""
        self.over.wait(30)

    def hang_up(self, handler: _Handler) -> None:
        """Read the request and close the connection."""
        handler.close_connection = True


class OidcServer(Scripted):
    """A scripted issuer with metadata and keys; /token answers what a test says."""

    def __init__(
        self, path: str = "", context: ssl.SSLContext | None = None, **metadata: Any
    ) -> None:
        super().__init__(context)
        self.issuer = self.url + path
        self.metadata: dict[str, Any] = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "id_token_signing_alg_values_supported": ["ES256", "RS256"],
        } | metadata
        self._path = path.rstrip("/")
        self.publishes()
        self.on("/jwks", Reply(jwks(KEY)))

    def publishes(self, **metadata: Any) -> None:
        """Let the metadata be as they are, with these changes."""
        self.metadata |= metadata
        self.on(self._path + WELL_KNOWN, Reply(self.metadata))

    def offers_devices(self, **changes: Any) -> None:
        """Hand out a device code."""
        self.publishes(device_authorization_endpoint=f"{self.url}/device")
        answer = {
            "device_code": "d",
            "user_code": "ABCD-EFGH",
            "verification_uri": f"{self.url}/activate",
            "expires_in": 60,
            "interval": 1,
        }
        self.on("/device", Reply(answer | changes))

    def grants(self, **changes: Any) -> None:
        """Let /token grant; a field that is None is left out."""
        answer: dict[str, Any] = {
            "access_token": "at",
            "token_type": "Bearer",
            "expires_in": 3600,
            "refresh_token": "rt2",
        } | changes
        kept = {name: value for name, value in answer.items() if value is not None}
        self.on("/token", Reply(kept))

    def refuses(self, code: str, status: int = 400, **more: Any) -> None:
        self.on("/token", Reply({"error": code, **more}, status))

    @property
    def forms(self) -> list[dict[str, str]]:
        """What was posted to /token."""
        return [call.form for call in self.calls_to("/token")]


def network(timeout: float = 10, environ: Any = None, **settings: Any) -> Network:
    """The network of default settings, with *timeout* for a whole request."""
    every = {**schema.DEFAULTS, "silent_timeout": timeout, **settings}
    return Network(every, environ or {})


# -- ID tokens -------------------------------------------------------------------


def jwks(*keys: Any) -> dict[str, Any]:
    return {"keys": [key.as_dict(private=False) for key in keys]}


def claims(issuer: str, now: float, **changes: Any) -> dict[str, Any]:
    """Valid claims for client ``c`` and nonce ``n``; None takes a claim out."""
    every = {
        "iss": issuer,
        "aud": "c",
        "sub": "user-1",
        "iat": int(now),
        "exp": int(now) + 600,
        "nonce": "n",
        "email": "me@example.com",
    } | changes
    return {name: value for name, value in every.items() if value is not None}


def signed(content: Mapping[str, Any], key: Any = KEY, alg: str = "ES256") -> str:
    header = {"alg": alg, "kid": key.kid} if key.kid else {"alg": alg}
    registry = JWSRegistry(algorithms=[alg])
    return jwt.encode(header, dict(content), KeySet([key]), registry=registry)


# -- a provider that does as told ------------------------------------------------

ME = Account("user-1", "me@example.com")
CORP = Identity("corp", "oidc", client_id="c", options={"issuer": "https://id.test"})


def grant(token: str = "at-new", **changes: Any) -> Grant:
    """A grant for ``git`` to me that rotates the refresh token."""
    facts: dict[str, Any] = {
        "refresh_token": "rt-new",
        "expires_in": 3600,
        "scopes": ("git",),
        "account": ME,
        "claims": {"email": ME.label},
    }
    return Grant(token, **(facts | changes))


Outcome = Grant | Exception


class FakeProvider:
    """Grants or raises in turn, the last one again and again; counts what was asked."""

    issuer = "https://id.test"
    client_id = "c"

    def __init__(
        self,
        refresh: "list[Outcome] | Outcome | None" = None,
        sign_in: "Outcome | None" = None,
    ) -> None:
        self._refreshes = list(refresh) if isinstance(refresh, list) else [refresh]
        self._sign_in = sign_in
        self.asked: list[str] = []
        #: (refresh token, scopes) of each refresh
        self.redeemed: list[tuple[str, tuple[str, ...]]] = []
        self.revoked: list[str] = []
        #: the claims of each opening
        self.claims: list[str] = []

    def with_claims(self, claims: str) -> "FakeProvider":
        self.claims.append(claims)
        return self

    def refresh(self, refresh_token: str, scopes: tuple[str, ...]) -> Grant:
        self.asked.append("refresh")
        self.redeemed.append((refresh_token, scopes))
        last = len(self._refreshes) == 1
        return _given(self._refreshes[0] if last else self._refreshes.pop(0))

    def begin_code(
        self, scopes: tuple[str, ...], redirect_uri: str, login_hint: str
    ) -> CodeFlow:
        raise AssertionError("the tests sign in with a device code")

    def redeem_code(self, flow: CodeFlow, answer: Mapping[str, str]) -> Grant:
        raise AssertionError("the tests sign in with a device code")

    def begin_device(self, scopes: tuple[str, ...]) -> DeviceCode:
        return DeviceCode("https://id.test/device", "ABCD-EFGH", 60, 0.001, {})

    def poll_device(self, code: DeviceCode) -> Grant:
        self.asked.append("sign-in")
        return _given(self._sign_in)

    def revoke(self, refresh_token: str) -> bool:
        self.revoked.append(refresh_token)
        return True

    def account(self, access_token: str, scopes: tuple[str, ...] = ()) -> None:
        return None


def _given(outcome: object) -> Grant:
    if isinstance(outcome, Exception):
        raise outcome
    assert isinstance(outcome, Grant), "nobody told the provider what to say"
    return outcome


# -- processes of one user ---------------------------------------------------------

SITE = HostRule("git.test", CORP, scopes=("git",))
DEVICE = {"HUSHKEY_INTERACTIVE": "device"}
#: nothing to see anything on, even where the tests run on a terminal
HEADLESS = {"GIT_TERMINAL_PROMPT": "0"}
SETTINGS = {**schema.DEFAULTS, "key_store": "file"}


class Desk:
    """Processes of one user: each `process` is an acquirer of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.warnings: list[str] = []

    def process(
        self,
        provider: FakeProvider | None = None,
        *,
        began: float = 0.0,
        environ: dict[str, str] | None = None,
        options: PromptOptions | None = None,
    ) -> Acquirer:
        session = Session(
            SETTINGS,
            str(self.folder),
            DEVICE if environ is None else environ,
            options or PromptOptions(),
            self.warnings.append,
            began=began,
            clock=self.clock,
        )
        return Acquirer(
            session,
            open_provider=lambda *_, claims="", **__: (
                provider or FakeProvider()
            ).with_claims(claims),
        )

    def get(
        self, provider: FakeProvider, rule: HostRule = SITE, **process: Any
    ) -> Token:
        acquirer = self.process(provider, **process)
        return acquirer.acquire(acquirer.wanted(rule, rule.pattern))

    def fails(
        self, provider: FakeProvider, rule: HostRule = SITE, **process: Any
    ) -> HushkeyError:
        with pytest.raises(HushkeyError) as caught:
            self.get(provider, rule, **process)
        return caught.value

    def has(self, granted: Grant, asked: tuple[str, ...] = ("git",)) -> None:
        """Let a sign-in of a moment ago be in the store."""
        self.change(
            lambda cache: cache.keep(granted, ME, TokenKey(asked), int(self.clock.now))
        )

    def change(self, act: Callable[[Any], object]) -> None:
        with self.process().file_of(CORP).change(5) as change:
            act(change.cache)
            change.save()

    def stored(self) -> Any:
        return self.process().file_of(CORP).read()

    def refresh_tokens(self) -> list[str]:
        found: list[str] = self.stored().refresh_tokens(ME.id)
        return found


# -- a machine with the programs ---------------------------------------------------

BIN = Path(sys.executable).parent


def timed_imports(program: str, *words: str) -> list[str]:
    """The command line of one of our programs that also tells what it imports."""
    flags = ["-I", "-S", "-X", "importtime"]
    return [sys.executable, *flags, str(BIN / "hushkey-python"), program, "", *words]


def imported(told: bytes) -> list[str]:
    """The modules that `-X importtime` has told of, in order."""
    lines = told.decode().splitlines()
    return [line.rpartition("|")[2].strip() for line in lines if "|" in line]


CANARY = "c4nary"
CONFIG = """
[settings]
key_store = "file"

[identity.corp]
provider = "oidc"
issuer = "{issuer}"
client_id = "c"

[host."git.test"]
identity = "corp"
scopes = ["git"]
"""


SETTINGS = {**schema.DEFAULTS, "key_store": "file"}


class Machine:
    """One user's home with a config, a key file, and sign-ins put into the store."""

    def __init__(self, home: Path, issuer: str = "https://id.test") -> None:
        self.home = home
        self.issuer = issuer
        self.environ = {
            **os.environ,
            "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        }
        self.data = home / ".local" / "share" / "hushkey"
        self.config_file = home / ".config" / "hushkey" / "config.toml"

    def configure(self, more: str = "", text: str = CONFIG) -> None:
        """Write the config file: the usual one and *more*."""
        self.config_file.parent.mkdir(parents=True, exist_ok=True)
        self.config_file.write_text(text.replace("{issuer}", self.issuer) + more)

    def settle(self) -> None:
        """Let the config file be old enough for its compiled form to be kept."""
        then = time.time() - 60
        os.utime(self.config_file, (then, then))

    def token_file(self) -> TokenFile:
        data_key = open_data_key(SETTINGS, str(self.data), self._sealed)
        return TokenFile(str(self.data), self.issuer, "c", data_key, print)

    def _sealed(self) -> list[str]:
        return sealed_files(str(self.data))

    def typed_store(self) -> TypedCredentials:
        return open_typed_credentials(SETTINGS, str(self.data), print)

    def types(self, host: str, user: str, password: str) -> None:
        """Let a person have typed *password* for a host that is not ours."""
        key = CredentialKey("git", "https", host, None, user)
        self.typed_store().store(StoredCredential(key, {"password": password}))

    def typed(self) -> list[str]:
        """The passwords that are kept."""
        store = self.typed_store()
        kept = (r for key in store.all_keys() for r in store.matching(key))
        return [record.values["password"] for record in kept]

    def has(
        self, granted: Grant, asked: tuple[str, ...] = ("git",), age: int = 0
    ) -> None:
        """Let *granted* have been stored *age* seconds ago."""
        with self.token_file().change(5) as change:
            change.cache.keep(granted, ME, TokenKey(asked), int(time.time()) - age)
            change.save()

    def stored(self) -> list[str]:
        """The access tokens that are in the store."""
        return [token.value for token in self.token_file().read().tokens()]

    def run(
        self, *argv: str, stdin: bytes = b"", **environ: str
    ) -> "subprocess.CompletedProcess[bytes]":
        """Run one of our programs; its first word is the program's name."""
        return subprocess.run(
            [str(BIN / argv[0]), *argv[1:]],
            input=stdin,
            capture_output=True,
            env={**self.environ, **environ},
            timeout=60,
            check=False,
            start_new_session=True,  # whoever runs the tests is not to be asked
        )
