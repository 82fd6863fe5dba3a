"""HCL text: which blocks stand at its top, and where. Raises ValueError for less.

The grammar is HCL 1's, of Terraform's CLI configuration.
"""

from __future__ import annotations

import re

from hushkey.model import Frozen
from hushkey_install.tools import textlines

_TOKEN = re.compile(
    r"""\#[^\n]*|//[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"
    |<<-?(?P<here>\w+)\r?\n.*?\n[ \t]*(?P=here)(?=\r?\n|$)
    |[{}\[\]=,]|[\w.-]+|\s+""",
    re.DOTALL | re.VERBOSE,
)


class Block(Frozen):
    """One block: its type, its labels, and where it begins and ends."""

    type: str
    labels: tuple[str, ...]
    start: int
    end: int


def blocks(text: str) -> list[Block]:
    """Return the blocks at the top of *text*, in order."""
    if text.lstrip().startswith("{"):
        raise ValueError("it is JSON, which is not edited here")
    found: list[Block] = []
    words: list[str] = []
    at = depth = start = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise ValueError(f"line {text.count(chr(10), 0, at) + 1} is not HCL")
        word = token[0]
        if word in ("{", "["):
            depth += 1
        elif word in ("}", "]"):
            depth -= 1
            if depth < 0:
                raise ValueError("a bracket too many")
            if not depth:
                names = [each.strip('"') for each in words if each != "="]
                if word == "}" and names:
                    found.append(Block(names[0], (*names[1:],), start, token.end()))
                words = []
        elif not depth and word.strip() and word[0] != "#" and word[:2] not in _NOTES:
            if words[1:2] == ["="] or ("\n" in text[start:at] and not words[1:]):
                words = []  # an attribute, which ended with its line
            if not words:
                start = at
            words.append(word)
        at = token.end()
    if depth:
        raise ValueError("a bracket is not closed")
    return found


_NOTES = ("//", "/*")


def without(text: str, block: Block) -> str:
    """Return *text* without the lines of *block*, and the empty one before it."""
    first = len(textlines.split(text[: block.start]))
    if text[: block.start].rpartition("\n")[2]:
        first -= 1
    after = first + 1 + text.count("\n", block.start, block.end)
    lines = textlines.split(text)
    if first and not lines[first - 1].strip():
        first -= 1
    return textlines.without(text, first, after)


def added(text: str, block: str) -> str:
    """Return *text* with *block* at its end, after an empty line."""
    return textlines.appended(text, ("\n" if text else "") + block)
