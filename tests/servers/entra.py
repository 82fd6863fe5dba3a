"""A fake Microsoft Entra, a fake Azure DevOps, and the proxy that leads to them.

Microsoft's cloud cannot run here, so this one server is a fake. What it answers is in
entra/*.json: each file names the Microsoft document or public issue it was shaped
from; "$name" in them is filled in here. What it accepts is what MSAL sends.

    authority = Authority(folder)
    entra, devops = Entra(authority), DevOps(authority, entra)
    detour = Detour(entra.routes() | devops.routes())

A client with `detour.url` as its proxy and `authority.ca_file` as its trust reaches
login.microsoftonline.com and dev.azure.com by their real names; every other host is
refused and recorded. BROWSER from DetouredBrowser takes the scripted visitor there.
"""

import base64
import contextlib
import dataclasses
import hashlib
import html
import http.cookiejar
import json
import os
import re
import secrets
import select
import shutil
import socket
import ssl
import string
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from functools import cached_property
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar, cast
from urllib.parse import parse_qs, parse_qsl, quote, unquote, urlencode, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from servers import visitor
from servers.authority import Authority
from servers.browser import Browser
from servers.listener import Listener
from servers.process import Server, free_port, short_folder

ANSWERS = Path(__file__).with_suffix("")
"""The folder of the answers as data."""

Record = dict[str, Any]

# ---------------------------------------------------------------- names of Microsoft's

PUBLIC = "login.microsoftonline.com"
US_GOVERNMENT = "login.microsoftonline.us"
CHINA = "login.partner.microsoftonline.cn"
CLOUDS = {
    "login.microsoftonline.com": PUBLIC,
    "login.microsoft.com": PUBLIC,
    "login.windows.net": PUBLIC,
    "sts.windows.net": PUBLIC,
    "login.microsoftonline.us": US_GOVERNMENT,
    "login.usgovcloudapi.net": US_GOVERNMENT,
    "login.partner.microsoftonline.cn": CHINA,
    "login.chinacloudapi.cn": CHINA,
}
"""Every host name of each cloud, and the one that its documents name."""

DEVICE_HOSTS = ("microsoft.com", "www.microsoft.com")
"""Where verification_uri points."""

DEVOPS_HOSTS = ("dev.azure.com", "*.dev.azure.com", "*.visualstudio.com")

AZURE_DEVOPS = "499b84ac-1321-427f-aa17-267ca6975798"
REGISTRY = "https://containerregistry.azure.net"
MANAGEMENT = "https://management.core.windows.net/"
GRAPH = "https://graph.microsoft.com"
DEFAULT_SCOPE = f"{AZURE_DEVOPS}/.default"

VISUAL_STUDIO = "872cd9fa-d31f-45e0-9eab-6e460a02d1f1"
AZURE_CLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
OWN_CLIENT = "5b0e2d5c-6a1f-4f3e-9a86-c1d0b1f0a001"

CONSUMERS_TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"
MSA_TRANSFER_TENANT = "f8cdef31-a31e-4b4a-93e4-5f571e91255a"
NO_TENANT = "00000000-0000-0000-0000-000000000000"

ALIASES = ("common", "organizations", "consumers")
OIDC_SCOPES = {"openid", "profile", "email", "offline_access"}


@dataclass
class Tenant:
    """A directory. `lacks` are the resources that nobody installed in it."""

    name: str
    id: str
    cloud: str = PUBLIC
    domains: Sequence[str] = ()
    lacks: Sequence[str] = ()

    def is_called(self, name: str) -> bool:
        return name.lower() in (self.id, f"{self.name}.onmicrosoft.com", *self.domains)


@dataclass
class User:
    """A person: one home tenant, and a guest elsewhere; the password is "x"."""

    name: str
    home: str
    guest_in: Sequence[str] = ()
    password: str = "x"

    def id_in(self, tenant: str) -> str:
        """The object id, which is another one in each tenant."""
        if tenant == CONSUMERS_TENANT:
            # Microsoft accounts: half a GUID, made from their 64-bit id.
            digits = hashlib.sha256(self.name.encode()).hexdigest()[:16]
            return f"00000000-0000-0000-{digits[:4]}-{digits[4:]}"
        return str(uuid.uuid5(uuid.UUID(tenant), self.name))

    @property
    def home_account_id(self) -> str:
        """What MSAL calls the account: uid.utid."""
        return f"{self.id_in(self.home)}.{self.home}"


@dataclass
class Client:
    """An application. Entra ignores the port of http://localhost, of no other host.

    family: its refresh tokens serve every client of that family ("foci").
    first_party: Microsoft's own, which takes Microsoft accounts at /organizations.
    work_only: refused at /consumers.
    """

    id: str
    redirects: Sequence[str] = ("http://localhost",)
    family: str = ""
    first_party: bool = False
    work_only: bool = False

    def allows(self, redirect: str) -> bool:
        return _without_localhost_port(redirect) in [
            _without_localhost_port(each) for each in self.redirects
        ]


CONTOSO = Tenant(
    "contoso", "1f2a6c1e-7a3c-4f0d-9c55-0d6a3e1c0001", domains=["contoso.com"]
)
FABRIKAM = Tenant(
    "fabrikam", "2b7d9f40-5e1b-4c2a-8d11-5a4c7e2d0002", domains=["fabrikam.com"]
)
GOVERNMENT = Tenant(
    "agency",
    "3c8e0a51-6f2c-4d3b-9e22-6b5d8f3e0003",
    cloud=US_GOVERNMENT,
    domains=["agency.example"],
)
ALICE = User("alice@contoso.com", CONTOSO.id, guest_in=[FABRIKAM.id])
BOB = User("bob@fabrikam.com", FABRIKAM.id)
CAROL = User("carol@outlook.com", CONSUMERS_TENANT)
GRACE = User("grace@agency.example", GOVERNMENT.id)

TENANTS = (
    CONTOSO,
    FABRIKAM,
    GOVERNMENT,
    Tenant("consumers", CONSUMERS_TENANT),
    Tenant("msa-transfer", MSA_TRANSFER_TENANT),
)
USERS = (ALICE, BOB, CAROL, GRACE)
CLIENTS = (
    Client(VISUAL_STUDIO, first_party=True, work_only=True),
    Client(AZURE_CLI, first_party=True),
    Client(OWN_CLIENT, redirects=["http://localhost", "http://127.0.0.1/"]),
)


@dataclass
class App:
    """A confidential client, with what it may prove itself by.

    `trusts` are federated credentials: issuer, subject, audience, all compared by
    character. `certificate` is PEM; what it signs is checked.
    """

    id: str
    tenant: str
    secret: str = ""
    certificate: bytes = b""
    trusts: Sequence[tuple[str, str, str]] = ()


RESOURCES = {
    AZURE_DEVOPS: "user_impersonation",
    REGISTRY: "user_impersonation",
    MANAGEMENT: "user_impersonation",
    GRAPH: "User.Read",
}
"""Every resource, with the permission that /.default stands for."""


# ---------------------------------------------------------------- answers as data


@dataclass(frozen=True)
class Answer:
    """One file of entra/: what was shaped from `source`."""

    name: str
    source: Sequence[str]
    status: int
    headers: Mapping[str, str | Sequence[str]]
    body: Any
    note: str = ""

    def filled(self, values: Mapping[str, str]) -> "Answer":
        """With `$name` replaced wherever a value is known."""
        return dataclasses.replace(
            self,
            headers=cast("dict[str, str]", _fill(dict(self.headers), values)),
            body=_fill(self.body, values),
        )

    def error(self) -> str:
        """The OAuth error, if it is one."""
        return str(self.body.get("error", "")) if isinstance(self.body, dict) else ""

    def content(self) -> bytes:
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return text.encode()


