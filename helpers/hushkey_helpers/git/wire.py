"""git's credential format: what git writes, and what it reads.

git-credential(1) "INPUT/OUTPUT FORMAT". Lines are split at LF only and read as
bytes; a caller that ends every line with CR LF is understood, as by git. A lone CR has
been taken for a line end before (CVE-2024-50338), and a second host has been smuggled
in by one (CVE-2020-5260).
"""

from __future__ import annotations

import hushkey_helpers
from hushkey.errors import HushkeyError
from hushkey_helpers import REQUEST_BYTES

#: bytes; git's own limit for a line
LINE_BYTES = 65535


class Malformed(HushkeyError):
    """The request breaks git's format; it is answered with nothing."""


class Message:
    """One parsed request: single values and lists, as text."""

    def __init__(self, values: dict[str, str], lists: dict[str, list[str]]) -> None:
        self.values = values
        self.lists = lists

    def get(self, key: str) -> str:
        """Return the value of *key*, or nothing."""
        return self.values.get(key, "")

    def has(self, name: str, value: str) -> bool:
        """Tell whether the list *name* holds *value*."""
        return value in self.lists.get(name, ())

    def secret(self) -> str:
        """Return the secret that the request carries, if any."""
        return self.get("credential") or self.get("password")


def read(descriptor: int) -> bytes:
    """Read one request: up to an empty line, the end, or one byte too many."""
    return hushkey_helpers.read(descriptor, "blank")


def parse(data: bytes) -> Message:
    """Return the message in *data*; raises Malformed."""
    if len(data) > REQUEST_BYTES:
        raise Malformed("git sent a request that is too long")
    values: dict[str, str] = {}
    lists: dict[str, list[str]] = {}
    for line in _unix(data).split(b"\n"):
        if not line:
            break
        key, value = _pair(line)
        if key.endswith("[]"):
            # An empty value empties the list (git-credential(1)).
            if value:
                lists.setdefault(key, []).append(value)
            else:
                lists[key] = []
        elif values.setdefault(key, value) != value:
            raise Malformed(f"git sent two different values for {key}")
    return Message(values, {key[:-2]: items for key, items in lists.items()})


def _unix(data: bytes) -> bytes:
    """Return *data* with LF for CR LF, if each of its lines has it; else as it is.

    A single CR among others is part of a value, and no request has only one line.
    """
    head = data.partition(b"\r\n\r\n")[0].removesuffix(b"\r\n")
    lines = head.count(b"\n")
    if not lines or head.count(b"\r\n") != lines or head.count(b"\r") != lines:
        return data
    return data.replace(b"\r\n", b"\n") if head != data else data


def _pair(line: bytes) -> tuple[str, str]:
    if len(line) > LINE_BYTES:
        raise Malformed(f"git sent a line of more than {LINE_BYTES} bytes")
    if b"\r" in line or b"\0" in line:
        raise Malformed("git sent a value with a carriage return or NUL in it")
    key, equals, value = line.decode("utf-8", "surrogateescape").partition("=")
    if not equals or not key:
        raise Malformed("git sent a line that is not key=value")
    return key, value


def render(lines: list[str]) -> bytes:
    """Return *lines* as git reads them; raises Malformed."""
    if any(c in line for line in lines for c in "\n\r\0"):
        raise Malformed("the answer cannot be written in git's format")
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
