"""Server metadata and signing keys, fetched once a day.

OpenID Connect Discovery 1.0 section 4. The documents are public; what matters
is that they are the issuer's: fetched over https, issuer compared byte for
byte with what was configured, kept 0600 in our own folder.
"""

from __future__ import annotations

import os
import time
from hashlib import blake2s
from urllib.parse import urlsplit

from hushkey.errors import Permanent, Transient, plain
from hushkey.net import answers, http, outcomes
from hushkey.system import cachefile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hushkey.net.http import Network

#: seconds for which a document is taken as it is
KEEP = 24 * 3600
#: seconds for which an old one serves while the server fails
KEEP_IN_NEED = 14 * 24 * 3600
#: how many documents are kept, the newest: each issuer and each tenant has two, and
#: where its keys are is the server's own word
_MOST = 100


class Discovery:
    """The documents of one issuer."""

    def __init__(
        self, issuer: str, network: Network, folder: str, *, of_entra: bool = False
    ) -> None:
        """Name the issuer; *of_entra*: its tenant may call itself by its id."""
        self.issuer = issuer
        self.url = issuer.rstrip("/") + "/.well-known/openid-configuration"
        self._of_entra = of_entra
        # What one kind of check accepted is not for the other.
        self._salt = b"entra" if of_entra else b""
        self._network = network
        self._folder = os.path.join(folder, "discovery")

    def metadata(self) -> dict[str, Any]:
        """Return the issuer's metadata; raises Transient or Permanent."""
        return self._document(self.url, self._checked_metadata)

    def keys(self, again: bool = False) -> dict[str, Any]:
        """Return the issuer's JWK set; *again* fetches it even if it is kept."""
        uri = self.metadata().get("jwks_uri")
        if not isinstance(uri, str):
            raise Permanent(f"{self.issuer}: its metadata names no jwks_uri")
        answers.check_secure(uri, self.issuer)
        return self._document(uri, _checked_keys, again)

    def _document(self, url: str, check: Any, again: bool = False) -> dict[str, Any]:
        path = os.path.join(
            self._folder,
            blake2s(url.encode(), digest_size=12, salt=self._salt).hexdigest()
            + ".json",
        )
        age, kept = _read(path, url)
        if kept is not None and age < KEEP and not again:
            return kept
        try:
            fetched: dict[str, Any] = check(self._fetch(url))
        except Transient:
            if kept is not None and age < KEEP_IN_NEED and not again:
                return kept
            raise
        _write(path, url, fetched)
        return fetched

    def _fetch(self, url: str) -> Any:
        with self._network.session() as session:
            response = session.get(url)
        data = http.json_of(response)
        if response.status_code == 404:
            raise Permanent(
                f"{url} does not exist (HTTP 404)", hint="check `issuer` in config.toml"
            )
        if response.status_code != 200 or not isinstance(data, dict):
            server = http.server_of(url)
            raise outcomes.from_answer(
                response.status_code, data, response.headers, server
            )
        return data

    def _is_tenant_of(self, found: object) -> bool:
        """Tell whether *found* is a tenant of the same Entra cloud.

        Its issuer holds the tenant's id, or ``{tenantid}`` for common ones,
        whatever name was asked for.
        """
        host = urlsplit(self.issuer).netloc
        return isinstance(found, str) and found.startswith(f"https://{host}/")

    def _checked_metadata(self, data: dict[str, Any]) -> dict[str, Any]:
        found = data.get("issuer")
        same = found == self.issuer or (self._of_entra and self._is_tenant_of(found))
        if not same:
            raise Permanent(
                f"the server calls itself {plain(found, 120)!r}, the config says "
                f"{self.issuer!r}",
                hint="write `issuer` exactly as the server does, if you trust it",
            )
        for name, value in data.items():
            if name.endswith("_endpoint") and isinstance(value, str):
                answers.check_secure(value, self.issuer)
        return data


def _checked_keys(data: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(data.get("keys"), list):
        raise Permanent("the server's signing keys are not a JWK set")
    return data


def _read(path: str, url: str) -> tuple[float, dict[str, Any] | None]:
    """Return the age in seconds of the kept document, and it; or None."""
    kept = cachefile.read(path)
    try:
        age = time.time() - kept["fetched_at"]
        good = kept["url"] == url and isinstance(kept["document"], dict) and age >= 0
    except (KeyError, TypeError):
        return 0.0, None
    return age, kept["document"] if good else None


def _write(path: str, url: str, document: dict[str, Any]) -> None:
    """Keep the document; failing to costs one request next time."""
    now = time.time()
    cachefile.write(path, {"url": url, "fetched_at": now, "document": document})
    cachefile.trim(os.path.dirname(path), KEEP_IN_NEED, _MOST, now)