def answer(name: str, folder: Path = ANSWERS) -> Answer:
    """Read one data file."""
    return Answer(name=name, **json.loads((folder / f"{name}.json").read_text()))


def answer_names() -> list[str]:
    """Every data file, without the ending."""
    return sorted(path.stem for path in ANSWERS.glob("*.json"))


def _fill(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return string.Template(value).safe_substitute(values)
    if isinstance(value, dict):
        return {key: _fill(each, values) for key, each in value.items()}
    if isinstance(value, list):
        return [_fill(each, values) for each in value]
    return value


# ---------------------------------------------------------------- answering


class _Handler(BaseHTTPRequestHandler):
    """Hands a whole request to its site, and writes what comes back."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    site: "_Site"

    def _serve(self) -> None:
        asked = Asked(self.command, self.path, self.headers, self._body())
        try:
            given = self.site.handle(asked)
        except _Drop:
            self.close_connection = True
            return
        content = given.content()
        self.send_response(given.status)
        for name, value in given.headers.items():
            for each in [value] if isinstance(value, str) else value:
                self.send_header(name, each)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):  # RFC 9112 7.1
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    do_GET = do_HEAD = do_POST = do_PUT = _serve

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Drop(Exception):
    """End the connection without an answer."""


@dataclass
class Asked:
    """A request as it came in."""

    method: str
    target: str
    headers: "Message[str, str]"
    body: bytes

    @cached_property
    def host(self) -> str:
        return self.headers.get("Host", "").rpartition(":")[0] or self.headers.get(
            "Host", ""
        )

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @cached_property
    def query(self) -> dict[str, str]:
        return _first(urlsplit(self.target).query)

    @cached_property
    def form(self) -> dict[str, str]:
        return _first(self.body.decode(errors="replace"))


class _Site(Server):
    """What both fakes share: TLS under Microsoft's names, faults, and the log."""

    names: Sequence[str] = ()
    answers: ClassVar[Path] = ANSWERS

    def __init__(self, authority: Authority, *, port: int = 0) -> None:
        self.authority = authority
        self.port = port
        self._listener: Listener | None = None
        self._stopping = threading.Event()
        self._lock = threading.RLock()
        self._log: list[Record] = []
        self._faults: list[Record] = []
        self._healed = 0

    # -- its life

    def start(self) -> None:
        self._stopping.clear()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        folder = short_folder("entra")
        try:
            names = (*self.names, "localhost", "127.0.0.1")
            certificate, key = self.authority.issue(*names)
            (folder / "leaf.pem").write_bytes(
                certificate + self.authority.ca_file.read_bytes()
            )
            (folder / "leaf.key").write_bytes(key)
            context.load_cert_chain(folder / "leaf.pem", folder / "leaf.key")
        finally:
            shutil.rmtree(folder)
        self.port = self.port or free_port()
        handler = type("Handler", (_Handler,), {"site": self})
        self._listener = Listener(self.port, handler, context)

    def stop(self) -> None:
        self._stopping.set()
        if self._listener is not None:
            self._listener.end()
            self._listener = None

    def routes(self) -> dict[str, int]:
        """For Detour: every name of this fake, and its port."""
        return dict.fromkeys(self.names, self.port)

    # -- its faults

    def fail(
        self, name: str, times: int | None = None, *, where: str = "token"
    ) -> None:
        """Answer requests with a data file until heal(), or `times` times.

        Or "hang" (never an answer), "drop" (the connection), "lose" (the work is
        done, then the connection drops). Later ones wait for earlier ones.
        """
        if name not in ("hang", "drop", "lose"):
            answer(
                name, self.answers
            )  # a wrong name fails here, not in the server's thread
        with self._lock:
            self._faults.append({"name": name, "where": where, "left": times})

    def heal(self) -> None:
        """No more faults; whoever hangs is dropped."""
        with self._lock:
            self._faults.clear()
            self._healed += 1

    def _fault(self, endpoint: str) -> str:
        with self._lock:
            for fault in self._faults:
                if fault["where"] not in (endpoint, "any"):
                    continue
                if fault["left"] is not None:
                    fault["left"] -= 1
                    if fault["left"] <= 0:
                        self._faults.remove(fault)
                return str(fault["name"])
        return ""

    def _hang(self) -> None:
        before = self._healed
        while self._healed == before and not self._stopping.wait(0.02):
            pass
        raise _Drop

    # -- its log

    def log(self, endpoint: str | None = None) -> list[Record]:
        """Every request that came in, in its order; `status` 0 is no answer."""
        with self._lock:
            return [
                dict(record)
                for record in self._log
                if endpoint is None or record["endpoint"] == endpoint
            ]

    def forget_log(self) -> None:
        with self._lock:
            self._log.clear()

    def _note(self, record: Record) -> Record:
        with self._lock:
            self._log.append(record)
        return record

    def handle(self, asked: Asked) -> Answer:
        raise NotImplementedError


# ---------------------------------------------------------------- Entra


@dataclass
class Grant:
    """What a token, or a code, was given for: the server's own memory of it."""

    kind: str
    user: User
    client: str
    tenant: str
    cloud: str
    resource: str = ""
    scope: str = ""
    claims: set[str] = field(default_factory=set)
    expires: float = 0
    revoked: bool = False
    sign_in: dict[str, str] = field(default_factory=dict)


class Entra(_Site):
    """A fake Entra ID for tests.

    `also` are more names for it, which are not Microsoft's: what a client tells an
    issuer that is not Entra can be read there.

    `settings` may be changed by set() while it runs:

    expires_in, ext_expires_in   seconds
    refresh_in      seconds, or None: not sent
    scope           what the token answer says was granted; None: the expanded list
    id_token        whether answers carry one
    id_claims       merged into every ID token; None takes a claim away
    answer          merged into every token answer; None takes a key away
    interval        of the device flow; device_ttl its lifetime
    delay           seconds before the token endpoint works
    authorize       the name of an authorize.* file: what the person meets after the
                    login page; None: nothing
    token_size, refresh_size     characters
    """

    SETTINGS: ClassVar[Record] = {
        "expires_in": 3599,
        "ext_expires_in": 3599,
        "refresh_in": None,
        "scope": None,
        "id_token": True,
        "id_claims": {},
        "answer": {},
        "interval": 5,
        "device_ttl": 900,
        "delay": 0,
        "authorize": None,
        "token_size": 2048,
        "refresh_size": 1024,
    }

    def __init__(
        self,
        authority: Authority,
        *,
        port: int = 0,
        also: Sequence[str] = (),
        tenants: Sequence[Tenant] = TENANTS,
        users: Sequence[User] = USERS,
        clients: Sequence[Client] = CLIENTS,
        resources: Mapping[str, str] = RESOURCES,
        **settings: Any,
    ) -> None:
        super().__init__(authority, port=port)
        self.names = (*CLOUDS, *DEVICE_HOSTS, *also)
        self.tenants = list(tenants)
        self.users = list(users)
        self.clients = {client.id: client for client in clients}
        self.apps: dict[str, App] = {}
        self.resources = dict(resources)
        self._first = settings
        self._set: Record = {}
        self._grants: dict[str, Grant] = {}
        self._devices: dict[str, Record] = {}
        self._pages: dict[str, Record] = {}
        self._demands: list[Record] = []
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._kid = secrets.token_urlsafe(20)
        self.reset()

    # -- its knobs

    def set(self, **settings: Any) -> None:
        unknown = settings.keys() - self.SETTINGS
        if unknown:
            raise TypeError(f"no such setting: {', '.join(sorted(unknown))}")
        self._set.update(settings)

    def reset(self) -> None:
        """As it was started: nobody has signed in, no faults, an empty log."""
        with self._lock:
            self.heal()
            self.forget_log()
            self._set = dict(self.SETTINGS)
            self.set(**self._first)
            self._grants.clear()
            self._devices.clear()
            self._pages.clear()
            self._demands.clear()

    def revoke(self, user: str | None = None, *, kind: str = "refresh") -> None:
        """Let refresh tokens (or "access" tokens) of one user, or all, be dead."""
        with self._lock:
            for grant in self._grants.values():
                if grant.kind == kind and user in (None, grant.user.name):
                    grant.revoked = True

    def demand(self, claims: str, resource: str = AZURE_DEVOPS) -> None:
        """From now on `resource` is only for sign-ins that carried these claims.

        As a Conditional Access policy does: refreshes without them are answered
        with invalid_grant, basic_action and the claims.
        """
        with self._lock:
            self._demands.append({"claims": claims, "resource": resource})

    # -- what it knows

    def token(self, value: str) -> Grant | None:
        """What a token was given for; None for one that this server never gave."""
        return self._grants.get(value)

    def secrets(self) -> list[tuple[str, str]]:
        """What it gave, tokens and codes, each with its kind."""
        with self._lock:
            return [
                (f"{g.kind}_token" if g.kind in ("access", "refresh") else g.kind, v)
                for v, g in self._grants.items()
            ]

    def token_requests(
        self, grant_type: str | None = None, *, status: int | None = None
    ) -> list[Record]:
        """Every request to the token endpoint, faults included."""
        return [
            record
            for record in self.log("token")
            if (grant_type is None or record["grant_type"] == grant_type)
            and (status is None or record["status"] == status)
        ]

    def refreshes(self) -> int:
        """How many refresh requests came in, whatever the outcome."""
        return len(self.token_requests("refresh_token"))

    def sign_ins(self) -> int:
        """How many people completed the login page."""
        return len(self.log("login"))

    def find_user(self, name: str) -> User | None:
        return next((u for u in self.users if u.name == name.lower()), None)

    def find_tenant(self, name: str, cloud: str) -> Tenant | None:
        wanted = CONSUMERS_TENANT if name == "consumers" else name
        return next(
            (t for t in self.tenants if t.is_called(wanted) and t.cloud == cloud), None
        )

    # -- requests

    def handle(self, asked: Asked) -> Answer:
        host = asked.host.lower()
        cloud = CLOUDS.get(host, PUBLIC)
        path = asked.path.strip("/")
        if host in DEVICE_HOSTS or path == "devicelogin":
            return _redirect(f"https://{PUBLIC}/common/oauth2/deviceauth")
        tenant, _, rest = path.partition("/")
        endpoint = {
            "v2.0/.well-known/openid-configuration": "configuration",
            "discovery/instance": "instance",
            "discovery/v2.0/keys": "keys",
            "oauth2/v2.0/authorize": "authorize",
            "oauth2/v2.0/token": "token",
            "oauth2/v2.0/devicecode": "devicecode",
            "oauth2/deviceauth": "deviceauth",
            "login": "login",
        }.get(rest, "unknown")
        sent = asked.query | asked.form
        record = {
            "endpoint": "login-page" if endpoint == "login" else endpoint,
            "method": asked.method,
            "host": host,
            "path": asked.path,
            "tenant": tenant,
            "time": time.time(),
            "grant_type": sent.get("grant_type", ""),
            "scope": sent.get("scope", ""),
            "client_id": sent.get("client_id", ""),
            "claims": sent.get("claims", ""),
            "login_hint": sent.get("login_hint", ""),
            "prompt": sent.get("prompt", ""),
            "response_mode": sent.get("response_mode", ""),
            "code_challenge_method": sent.get("code_challenge_method", ""),
            "refresh_token": mark(sent.get("refresh_token", "")),
            "headers": {
                name.lower(): value
                for name, value in asked.headers.items()
                if name.lower().startswith(("x-", "client-request-id", "user-agent"))
            },
            "status": 0,
            "error": "",
            "fault": "",
        }
        self._note(record)
        if endpoint == "token" and self._set["delay"]:
            self._stopping.wait(self._set["delay"])
        if asked.method == "OPTIONS" or endpoint == "unknown":
            given = _page(404, "Not found", "There is nothing here.")
        else:
            work = getattr(self, f"_{endpoint}")
            given = self._with_faults(endpoint, record, cloud, tenant, asked, work)
        record["status"] = given.status
        record["error"] = given.error()
        return given

    def _with_faults(
        self,
        endpoint: str,
        record: Record,
        cloud: str,
        tenant: str,
        asked: Asked,
        work: Callable[[str, str, Asked], Answer],
    ) -> Answer:
        fault = self._fault(endpoint)
        record["fault"] = fault
        if fault == "hang":
            self._hang()
        if fault == "drop":
            raise _Drop
        if fault and fault != "lose":
            return self._say(fault, asked, cloud, tenant)
        given = work(cloud, tenant, asked)
        if fault == "lose":
            raise _Drop
        return given

    def _say(
        self, name: str, asked: Asked, cloud: str, tenant: str, /, **values: str
    ) -> Answer:
        """A data file, filled in for this request."""
        sent = asked.query | asked.form
        known = self.find_tenant(tenant, cloud)
        scope = sent.get("scope", "")
        resource = self._resource(scope)
        return answer(name).filled(
            {
                "tenant": known.id if known else tenant,
                "home_tenant": known.id if known else tenant,
                "cloud": cloud,
                "client_id": sent.get("client_id", ""),
                "scope": scope,
                "resource": resource[0] if resource else scope,
                "trace_id": str(uuid.uuid4()),
                # As Entra does: the client's own id comes back.
                "correlation_id": asked.headers.get("client-request-id")
                or str(uuid.uuid4()),
                "timestamp": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ"),
            }
            | values
        )

    # -- discovery

    def _configuration(self, cloud: str, tenant: str, asked: Asked) -> Answer:
        known = self.find_tenant(tenant, cloud)
        if known is None and tenant not in ALIASES:
            return self._say("invalid_tenant", asked, cloud, tenant)
        issuer = "{tenantid}" if tenant in ("common", "organizations") else ""
        name = tenant if tenant in ALIASES else (known.id if known else "")
        return self._say(
            "openid-configuration",
            asked,
            cloud,
            tenant,
            tenant=name,
            issuer=issuer or (known.id if known else ""),
            host=self._here(asked, cloud),
        )

    def _here(self, asked: Asked, cloud: str) -> str:
        """The host for endpoints: that of the cloud, or a name that is not its."""
        host = asked.host.lower()
        if host in ("localhost", "127.0.0.1"):
            return f"{host}:{self.port}"
        return cloud if host in CLOUDS else host

    def _instance(self, cloud: str, tenant: str, asked: Asked) -> Answer:
        about = urlsplit(asked.query.get("authorization_endpoint", ""))
        if about.hostname not in CLOUDS:
            return self._say("invalid_instance", asked, cloud, tenant)
        name = about.path.strip("/").partition("/")[0]
        home = CLOUDS[about.hostname]
        given = self._say(
            "instance-discovery", asked, cloud, tenant, tenant=name, cloud=home
        )
        if asked.query.get("api-version") == "1.0":
            kept = {k: v for k, v in given.body.items() if k != "metadata"}
            return dataclasses.replace(given, body=kept)
        return given

    def _keys(self, cloud: str, tenant: str, asked: Asked) -> Answer:
        numbers = self._key.public_key().public_numbers()
        key = {
            "kty": "RSA",
            "use": "sig",
            "kid": self._kid,
            "x5t": self._kid,
            "n": _base64(numbers.n.to_bytes(256, "big")),
            "e": _base64(numbers.e.to_bytes(3, "big")),
            "issuer": f"https://{cloud}/{{tenantid}}/v2.0",
        }
        return _json({"keys": [key]})

    # -- the person

    def _authorize(self, cloud: str, tenant: str, asked: Asked) -> Answer:
        sent = asked.query | asked.form
        client = self.clients.get(sent.get("client_id", ""))
        if client is None:
            return self._say("authorize.unknown_client", asked, cloud, tenant)
        if not client.allows(sent.get("redirect_uri", "")):
            return self._say("authorize.redirect_mismatch", asked, cloud, tenant)
        if tenant == "consumers" and client.work_only:
            return self._say("authorize.work_accounts_only", asked, cloud, tenant)
        known = self.find_tenant(tenant, cloud)
        if known is None and tenant not in ALIASES:
            return self._say("invalid_tenant", asked, cloud, tenant)
        if sent.get("prompt") == "none":
            given = self._say("authorize.login_required", asked, cloud, tenant)
            return _back(sent, given.body)
        sent = sent | {"_tenant": tenant, "_cloud": cloud}
        return self._login_page(sent, sent.get("login_hint", ""))

    def _login_page(self, sent: Record, hint: str) -> Answer:
        context = secrets.token_urlsafe(16)
        with self._lock:
            self._pages[context] = sent
        return _page(
            200,
            "Sign in to your account",
            f'<form method="post" action="/common/login">'
            f'<input type="hidden" name="ctx" value="{context}">'
            f'<input type="email" name="loginfmt" value="{html.escape(hint)}">'
            '<input type="password" name="passwd">'
            '<button name="choice" value="cancel">Cancel</button>'
            '<button name="choice" value="signin">Sign in</button></form>',
        )

    def _login(self, cloud: str, tenant: str, asked: Asked) -> Answer:
        form = asked.form
        with self._lock:
            sent = self._pages.pop(form.get("ctx", ""), None)
        if sent is None:
            return _page(400, "Sign in", "AADSTS50058: this page is too old.")
        asked.query.update({k: v for k, v in sent.items() if isinstance(v, str)})
        cloud, tenant = sent["_cloud"], sent["_tenant"]
        if form.get("choice") == "cancel":
            return self._end(sent, "authorize.access_denied", asked)
        user = self.find_user(form.get("loginfmt", ""))
        if user is None:
            return self._say("authorize.unknown_user", asked, cloud, tenant)
        if form.get("passwd") != user.password:
            return self._say("authorize.wrong_password", asked, cloud, tenant)
        signed_into = self._tenant_for(user, tenant, cloud, sent["client_id"])
        if signed_into is None:
            return self._say("authorize.not_in_tenant", asked, cloud, tenant)
        if self._set["authorize"]:
            return self._end(sent, self._set["authorize"], asked)
        self._note(
            {
                "endpoint": "login",
                "user": user.name,
                "tenant": signed_into,
                "login_hint": sent.get("login_hint", ""),
                "claims": sent.get("claims", ""),
                "time": time.time(),
                "status": 200,
            }
        )
        claims = {sent["claims"]} if sent.get("claims") else set()
        if "_device" in sent:
            device = self._devices[sent["_device"]]
            device["grant"] = Grant(
                "device", user, sent["client_id"], signed_into, cloud, claims=claims
            )
            text = "You have signed in to hushkey on your device. Close this window."
            return _page(200, "hushkey", text)
        code = "1." + secrets.token_urlsafe(96)
        with self._lock:
            self._grants[code] = Grant(
                "code",
                user,
                sent["client_id"],
                signed_into,
                cloud,
                claims=claims,
                expires=time.time() + 600,
                sign_in={k: v for k, v in sent.items() if isinstance(v, str)},
            )
        back = {"code": code}
        if sent.get("client_info") == "1":
            back["client_info"] = _client_info(user)
        return _back(sent, back | {"session_state": str(uuid.uuid4())})

    def _end(self, sent: Record, name: str, asked: Asked) -> Answer:
        """The person does not get through: a page, or back to the client."""
        given = self._say(name, asked, sent["_cloud"], sent["_tenant"])
        if "_device" in sent:
            self._devices[sent["_device"]]["declined"] = True
            return _page(200, "Sign in", "You have declined.")
        return given if given.status != 302 else _back(sent, given.body)

    def _tenant_for(
        self, user: User, tenant: str, cloud: str, client: str
    ) -> str | None:
        """The tenant that a token is for; None where this user is not known."""
        home = self.find_tenant(user.home, cloud)
        if home is None:
            return None
        personal = user.home == CONSUMERS_TENANT
        if tenant == "common":
            return user.home
        if tenant == "organizations":
            if not personal:
                return user.home
            # Microsoft's own clients take personal accounts through a tenant of
            # Microsoft's ("MSA pass-through"); others do not.
            known = self.clients.get(client)
            return MSA_TRANSFER_TENANT if known and known.first_party else None
        named = self.find_tenant(tenant, cloud)
        if named is None:
            return None
        if personal and named.id == MSA_TRANSFER_TENANT:
            return named.id
        return named.id if named.id in (user.home, *user.guest_in) else None

    # -- tokens

    def _token(self, cloud: str, tenant: str, asked: Asked) -> Answer:
        form = asked.form

        def say(name: str, **values: str) -> Answer:
            return self._say(name, asked, cloud, tenant, **values)

        if "grant_type" not in form:
            return say("invalid_request")
        if form["grant_type"] == "client_credentials":
            return self._machine(say, form, cloud, tenant)
        client = self.clients.get(form.get("client_id", ""))
        if client is None:
            return say("unauthorized_client")
        if self.find_tenant(tenant, cloud) is None and tenant not in ALIASES:
            return say("invalid_tenant")
        kind = form["grant_type"]
        if kind == "authorization_code":
            return self._redeem_code(say, form, client, cloud, tenant)
        if kind == "refresh_token":
            return self._refresh(say, form, client, cloud, tenant)
        if kind in ("device_code", "urn:ietf:params:oauth:grant-type:device_code"):
            return self._redeem_device(say, form, client)
        return say("unsupported_grant_type")

    def _machine(
        self,
        say: Callable[..., Answer],
        form: Mapping[str, str],
        cloud: str,
        tenant: str,
    ) -> Answer:
        """Client credentials: no user, no refresh token, `.default` alone."""
        app = self.apps.get(form.get("client_id", ""))
        if app is None or not self._same_tenant(app.tenant, tenant, cloud):
            return say("unauthorized_client")
        if form.get("client_assertion"):
            wrong, subject = _assertion_fault(app, form, cloud)
            if wrong:
                return say(wrong, subject=subject)
        elif not app.secret or form.get("client_secret") != app.secret:
            return say("invalid_client.secret")
        scope = form.get("scope", "")
        found = self._resource(scope)
        if found is None or not scope.endswith("/.default"):
            return say("invalid_scope", scope=scope)
        access = "eyJ0eXAi" + _opaque(self._set["token_size"] - 8)
        lifetime = int(self._set["expires_in"])
        body = {
            "token_type": "Bearer",
            "expires_in": lifetime,
            "ext_expires_in": lifetime,
            "access_token": access,
        }
        with self._lock:
            self._grants[access] = Grant(
                "access",
                User(app.id, app.tenant),
                app.id,
                app.tenant,
                cloud,
                found[0],
                scope,
                expires=time.time() + lifetime,
            )
        return dataclasses.replace(answer("token"), body=body)

    def _redeem_code(
        self,
        say: Callable[..., Answer],
        form: Mapping[str, str],
        client: Client,
        cloud: str,
        tenant: str,
    ) -> Answer:
        code = form.get("code", "")
        grant = self._grants.get(code)
        if grant is None or grant.kind != "code" or grant.cloud != cloud:
            return say("invalid_grant.malformed")
        if grant.client != client.id:
            return say("invalid_grant.other_client")
        if not self._same_tenant(grant.sign_in["_tenant"], tenant, cloud):
            return say("invalid_grant.wrong_tenant")
        if grant.revoked:
            return say("invalid_grant.code_redeemed")
        if grant.expires < time.time():
            return say("invalid_grant.code_expired")
        asked_for = grant.sign_in
        if asked_for["redirect_uri"] != form.get("redirect_uri", ""):
            return say("invalid_grant.malformed")
        challenge = asked_for.get("code_challenge", "")
        verifier = form.get("code_verifier", "")
        if asked_for.get("code_challenge_method") == "S256":
            verifier = _base64(hashlib.sha256(verifier.encode()).digest())
        if challenge != verifier:
            return say("invalid_grant.pkce")
        with self._lock:
            if grant.revoked:
                return say("invalid_grant.code_redeemed")
            grant.revoked = True
        scope = form.get("scope") or asked_for.get("scope", "")
        return self._issue(
            say, grant, client, grant.tenant, scope, form, asked_for.get("nonce", "")
        )

    def _same_tenant(self, one: str, other: str, cloud: str) -> bool:
        if one == other:
            return True
        here, there = self.find_tenant(one, cloud), self.find_tenant(other, cloud)
        return here is not None and here is there

    def _redeem_device(
        self, say: Callable[..., Answer], form: Mapping[str, str], client: Client
    ) -> Answer:
        device = self._devices.get(form.get("device_code", ""))
        if device is None or device["client_id"] != client.id:
            return say("bad_verification_code")
        if device["expires"] < time.time() or device["used"]:
            return say("expired_token")
        if device["declined"]:
            return say("authorization_declined")
        grant = device["grant"]
        if grant is None:
            return say("authorization_pending")
        device["used"] = True
        return self._issue(say, grant, client, grant.tenant, device["scope"], form, "")

    def _refresh(
        self,
        say: Callable[..., Answer],
        form: Mapping[str, str],
        client: Client,
        cloud: str,
        tenant: str,
    ) -> Answer:
        grant = self._grants.get(form.get("refresh_token", ""))
        if grant is None or grant.kind != "refresh" or grant.cloud != cloud:
            return say("invalid_grant.malformed")
        if grant.client != client.id:
            family = self.clients[grant.client].family
            if not family:
                return say("invalid_grant.other_client")
            if family != client.family:
                return say("invalid_grant.client_mismatch")
        if grant.revoked:
            return say("invalid_grant.bad_token")
        # A refresh at an alias stays in the tenant of the sign-in; at a tenant it
        # goes there, if this account is known there.
        into: str | None = grant.tenant
        if tenant not in ("common", "organizations"):
            into = self._tenant_for(grant.user, tenant, cloud, client.id)
        if into is None:
            return say("invalid_grant.not_in_tenant", home_tenant=grant.user.home)
        return self._issue(
            say, grant, client, into, form.get("scope", ""), form, "", refreshed=True
        )

    def _issue(
        self,
        say: Callable[..., Answer],
        grant: Grant,
        client: Client,
        tenant: str,
        scope: str,
        form: Mapping[str, str],
        nonce: str,
        *,
        refreshed: bool = False,
    ) -> Answer:
        wanted = scope.split()
        found = self._resource(scope)
        claims = grant.claims
        if found is None:
            if set(wanted) - OIDC_SCOPES:
                missing = next(s for s in wanted if s not in OIDC_SCOPES)
                name = "invalid_resource" if "/" in missing else "invalid_scope"
                return say(name, resource=missing.rpartition("/")[0], scope=missing)
            found = GRAPH, "openid profile"
        resource, granted = found
        where = next(t for t in self.tenants if t.id == tenant)
        if resource in where.lacks:
            return say("invalid_resource", resource=resource)
        for demand in self._demands:
            if demand["resource"] == resource and not _covers(claims, demand["claims"]):
                given = say("invalid_grant.basic_action")
                body = given.body | {"claims": demand["claims"]}
                return dataclasses.replace(given, body=body)
        user, cloud = grant.user, grant.cloud
        access = "eyJ0eXAi" + _opaque(self._set["token_size"] - 8)
        lifetime = int(self._set["expires_in"])
        new = [
            (
                access,
                Grant(
                    "access",
                    user,
                    client.id,
                    tenant,
                    cloud,
                    resource,
                    granted,
                    claims,
                    time.time() + lifetime,
                ),
            )
        ]
        body = say("token", scope=granted, access_token=access).body
        body["expires_in"] = self._set["expires_in"]
        body["ext_expires_in"] = self._set["ext_expires_in"]
        if self._set["scope"] is not None:
            body["scope"] = self._set["scope"]
        if self._set["refresh_in"] is not None:
            body["refresh_in"] = self._set["refresh_in"]
        if "offline_access" in wanted:
            # Refresh tokens are of the sign-in, for every resource and tenant; the
            # old ones stay valid. ("Refresh tokens aren't revoked when used")
            body["refresh_token"] = "1.A" + _opaque(self._set["refresh_size"] - 3)
            kept = Grant("refresh", user, client.id, grant.tenant, cloud, claims=claims)
            new.append((body["refresh_token"], kept))
            if client.family:
                body["foci"] = client.family
        if "openid" in wanted and self._set["id_token"]:
            body["id_token"] = self._id_token(user, client.id, tenant, cloud, nonce)
        if form.get("client_info") == "1":
            body["client_info"] = _client_info(user)
        for name, value in self._set["answer"].items():
            if value is None:
                body.pop(name, None)
            else:
                body[name] = value
        with self._lock:
            self._grants.update(new)
        return dataclasses.replace(answer("token"), body=body)

    def _resource(self, scope: str) -> tuple[str, str] | None:
        """The first resource of a scope, and the permissions that are answered."""
        for each in scope.split():
            if each in OIDC_SCOPES:
                continue
            resource, slash, permission = each.rpartition("/")
            if not slash:
                resource, permission = GRAPH, each
            known = self.resources.get(resource)
            if known is None:
                continue
            mine = [
                s
                for s in scope.split()
                if s == each or (s.startswith(f"{resource}/") and s != each)
            ]
            if permission == ".default":
                return resource, " ".join(
                    [f"{resource}/{known}", f"{resource}/.default"]
                )
            return resource, " ".join(mine)
        return None

    def _id_token(
        self, user: User, client: str, tenant: str, cloud: str, nonce: str
    ) -> str:
        now = int(time.time())
        subject = hashlib.sha256(f"{user.name} {tenant} {client}".encode()).digest()
        claims: Record = {
            "aud": client,
            "iss": f"https://{cloud}/{tenant}/v2.0",
            "iat": now - 300,
            "nbf": now - 300,
            "exp": now + 3600,
            "name": user.name.partition("@")[0].title(),
            "nonce": nonce or None,
            "oid": user.id_in(tenant),
            "preferred_username": user.name,
            "rh": "1.A" + _opaque(40),
            "sub": _base64(subject),
            "tid": tenant,
            "uti": _opaque(22),
            "ver": "2.0",
        }
        claims |= self._set["id_claims"]
        header = {"typ": "JWT", "alg": "RS256", "kid": self._kid}
        present = {name: value for name, value in claims.items() if value is not None}
        signed = ".".join(
            _base64(json.dumps(part).encode()) for part in (header, present)
        )
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_base64(signature)}"

    # -- the device flow

    def _devicecode(self, cloud: str, tenant: str, asked: Asked) -> Answer:
        form = asked.form
        client = self.clients.get(form.get("client_id", ""))
        if client is None:
            return self._say("unauthorized_client", asked, cloud, tenant)
        if self.find_tenant(tenant, cloud) is None and tenant not in ALIASES:
            return self._say("invalid_tenant", asked, cloud, tenant)
        user_code = "".join(secrets.choice("BCDFGHJKLMNPQRSTVWXZ") for _ in range(9))
        device_code = f"{user_code[0]}AQABAAEAAAD" + _opaque(120)
        with self._lock:
            self._devices[device_code] = {
                "user_code": user_code,
                "client_id": client.id,
                "scope": form.get("scope", ""),
                "claims": form.get("claims", ""),
                "tenant": tenant,
                "cloud": cloud,
                "expires": time.time() + self._set["device_ttl"],
                "grant": None,
                "declined": False,
                "used": False,
            }
        given = self._say(
            "devicecode",
            asked,
            cloud,
            tenant,
            user_code=user_code,
            device_code=device_code,
        )
        given.body["expires_in"] = self._set["device_ttl"]
        given.body["interval"] = self._set["interval"]
        return given

    def _deviceauth(self, cloud: str, tenant: str, asked: Asked) -> Answer:
        code = (asked.form.get("otc_code") or asked.query.get("otc_code") or "").upper()
        if not code:
            return _page(
                200,
                "Enter code to allow access",
                '<form method="post" action="/common/oauth2/deviceauth">'
                '<input type="text" name="otc_code">'
                '<button name="next" value="next">Next</button></form>',
            )
        for device_code, device in self._devices.items():
            if device["user_code"] == code and device["expires"] > time.time():
                sent = {
                    "client_id": device["client_id"],
                    "scope": device["scope"],
                    "claims": device["claims"],
                    "_tenant": device["tenant"],
                    "_cloud": device["cloud"],
                    "_device": device_code,
                }
                return self._login_page(sent, "")
        return _page(
            200, "Enter code", "That code didn't work. Check it and try again."
        )


