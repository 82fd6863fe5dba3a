import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from hushkey_install.common import output
from kit.unseen import HOSTILE, unseen

TITLES = ("host", "account")
ROWS = [("git.test", "me"), ("a.very.long.host.name.example.com", "me@example.com")]


def test_columns_where_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")

    lines = output.table(TITLES, ROWS).splitlines()

    assert [line.index("m") for line in lines[1:2]] == [35]
    assert len(lines) == 3
    assert max(map(len, lines)) <= 60


@pytest.mark.parametrize("columns", ["40", "1", "0", "-3", "wide"])
def test_blocks_where_columns_do_not_fit(
    monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)

    text = output.table(TITLES, [*ROWS, ("x" * 300, "y")])

    assert text.startswith("git.test\n  account: me\n")


def test_cells_and_facts_show_nothing_unseen() -> None:
    rows = output.table(TITLES, [(f"a\n{HOSTILE}b", "me")])

    assert rows.count("\n") == 1
    assert unseen(rows) | unseen(output.facts([("git", f"x\n{HOSTILE}")])) == set()


def test_line_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.say(f"a\nhushkey: forged\r{HOSTILE}b", err=True)
    output.say_level("note", "red", f"a\nb{HOSTILE}")

    out, err = capsys.readouterr()
    assert (out.count("\n"), err.count("\n")) == (1, 1)
    assert unseen(out + err) == set()


def test_block_keeps_its_lines_and_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    output.block(f"a\tb\r\n  c{HOSTILE}\n")

    assert capsys.readouterr().out.startswith("a\tb\n  c ")


@pytest.mark.parametrize("columns", ["", "80", "200"])
def test_very_long_line_of_a_diff_is_shortened_on_a_screen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    usual = f"+\tsetting = {'x' * 220}"
    text = f"--- f\n{usual}\n+\thelper = {'y' * 2000}\n"

    output.diff(text)

    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["--- f", usual]
    if not columns:  # a pipe
        assert "\n".join(lines) + "\n" == text
        return
    assert len(lines[2].expandtabs()) < min(int(columns), 120)
    kept, _, more = lines[2].partition(" ... ")
    assert kept.startswith("+\thelper = yyy")
    assert more == f"{2011 - len(kept)} more characters"


@pytest.mark.parametrize("sign", ["+", "-"])
def test_long_run_of_a_diff_is_shortened_on_a_screen(
    sign: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = ["@@", *(f"{sign}line {n}" for n in range(87)), " same"]
    output.diff("\n".join(whole))
    assert capsys.readouterr().out.splitlines() == whole

    monkeypatch.setenv("COLUMNS", "80")
    output.diff("\n".join(whole))
    first, *shown, more, same = capsys.readouterr().out.splitlines()
    assert (first, same) == ("@@", " same")
    assert shown == whole[1:13]
    assert more == f"{sign} ... 75 more lines"

    output.diff("\n".join(whole[:25]))
    assert len(capsys.readouterr().out.splitlines()) == 25


def test_json_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    output.say_json({HOSTILE: f"a\n{HOSTILE}"})

    out = capsys.readouterr().out
    assert unseen(out) == set()
    assert json.loads(out) == {"schema": 1, HOSTILE: f"a\n{HOSTILE}"}


def test_question_is_one_harmless_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n\n"))

    assert output.confirm(f"a\n{HOSTILE}?")
    assert output.prompt(f"b\n{HOSTILE}", default=HOSTILE) == HOSTILE
    err = capsys.readouterr().err
    assert "\n" not in err
    assert unseen(err) == set()


@pytest.mark.parametrize("ask", [output.confirm, output.prompt])
def test_question_that_is_left_ends_its_line(
    ask: Callable[[str], object],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))

    with pytest.raises(click.Abort):
        ask("who?")

    assert capsys.readouterr().err.endswith("\n")


def test_same_name_is_written_once() -> None:
    assert output.facts([("git", "a"), ("git", "b"), ("next", "c")]) == (
        "git:       a\n           b\nnext:      c"
    )


def test_no_colours_but_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert output.styled("x", "red") == "x"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")

    assert output.styled("x", "red") != "x"
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            assert output.styled("x", "red") == "x"


class Screen(io.StringIO):
    """Standard error on a terminal, or not."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.mark.parametrize("terminal", [True, False])
def test_what_takes_long_is_told_on_a_terminal_and_gone_then(
    monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    screen = Screen(terminal=terminal)
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr(output, "_SOON", 0.0)
    monkeypatch.setenv("COLUMNS", "80")

    with output.progress("asking\x1b[2J servers"):
        while terminal and not output._waiting:
            time.sleep(0.001)
        output.say("note: slow", err=True)

    told = "hushkey: asking [2J servers ..."
    blank = f"\r{' ' * len(told)}\r"
    assert screen.getvalue() == (f"{told}{blank}" if terminal else "") + "note: slow\n"


def test_what_is_quick_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(terminal=True)
    monkeypatch.setattr("sys.stderr", screen)

    with output.progress("asking"):
        pass

    assert screen.getvalue() == ""


@pytest.mark.parametrize(
    ("terminal", "environ", "coloured"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
    environ: dict[str, str],
    coloured: bool,
) -> None:
    monkeypatch.delenv("TERM", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    screen = Screen(terminal=terminal)
    monkeypatch.setattr("sys.stdout", screen)

    output.say_level("problem", "red", "x")
    output.say_fine("x")
    output.say_styled("x", "green")
    output.say_table(("host", "state"), [("x", "needs you")], {"needs you": "red"})

    lines = screen.getvalue().splitlines()
    assert ["\x1b[" in line for line in lines] == [coloured] * 5


def test_only_here_is_anything_coloured() -> None:
    room = Path(output.__file__).parents[1]
    texts = {p.name: p.read_text() for p in room.rglob("*.py") if p.name != "output.py"}

    assert [n for n, t in texts.items() if "click.style" in t or "secho(" in t] == []
