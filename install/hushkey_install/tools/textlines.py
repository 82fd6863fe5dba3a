"""Whole lines of a text: put at its end, and taken out, so that one undoes the other.

A text whose last line has no end is left with a last line that has none.
"""

from __future__ import annotations

import re

_LINE = re.compile(r"[^\n]*\n|[^\n]+")


def split(text: str) -> list[str]:
    """Return the lines of *text*, each with its end."""
    return _LINE.findall(text)


def ending(text: str) -> str:
    """Return how the lines of *text* end."""
    return "\r\n" if "\r\n" in text else "\n"


def appended(text: str, block: str) -> str:
    """Return *text* with the lines of *block*, which has no last line end, after it."""
    end = ending(text)
    block = block.replace("\n", end)
    if not text or text.endswith("\n"):
        return text + block + end
    return text + end + block


def inserted(text: str, at: int, block: str) -> str:
    """Return *text* with the lines of *block* before its line number *at*."""
    lines, end = split(text), ending(text)
    if at >= len(lines):
        return appended(text, block)
    lines[at:at] = [block.replace("\n", end) + end]
    return "".join(lines)


def without(text: str, first: int, after: int) -> str:
    """Return *text* without its lines from number *first* to before *after*."""
    lines = split(text)
    kept, end = lines[:first], ending(text)
    if kept and after >= len(lines) and not text.endswith("\n"):
        kept[-1] = kept[-1].removesuffix(end)
    return "".join((*kept, *lines[after:]))
