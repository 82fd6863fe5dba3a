"""Block-style YAML text: lists and mappings of mappings, and where their scalars stand.

Of YAML just what programs write into their settings. What is written otherwise (in
braces, by an anchor, over several lines) has no scalar here; raises ValueError where
even the lines' structure is not plain.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from hushkey.model import Frozen
from hushkey_install.tools import textlines

_KEY = re.compile(
    r"""(?P<key>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'
        |[^\s"'\#&*!|>%@`{}\[\],?:-](?:[^\s:]|:(?=\S))*)
    [ \t]*:(?:[ \t]+(?P<rest>[^\r\n]*))?[\r\n]*$""",
    re.VERBOSE,
)
_QUOTED = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*')[ \t]*(?:\#.*)?$""")
_PLAIN = re.compile(r"[^\s#]+(?:[ \t]+[^\s#][^\s]*)*")
_TAME = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_WORDS = frozenset(("null", "true", "false", "yes", "no", "on", "off", "y", "n"))


class Scalar(Frozen):
    """One scalar: what it says, and where in which line it is written."""

    _secret = ("value",)
    value: str
    line: int
    start: int
    end: int


class Item(Frozen):
    """One mapping of a list: its lines, and its scalars by the path of their keys.

    One of a mapping has a ``name``, its key, with which each of the paths begins, and
    ``inner`` before each key in it; None: it is not written line by line.
    """

    first: int
    after: int
    scalars: dict[tuple[str, ...], Scalar]
    name: str = ""
    inner: str | None = None

    def says(self, *path: str) -> str:
        """Return what stands at *path*, nothing if that is no scalar."""
        found = self.scalars.get(path)
        return found.value if found else ""


class Listing(Frozen):
    """A list or mapping at the top of the text: its key's line, and what is in it.

    ``indent`` is what stands before each hyphen or key; ``empty``: the key's own line
    says that nothing is in it.
    """

    line: int
    after: int
    indent: str
    empty: bool
    items: list[Item]


Read = Callable[[str, str], Listing | None]


def listing(text: str, name: str) -> Listing | None:
    """Return the list called *name* at the top of *text*, None if there is none."""
    return _found(text, name, "[]", re.compile(r"-[ \t]"), "a list of mappings")


def mapping(text: str, name: str) -> Listing | None:
    """Return the mapping of mappings called *name*, None if there is none."""
    return _found(text, name, "{}", _KEY, "a mapping of mappings")


def _found(
    text: str, name: str, nothing: str, head: re.Pattern[str], what: str
) -> Listing | None:
    lines = textlines.split(text)
    tops = _tops(lines)
    found = [number for number, (_, key, _) in enumerate(tops) if key == name]
    if not found:
        return None
    if len(found) > 1:
        raise ValueError(f"{name} is there twice")
    line, _, rest = tops[found[0]]
    after = tops[found[0] + 1][0] if found[0] + 1 < len(tops) else len(lines)
    while after > line + 1 and not _says_something(lines[after - 1]):
        after -= 1
    if rest not in ("", nothing, "null", "~"):
        raise ValueError(f"{name} is not written line by line")
    starts = [at for at in range(line + 1, after) if _says_something(lines[at])]
    if not starts:
        return Listing(line, line + 1, "", True, [])
    if rest:
        raise ValueError(f"{name} is not written line by line")
    indent = _indent(lines[starts[0]])
    heads = [at for at in starts if _indent(lines[at]) == indent]
    items = []
    for at, end in zip(heads, [*heads[1:], after], strict=True):
        begins = head.match(lines[at].lstrip(" "))
        if not begins:
            raise ValueError(f"{name} is not {what}")
        while not _says_something(lines[end - 1]):
            end -= 1
        scalars = _scalars(lines, at, end)
        if head is not _KEY:
            items.append(Item(at, end, scalars))
            continue
        below = [_indent(line) for line in lines[at + 1 : end] if _says_something(line)]
        inline = re.sub(r"(^|[ \t])#.*", "", begins["rest"] or "").strip()
        inner = None if inline else " " * (below[0] if below else indent + 2)
        items.append(Item(at, end, scalars, _decoded(begins["key"]) or "", inner))
    return Listing(line, after, " " * indent, False, items)


def written(value: str) -> str:
    """Return *value* as a scalar."""
    if _TAME.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value)


def source(lines: list[str], scalar: Scalar) -> str:
    """Return how *scalar* is written in the *lines* of the text."""
    return lines[scalar.line][scalar.start : scalar.end]


def rewrite(text: str, scalar: Scalar, made: str) -> str:
    """Return *text* with *scalar* written as *made*."""
    lines = textlines.split(text)
    line = lines[scalar.line]
    lines[scalar.line] = line[: scalar.start] + made + line[scalar.end :]
    return "".join(lines)


