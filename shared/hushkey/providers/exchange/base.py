"""What an exchange is given, what it gives, and what it is."""

from __future__ import annotations

import json
from binascii import Error, a2b_base64
from email.utils import parsedate_to_datetime

from hushkey.errors import Permanent
from hushkey.model import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from requests import Response

    from hushkey.net.http import Network
    from hushkey.providers.checks import Check


class Context(Frozen):
    """One exchange: *token* is the access token, *host* the origin that takes it.

    ``beside`` is what was granted with the token (`hushkey.model.Token`), an ID token
    where the kind takes one; ``username`` is what the token goes with, if anything.
    ``options`` are the host rule's keys for this kind.
    """

    _secret = ("token", "beside")
    host: str
    token: str
    tenant: str = ""
    beside: str = ""
    username: str = ""
    options: Mapping[str, str] = {}


class Secret(Frozen):
    """What the host gave; ``lifetime`` is in seconds, None if it names no end.

    ``username`` is the user name that ``value`` goes with.
    """

    _secret = ("value",)
    username: str
    value: str
    lifetime: float | None


class Exchange(Frozen):
    """One kind: ``act`` does it, at the time (epoch seconds) that it is given.

    ``username`` is the user name that its secrets usually go with; ``words`` are
    short words for user names that a host rule may name instead. ``where`` says at
    whom it is done. ``keys`` are a host rule's own keys for it, ``required`` those
    without which it cannot be done; ``faults`` takes a host that the rule covers and
    the rule's options, and returns what is wrong with them, or None. A kind that
    ``takes_proof`` wants the ID token of an OpenID Connect identity in ``beside``.
    ``tools`` are the kinds of tools that its hosts are for, in the config's words.
    """

    act: Callable[[Context, Network, float], Secret]
    username: str
    words: Mapping[str, str] = {}
    where: str = "the host itself"
    keys: Mapping[str, Check] = {}
    required: tuple[str, ...] = ()
    faults: Callable[[str, Mapping[str, str]], str | None] = lambda host, options: None
    takes_proof: bool = False
    tools: tuple[str, ...] = ("docker",)


class Refused(Permanent):
    """The host refuses the access token itself (HTTP 401): a newer one may do."""


def json_of(answer: Response) -> Any:
    """Return the parsed body of *answer*, or None if it is not JSON."""
    from hushkey.net import http

    return http.json_of(answer)


# -- what tokens and answers say of themselves -------------------------------------


def is_visible(value: Any) -> bool:
    """Tell whether *value* is what a header can carry: ASCII without blanks."""
    good = isinstance(value, str) and value and value.isascii()
    return bool(good and value.isprintable() and " " not in value)


def claims_of(token: str) -> dict[str, Any]:
    """Return the claims of a JWT (RFC 7519), unverified; none for any other token."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        padded = parts[1].replace("-", "+").replace("_", "/") + "=="
        claims = json.loads(a2b_base64(padded))
    except (ValueError, Error, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def moment(claims: Mapping[str, Any], name: str) -> float | None:
    """Return the claim *name* as seconds since the epoch, None if it is none."""
    found = claims.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found) if 0 < found < 10**11 else None


def whose(token: str) -> str:
    """Return issuer, subject and audience of an assertion, for the words.

    They are no secret (the token is), and a rule that compares them by character is
    what most refusals come from.
    """
    claims = claims_of(token)
    found = [
        f"{name} {claims[name]}" for name in ("iss", "sub", "aud") if name in claims
    ]
    return ", ".join(found) or "not a JWT"


def server_time(headers: Mapping[str, str], now: float) -> float:
    """Return the server's own time (epoch seconds), else *now*."""
    try:
        return parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except (TypeError, ValueError, OverflowError, OSError):
        return now
