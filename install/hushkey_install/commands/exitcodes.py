"""How the command ends: in one line and a documented exit code, never a traceback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from hushkey.errors import HushkeyError, plain, visible
from hushkey.trace import event
from hushkey_install.common import output

#: shown by `--help`; the guide has the same table
CODES = """\
\b
Exit codes:
  0  done, nothing to complain about
  1  failed, declined, or `doctor` found something
  2  wrong usage
  3  a sign-in is needed or was declined
  4  network or server fault: try again
  5  the config is wrong: `hushkey config check`
  6  the keyring or the token files cannot serve: `hushkey doctor`
"""


class Group(click.Group):
    """A group whose commands end in one line, whatever happens to them."""

    #: title -> the commands that `--help` lists below it
    sections: Mapping[str, Sequence[str]] = {}

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """List the commands below the titles of their sections, none left out."""
        room = formatter.width - 6 - max(map(len, self.commands))
        listed = {name for names in self.sections.values() for name in names}
        more = [name for name in self.commands if name not in listed]
        sections = {**self.sections, **({"More": more} if more else {})}
        for title, names in sections.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(n, self.commands[n].get_short_help_str(room)) for n in names]
                )

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read the command line; what is wrong with it is told without its escapes."""
        _take_any_text()
        with _wrong_usage():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _wrong_usage():
                return super().invoke(ctx)
        except HushkeyError as error:
            event("failed", error=error)
            output.say(f"hushkey: {error.line()}", err=True)
            raise click.exceptions.Exit(error.exit_code) from error
        except BrokenPipeError:
            # The reader has gone (`hushkey status | head`); nothing is wrong.
            sys.stdout = None
            raise click.exceptions.Exit(0) from None
        except (OSError, subprocess.SubprocessError) as error:
            output.say(f"hushkey: {_system(error)}", err=True)
            raise click.exceptions.Exit(1) from error


@contextmanager
def _wrong_usage() -> Iterator[None]:
    """Let click tell what is wrong with the command line in one harmless line.

    It shows the words of the command line as they are. Where one is missing it
    shows our own only, and its lines are meant.
    """
    try:
        yield
    except click.ClickException as error:
        told = error.format_message()
        shown = visible(told)
        if shown == told or isinstance(error, click.MissingParameter):
            raise
        if not isinstance(error, click.UsageError):
            raise click.ClickException(shown) from error
        if error.ctx and told == error.ctx.get_help():
            raise
        raise click.UsageError(shown, error.ctx) from error


def _system(error: OSError | subprocess.SubprocessError) -> str:
    """Return a fault of the system as a line; a command line is not shown."""
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return plain(f"{error.strerror or type(error).__name__}{where}")
    return "a program that hushkey started gave no answer in time"


def _take_any_text() -> None:
    """Let the streams show what their encoding lacks, escaped, and never fail.

    A file name may hold any bytes, and a locale may be anything but UTF-8.
    """
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")
