"""What the servers themselves say, asked without any credential.

Only `setup`, `config add-host` and the two `--probe` come here: everything else says
what it knows without the network. What a server says of itself is believed for that
very server alone: nothing of it leads to another authority.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from hushkey.errors import plain
from hushkey.model import HostRule
from hushkey.providers import realms
from hushkey.providers.registry import SPECS
from hushkey.providers.spec import ENDPOINTS
from hushkey.signin import redirect
from hushkey.system import paths

WELL_KNOWN = "/.well-known/openid-configuration"

#: nobody listens there, nor is anybody sent there: any port will do (RFC 8252 7.3)
_PORT = 53682
_TOKEN68 = r"[A-Za-z0-9._~+/-]+=*"
_SCHEME = re.compile(
    rf"(?:^|,)\s*([A-Za-z][\w-]*)(?=\s*(?:,|$)|\s+(?:[\w-]+\s*=|{_TOKEN68}\s*(?:,|$)))"
)


class Issuer(NamedTuple):
    """What an issuer's metadata offers (OpenID Connect Discovery 1.0, 3)."""

    device: bool
    refresh: bool
    revocation: bool
    scopes: tuple[str, ...]

    def line(self) -> str:
        """Return it as a person reads it."""
        offers = {
            "device code": self.device,
            "refresh tokens": self.refresh,
            "revocation": self.revocation,
        }
        names = [name for name, offered in offers.items() if offered]
        scopes = f"; scopes {plain(' '.join(self.scopes))}" if self.scopes else ""
        return f"offers sign-in{''.join(f', {name}' for name in names)}{scopes}"


class Server(NamedTuple):
    """What a server showed itself to be; empty where it did not.

    ``base`` is the address below which a forge's endpoints are.
    """

    provider: str = ""
    base: str = ""
    issuer: str = ""
    #: it is a registry of images, or an index of Python packages
    registry: bool = False
    packages: bool = False


class Host(NamedTuple):
    """How a host answers somebody without a credential."""

    status: int
    schemes: tuple[str, ...]
    location: str
    #: its clock, as it writes it (RFC 9110 6.6.1); nothing if it does not say
    date: str = ""

    def line(self) -> str:
        """Return it as a person reads it."""
        schemes = (
            f", WWW-Authenticate: {', '.join(self.schemes)}" if self.schemes else ""
        )
        to = f", redirects to {self.location}" if self.location else ""
        return f"HTTP {self.status}{schemes}{to}"


def issuer(
    address: str, settings: Mapping[str, Any], environ: Mapping[str, str]
) -> Issuer:
    """Ask the issuer at *address*; raises Transient or Permanent."""
    from hushkey.net import http  # noqa: PLC0415 - only here is the network due
    from hushkey.net.discovery import Discovery  # noqa: PLC0415

    network = http.Network(settings, environ, whole=True)
    found = Discovery(address, network, paths.data_folder(environ)).metadata()
    scopes = _words(found.get("scopes_supported"))
    grants = _words(found.get("grant_types_supported"))
    return Issuer(
        device="device_authorization_endpoint" in found,
        refresh="refresh_token" in grants or "offline_access" in scopes,
        revocation="revocation_endpoint" in found,
        scopes=scopes,
    )


def client_status(
    rule: HostRule, settings: Mapping[str, Any], environ: Mapping[str, str]
) -> int:
    """Return the HTTP status with which the issuer takes a sign-in by our client.

    The request that a browser would open, with ``prompt=none``: nobody is signed in,
    and a client that is known is sent on, be it with an error (OpenID Connect Core
    1.0, 3.1.2.6). One that is not gets an error page. Raises Transient, Permanent.
    """
    from hushkey.net import http  # noqa: PLC0415 - only here is the network due

    identity = rule.identity
    network = http.Network(settings, environ, whole=True)
    folder = paths.data_folder(environ)
    spec = SPECS[identity.provider]
    provider = spec.open(identity, network, folder, environ, "", "")
    configured = identity.option("redirect_uri") or spec.redirect_uri
    loopback = redirect.parse(str(configured))
    uri = loopback.uri(loopback.port or _PORT)
    asked = urlsplit(provider.begin_code(rule.scopes, uri, "").url)
    query = [pair for pair in parse_qsl(asked.query) if pair[0] != "prompt"]
    url = asked._replace(query=urlencode([*query, ("prompt", "none")])).geturl()
    with network.session() as session:
        return int(session.get(url).status_code)