def _assertion_fault(app: App, form: Mapping[str, str], cloud: str) -> tuple[str, str]:
    """What is wrong with a client assertion, as a data file, and its subject."""
    head, payload, signature = form["client_assertion"].split(".")
    claims = json.loads(_unbase64(payload))
    subject = str(claims.get("sub", ""))
    if claims.get("exp", 0) < time.time():
        return "invalid_client.assertion_expired", subject
    if app.certificate:
        key = x509.load_pem_x509_certificate(app.certificate).public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        # MSAL signs with PS256: RSASSA-PSS, a salt as long as the hash (RFC 7518 3.5)
        salted = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        try:
            signed = f"{head}.{payload}".encode()
            key.verify(_unbase64(signature), signed, salted, hashes.SHA256())
        except InvalidSignature:
            return "invalid_client", subject
        own = claims["iss"] == claims["sub"] == app.id and cloud in claims["aud"]
        return ("" if own else "invalid_client"), subject
    found = (claims.get("iss"), subject, claims.get("aud"))
    if found not in app.trusts:
        return "invalid_client.no_federated_credential", subject
    return "", subject


def _unbase64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _covers(have: "set[str]", wanted: str) -> bool:
    """Whether a sign-in's claims have every claim of `wanted`."""
    try:
        need = json.loads(wanted)
    except ValueError:
        return wanted in have
    for each in have:
        try:
            got = json.loads(each)
        except ValueError:
            continue
        if all(
            value == got.get(part, {}).get(name)
            for part, claims in need.items()
            for name, value in claims.items()
        ):
            return True
    return False


