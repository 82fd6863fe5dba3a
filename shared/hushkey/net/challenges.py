"""What a server says in ``WWW-Authenticate``, and the claims it demands in there.

RFC 9110 11.6.1 (challenges), learn.microsoft.com/entra/identity-platform/
claims-challenge (``error="insufficient_claims"``, ``claims="BASE64"``). A header
comes from whoever answers: what is not well formed, or too long, counts as
nothing at all, and nothing of it is ever put into a URL as it is.
"""

from __future__ import annotations

import base64
import binascii
import re

from hushkey.claims import claims

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: bytes of one header that are believed
LONGEST = 16 * 1024
#: headers of one answer that are looked at
_MOST = 20
# Each matches from where it is told to, and no part of a header twice.
_BETWEEN, _SPACE = re.compile(r"[ \t,]*"), re.compile(r"[ \t]*")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_QUOTED = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
# RFC 9110 11.2: what follows a scheme may be one word, as with Negotiate.
_TOKEN68 = re.compile(r"[A-Za-z0-9\-._~+/]++=*+(?=[ \t]*(?:,|$))")
_BARE = re.compile(r"([^, \t]*)")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class _Malformed(ValueError):
    """Not a challenge by RFC 9110."""


def bearer(headers: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield the parameters of each Bearer challenge, by lower-case name."""
    for number, header in enumerate(headers):
        if number == _MOST:
            return
        for scheme, parameters in parse(header):
            if scheme == "bearer":
                yield parameters


def parse(header: str) -> list[tuple[str, dict[str, str]]]:
    """Return the challenges of one header; none if any of it is malformed.

    A scheme comes in lower case. The same parameter twice is malformed: two
    readers would believe different ones.
    """
    if len(header) > LONGEST:
        return []
    found: list[tuple[str, dict[str, str]]] = []
    at = _end(_BETWEEN, header, 0)
    try:
        while at < len(header):
            word, at = _token(header, at)
            after = _end(_SPACE, header, at)
            if header[after : after + 1] == "=":
                value, at = _value(header, _end(_SPACE, header, after + 1))
                if not found or word in found[-1][1]:
                    return []
                found[-1][1][word] = value
            else:
                found.append((word, {}))
                at = _end(_TOKEN68, header, after) if after > at else at
            at = _end(_BETWEEN, header, at)
    except _Malformed:
        return []
    return found


def schemes(headers: Iterable[str]) -> set[str]:
    """Return the schemes that *headers* offer, in lower case.

    Of a malformed header the first word is believed: it cannot be anything else.
    """
    found: set[str] = set()
    for _, header in zip(range(_MOST), headers, strict=False):
        named = [scheme for scheme, _ in parse(header)]
        found.update(named or [header.strip().partition(" ")[0].lower()])
    return found


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _token(text: str, at: int) -> tuple[str, int]:
    """Return the token at *at* in lower case, and where it ends."""
    match = _TOKEN.match(text, at)
    if match is None:
        raise _Malformed
    return match[0].lower(), match.end()


def _value(text: str, at: int) -> tuple[str, int]:
    """Return the value at *at* and where it ends; quotes and escapes are undone."""
    # Microsoft sends URLs without quotes, which no token could hold.
    match = (_QUOTED if text[at : at + 1] == '"' else _BARE).match(text, at)
    if match is None:
        raise _Malformed
    value = match[1]
    if match[0][:1] == '"':
        value = _ESCAPE.sub(r"\1", value)
    return value, match.end()


def demanded_claims(headers: Iterable[str]) -> str:
    """Return the claims request that a refusal carries, as compact JSON, or nothing."""
    for parameters in bearer(headers):
        encoded = parameters.get("claims", "")
        if parameters.get("error") != "insufficient_claims" or not encoded:
            continue
        try:
            # Both alphabets are seen, with padding or without.
            padded = encoded.translate({45: "+", 95: "/"}).rstrip("=")
            padded += "=" * (-len(padded) % 4)
            return claims(base64.b64decode(padded, validate=True).decode())
        except (binascii.Error, ValueError):
            return ""
    return ""
