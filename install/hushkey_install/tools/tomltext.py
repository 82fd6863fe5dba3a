"""TOML text edited in place: one key's value, as it is written; all else stays.

A table that has to be made is marked as ours, so that it goes with its last key.
Raises ValueError for what is no TOML, and for a key that stands where it cannot be
edited so (in an inline table).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

from hushkey.model import Frozen
from hushkey_install.tools import textlines

_NAME = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_DOTTED = rf"{_NAME}(?:[ \t]*\.[ \t]*{_NAME})*"
_HEADER = re.compile(rf"[ \t]*(\[\[?)[ \t]*({_DOTTED})[ \t]*\]")
_ASSIGNED = re.compile(rf"[ \t]*({_DOTTED})[ \t]*=[ \t]*")
_TOKEN = re.compile(
    r'''"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'
    |\#[^\n]*|[\[{]|[\]}]|\r?\n|[^"'\#\[\]{}\r\n]+|.''',
    re.DOTALL | re.VERBOSE,
)
_MARK = "# made by hushkey"
_REST = re.compile(r"[^\n]*\n?")


class _Key(Frozen):
    """One key: its whole name, and where its line begins and its value stands."""

    name: tuple[str, ...]
    line: int
    start: int
    end: int


class _Header(Frozen):
    """One table's header: its name, none for one of several; and its line."""

    name: tuple[str, ...]
    start: int
    end: int


def parsed(text: str) -> dict[str, Any]:
    """Return what *text* says."""
    try:
        return tomllib.loads(text.replace("\r\n", "\n"))
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def value(text: str, path: tuple[str, ...]) -> Any:
    """Return what stands at *path*, None if nothing does."""
    found: Any = parsed(text)
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def source(text: str, path: tuple[str, ...]) -> str:
    """Return the value at *path* as it is written, nothing if there is none."""
    if value(text, path) is None:
        return ""
    for part in _parts(text):
        if isinstance(part, _Key) and part.name == path:
            return text[part.start : part.end]
    raise ValueError(f"{'.'.join(path)} is inside another one's value")


def rewrite(text: str, path: tuple[str, ...], written: str) -> str:
    """Return *text* with the value at *path* *written* so; without it for nothing."""
    before = source(text, path)
    if before == written:
        return text
    if not written:
        made = _without(text, path)
    elif before:
        key = _key(text, path)
        made = text[: key.start] + written + text[key.end :]
    else:
        made = _with(text, path, written)
    if source(made, path).split() != written.split():  # but for its line ends
        raise ValueError(f"{'.'.join(path)} cannot be set")
    return made


def _key(text: str, path: tuple[str, ...]) -> _Key:
    keys = (part for part in _parts(text) if isinstance(part, _Key))
    return next(key for key in keys if key.name == path)


def _with(text: str, path: tuple[str, ...], written: str) -> str:
    line = f"{_quoted(path[-1])} = {written}"
    headers = [part for part in _parts(text) if isinstance(part, _Header)]
    if len(path) == 1:
        first = headers[0].start if headers else len(text)
        return textlines.inserted(text, _number(text, first), line)
    for header in headers:
        if header.name == path[:-1]:
            return textlines.inserted(text, _number(text, header.start) + 1, line)
    table = ".".join(map(_quoted, path[:-1]))
    gap = "\n" if text else ""
    return textlines.appended(text, f"{gap}[{table}] {_MARK}\n{line}")


def _without(text: str, path: tuple[str, ...]) -> str:
    key = _key(text, path)
    first = _number(text, key.line)
    after = first + 1 + text.count("\n", key.line, key.end)
    parts = list(_parts(text))
    at = parts.index(key)
    header = parts[at - 1] if at else None
    last = at + 1 == len(parts) or isinstance(parts[at + 1], _Header)
    if isinstance(header, _Header) and last:
        whole = text[header.start : header.end]
        if whole.rstrip().endswith(_MARK) and _number(text, header.start) + 1 == first:
            first -= 1
            above = textlines.split(text)[first - 1].strip() if first else "-"
            first -= not above
    return textlines.without(text, first, after)


def _number(text: str, at: int) -> int:
    """Return the number of the line that holds the position *at*."""
    return len(textlines.split(text[:at]))


def _quoted(name: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-]+", name):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _parts(text: str) -> Iterator[_Key | _Header]:
    """Yield the keys and headers of *text*, which is known to be TOML."""
    at = 0
    table: tuple[str, ...] = ()
    while at < len(text):
        if header := _HEADER.match(text, at):
            # no path leads to one of several
            table = ("\0",) if header[1] == "[[" else _names(header[2])
            end = _line_end(text, header.end())
            yield _Header(table, at, end)
            at = end
        elif key := _ASSIGNED.match(text, at):
            end = _value_end(text, key.end())
            yield _Key((*table, *_names(key[1])), at, key.end(), end)
            at = _line_end(text, end)
        else:  # an empty line, a comment
            at = _line_end(text, at)


def _line_end(text: str, at: int) -> int:
    found = _REST.match(text, at)
    return max(found.end(), at + 1) if found else len(text)


def _names(dotted: str) -> tuple[str, ...]:
    found: Any = tomllib.loads(f"{dotted} = 0")
    names = []
    while isinstance(found, dict):
        name, found = next(iter(found.items()))
        names.append(name)
    return tuple(names)


def _value_end(text: str, start: int) -> int:
    depth, at, end = 0, start, start
    while at < len(text) and (token := _TOKEN.match(text, at)):
        word = token[0]
        if not depth and (word in ("\n", "\r\n") or word[0] == "#"):
            break
        depth += (word in ("[", "{")) - (word in ("]", "}"))
        at = token.end()
        end = at if word.strip() else end
    return start + len(text[start:end].rstrip())