# ---------------------------------------------------------------- Azure DevOps

HOSTILE: dict[str, Sequence[str]] = {
    "foreign": ["Bearer authorization_uri=https://evil.example/$tenant"],
    "look_alike_suffix": [
        "Bearer authorization_uri=https://login.microsoftonline.com.evil.example/$tenant"
    ],
    "look_alike_name": [
        "Bearer authorization_uri=https://login-microsoftonline.com/$tenant"
    ],
    "look_alike_letters": [
        # The last e of microsoftonline is a Cyrillic letter.
        "Bearer authorization_uri=https://login.xn--microsoftonlin-ewl.com/$tenant"
    ],
    "userinfo": [
        "Bearer authorization_uri=https://login.microsoftonline.com@evil.example/$tenant"
    ],
    "path_only": [
        "Bearer authorization_uri=https://evil.example/login.microsoftonline.com/$tenant"
    ],
    "other_port": [
        "Bearer authorization_uri=https://login.microsoftonline.com:8443/$tenant"
    ],
    "plain_http": ["Bearer authorization_uri=http://login.microsoftonline.com/$tenant"],
    "query": [
        "Bearer authorization_uri=https://login.microsoftonline.com/$tenant"
        "?redirect_uri=https://evil.example/&client_id=evil&login_hint=mallory"
    ],
    "fragment": [
        "Bearer authorization_uri=https://login.microsoftonline.com/$tenant#@evil.example/"
    ],
    "more_path": [
        "Bearer authorization_uri=https://login.microsoftonline.com/$tenant/../evil"
    ],
    "encoded": [
        "Bearer authorization_uri=https://login.microsoftonline.com/$tenant%2f..%2fevil"
    ],
    "two_parameters": [
        'Bearer authorization_uri="https://login.microsoftonline.com/$tenant", '
        'authorization_uri="https://evil.example/$tenant"'
    ],
    "two_challenges": [
        "Bearer authorization_uri=https://evil.example/$tenant",
        "Bearer authorization_uri=https://login.microsoftonline.com/$tenant",
    ],
    "more_parameters": [
        "Bearer authorization_uri=https://login.microsoftonline.com/$tenant, "
        'client_id="evil", scope="https://graph.microsoft.com/.default", '
        'resource_id="https://graph.microsoft.com"'
    ],
    "quote": ['Bearer authorization_uri="https://login.microsoftonline.com/$tenant'],
    "huge": [
        "Bearer authorization_uri=https://login.microsoftonline.com/" + "a" * 65_000
    ],
    "many": [
        f"Bearer authorization_uri=https://login.microsoftonline.com/{number}"
        for number in range(60)
    ],
}
"""Challenges of a hostile host: they are ours, no document has them."""


