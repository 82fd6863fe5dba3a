"""The only way to a person's screen: lines, blocks, questions, rows in columns.

Names come from a config, a server, a repository, a file. Here, and nowhere else,
they lose what would move a cursor, forge a line or change how other text reads.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from hushkey.errors import visible

#: of all JSON that is written; rises when a key changes its meaning or goes
SCHEMA = 1
#: nobody reads a line much longer than this
_WIDEST = 120
_GAP = 2
#: so many characters of one line of a diff are a few lines of a screen, and no more
_LONG = 240
_MORE = " ... %d more characters"
#: so many lines in a row that only come, or only go, are half a screen
_MANY = 24
#: so many names are shown of a long list
_NAMED = 10
#: seconds after which a person is told what takes so long
_SOON = 2.0


def say(line: str, *, err: bool = False) -> None:
    """Write *line*, which stays one line whatever is in it."""
    _clear()
    click.echo(visible(line), err=err)


def say_level(level: str, colour: str, line: str) -> None:
    """Write *line* behind its *level*, a word of ours, in *colour*."""
    click.echo(f"{styled(level, colour)}: {visible(line)}")


def say_fine(line: str) -> None:
    """Write *line* behind a tick, or behind "ok" where the screen has no tick."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        "\u2713".encode(encoding)
    except (UnicodeError, LookupError):
        click.echo(f"{styled('ok', 'green')} {visible(line)}")
    else:
        click.echo(f"{styled(chr(0x2713), 'green')} {visible(line)}")


def say_styled(line: str, colour: str | None) -> None:
    """Write *line*, in *colour* where the screen has colours."""
    shown = visible(line)
    click.echo(styled(shown, colour) if colour else shown)


def block(text: str) -> None:
    """Write *text*, whose line ends and tabs are meant."""
    click.echo(laid_out(text.removesuffix("\n")))


def diff(text: str) -> None:
    """Write the lines of a diff; on a screen, the beginning of what is very long.

    What is written to the file is not shortened, nor what goes into a pipe.
    """
    lines = text.removesuffix("\n").split("\n")
    block("\n".join(map(_beginning, _first(lines)) if _is_screen() else lines))


def _first(lines: Sequence[str]) -> Iterator[str]:
    """Yield *lines*; of many in a row that all come, or all go, the first ones."""
    for sign, alike in itertools.groupby(lines, lambda line: line[:1]):
        run = list(alike)
        more = len(run) - _MANY // 2
        if sign not in ("+", "-") or len(run) <= _MANY:
            yield from run
            continue
        yield from run[:-more]
        yield f"{sign} ... {counted(more, 'more line')}"


def _beginning(line: str) -> str:
    if len(line) <= _LONG:
        return line
    around = len(_MORE % len(line)) + line.count("\t") * 7 + 1
    kept = line[: max(width() - around, 20)]
    return kept + _MORE % (len(line) - len(kept))


def laid_out(text: str) -> str:
    """Return *text* harmless, with its line ends and tabs."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(map(visible, line.split("\t"))) for line in lines)


def say_json(value: Mapping[str, Any]) -> None:
    """Write *value* for programs, and which `SCHEMA` its keys are of.

    Escaped to ASCII, so that nothing is lost.
    """
    click.echo(as_json(value))


def as_json(value: Mapping[str, Any]) -> str:
    """Return *value* as `say_json` writes it."""
    text = json.dumps({"schema": SCHEMA, **value}, indent=2)
    return text.replace("\x7f", "\\u007f")


def confirm(question: str, *, default: bool = False, abort: bool = False) -> bool:
    """Ask a question for yes or no on standard error; *abort* ends us at a no."""
    with _left_alone():
        said = click.confirm(visible(question), default=default, err=True)
    if abort and not said:
        raise click.Abort
    return said


def prompt(
    question: str,
    *,
    default: str | None = None,
    check: Callable[[str], str] | None = None,
) -> str:
    """Ask on standard error for a text; *check* refuses one by BadParameter."""
    shown = f"{question} [{default}]" if default else question
    with _left_alone():
        return str(
            click.prompt(
                visible(shown),
                default=default,
                show_default=False,
                value_proc=check,
                err=True,
            )
        )


def secret(question: str) -> str:
    """Ask on standard error for what nobody is to see; it is not shown."""
    return str(click.prompt(visible(question), hide_input=True, err=True))


@contextmanager
def _left_alone() -> Iterator[None]:
    """Begin a new line behind a question that was left with Ctrl-C or Ctrl-D."""
    try:
        yield
    except click.Abort:
        click.echo(err=True)
        raise


#: the words of `progress` that are on the terminal now
_waiting: list[str] = []


def _clear() -> None:
    """Take the words of `progress` off the terminal, for a line of another's."""
    while _waiting:
        click.echo(f"\r{' ' * len(_waiting.pop())}\r", err=True, nl=False)


