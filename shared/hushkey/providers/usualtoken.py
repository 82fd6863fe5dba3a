"""An ID token as nearly every server sends it, checked without a library's import.

One RS256 signature by the one RSA key that is named, one audience, whole seconds. What
differs in anything, or fails any check, is not refused here but left to the libraries
(`hushkey.providers.josetoken`), which take all that is taken here, and say what is
wrong with the rest.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from json import loads

from hushkey.model import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: header parameters that ask for nothing more (RFC 7515 4.1)
_HEADER = {"alg", "kid", "typ"}
#: bits of an RSA key (RFC 7518 3.3), and the exponent that keys are made with
_LEAST_BITS, _EXPONENT = 2048, 65537


class Expected(Frozen):
    """What an ID token is compared with; times in seconds."""

    _secret = ("nonce", "access_token")
    issuer: str
    client_id: str
    algorithms: list[Any]
    #: of the sign-in, None for a refresh
    nonce: str | None
    access_token: str
    now: int
    leeway: int


def claims_of(id_token: str, expected: Expected, keys: Any) -> dict[str, Any] | None:
    """Return the claims of *id_token* if all is right (OpenID Connect Core 3.1.3.7).

    *keys* is the issuer's JWK set.
    """
    try:
        signed, _, signature = id_token.rpartition(".")
        head, content = signed.split(".")
        header, claims = loads(_decoded(head)), loads(_decoded(content))
        if "RS256" not in expected.algorithms or not _is_signed(
            header, signed.encode(), _decoded(signature), keys
        ):
            return None
        return claims if _are_right(claims, expected) else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _decoded(text: str) -> bytes:
    """Return the bytes of *text*, base64url without padding; raises ValueError."""
    found = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if not found or urlsafe_b64encode(found).rstrip(b"=") != text.encode():
        raise ValueError("not base64url")
    return found


def _is_signed(header: Any, signed: bytes, signature: bytes, keys: Any) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256

    kid = header["kid"]
    if not header.keys() <= _HEADER or header["alg"] != "RS256":
        return False
    named = [key for key in keys["keys"] if key.get("kid") == kid]
    if not isinstance(kid, str) or not kid or len(named) != 1:
        return False
    key = named[0]
    if (
        key["kty"] != "RSA"
        or key.get("use", "sig") != "sig"
        or key.get("alg", "RS256") != "RS256"
        or "key_ops" in key
    ):
        return False
    n, e = (int.from_bytes(_decoded(key[name]), "big") for name in "ne")
    if n.bit_length() < _LEAST_BITS or e != _EXPONENT:
        return False
    public = rsa.RSAPublicNumbers(e, n).public_key()
    try:
        public.verify(signature, signed, padding.PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


def _are_right(claims: Any, expected: Expected) -> bool:
    """Tell whether every claim is as expected, and of the type it should be."""
    if not isinstance(claims, dict):
        return False
    times = [claims["exp"], claims["iat"], claims.get("nbf", 0)]
    times.append(claims.get("auth_time", 0))
    if any(type(moment) is not int for moment in times):
        return False
    return (
        claims["iss"] == expected.issuer
        and claims["aud"] in (expected.client_id, [expected.client_id])
        and claims.get("azp", expected.client_id) == expected.client_id
        and isinstance(claims["sub"], str)
        and bool(claims["sub"])
        and claims["exp"] > expected.now - expected.leeway
        and claims["iat"] <= expected.now + expected.leeway
        and claims.get("nbf", 0) <= expected.now + expected.leeway
        and (expected.nonce is None or claims["nonce"] == expected.nonce)
        and isinstance(claims.get("jti", ""), str)
        and isinstance(claims.get("amr", []), list)
        and claims.get("at_hash", "") in ("", _half_hash(expected.access_token))
    )


def _half_hash(access_token: str) -> str:
    """Return the at_hash of *access_token* (OpenID Connect Core 3.1.3.6)."""
    from cryptography.hazmat.primitives.hashes import SHA256, Hash

    made = Hash(SHA256())
    made.update(access_token.encode())
    return urlsafe_b64encode(made.finalize()[:16]).rstrip(b"=").decode()
