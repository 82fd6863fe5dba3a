"""The redirect URI of a loopback client, and what comes back on it (RFC 8252 7.3)."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from hushkey.errors import Permanent
from hushkey.model import Frozen

#: bytes of a query, a form or a paste that are looked at; the rest is hostile
LIMIT = 65_536
_FIELDS = 64


class Loopback(Frozen):
    """A redirect URI taken apart: ``port`` 0 is any free one, ``path`` as written."""

    host: str
    #: as it stands in the URI, an IPv6 literal in brackets
    netloc_host: str
    port: int
    path: str

    def uri(self, port: int) -> str:
        """Return the URI with *port*, and no slash at the end if none was there."""
        return f"http://{self.netloc_host}:{port}{self.path}"


def parse(redirect_uri: str) -> Loopback:
    """Take *redirect_uri* apart; raises Permanent unless it is http on loopback."""
    try:
        parts = urlsplit(redirect_uri)
        host, port = parts.hostname or "", parts.port or 0
    except ValueError:
        raise _refused(redirect_uri) from None
    plain_form = f"http://{parts.netloc}{parts.path}"
    if redirect_uri != plain_form or "@" in parts.netloc or not _is_loopback(host):
        raise _refused(redirect_uri)
    if not redirect_uri.isascii() or any(c.isspace() for c in redirect_uri):
        raise _refused(redirect_uri)
    end = parts.netloc.rfind("]") + 1 or len(parts.netloc.partition(":")[0])
    return Loopback(host, parts.netloc[:end], port, parts.path)


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refused(redirect_uri: str) -> Permanent:
    return Permanent(
        f"redirect_uri {redirect_uri!r} is not an http address of this machine",
        hint="set redirect_uri to one such as http://127.0.0.1/ or http://localhost",
    )


def fields(text: str) -> dict[str, str] | None:
    """Parse a query or form; None if a name comes twice or it is no such thing.

    A name that comes twice is refused (RFC 6749 3.1): two readers may pick two values.
    """
    if len(text) > LIMIT:
        return None
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS)
    except ValueError:
        return None
    found = dict(pairs)
    return found if len(found) == len(pairs) else None


def has_state(answer: Mapping[str, str], state: str) -> bool:
    """Tell whether *answer* carries *state*, in constant time; an empty one never."""
    given = answer.get("state", "").encode(errors="surrogatepass")
    return bool(state) and hmac.compare_digest(given, state.encode())