@contextmanager
def progress(what: str) -> Iterator[None]:
    """Show *what* on standard error while it takes more than two seconds.

    On a terminal only, and gone from it once it is done.
    """
    if not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    shown = f"hushkey: {visible(what)} ..."[: width() - 1]

    def show() -> None:
        if not done.wait(_SOON):
            click.echo(shown, err=True, nl=False)
            _waiting.append(shown)
            done.wait()
            _clear()

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def width() -> int:
    """Return how many characters a line may have; a pipe is as wide as can be."""
    if not _is_screen():
        return 1000
    return max(20, min(shutil.get_terminal_size().columns, _WIDEST))


def _is_screen() -> bool:
    return bool(os.environ.get("COLUMNS")) or sys.stdout.isatty()


def styled(text: str, colour: str) -> str:
    """Return *text* in *colour* on a terminal that wants colours (no-color.org)."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    if plain or not sys.stdout.isatty():
        return text
    return click.style(text, fg=colour, bold=True)


def counted(number: int, noun: str) -> str:
    """Return *number* and *noun*, which is given in the singular: "2 notes"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """Return *names* in one line; of a long list the first, and how many follow."""
    more = len(names) - _NAMED
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return ``name:  value`` lines; the same name is written once."""
    lines, last = [], ""
    for name, value in pairs:
        shown = "" if name == last else f"{name}:"
        lines.append(f"{shown:<10} {visible(value)}".rstrip())
        last = name
    return "\n".join(lines)


def table(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    colours: Mapping[str, str] | None = None,
) -> str:
    """Return *rows* in columns, or as blocks where columns would not fit.

    A wrapped column cannot be read, nor copied from. A cell that is one of *colours*
    gets that colour.
    """
    paint = colours or {}
    rows = [[visible(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    if sum(widths) + _GAP * (len(widths) - 1) > width():
        return "\n".join(_block(titles, row, paint) for row in rows)
    lines = [_line(titles, widths, {}), *(_line(row, widths, paint) for row in rows)]
    return "\n".join((styled(lines[0], "cyan"), *lines[1:]))


def say_table(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    colours: Mapping[str, str] | None = None,
) -> None:
    """Write *rows* as `table` lays them out."""
    click.echo(table(titles, rows, colours))


def _line(
    cells: Sequence[str], widths: Sequence[int], colours: Mapping[str, str]
) -> str:
    padded = (
        _painted(cell, colours) + " " * (size + _GAP - len(cell))
        for cell, size in zip(cells, widths, strict=True)
    )
    return "".join(padded).rstrip()


def _block(
    titles: Sequence[str], row: Sequence[str], colours: Mapping[str, str]
) -> str:
    first, *others = zip(titles, row, strict=True)
    more = (f"  {title}: {_painted(cell, colours)}" for title, cell in others)
    return "\n".join((first[1], *more))


def _painted(cell: str, colours: Mapping[str, str]) -> str:
    return styled(cell, colours[cell]) if cell in colours else cell