@dataclass
class Organization:
    """An organisation of Azure DevOps.

    tenant: NO_TENANT for one of Microsoft accounts.
    members: None is everybody of that tenant.
    strangers: members who never opened it in a browser.
    challenge: instead of the data file's WWW-Authenticate headers.
    resource_tenant: instead of the data file's X-VSS-ResourceTenant; [] is none.
    claims: what a token's sign-in must have carried.
    """

    name: str
    tenant: str
    members: Sequence[str] | None = None
    strangers: Sequence[str] = ()
    challenge: Sequence[str] | None = None
    resource_tenant: Sequence[str] | None = None
    claims: str = ""


class DevOps(_Site):
    """A fake of Azure DevOps' front door: challenges, and tokens looked up in Entra."""

    names = DEVOPS_HOSTS

    def __init__(
        self,
        authority: Authority,
        entra: Entra,
        *,
        port: int = 0,
        organizations: Sequence[Organization] = (
            Organization("contoso", CONTOSO.id),
            Organization("fabrikam", FABRIKAM.id),
            Organization("carols", NO_TENANT, members=[CAROL.name]),
        ),
    ) -> None:
        super().__init__(authority, port=port)
        self.entra = entra
        self._first = [dataclasses.replace(each) for each in organizations]
        self.organizations: dict[str, Organization] = {}
        self.reset()

    def reset(self) -> None:
        """As it was started: its first organisations, no faults, an empty log."""
        with self._lock:
            self.heal()
            self.forget_log()
            self.organizations = {
                each.name: dataclasses.replace(each) for each in self._first
            }

    def add(self, organization: Organization) -> Organization:
        self.organizations[organization.name] = organization
        return organization

    def move(self, name: str, tenant: str) -> None:
        """Connect an organisation to another tenant."""
        self.organizations[name].tenant = tenant

    def hostile(self, name: str, kind: str) -> None:
        """Let an organisation challenge as HOSTILE[kind] does."""
        self.organizations[name].challenge = HOSTILE[kind]

    def fail(
        self, name: str, times: int | None = None, *, where: str = "devops"
    ) -> None:
        super().fail(name, times, where=where)

    # -- requests

    def handle(self, asked: Asked) -> Answer:
        host = asked.host.lower()
        parts = asked.path.strip("/").split("/")
        name = parts[0].lower()
        if host.endswith(".visualstudio.com"):
            name = host.removesuffix(".visualstudio.com")
        scheme, _, credentials = asked.headers.get("Authorization", "").partition(" ")
        token, username = credentials.strip(), ""
        if scheme.lower() == "basic":
            with contextlib.suppress(ValueError):
                pair = base64.b64decode(token).decode(errors="replace")
                username, _, token = pair.partition(":")
        grant = self.entra.token(token) if token else None
        record = {
            "endpoint": "devops",
            "method": asked.method,
            "host": host,
            "path": asked.path,
            "organization": name,
            "scheme": scheme.lower(),
            "username": username,
            "user": grant.user.name if grant else "",
            "tenant": grant.tenant if grant else "",
            "time": time.time(),
            "headers": {
                key.lower(): value
                for key, value in asked.headers.items()
                if key.lower().startswith(("x-", "user-agent"))
            },
            "status": 0,
            "error": "",
        }
        self._note(record)
        fault = self._fault("devops")
        if fault == "hang":
            self._hang()
        if fault in ("drop", "lose"):
            raise _Drop
        given = self._answer(name, asked, token, grant, fault)
        record["status"] = given.status
        record["error"] = given.name
        return given

    def _answer(
        self, name: str, asked: Asked, token: str, grant: Grant | None, fault: str
    ) -> Answer:
        organization = self.organizations.get(name)
        values = {
            "organization": name,
            "tenant": organization.tenant if organization else NO_TENANT,
            "user": grant.user.name if grant else "",
            "trace_id": str(uuid.uuid4()),
        }
        if fault:
            return answer(fault).filled(values)
        if organization is None:
            return answer("devops.unknown_organization").filled(values)
        personal = organization.tenant == NO_TENANT
        challenge = "devops.unauthorized_msa" if personal else "devops.unauthorized"
        if grant is None or not self._good(grant, organization):
            if grant is not None and grant.kind == "access" and not grant.revoked:
                challenge = challenge if personal else "devops.not_a_member"
        elif grant.user.name in organization.strangers:
            challenge = "devops.never_signed_in"
        elif organization.claims and not _covers(grant.claims, organization.claims):
            challenge = "devops.claims_challenge"
            encoded = base64.b64encode(organization.claims.encode()).decode()
            values["claims"] = encoded
        else:
            text = f"{asked.method} {asked.path} for {grant.user.name}\n"
            return Answer("served", (), 200, {"Content-Type": "text/plain"}, text)
        given = answer(challenge)
        headers = dict(given.headers)
        if organization.challenge is not None:
            rest = [h for h in headers["WWW-Authenticate"] if h[:6] != "Bearer"]
            headers["WWW-Authenticate"] = [*organization.challenge, *rest]
        if organization.resource_tenant is not None:
            headers["X-VSS-ResourceTenant"] = list(organization.resource_tenant)
        return dataclasses.replace(given, headers=headers).filled(values)

    @staticmethod
    def _good(grant: Grant, organization: Organization) -> bool:
        """Whether this token opens this organisation."""
        tenant = organization.tenant
        if tenant == NO_TENANT:
            tenant = MSA_TRANSFER_TENANT
        return (
            grant.kind == "access"
            and not grant.revoked
            and grant.expires > time.time()
            and grant.resource == AZURE_DEVOPS
            and grant.tenant == tenant
            and (
                organization.members is None or grant.user.name in organization.members
            )
        )


