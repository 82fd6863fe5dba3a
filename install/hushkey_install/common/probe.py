"""What the servers themselves say, asked without any credential.

Only `explain --probe` and `config add-host --probe` come here: everything else
says what it knows without the network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from hushkey.errors import plain
from hushkey.system import paths

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


class Host(NamedTuple):
    """How a host answers somebody without a credential."""

    status: int
    schemes: tuple[str, ...]
    location: str

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
    )


def _words(value: object) -> tuple[str, ...]:
    good = isinstance(value, list) and all(isinstance(word, str) for word in value)
    return tuple(value) if good else ()  # type: ignore[arg-type]
