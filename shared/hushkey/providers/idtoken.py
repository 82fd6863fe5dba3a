"""ID tokens: who signed in, checked before it is believed.

OpenID Connect Core 3.1.3.7 (sign-in) and 12.2 (refresh): signature by the
issuer's keys, issuer, audience, expiry, nonce, and for a refresh the same
subject. MSAL and Authlib's own helper check less.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from hushkey.errors import HushkeyError, Permanent, Transient, plain, span
from hushkey.model import Account
from hushkey.providers import usualtoken
from hushkey.providers.usualtoken import Expected

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

#: seconds that this machine's clock may differ from the server's
LEEWAY = 120
_ALGORITHMS = ("RS", "PS", "ES", "Ed")


def claims_of(
    id_token: str,
    *,
    issuer: str,
    client_id: str,
    algorithms: list[Any],
    keys: Callable[[bool], Any] | None,
    nonce: str | None,
    access_token: str,
    now: float,
    server_date: str = "",
) -> dict[str, Any]:
    """Return the checked claims of *id_token*.

    ``keys(again)`` gives the issuer's JWK set; *again* asks for a new copy,
    for keys that were rotated; without it, the TLS connection to an issuer that
    is known by its name stands for the signature (OpenID Connect Core 3.1.3.7,
    rule 6). *nonce* is None for a refresh. *server_date* is the answer's Date
    header. Raises Permanent.
    """
    allowed = [a for a in algorithms if str(a)[:2] in _ALGORITHMS] or ["RS256"]
    expected = Expected(
        issuer, client_id, allowed, nonce, access_token, int(now), LEEWAY
    )
    known = None if keys is None else keys(False)
    usual = usualtoken.claims_of(id_token, expected, known)
    if usual is not None:
        return usual
    from hushkey.providers import josetoken

    try:
        return josetoken.claims_of(id_token, expected, known, keys)
    except josetoken.Invalid as error:
        date = server_date if error.by_clock else ""
        raise _refusal(error, now, date) from error


def renewed(
    check: Callable[[], dict[str, Any]],
) -> tuple[dict[str, Any], HushkeyError | None]:
    """Return the claims of a refresh's ID token, and what is wrong with it.

    The refresh token may have been rotated, so nothing is raised here. An ID token
    is optional (OpenID Connect Core 12.2); signing keys that cannot be had just now
    make it as good as absent.
    """
    try:
        return check(), None
    except Transient:
        return {}, None
    except Permanent as error:
        return {}, error


def account_of(claims: Mapping[str, Any]) -> Account:
    """Return the account that *claims* name: the subject, and what people read."""
    names = (
        claims.get(name) for name in ("email", "preferred_username", "upn", "name")
    )
    label = next((n for n in names if isinstance(n, str) and n), str(claims["sub"]))
    return Account(str(claims["sub"]), plain(label, 100))


def _refusal(error: Exception, now: float, server_date: str) -> Permanent:
    skew = _skew(now, server_date)
    if abs(skew) > LEEWAY:
        return Permanent(
            f"this machine's clock is {span(int(abs(skew)))} "
            f"{'ahead of' if skew > 0 else 'behind'} the server's",
            hint="set the clock, then sign in again",
        )
    return Permanent(
        f"the server's ID token is not valid: {plain(error, 120)}",
        hint="check issuer and client_id in config.toml",
    )


def _skew(now: float, server_date: str) -> float:
    return now - server_time(server_date, now)


def server_time(server_date: str, now: float) -> float:
    """Return the moment of a Date header (epoch seconds); *now* if it is none."""
    try:
        return parsedate_to_datetime(server_date).timestamp()
    except (TypeError, ValueError, OverflowError):
        return now
