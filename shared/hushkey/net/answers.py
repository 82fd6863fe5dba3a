"""The fields of a server's answer, each read in one place for every provider.

A server may send any JSON: what is read here is of the right type, in its range and
harmless, or it counts as absent, or the answer is refused.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from hushkey import origins
from hushkey.errors import Permanent, plain
from hushkey.model import DeviceCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# Seconds. RFC 8628 3.2: what an absent interval means. Below the least we would
# flood the server; beyond the most nobody would be signed in.
_INTERVAL, _LEAST, _MOST = 5.0, 1.0, 60.0
_EXPIRES_IN = 600.0
_LONGEST_CODE = 64
_LONGEST_URL = 2048


def seconds(value: object) -> float | None:
    """Return a duration in seconds, or None where the server names none.

    A number, or one in a string, as some servers send it.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if 0 < found < 10**9 else None


def is_text(value: object) -> bool:
    """Tell whether *value* is visible ASCII and spaces: VSCHAR of RFC 6749 A."""
    return (
        isinstance(value, str)
        and bool(value)
        and value.isascii()
        and value.isprintable()
    )


def token(data: object) -> dict[str, Any] | None:
    """Return the token answer *data* (RFC 6749 5.1), or None if it holds no token.

    One that names an error holds none. ``expires_in`` is in whole seconds or None. A
    refresh token or an ID token that is no text is left out.
    """
    if not isinstance(data, dict) or data.get("error"):
        return None
    if not is_text(data.get("access_token")):
        return None
    lifetime = seconds(data.get("expires_in"))
    found = {**data, "expires_in": None if lifetime is None else int(lifetime)}
    for name in ("refresh_token", "id_token"):
        if not is_text(found.get(name)):
            found.pop(name, None)
    return found


def type_fault(data: Mapping[str, Any]) -> Permanent | None:
    """Return what is wrong with a token that is no bearer token, else None.

    Any other type needs what no tool here can do, such as a proof of possession:
    it "MUST NOT" be used (RFC 6749 7.1). The type's case does not matter (5.1). An
    absent one counts as Bearer though 5.1 requires it, as it does for the clients
    that servers are tried with (oauthlib's parse_token_response unless told to be
    strict, golang.org/x/oauth2's Token.Type).
    """
    kind = data.get("token_type")
    if kind in (None, "") or (isinstance(kind, str) and kind.lower() == "bearer"):
        return None
    return Permanent(
        f"the server gave a token of type {plain(kind, 40)}, and only Bearer is usable",
        hint="set up this client at the server for bearer tokens",
    )


def scopes(value: object, asked: tuple[str, ...]) -> tuple[str, ...]:
    """Return the granted scopes; *asked* where the server names none (RFC 6749 5.1).

    GitHub separates by commas, others send a list. Words that can be no scope
    (RFC 6749 3.3) are left out.
    """
    words = value if isinstance(value, list) else [value or ""]
    text = " ".join(map(str, words)).replace(",", " ")
    if not text.strip():
        return asked
    return tuple(
        word for word in text.split() if is_text(word) and not set(word) & set('"\\')
    )


def check_secure(url: str, issuer: str) -> None:
    """Raise Permanent unless *url* is https, or http on a loopback issuer's machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise Permanent(f"the server names a broken endpoint: {plain(url)}") from error
    host = f"[{host}]" if ":" in host else host
    local = origins.is_loopback(host) and issuer.startswith("http://")
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise Permanent(f"the server names an endpoint that is not https: {plain(url)}")


def device_times(body: Mapping[str, Any]) -> tuple[float, float]:
    """Return ``expires_in`` and ``interval`` of a device code answer, in seconds."""
    interval = seconds(body.get("interval")) or _INTERVAL
    return (
        seconds(body.get("expires_in")) or _EXPIRES_IN,
        min(max(interval, _LEAST), _MOST),
    )


def device_code(
    body: Mapping[str, Any], server: str, issuer: str, data: Mapping[str, Any]
) -> DeviceCode:
    """Return the device code in the answer *body* (RFC 8628 3.2) of *server*.

    A person is told to open its addresses and to enter its code: the addresses are
    https, or http on this machine as the *issuer* is, and nothing in them or in the
    code can move a terminal's cursor. *data* is the provider's. Raises Permanent.
    """
    # Google says verification_url.
    uri = body.get("verification_uri") or body.get("verification_url")
    complete, code = body.get("verification_uri_complete"), body.get("user_code")
    for name, good in (
        ("device_code", is_text(body.get("device_code"))),
        ("user_code", _is_code(code)),
        ("verification_uri", _is_address(uri, issuer)),
        (
            "verification_uri_complete",
            complete in (None, "") or _is_address(complete, issuer),
        ),
    ):
        if not good:
            raise Permanent(f"{server}: its device code answer has no good {name}")
    expires_in, interval = device_times(body)
    return DeviceCode(
        str(uri), str(code), expires_in, interval, data, str(complete or "")
    )


def _is_code(value: object) -> bool:
    return (
        isinstance(value, str)
        and is_text(value)
        and value == value.strip()
        and len(value) <= _LONGEST_CODE
    )


def _is_address(value: object, issuer: str) -> bool:
    """Tell whether a person may be sent to *value*; raises Permanent for its scheme."""
    if not isinstance(value, str) or not is_text(value) or len(value) > _LONGEST_URL:
        return False
    if set(value) & set(" \"'`<>\\"):
        return False
    check_secure(value, issuer)
    try:
        parts = urlsplit(value)
        host = parts.hostname or ""
        port_is_good = parts.port != 0
    except ValueError:
        return False
    # A user name in front of the host is there to be taken for the host.
    named = "@" not in parts.netloc and (":" in host or _is_name(host))
    return named and port_is_good


def _is_name(host: str) -> bool:
    """Tell whether *host* is labels of letters, digits and hyphens (RFC 1123 2.1)."""
    labels = host.removesuffix(".").split(".")
    return all(
        label.replace("-", "").replace("_", "").isalnum() and label[0] != "-"
        for label in labels
    )