def host(url: str, settings: Mapping[str, Any], environ: Mapping[str, str]) -> Host:
    """Send one anonymous HEAD to *url*, a redirect is only named."""
    from hushkey.net import http  # noqa: PLC0415

    with http.Network(settings, environ, whole=True).session() as session:
        answer = session.head(url)
    headers = answer.raw.headers.getlist("WWW-Authenticate")
    schemes = [name for value in headers for name in _SCHEME.findall(value)]
    location = urlsplit(answer.headers.get("Location", "")).netloc
    return Host(
        answer.status_code,
        tuple(dict.fromkeys(schemes)),
        plain(location.rpartition("@")[2]),
        answer.headers.get("Date", ""),
    )


def server(
    origin: str, path: str, settings: Mapping[str, Any], environ: Mapping[str, str]
) -> Server:
    """Ask the server at *origin*, below *path*, what it is; raises Transient.

    First its discovery document, which counts only if it calls itself by its own
    address; else the headers of one anonymous GET, and of a registry's first page.
    """
    from hushkey.net import http  # noqa: PLC0415

    network = http.Network(settings, environ, whole=True)
    with network.session() as session:

        def get(url: str) -> Any:
            return session.get(url)

        segments = [s for s in path.split("/") if s]
        below = [f"{origin}/{segments[0]}"] if len(segments) > 2 else []
        for base in (origin, *below):
            if found := _announced(base, http.json_of(get(base + WELL_KNOWN))):
                return found
        page = get(f"{origin}/{path}".rstrip("/") + ("" if path else "/"))
        shown = _shown(origin, page)
        if shown.registry or shown.packages or shown.provider:
            return shown
        return Server(registry=_is_registry(get(f"{origin}/v2/")))


def _announced(base: str, document: object) -> Server | None:
    """Return what the discovery *document* makes of the server at *base*."""
    data = document if isinstance(document, dict) else {}
    issuer, userinfo = data.get("issuer"), data.get("userinfo_endpoint")
    if not isinstance(issuer, str) or issuer.rstrip("/") != base:
        return None
    for spec in SPECS.values():
        if spec.userinfo_path and userinfo == base + spec.userinfo_path:
            return Server(spec.name, base, issuer)
    # Nobody has named it as who signs them in: it may speak for itself alone.
    here = urlsplit(base)[:2]
    named = (str(data[key]) for key in (*ENDPOINTS, "jwks_uri") if key in data)
    own = all(urlsplit(url)[:2] == here for url in named)
    return Server(issuer=issuer) if own else None


def _shown(origin: str, answer: Any) -> Server:
    """Return what the headers of *answer* make of the server at *origin*."""
    kind = answer.headers.get("Content-Type", "").lower()
    if _is_registry(answer) or kind.startswith("application/vnd.pypi.simple."):
        return Server(registry=_is_registry(answer), packages=not _is_registry(answer))
    marked = (
        s.name
        for s in SPECS.values()
        if s.header_mark and s.header_mark in answer.headers
    )
    headers = answer.raw.headers.getlist("WWW-Authenticate")
    name = realms.provider_of(headers) or next(marked, "")
    return Server(name, origin if name else "")


def _is_registry(answer: Any) -> bool:
    return "Docker-Distribution-Api-Version" in answer.headers


def _words(value: object) -> tuple[str, ...]:
    good = isinstance(value, list) and all(isinstance(word, str) for word in value)
    return tuple(value) if good else ()  # type: ignore[arg-type]
