"""The teller is honest, and readable on any terminal."""

import io

import pytest
from rich.console import Console

from hushkey_install.demo.idserver import Tally
from hushkey_install.demo.teller import Chapter, Teller

ASKED = Tally(windows=1, sign_ins=1)


def told(chapter: Chapter, width: int = 80) -> tuple[Teller, str]:
    output = io.StringIO()
    teller = Teller(Console(file=output, width=width))
    teller.close(chapter)
    teller.table()
    return teller, output.getvalue()


def test_kept_promise() -> None:
    """What was seen is said in numbers."""
    teller, text = told(Chapter("clone", ASKED, ASKED, 1.25))

    assert teller.kept
    assert "asked once: 1 browser window, 1 token request (1 sign-in), 1.2 s" in text


def test_broken_promise() -> None:
    """Two windows where one was promised are told, and the story is not kept."""
    seen = Tally(windows=2, sign_ins=2)
    teller, text = told(Chapter("clone", ASKED, seen, 1.0))

    assert not teller.kept
    assert "NOT as promised: 2 browser windows" in text
    assert "promised: 1 browser window, 1 token request" in text
    assert "BROKEN" in text


@pytest.mark.parametrize("width", [20, 40, 200])
def test_any_width(width: int) -> None:
    """No line is wider than the terminal."""
    _, text = told(Chapter("clone again, commit, push", ASKED, ASKED, 1.0), width)

    assert max(map(len, text.splitlines())) <= width


def test_ascii_terminal() -> None:
    """A terminal that knows only ASCII gets all of it."""
    raw = io.BytesIO()
    output = io.TextIOWrapper(raw, encoding="ascii")
    teller = Teller(Console(file=output, width=80))
    teller.heading("Clone")
    teller.close(Chapter("clone", ASKED, ASKED, 1.0))
    teller.table()
    teller.next_steps()
    output.flush()

    assert b"asked once" in raw.getvalue()
