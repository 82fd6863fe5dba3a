"""What an assertion says of itself: shown where it is refused, and trusted never.

``iss``, ``sub``, ``aud`` and the times are no secrets; the token is.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

from hushkey.errors import HushkeyError, Permanent, Transient, plain
from hushkey.providers.exchange.base import moment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    T = TypeVar("T")

#: seconds; Entra refuses assertions that live longer (its code 70023)
_LONGEST = 25 * 3600
_SHOWN = ("iss", "sub", "aud")
#: what a token endpoint says to an assertion that it does not take
_CODES = (
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_target",
    "unauthorized_client",
)


def claims(assertion: str) -> dict[str, Any]:
    """Return the claims of *assertion*, unchecked; nothing if it is no JWT."""
    from hushkey.providers import msal_http

    return msal_http.claims(assertion)


def end(assertion: str) -> float | None:
    """Return when *assertion* ends (epoch seconds), None if it says no such moment."""
    return moment(claims(assertion), "exp")


def shown(assertion: str) -> str:
    """Return who *assertion* says it is for and from, one harmless line."""
    found = claims(assertion)
    parts = []
    for name in _SHOWN:
        value = found.get(name)
        text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        if value:
            parts.append(f"{name} {plain(text, 120)}")
    return ", ".join(parts) or "it names nobody"


def refused(error: HushkeyError, assertion: str, *, again: bool) -> HushkeyError:
    """Return *error*, with which *assertion* was refused, as its own sentence.

    *again*: a new assertion was tried as well, or could be had.
    """
    if isinstance(error, Transient) or error.code not in _CODES:
        return error
    found = claims(assertion)
    ends, begun = moment(found, "exp"), moment(found, "iat")
    hint = (
        "the server compares them letter by letter with the federated credential or "
        "trust that it has: correct it there, or `audience` here"
    )
    what = f"{error.what}; the assertion says {shown(assertion)}"
    if ends is not None and ends <= time.time():
        what = f"the assertion ended at {_moment(ends)}, and it is {_moment()} here"
        hint = "check this machine's clock"
        if not again:
            hint = "it is issued once for a job: ask for the first token early in it"
    elif ends is not None and begun is not None and ends - begun > _LONGEST:
        hint = (
            "it lives longer than a day: the pod's plain token; use a projected "
            "one with an `audience` and `expirationSeconds` of its own"
        )
    return Permanent(what, hint=hint, code=error.code, correlation=error.correlation)


def _moment(when: float | None = None) -> str:
    found = datetime.now(UTC) if when is None else datetime.fromtimestamp(when, UTC)
    return f"{found:%H:%M:%S} UTC"


def twice(attempt: Callable[[], T], *, again: bool) -> T:
    """Return what *attempt* returns, which reads an assertion and redeems it.

    ``invalid_client`` and ``invalid_grant`` say that the assertion has ended as often
    as that it is wrong: then a new one is tried, once, where there is one to be had.
    """
    try:
        return attempt()
    except Permanent as error:
        if not again or error.code not in ("invalid_client", "invalid_grant"):
            raise
    return attempt()
