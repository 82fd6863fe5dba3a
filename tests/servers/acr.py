"""A fake Azure Container Registry before a real registry.

The exchange and the token service cannot run here, so they are fakes: what they
answer is in acr/*.json, each with the document or public issue that shaped it. Whether
a token opens the registry is judged by Debian's docker-registry, which checks its
signature, issuer, audience and access by itself.

    acr = Acr(authority, entra, registry.port)
    detour = Detour(entra.routes() | acr.routes())
"""

import base64
import http.client
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from joserfc import jwt
from joserfc.jwk import ECKey

from servers import entra
from servers.authority import Authority
from servers.entra import (
    CONTOSO,
    REGISTRY,
    Answer,
    Asked,
    Entra,
    Record,
    _Drop,
    _Site,
)

NULL_GUID = "00000000-0000-0000-0000-000000000000"
ISSUER = "Azure Container Registry"


@dataclass(frozen=True)
class _Bytes(Answer):
    """An answer that was taken from the registry as it is."""

    data: bytes = field(default=b"", repr=False)

    def content(self) -> bytes:
        return self.data


class Signer:
    """Signs tokens with a certificate of the authority, as docker-registry wants it."""

    def __init__(self, authority: Authority) -> None:
        certificate, key = authority.issue("tokens.azurecr.io")
        self._key = ECKey.import_key(key)
        der = x509.load_pem_x509_certificate(certificate).public_bytes(
            serialization.Encoding.DER
        )
        self._chain = [base64.b64encode(der).decode()]

    def sign(self, claims: Mapping[str, Any]) -> str:
        header = {"alg": "ES256", "typ": "JWT", "x5c": self._chain}
        return jwt.encode(header, dict(claims), self._key)


