"""What a server says in ``WWW-Authenticate``, and the claims it demands in there.

RFC 9110 11.6.1 (challenges), learn.microsoft.com/entra/identity-platform/
claims-challenge (``error="insufficient_claims"``, ``claims="BASE64"``). A header
comes from whoever answers: what is not well formed, or too long, counts as
nothing at all, and nothing of it is ever put into a URL as it is.
"""

import base64
import binascii
import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: bytes of one header, and of a claims request, that are believed
LONGEST, LONGEST_CLAIMS = 16 * 1024, 4096
#: headers of one answer that are looked at
_MOST = 20
_TOKEN = frozenset(
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)


class _Malformed(ValueError):
    """Not a challenge by RFC 9110."""


def bearer(headers: "Iterable[str]") -> "Iterator[dict[str, str]]":
    """Yield the parameters of each Bearer challenge, by lower-case name."""
    for number, header in enumerate(headers):
        if number == _MOST:
            return
        for scheme, parameters in parse(header):
            if scheme == "bearer":
                yield parameters


def parse(header: str) -> "list[tuple[str, dict[str, str]]]":
    """Return the challenges of one header; none if any of it is malformed.

    A scheme comes in lower case. The same parameter twice is malformed: two
    readers would believe different ones.
    """
    if len(header) > LONGEST:
        return []
    found: list[tuple[str, dict[str, str]]] = []
    rest = header
    try:
        while rest := rest.lstrip(" \t,"):
            word, rest = _word(rest)
            if rest.lstrip(" \t")[:1] != "=":
                found.append((word.lower(), {}))
                continue
            value, rest = _value(rest.lstrip(" \t")[1:].lstrip(" \t"))
            name = word.lower()
            if not found or name in found[-1][1]:
                raise _Malformed
            found[-1][1][name] = value
    except _Malformed:
        return []
    return found


def _word(text: str) -> "tuple[str, str]":
    end = next((i for i, c in enumerate(text) if c not in _TOKEN), len(text))
    if not end:
        raise _Malformed
    return text[:end], text[end:]


def _value(text: str) -> "tuple[str, str]":
    """Return one value and what follows; quotes and their escapes are undone."""
    if text[:1] != '"':
        # Microsoft sends URLs without quotes, which no token could hold.
        end = next((i for i, c in enumerate(text) if c in ", \t"), len(text))
        return text[:end], text[end:]
    value, position = "", 1
    while text[position : position + 1] != '"':
        position += text[position : position + 1] == "\\"
        if position >= len(text):
            raise _Malformed
        value += text[position]
        position += 1
    return value, text[position + 1 :]


def demanded_claims(headers: "Iterable[str]") -> str:
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


def merged(host: str, server: str) -> str:
    """Return one claims request for both; where they differ, *server* is right.

    A host demands claims and Entra, asked for them, demands others: a sign-in
    for only one of the two would end in the next refusal.
    """
    if not host or not server:
        return host or server
    both: dict[str, dict[str, object]] = json.loads(host)
    for part, wanted in json.loads(server).items():
        both[part] = both.get(part, {}) | wanted
    return json.dumps(both, separators=(",", ":"))


def carries(asked: str, wanted: str) -> bool:
    """Tell whether a token that was *asked* for with claims has those *wanted*."""
    if not wanted or asked == wanted:
        return True
    if not asked:
        return False
    had = json.loads(asked)
    return all(
        part in had and wish.items() <= had[part].items()
        for part, wish in json.loads(wanted).items()
    )


def claims(text: object) -> str:
    """Return *text* as compact JSON if it is a claims request, else nothing.

    A JSON object of objects (OpenID Connect Core 5.5); at most 4096 bytes.
    """
    if not isinstance(text, str):
        return ""
    try:
        wanted = json.loads(text) if len(text.encode()) <= LONGEST_CLAIMS else None
    except (ValueError, RecursionError):
        return ""
    good = isinstance(wanted, dict) and all(
        isinstance(part, dict) for part in wanted.values()
    )
    return json.dumps(wanted, separators=(",", ":")) if good and wanted else ""