# ---------------------------------------------------------------- the way there


class Detour(Server):
    """A CONNECT proxy on loopback that leads Microsoft's names to the fakes.

    `routes` maps host names ("*.name" is every name below) to loopback ports.
    Everything else is refused with 403, and all of it is recorded: `asked` has
    "host:port" in order, `refused` what had no route.
    """

    def __init__(self, routes: Mapping[str, int], *, port: int = 0) -> None:
        self.routes = dict(routes)
        self.port = port
        self.asked: list[str] = []
        self.refused: list[str] = []
        self.failing = ""
        self._listener: Listener | None = None
        self._stopping = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._stopping.clear()
        self.port = self.port or free_port()
        handler = type("Tunnel", (_Tunnel,), {"detour": self})
        self._listener = Listener(self.port, handler, None)

    def stop(self) -> None:
        self._stopping.set()
        if self._listener is not None:
            self._listener.end()
            self._listener = None

    def reset(self) -> None:
        self.asked.clear()
        self.refused.clear()
        self.failing = ""

    def fail(self, kind: str) -> None:
        """Answer every CONNECT with a status ("407", "502"), or "hang", "drop"."""
        self.failing = kind

    def route(self, host: str, port: int) -> int | None:
        """The loopback port for what a client asked for."""
        if port != 443:
            return None
        if host in self.routes:
            return self.routes[host]
        _, dot, parent = host.partition(".")
        return self.routes.get(f"*.{parent}") if dot else None