class Acr(_Site):
    """contoso.azurecr.io and its neighbours.

    `settings` may be changed while it runs: `lifetime` of a refresh token in seconds
    (None: it has no end), `opaque` (it is no JWT at all), `size` of a refresh token,
    `delay` of an exchange in seconds.
    """

    answers: ClassVar[Path] = Path(__file__).with_suffix("")
    names: Sequence[str] = ("*.azurecr.io", "*.azurecr.us")

    def __init__(
        self, authority: Authority, entra: Entra, registry: int = 0, *, port: int = 0
    ) -> None:
        super().__init__(authority, port=port)
        self.entra = entra
        self.registry = registry
        self.tenants = {"contoso.azurecr.io": CONTOSO.id}
        self.settings: Record = {}
        self._signer = Signer(authority)
        #: refresh token -> (registry, user)
        self._refresh: dict[str, tuple[str, str]] = {}
        self.reset()

    def reset(self) -> None:
        """As it was started: no tokens, no faults, an empty log."""
        with self._lock:
            self.heal()
            self.forget_log()
            self.settings = {"lifetime": 10800, "opaque": False, "size": 0, "delay": 0}
            self._refresh.clear()

    def fail(
        self, name: str, times: int | None = None, *, where: str = "exchange"
    ) -> None:
        super().fail(name, times, where=where)

    def exchanges(self, status: int | None = None) -> list[Record]:
        """Every request to the exchange."""
        found = self.log("exchange")
        return [r for r in found if status is None or r["status"] == status]

    def secrets(self) -> list[tuple[str, str]]:
        """Every token that it gave since its last reset, as (kind, value)."""
        with self._lock:
            return [("registry token", token) for token in self._refresh]

    # -- requests

    def handle(self, asked: Asked) -> Answer:
        paths = {"/oauth2/exchange": "exchange", "/oauth2/token": "token"}
        endpoint = paths.get(asked.path, "registry")
        record = self._note(
            {
                "endpoint": endpoint,
                "method": asked.method,
                "host": asked.host.lower(),
                "path": asked.path,
                "form": dict(asked.form) if asked.method == "POST" else {},
                "status": 0,
                "error": "",
                "user": "",
            }
        )
        fault = self._fault(endpoint)
        if fault == "hang":
            self._hang()
        if fault == "drop":
            raise _Drop
        if fault:
            given = self._filled(fault, asked)
        else:
            given = getattr(self, f"_{endpoint}")(asked, record)
        record["status"], record["error"] = given.status, given.name
        return given

    def _exchange(self, asked: Asked, record: Record) -> Answer:
        if asked.method != "POST":
            return self._filled("exchange.not_found", asked)
        time.sleep(self.settings["delay"])
        form, host = asked.form, asked.host.lower()
        if form.get("grant_type") != "access_token" or form.get("service") != host:
            return self._filled("exchange.bad_request", asked)
        grant = self.entra.token(form.get("access_token", ""))
        good = (
            grant is not None
            and grant.kind == "access"
            and not grant.revoked
            and grant.expires > time.time()
            and grant.resource == REGISTRY
            and grant.tenant == self.tenants.get(host, grant.tenant)
            and form.get("tenant", grant.tenant) == grant.tenant
        )
        if grant is None or not good:
            return self._filled("exchange.unauthorized", asked)
        token = self._refresh_token(host, grant.user.name, grant.tenant)
        record["user"] = grant.user.name
        self._refresh[token] = (host, grant.user.name)
        return self._filled("exchange", asked, refresh_token=token)

    def _refresh_token(self, host: str, user: str, tenant: str) -> str:
        if self.settings["opaque"]:
            return str(uuid.uuid4())
        now = int(time.time())
        claims: Record = {
            "jti": str(uuid.uuid4()),
            "sub": user,
            "nbf": now,
            "iat": now,
            "iss": ISSUER,
            "aud": host,
            "version": "1.0",
            "grant_type": "refresh_token",
            "tenant": tenant,
            "permissions": {"actions": ["read", "write"], "notActions": []},
            "roles": ["x" * self.settings["size"]],
        }
        if self.settings["lifetime"] is not None:
            claims["exp"] = now + self.settings["lifetime"]
        return self._signer.sign(claims)

    def _token(self, asked: Asked, record: Record) -> Answer:
        if asked.method == "POST":
            form = parse_qs(asked.body.decode())
            if form.get("grant_type") != ["refresh_token"]:
                return self._filled("token.password", asked)
            token = form.get("refresh_token", [""])[0]
        else:
            form = parse_qs(urlsplit(asked.target).query)
            scheme, _, pair = asked.headers.get("Authorization", "").partition(" ")
            name, _, token = base64.b64decode(pair or "").decode().partition(":")
            if scheme != "Basic" or name != NULL_GUID:
                token = ""
        host, user = self._refresh.get(token, ("", ""))
        if host != asked.host.lower() or form.get("service") != [host]:
            return self._filled("exchange.unauthorized", asked)
        record["user"] = user
        scopes = " ".join(form.get("scope", ())).split()
        access = self._signer.sign(access_claims(host, user, scopes))
        return self._filled("token", asked, access_token=access)

    def _registry(self, asked: Asked, record: Record) -> Answer:
        """Let the real registry answer; its challenge is the one that ACR sends."""
        kept = ("accept", "authorization", "content-type", "content-range", "range")
        headers = {
            name: ", ".join(asked.headers.get_all(name, ()))
            for name in asked.headers
            if name.lower() in kept
        }
        forwarded = {"Host": asked.host, "X-Forwarded-Proto": "https"}
        connection = http.client.HTTPConnection("127.0.0.1", self.registry, timeout=20)
        try:
            connection.request(
                asked.method, asked.target, asked.body, headers | forwarded
            )
            given = connection.getresponse()
            data = given.read()
        finally:
            connection.close()
        skipped = ("content-length", "transfer-encoding", "connection", "date")
        back = {k: v for k, v in given.getheaders() if k.lower() not in skipped}
        if asked.method == "HEAD":  # never sent, but its length is
            data = bytes(int(given.getheader("Content-Length") or 0))
        return _Bytes("registry", (), given.status, back, "", data=data)

    def _filled(self, name: str, asked: Asked, **values: str) -> Answer:
        usual = {
            "host": asked.host.lower(),
            "correlation": str(uuid.uuid4()),
            "scope": "registry:catalog:*",
            "access_token": asked.form.get("access_token", ""),
        }
        return entra.answer(name, self.answers).filled(usual | values)


def access_claims(host: str, user: str, scopes: Sequence[str]) -> Record:
    """Claims of an access token: everything that was asked for is granted."""
    now = int(time.time())
    access = []
    for scope in scopes:
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        access.append({"type": kind, "name": name, "actions": actions.split(",")})
    return {
        "jti": str(uuid.uuid4()),
        "sub": user,
        "nbf": now - 5,
        "exp": now + 4500,
        "iat": now - 5,
        "iss": ISSUER,
        "aud": host,
        "version": "1.0",
        "access": access,
        "roles": [],
        "grant_type": "access_token",
    }
