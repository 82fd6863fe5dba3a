"""Answers from another terminal: only to what waits, and nothing of them stays."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

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


def killed(environ: dict[str, str]) -> Path:
    """Return where a forward that was killed has left its sockets."""
    place = Place(environ, to="me@far")
    os.close(place._lock)
    left = Path(place.path("socket"))
    left.touch()
    return left


def test_what_a_killed_forward_has_left_goes_wherever_it_is(
    home: Path, tmp_path: Path
) -> None:
    environ = dict(os.environ)
    environ["HUSHKEY_RUNTIME_DIR"] = str(tmp_path / ("long" * 30))
    short = killed(environ)
    places.clean(environ)

    assert not short.is_relative_to(tmp_path)
    assert not short.parent.exists()
    assert not places.living(environ)


@pytest.mark.parametrize("kind", ["another's link", "another place"])
def test_folder_that_is_not_that_forward_s_stays(
    home: Path, tmp_path: Path, kind: str
) -> None:
    environ = os.environ | {"HUSHKEY_RUNTIME_DIR": str(tmp_path / ("long" * 30))}
    short = killed(environ).parent
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "kept").touch()
    (short / "socket").unlink()
    short.rmdir()
    if kind == "another's link":
        short.symlink_to(theirs)
    else:
        (about,) = tmp_path.glob("*/forward-*/about")
        about.write_text(about.read_text().replace(str(short), str(theirs)))
    places.clean(environ)

    assert (theirs / "kept").exists()
    short.unlink(missing_ok=True)


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