class _Tunnel(BaseHTTPRequestHandler):
    detour: Detour
    timeout = 30

    def do_CONNECT(self) -> None:
        detour = self.detour
        self.close_connection = True
        host, _, port = self.path.lower().rpartition(":")
        detour.asked.append(self.path.lower())
        failing = detour.failing
        while detour.failing == "hang" and not detour._stopping.wait(0.02):
            pass
        if failing in ("hang", "drop"):
            return
        if failing:
            self._refuse(int(failing))
            return
        target = detour.route(host, int(port)) if port.isdigit() else None
        if target is None:
            detour.refused.append(self.path.lower())
            self._refuse(403)
            return
        try:
            upstream = socket.create_connection(("127.0.0.1", target), 5)
        except OSError:
            self._refuse(502)
            return
        with upstream:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self._pump(upstream)

    def _pump(self, upstream: socket.socket) -> None:
        ends = {self.connection: upstream, upstream: self.connection}
        with contextlib.suppress(OSError):
            while not self.detour._stopping.is_set():
                ready, _, _ = select.select(list(ends), [], [], 0.5)
                for end in ready:
                    data = end.recv(65536)
                    if not data:
                        return
                    ends[end].sendall(data)

    def _refuse(self, status: int) -> None:
        extra = b'Proxy-Authenticate: Basic realm="proxy"\r\n' if status == 407 else b""
        self.wfile.write(
            f"HTTP/1.1 {status} no\r\n".encode()
            + extra
            + b"Content-Length: 0\r\nConnection: close\r\n\r\n"
        )

    def _plain(self) -> None:
        # A plain request through the proxy: nothing here speaks http.
        self.close_connection = True
        self.detour.asked.append(self.path)
        self.detour.refused.append(self.path)
        self._refuse(403)

    do_GET = do_HEAD = do_POST = _plain

    def log_message(self, format: str, *args: Any) -> None:
        pass


