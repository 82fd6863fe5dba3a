"""What fits on this screen: its width, its colours, and rows in columns or blocks."""

import os
import shutil
import sys
from collections.abc import Iterable, Sequence

import click

#: nobody reads a line much longer than this
_WIDEST = 120
_GAP = 2


def width() -> int:
    """Return how many characters a line may have; a pipe is as wide as can be."""
    if not os.environ.get("COLUMNS") and not sys.stdout.isatty():
        return 1000
    return max(20, min(shutil.get_terminal_size().columns, _WIDEST))


def styled(text: str, colour: str) -> str:
    """Return *text* in *colour* on a terminal that wants colours (no-color.org)."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    if plain or not sys.stdout.isatty():
        return text
    return click.style(text, fg=colour, bold=True)


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return ``name:  value`` lines; the same name is written once."""
    lines, last = [], ""
    for name, value in pairs:
        shown = "" if name == last else f"{name}:"
        lines.append(f"{shown:<10} {value}".rstrip())
        last = name
    return "\n".join(lines)


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return *rows* in columns, or as blocks where columns would not fit.

    A wrapped column cannot be read, nor copied from.
    """
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    if sum(widths) + _GAP * (len(widths) - 1) > width():
        return "\n".join(_block(titles, row) for row in rows)
    lines = [_line(titles, widths), *(_line(row, widths) for row in rows)]
    return "\n".join((styled(lines[0], "cyan"), *lines[1:]))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(size + _GAP) for cell, size in zip(cells, widths, strict=True))
    return "".join(padded).rstrip()


def _block(titles: Sequence[str], row: Sequence[str]) -> str:
    first, *others = zip(titles, row, strict=True)
    lines = [first[1], *(f"  {title}: {cell}" for title, cell in others)]
    return "\n".join(lines)
