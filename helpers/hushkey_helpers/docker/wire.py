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
    """Return server, user and secret of a store request; raises Unreadable.

    Names count in any case and the last of the same name counts, null counts not at
    all, and nothing is read behind the object, as by Go's encoding/json.
    """
    try:
        text = data.decode("utf-8").lstrip(" \t\r\n")
        # An object becomes a tuple of names and values, in order, doubles and all.
        pairs = json.JSONDecoder(object_pairs_hook=tuple).raw_decode(text)[0]
    except (ValueError, RecursionError):
        raise Unreadable("the request is not JSON") from None
    if not isinstance(pairs, tuple):
        raise Unreadable("the request is not a server, a user and a secret")
    names = {name.casefold(): name for name in _FIELDS}
    found = dict.fromkeys(_FIELDS, "")
    for written, value in pairs:
        name = names.get(written.casefold())
        if name is None or value is None:
            continue
        if not isinstance(value, str):
            raise Unreadable(f"{name} is not text")
        found[name] = value
    server, user, secret = found.values()
    return server, user, secret


def found(server: str, user: str, secret: str) -> Answer:
    """Return the answer to get."""
    return _answer(dict(zip(_FIELDS, (server, user, secret), strict=True)))


def listed(users: dict[str, str], lines: tuple[str, ...]) -> Answer:
    """Return the answer to list: user names by server; *lines* are for the person."""
    return Answer(_answer(users).out, lines)


def numbered(name: str) -> Answer:
    """Return the answer to version."""
    from importlib.metadata import version  # noqa: PLC0415 - slow, and for this alone

    return Answer(f"{name} (hushkey) {version('hushkey')}\n".encode())


def _answer(content: dict[str, str]) -> Answer:
    return Answer(json.dumps(content, separators=(",", ":")).encode() + b"\n")
