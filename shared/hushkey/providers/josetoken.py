"""The check of an ID token by the libraries: every algorithm, and what is wrong.

Imported only for what `hushkey.providers.usualtoken` does not take.
"""

from __future__ import annotations

from json import loads

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import (
    ExpiredTokenError,
    InvalidClaimError,
    InvalidKeyIdError,
    JoseError,
    UnsupportedAlgorithmError,
)
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry, extract_compact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from hushkey.providers.usualtoken import Expected


class Invalid(Exception):
    """The token is refused; *by_clock*: a wrong clock may be why."""

    def __init__(self, reason: Exception, *, by_clock: bool) -> None:
        super().__init__(str(reason))
        self.by_clock = by_clock


def claims_of(
    id_token: str, expected: Expected, first: Any, keys: Callable[[bool], Any] | None
) -> dict[str, Any]:
    """Return the checked claims; raises Invalid, and what *keys* raises.

    *first* is what ``keys(False)`` gave.
    """
    issuer, client_id, nonce = expected.issuer, expected.client_id, expected.nonce
    try:
        token = _decode(id_token, expected.algorithms, first, keys)
        params = {"client_id": client_id, "access_token": expected.access_token}
        claims = CodeIDToken(
            token.claims,
            token.header,
            {
                "iss": {"essential": True, "value": issuer},
                "aud": {"essential": True, "value": client_id},
                "sub": {"essential": True},
            },
            params if nonce is None else {**params, "nonce": nonce},
        )
        claims.validate(now=int(expected.now), leeway=expected.leeway)
        if not isinstance(token.claims["sub"], str) or not token.claims["sub"]:
            raise InvalidClaimError("sub")
    except (ExpiredTokenError, InvalidClaimError) as error:
        raise Invalid(error, by_clock=True) from error
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise Invalid(error, by_clock=False) from error
    return dict(token.claims)


def _decode(
    id_token: str, allowed: list[str], first: Any, keys: Callable[[bool], Any] | None
) -> Any:
    if keys is None:
        return _read(id_token, allowed)
    registry = JWSRegistry(algorithms=allowed, strict_check_header=False)
    try:
        return jwt.decode(id_token, KeySet.import_key_set(first), registry=registry)
    except InvalidKeyIdError:
        return jwt.decode(
            id_token, KeySet.import_key_set(keys(True)), registry=registry
        )


def _read(id_token: str, allowed: list[str]) -> Any:
    """Return the token without looking at its signature, but at what signed it."""
    found = extract_compact(id_token.encode())
    claims, header = loads(found.payload), found.headers()
    if header.get("alg") not in allowed:
        raise UnsupportedAlgorithmError("alg")
    if not isinstance(claims, dict):
        raise TypeError("the claims are no object")
    return jwt.Token(header, claims)