def header(text: str, name: str, read: Read = listing) -> str | None:
    """Return the line that says that *name* is empty, for `without_item`.

    Nothing if something is in it, None if there is none. *read*: it is such a one.
    """
    found = read(text, name)
    if found is None:
        return None
    return textlines.split(text)[found.line] if found.empty else ""


def with_item(text: str, name: str, item: str, read: Read = listing) -> str:
    """Return *text* with the lines of *item*, the last of *name*."""
    found = read(text, name)
    item = item.replace("\r\n", "\n")
    if found is None:
        return textlines.appended(text, f"{name}:\n{item}")
    if not found.empty:
        return textlines.inserted(text, found.items[-1].after, item)
    lines, end = textlines.split(text), textlines.ending(text)
    last = not lines[found.line].endswith("\n")
    block = f"{name}:\n{item}".replace("\n", end)
    lines[found.line] = block if last else block + end
    return "".join(lines)


def without_item(
    text: str, name: str, header: str | None, meant: Callable[[Item], bool]
) -> str:
    """Return *text* without the first item of the list *name* that is *meant*.

    A list that is empty then is `with_header`.
    """
    found = listing(text, name)
    for item in found.items if found else ():
        if meant(item):
            text = textlines.without(text, item.first, item.after)
            return with_header(text, name, header)
    return text


def with_header(text: str, name: str, header: str | None, read: Read = listing) -> str:
    """Return *text* where an empty *name* is *header*'s line again; None: it goes."""
    found = read(text, name)
    if found is None or not found.empty or header == "":
        return text
    if header is None:
        return textlines.without(text, found.line, found.line + 1)
    lines = textlines.split(text)
    now = lines[found.line]
    lines[found.line] = header.rstrip("\r\n") + now[len(now.rstrip("\r\n")) :]
    return "".join(lines)


def _tops(lines: list[str]) -> list[tuple[int, str, str]]:
    """Return the keys at the top: each one's line, its name, and what is after it."""
    found = []
    for at, line in enumerate(lines):
        if not _says_something(line) or line[0] == " " or line[0] == "-":
            if line.startswith("---") and any(map(_says_something, lines[:at])):
                raise ValueError("there are several documents")
            continue
        key = _KEY.match(line)
        if line.startswith(("...", "%")) or key is None:
            raise ValueError(f"line {at + 1} is not `key: value`")
        rest = re.sub(r"(^|[ \t])#.*", "", key["rest"] or "").strip()
        found.append((at, _decoded(key["key"]) or "", rest))
    return found


def _scalars(lines: list[str], first: int, after: int) -> dict[tuple[str, ...], Scalar]:
    """Return the scalars of the mapping in these lines, perhaps after a hyphen."""
    found: dict[tuple[str, ...], Scalar] = {}
    stack: list[tuple[int, str]] = []
    skip = -1  # what is indented more belongs to a value of several lines
    last: tuple[str, ...] = ()
    for at in range(first, after):
        line = lines[at]
        if not _says_something(line):
            continue
        head = _indent(line)
        if at == first and line[head] == "-":
            line = line[:head] + " " + line[head + 1 :]
        indent = _indent(line)
        if 0 <= skip < indent:
            found.pop(last, None)
            continue
        skip, last = -1, ()
        bare = line[indent:]
        key = _KEY.match(bare)
        if bare.startswith("-") or key is None:
            skip = indent
            continue
        while stack and stack[-1][0] >= indent:
            stack.pop()
        stack.append((indent, _decoded(key["key"]) or ""))
        rest = key["rest"] or ""
        if not rest.strip() or rest.startswith("#"):
            continue
        skip = indent
        start = indent + key.start("rest")
        if scalar := _scalar(rest, at, start):
            last = tuple(name for _, name in stack)
            found[last] = scalar
    return found


def _scalar(rest: str, line: int, start: int) -> Scalar | None:
    if rest[0] in "\"'":
        found = _QUOTED.match(rest)
        value = _decoded(found[1]) if found else None
        end = found.end(1) if found else 0
    else:
        plain = None if rest[0] in "&*!|>%@`{[" else _PLAIN.match(rest)
        value, end = (plain[0], plain.end()) if plain else (None, 0)
    return None if value is None else Scalar(value, line, start, start + end)


def _decoded(word: str) -> str | None:
    if word.startswith("'"):
        return word[1:-1].replace("''", "'")
    if word.startswith('"'):
        try:
            return str(json.loads(word))
        except ValueError:
            return None  # an escape that only YAML has
    return word


def _says_something(line: str) -> bool:
    bare = line.strip()
    return bool(bare) and bare[0] != "#" and bare != "---"


def _indent(line: str) -> int:
    bare = line.lstrip(" ")
    if bare.startswith("\t"):
        raise ValueError("it is indented by a tab")
    return len(line) - len(bare)