# ---------------------------------------------------------------- the person


class _DetouredVisitor(visitor.Visitor):
    """The scripted visitor, by way of a Detour for https."""

    def __init__(
        self, *, says_yes: bool, proxy: str = "", ca_file: str | None = None
    ) -> None:
        super().__init__(says_yes=says_yes)
        self._opener = _opener(
            proxy or os.environ["VISITOR_PROXY"],
            ca_file or os.environ["VISITOR_CA"],
        )


@dataclass
class DetouredBrowser(Browser):
    """A Browser whose visitor goes through a Detour: `proxy` is detour.url."""

    proxy: str = ""

    @property
    def argv(self) -> list[str]:
        folder = str(Path(__file__).parents[1])
        code = f"import sys; sys.path.insert(0, {folder!r})"
        return [
            sys.executable,
            "-c",
            f"{code}; from servers.entra import visit; visit()",
        ]

    @property
    def environ(self) -> dict[str, str]:
        return super().environ | {"VISITOR_PROXY": self.proxy}


def visit() -> None:
    """Be visitor.py, but by way of $VISITOR_PROXY."""
    vars(visitor)["Visitor"] = _DetouredVisitor
    try:
        visitor.main()
    except BaseException as error:
        if path := os.environ.get("VISITOR_LOG"):
            with open(f"{path}.errors", "a") as log:
                log.write(f"{type(error).__name__}: {error}\n")
        raise


class Person:
    """Somebody who signs in, within a test's own process.

    sign_in() stops at the client's redirect and returns what would reach it;
    a page without a form is returned as {"page": text}.
    """

    def __init__(
        self,
        detour: Detour,
        ca_file: Path,
        user: User = ALICE,
        *,
        says_yes: bool = True,
    ) -> None:
        self.user = user
        self.says_yes = says_yes
        self._opener = _opener(detour.url, str(ca_file), _Stay())

    def sign_in(self, url: str) -> dict[str, str]:
        body: bytes | None = None
        for _ in range(10):
            request = urllib.request.Request(url, data=body)
            with self._opener.open(request, timeout=20) as given:
                text = given.read().decode()
                location = given.headers.get("Location", "")
                here = given.geturl()
            body = None
            if location:
                if urlsplit(location).hostname in ("localhost", "127.0.0.1"):
                    return dict(parse_qsl(urlsplit(location).query))
                url = location
                continue
            form = visitor.choose(visitor.Page(text).forms)
            if form is None:
                return {"page": " ".join(re.sub(r"<[^>]*>", " ", text).split())}
            url = urllib.request.urljoin(here, form.action)  # type: ignore[attr-defined]
            if urlsplit(url).hostname in ("localhost", "127.0.0.1"):
                return dict(form.fields)
            body = urlencode(self._fill(form)).encode()
        raise RuntimeError("ten pages and no end")

    def enter_code(self, url: str, user_code: str) -> dict[str, str]:
        """Go to verification_uri, enter the code, sign in."""
        self._code = user_code
        return self.sign_in(url)

    _code = ""

    def _fill(self, form: visitor.Form) -> list[tuple[str, str]]:
        filled = []
        for name, value in form.fields:
            if name in form.passwords:
                value = self.user.password
            elif name == "otc_code":
                value = self._code
            elif name in form.texts:
                value = self.user.name
            filled.append((name, value))
        for name, value, text in form.buttons:
            if bool(visitor.NO.search(text)) != self.says_yes:
                return [*filled, (name, value)]
        return filled


class _Stay(urllib.request.HTTPRedirectHandler):
    """Show redirects instead of following them."""

    def http_error_302(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any
    ) -> Any:
        return fp


def _opener(
    proxy: str, ca_file: str, *handlers: urllib.request.BaseHandler
) -> urllib.request.OpenerDirector:
    context = ssl.create_default_context(cafile=ca_file)
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({"https": proxy}),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
        *handlers,
    )


# ---------------------------------------------------------------- small things


def _back(sent: Mapping[str, Any], values: Mapping[str, str]) -> Answer:
    """Bring values to the client's redirect, in the mode that it asked for."""
    target = sent["redirect_uri"]
    values = dict(values)
    if "state" in sent:
        values["state"] = sent["state"]
    if sent.get("response_mode", "query") == "form_post":
        fields = "".join(
            f'<input type="hidden" name="{html.escape(name)}"'
            f' value="{html.escape(str(value))}">'
            for name, value in values.items()
        )
        form = f'<form method="POST" name="hiddenform" action="{html.escape(target)}">'
        script = "<script>document.forms[0].submit()</script>"
        return _page(200, "Working...", f"{form}{fields}</form>{script}")
    mark = "#" if sent.get("response_mode") == "fragment" else "?"
    if mark == "?" and urlsplit(target).query:
        mark = "&"
    if not urlsplit(target).path:
        target += "/"
    return _redirect(target + mark + urlencode(values, quote_via=quote))


def _redirect(target: str) -> Answer:
    return Answer("redirect", (), 302, {"Location": target}, "")


def _page(status: int, title: str, body: str) -> Answer:
    text = (
        f"<!DOCTYPE html><html><head><title>{title}</title></head>"
        f"<body><h1>{title}</h1>{body}</body></html>\n"
    )
    return Answer(
        "page", (), status, {"Content-Type": "text/html; charset=utf-8"}, text
    )


def _json(body: Any) -> Answer:
    return Answer("json", (), 200, {"Content-Type": "application/json"}, body)


def _first(text: str) -> dict[str, str]:
    values = parse_qs(text, keep_blank_values=True)
    return {name: each[0] for name, each in values.items()}


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _opaque(size: int) -> str:
    return secrets.token_urlsafe(size)[:size]


def mark(secret: str) -> str:
    """Enough to tell two tokens apart in the log, too little to be one."""
    return hashlib.sha256(secret.encode()).hexdigest()[:12] if secret else ""


def _client_info(user: User) -> str:
    info = {"uid": user.id_in(user.home), "utid": user.home}
    return _base64(json.dumps(info).encode())


def _without_localhost_port(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname == "localhost":
        return f"http://localhost{parts.path.rstrip('/')}"
    return url.rstrip("/")
