"""JSON text edited in place: what is not meant stays as it is, byte for byte.

Other programs own these files, with their own order, indentation and escapes; and
taking a member out again gives the text from before it was put in. Raises ValueError
for what is not a JSON object, and for a name that is there twice.
"""

from __future__ import annotations

import json
import re
from typing import Any

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
#: between a bracket and a member where the file shows none: docker's own style
_GAP = "\n\t"


class _Member:
    """One member of an object: where its name begins, and its value stands."""

    def __init__(self, name: str, start: int, value: int, end: int) -> None:
        self.name = name
        self.start = start
        self.value = value
        self.end = end


class _Object:
    """One object: where its brackets are, and its members."""

    def __init__(self, start: int, end: int, members: list[_Member]) -> None:
        self.start = start
        self.end = end
        self.members = members

    def get(self, name: str) -> _Member | None:
        return next((m for m in self.members if m.name == name), None)


def value(text: str, *path: str) -> Any:
    """Return what stands at *path*, None if nothing does."""
    found: Any = _parsed(text)
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def source(text: str, path: tuple[str, ...]) -> str:
    """Return the value at *path* as it is written, nothing if there is none."""
    _parsed(text)
    start, end = _where(text, path)
    return text[start:end]


def rewrite(text: str, path: tuple[str, ...], written: str) -> str:
    """Return *text* with the value at *path*, if any, written as `source` gave it."""
    _parsed(text)
    start, end = _where(text, path)
    return text[:start] + written + text[end:] if start < end else text


def put(text: str, path: tuple[str, ...], new: str) -> str:
    """Return *text* with the string *new* at *path*; objects on the way are made.

    So is what stands there as null.
    """
    _parsed(text)
    text = text if text.strip() else "{}\n"
    return _put(text, _skip(text, 0), path, new, outer="\n")


def take(text: str, path: tuple[str, ...]) -> str:
    """Return *text* without the member at *path*."""
    _parsed(text)
    at = _skip(text, 0)
    for name in path[:-1]:
        member = _object(text, at).get(name) if text[at : at + 1] == "{" else None
        if member is None:
            return text
        at = member.value
    return (
        _take(text, _object(text, at), path[-1]) if text[at : at + 1] == "{" else text
    )


def _take(text: str, found: _Object, name: str) -> str:
    member = found.get(name)
    if member is None:
        return text
    number = found.members.index(member)
    if len(found.members) == 1:
        return text[: found.start + 1] + text[found.end - 1 :]
    if number:
        return text[: found.members[number - 1].end] + text[member.end :]
    return text[: member.start] + text[found.members[1].start :]


def _put(text: str, at: int, path: tuple[str, ...], new: str, outer: str) -> str:
    """Put into the object at *at*; *outer* is what stands before its own line."""
    found = _object(text, at)
    member = found.get(path[0])
    gap = _gap(text, found, outer)
    if member is None:
        return _insert(text, found, path, new, gap, outer)
    if len(path) == 1:
        return text[: member.value] + json.dumps(new) + text[member.end :]
    if text[member.value : member.end] == "null":
        made = _made(path, new, gap, _unit(gap, outer), _colon(text, found))
        return text[: member.start] + made + text[member.end :]
    if text[member.value] != "{":
        raise ValueError(f"{path[0]} is not an object")
    return _put(text, member.value, path[1:], new, gap)


def _insert(
    text: str, found: _Object, path: tuple[str, ...], new: str, gap: str, outer: str
) -> str:
    colon = _colon(text, found)
    made = _made(path, new, gap, _unit(gap, outer), colon)
    if not found.members:
        close = outer if "\n" in gap else ""
        return text[: found.start + 1] + gap + made + close + text[found.end - 1 :]
    last = found.members[-1].end
    return text[:last] + "," + gap + made + text[last:]


def _made(path: tuple[str, ...], new: str, gap: str, unit: str, colon: str) -> str:
    name = json.dumps(path[0]) + colon
    if len(path) == 1:
        return name + json.dumps(new)
    inner = gap + unit
    return name + "{" + inner + _made(path[1:], new, inner, unit, colon) + gap + "}"


# -- how the file is written -----------------------------------------------------


def _gap(text: str, found: _Object, outer: str) -> str:
    """Return what stands in front of a member of *found*, or would."""
    if found.members:
        return text[found.start + 1 : found.members[0].start]
    if "\n" not in outer:
        return outer
    return _GAP if outer == "\n" else outer + _unit(outer, "\n")


def _unit(gap: str, outer: str) -> str:
    """Return one step of indentation."""
    if "\n" not in gap:
        return ""
    deep, less = gap.rpartition("\n")[2], outer.rpartition("\n")[2]
    return deep.removeprefix(less) or "\t"


def _colon(text: str, found: _Object) -> str:
    if not found.members:
        return ": "
    first = found.members[0]
    _, end = _DECODER.raw_decode(text, first.start)
    return text[end : first.value]


# -- where things stand ----------------------------------------------------------


def _parsed(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text, object_pairs_hook=_once) if text.strip() else {}
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is in it twice")
    return found


def _where(text: str, path: tuple[str, ...]) -> tuple[int, int]:
    """Return where the value at *path* begins and ends; twice 0: there is none."""
    start, end = 0, len(text)
    for name in path:
        at = _skip(text, start)
        member = _object(text, at).get(name) if text[at : at + 1] == "{" else None
        if member is None:
            return 0, 0
        start, end = member.value, member.end
    return start, end


def _object(text: str, at: int) -> _Object:
    """Return the object that begins at *at*, in text that is known to be JSON."""
    members = []
    here = _skip(text, at + 1)
    while text[here] != "}":
        name, after = _DECODER.raw_decode(text, here)
        begin = _skip(text, _skip(text, after) + 1)
        _, end = _DECODER.raw_decode(text, begin)
        members.append(_Member(name, here, begin, end))
        here = _skip(text, end)
        if text[here] == ",":
            here = _skip(text, here + 1)
    return _Object(at, here + 1, members)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
