"""Answers from another terminal: only to what waits, and nothing of them stays."""

import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner

from hushkey.errors import HushkeyError
from hushkey_helpers.forward import consent
from hushkey_install.cli import main
from hushkey_install.forward import places
from hushkey_install.forward.places import Place
from servers.process import wait_until


@pytest.fixture
def place(home: object) -> Iterator[Place]:
    made = Place(os.environ, to="me@far")
    yield made
    made.close()


class Waiting:
    """A question for git.test that waits in a thread of its own."""

    def __init__(self, place: Place, gone: Callable[[], bool] = bool) -> None:
        self.said: list[bool | None] = []
        self._thread = threading.Thread(
            target=lambda: self.said.append(place.ask("git.test", "May it?", gone))
        )
        self._thread.start()
        wait_until(lambda: bool(places.waiting(os.environ)), "the question")

    def answer(self) -> bool | None:
        self._thread.join(20)
        return self.said[0]


def allow(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["forward", "allow", *words])
    text = (
        str(done.exception.line()) if isinstance(done.exception, HushkeyError) else ""
    )
    return done.exit_code, done.output + text


@pytest.mark.parametrize("deny", [False, True])
def test_another_terminal_answers(place: Place, deny: bool) -> None:
    waits = Waiting(place)
    shown = CliRunner().invoke(main, ["forward", "status"]).output

    code, said = allow("git.test", *["--deny"] * deny)

    assert code == 0
    assert "May it? To allow it: hushkey forward allow git.test" in " ".join(
        shown.split()
    )
    assert "May it?" in said
    assert waits.answer() is not deny
    assert not places.waiting(os.environ)
    assert set(os.listdir(place.folder)) == {"about", "lock"}


def test_only_what_waits_can_be_answered(place: Place) -> None:
    assert "no forward asks for git.test" in allow("git.test")[1]
    waits = Waiting(place)

    code, said = allow("other.test")

    assert code == 1
    assert "these are asked for: git.test" in said
    assert allow("git.test", "--forward", "another")[0] == 1
    assert allow("git.test", "--forward", place.name)[0] == 0
    assert waits.answer() is True


def test_two_that_ask_are_told_apart(place: Place) -> None:
    other = Place(os.environ, to="me@other")
    first, second = Waiting(place), Waiting(other)
    wait_until(lambda: len(places.waiting(os.environ)) == 2, "both questions")

    code, said = allow("git.test")

    assert code == 2
    assert place.name in said
    assert allow("git.test", "--forward", place.name)[0] == 0
    assert first.answer() is True
    assert allow("git.test", "--deny")[0] == 0
    assert second.answer() is False
    other.close()


def test_nobody_waits_for_ever(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = threading.Event()
    waits = Waiting(place, gone.is_set)
    gone.set()
    assert waits.answer() is None

    monkeypatch.setattr(consent, "PATIENCE", 0)
    assert place.ask("git.test", "May it?", bool) is None


def test_late_answer_is_not_the_next_question_s(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    places.answer(os.environ, place.name, "git.test", "May another one?", allow=True)
    monkeypatch.setattr(consent, "PATIENCE", 0.5)

    assert place.ask("git.test", "May it?", bool) is None


@pytest.mark.parametrize(("age", "left"), [(0, True), (3600, False)])
def test_one_that_just_starts_is_not_taken_for_a_killed_one(
    place: Place, age: int, left: bool
) -> None:
    starts = f"{place.folder[:-8]}0badcafe"
    os.mkdir(starts, 0o700)
    then = time.time() - age
    os.utime(starts, (then, then))

    places.clean(os.environ)

    assert os.path.isdir(starts) is left
    assert os.path.isdir(place.folder)
    if left:
        os.rmdir(starts)
