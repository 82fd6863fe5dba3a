"""What docker reads and writes as JSON; imported only when there is something.

docker/docker-credential-helpers, credentials/credentials.go.
"""

from __future__ import annotations

import json

from hushkey_helpers.answer import Answer

_FIELDS = ("ServerURL", "Username", "Secret")


class Unreadable(Exception):
    """What docker sent is not what the protocol says; the text says how."""


def credentials(data: bytes) -> tuple[str, str, str]:
    """Return server, user and secret of a store request; raises Unreadable."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise Unreadable("the request is not JSON") from None
    if not isinstance(found, dict):
        raise Unreadable("the request is not a server, a user and a secret")
    server, user, secret = (_text(found, name) for name in _FIELDS)
    return server, user, secret


def _text(values: dict[str, object], name: str) -> str:
    value = values.get(name, "")
    if not isinstance(value, str):
        raise Unreadable(f"{name} is not text")
    return value


def found(server: str, user: str, secret: str) -> Answer:
    """Return the answer to get."""
    return _answer(dict(zip(_FIELDS, (server, user, secret), strict=True)))


def listed(users: dict[str, str]) -> Answer:
    """Return the answer to list: user names by server."""
    return _answer(users)


def numbered(name: str) -> Answer:
    """Return the answer to version."""
    from importlib.metadata import version  # noqa: PLC0415 - slow, and for this alone

    return Answer(f"{name} (hushkey) {version('hushkey')}\n".encode())


def _answer(content: dict[str, str]) -> Answer:
    return Answer(json.dumps(content, separators=(",", ":")).encode() + b"\n")
