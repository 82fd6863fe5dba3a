"""The guide: its pages, and how one looks on a terminal.

The pages are Markdown, written for both a browser and `hushkey help`. They are beside
this package in a checkout and inside it in an installed wheel (pyproject.toml).
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from hushkey_install.common import output

#: every page, in the order to read them
TOPICS = (
    "start",
    "git",
    "azure",
    "docker",
    "python",
    "tools",
    "forges",
    "identity-servers",
    "machines",
    "forward",
    "config",
    "commands",
    "exit-codes",
    "troubleshooting",
    "logging",
    "how",
    "agent",
    "security",
    "speed",
    "comparison",
    "contributing",
)
#: characters; a line of prose that is longer is hard to read
_PROSE = 88
_INDENT = "    "
#: a command is not cut in two, unless it is longer than this
_WHOLE = 60

#: a line and its colour; None is plain
Line = tuple[str, str | None]


def folder() -> Path:
    """Return where the pages are."""
    package = Path(__file__).parents[1]
    inside = package / "guide"
    return inside if inside.is_dir() else package.parent / "guide"


def page(topic: str) -> str:
    """Return the page about *topic*, one of `TOPICS`, as Markdown."""
    return (folder() / f"{topic}.md").read_text("utf-8")


def title(topic: str) -> str:
    """Return the title of the page about *topic*."""
    return page(topic).partition("\n")[0].removeprefix("# ")


def lines(markdown: str, width: int) -> Iterator[Line]:
    """Yield what *markdown* looks like in *width* characters.

    Only what our pages use: headings, paragraphs, lists, tables, fenced code. Code is
    never wrapped and keeps its backticks, since people copy it.
    """
    width = min(width, _PROSE)
    waiting: list[str] = []
    code = False
    for line in [*markdown.splitlines(), ""]:
        if line.startswith("```"):
            code = not code
        elif code:
            yield (_INDENT + line).rstrip(), None
        elif line[:1] == "|":
            waiting.append(line)
        elif line[:1] == "#":
            yield from _wrapped(inline(line.lstrip("# ")), width, colour="cyan")
        elif line and not _starts_item(line):
            waiting.append(line)
        else:
            yield from _block(waiting, width)
            waiting = [line] if line else []
            if not line:
                yield "", None


def _starts_item(line: str) -> bool:
    return re.match(r"- |\d+\. ", line) is not None


def _block(block: Sequence[str], width: int) -> Iterator[Line]:
    """Yield a paragraph, an item of a list or a table."""
    if block and block[0][:1] == "|":
        yield from _table(block, width)
    elif block and not block[0].startswith("!["):  # pictures stay in the browser
        text = " ".join(map(str.strip, block))
        mark = re.match(r"- |\d+\. |", text)
        hanging = " " * len(mark[0]) if mark else ""
        yield from _wrapped(inline(text), width, hanging=hanging)


def _table(rows: Sequence[str], width: int) -> Iterator[Line]:
    """Yield a table in columns, or row by row where columns would not fit."""
    titles, _, *found = map(_cells, rows)
    widths = [max(map(len, column)) for column in zip(titles, *found, strict=True)]
    if sum(widths) + 2 * len(widths) <= width:
        for cells, colour in [(titles, "cyan"), *((row, None) for row in found)]:
            padded = (c.ljust(n + 2) for c, n in zip(cells, widths, strict=True))
            if line := "".join(padded).rstrip():
                yield line, colour
        return
    yield from _wrapped(" / ".join(filter(None, titles)), width, colour="cyan")
    for row in found:
        first, *others = zip(titles, row, strict=True)
        yield from _wrapped(first[1], width, colour="white")
        for name, cell in others:
            told = f"{name}: {cell}" if name and len(others) > 1 else cell
            if cell:
                yield from _wrapped(_INDENT + told, width, hanging=_INDENT)


def _cells(row: str) -> list[str]:
    """Return the cells of a table's *row*; an escaped bar does not end one."""
    inner = row.strip().removeprefix("|").removesuffix("|")
    return [inline(cell.strip()) for cell in re.split(r"(?<!\\)\|", inner)]


def _wrapped(
    text: str, width: int, *, hanging: str = "", colour: str | None = None
) -> Iterable[Line]:
    """Return *text* in lines that end between words; *hanging* indents all but one."""
    whole = re.sub(r"`[^`]+`", _kept_whole, text)
    parts = textwrap.wrap(
        whole,
        width,
        subsequent_indent=hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [(part.replace("\0", " "), colour) for part in parts]


def _kept_whole(code: re.Match[str]) -> str:
    return code[0] if len(code[0]) > _WHOLE else code[0].replace(" ", "\0")


def inline(text: str) -> str:
    """Return *text* without the marks that only a browser needs."""
    text = text.replace("\\|", "|").replace("<br>", "; ")
    text = re.sub(r"\[([^]]+)\]\(([^)]+)\)", _link, text)
    return re.sub(r"\*\*(.+?)\*\*|(?<!\w)\*(\w.*?)\*", r"\1\2", text)


def _link(link: re.Match[str]) -> str:
    """Return a link as words: how to open its page from here."""
    name, target = link[1], link[2]
    other = re.match(r"([\w-]+)\.md", target)
    if other and other[1] in TOPICS:
        return f"{name} (`hushkey help {other[1]}`)"
    return f"{name} ({target})" if target.startswith("http") else name


def show(topic: str) -> None:
    """Write the page about *topic* to the screen."""
    for line, colour in lines(page(topic), output.width()):
        output.say_styled(line, colour)
