"""The near side's socket: questions, and everything that is none."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hushkey.model import Request
from hushkey.net import forwarding
from hushkey.net.forwarding import Question
from hushkey_helpers.forward import server as serving
from hushkey_helpers.forward.server import Server
from kit.agent import rest
from servers.process import short_folder, wait_until

ASKED = Question("git", Request("https", "git.test"))


class Said:
    """Answers as the test says."""

    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.refusals: list[str] = []
        self.lines: list[str] = []
        self.until = threading.Event()
        self.until.set()
        self.left = threading.Event()

    def reply(
        self,
        asked: Question,
        gone: Callable[[], bool] = bool,
        tell: Callable[[str], object] = bool,
    ) -> tuple[str, dict[str, str]]:
        self.asked.append(asked)
        for line in self.lines:
            tell(line)
        while not self.until.wait(0.01):
            if gone():
                self.left.set()
                break
        return forwarding.GIVEN, {"username": "me", "token": "at"}

    def refused(self, why: str) -> None:
        self.refusals.append(why)


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def path(said: Said) -> Iterator[Path]:
    folder = short_folder("forward")
    made = Server(str(folder / "socket"), said)  # type: ignore[arg-type]
    made.start()
    yield folder / "socket"
    made.stop()
    assert list(folder.iterdir()) == []
    folder.rmdir()


def connected(path: Path) -> socket.socket:
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(10)
    link.connect(str(path))
    return link


def ask(path: Path, data: bytes) -> tuple[str, dict[str, str]]:
    with connected(path) as link:
        with suppress(BrokenPipeError):  # refused before the end
            link.sendall(data)
        kind, words = forwarding.parse(rest(link), forwarding.ANSWER_BYTES)
        return kind, dict(words)


def test_question_is_answered(path: Path, said: Said) -> None:
    assert ask(path, ASKED.bytes()) == ("given", {"username": "me", "token": "at"})
    assert said.asked == [ASKED]
    assert path.stat().st_mode & 0o777 == 0o600


def test_question_may_come_in_pieces(path: Path) -> None:
    with connected(path) as link:
        for byte in ASKED.bytes():
            link.sendall(bytes([byte]))
        assert rest(link).startswith(b"hushkey-forward 2 given\n")


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"hushkey-forward 2 get\npath=" + b"x" * 1_000_000, "too long"),
        (b"x" * 1_000_000, "its own protocol"),
        (b"hushkey-forward 1 get\nhost=git.test\n\n", "speaks version 1 of"),
        (b"hushkey-forward 2 store\nhost=git.test\n\n", "nothing but `get`"),
        (b"hk\x01\x00\x00\x00\x10", "its own protocol"),  # the agent's protocol
        (ASKED.bytes() * 2, "more than one"),
    ],
)
def test_what_is_no_question_is_refused_in_one_line(
    path: Path, said: Said, data: bytes, line: str
) -> None:
    kind, words = ask(path, data)

    assert kind == "error"
    assert line in words["line"]
    assert said.asked == []
    assert len(said.refusals) == 1
    assert ask(path, ASKED.bytes())[0] == "given"  # and the next one is answered


def test_flood_is_refused_and_noted_once(
    path: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "A_MINUTE", 5)

    kinds = [ask(path, ASKED.bytes())[0] for _ in range(12)]

    assert kinds == ["given"] * 5 + ["error"] * 7
    assert len(said.refusals) == 1


def test_more_connections_than_there_may_be_are_hung_up_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "LINKS", 3)
    idle = [connected(path) for _ in range(3)]
    try:
        with connected(path) as link:
            assert rest(link) == b""
    finally:
        for link in idle:
            link.close()
    wait_until(lambda: answered(path), "room for another one")


def answered(path: Path) -> bool:
    try:
        return ask(path, ASKED.bytes())[0] == "given"
    except (OSError, forwarding.Garbage):
        return False


def test_half_a_question_does_not_wait_for_ever(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "ARRIVAL", 0.2)

    kind, words = ask(path, b"hushkey-forward 2 get\n")

    assert (kind, words["line"]) == ("error", "half a question")


def test_who_waits_hears_that_somebody_works(
    path: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "HEARTBEAT", 0.05)
    said.until.clear()
    with connected(path) as link:
        link.sendall(ASKED.bytes())
        assert link.recv(4096) == forwarding.message("working")
        said.until.set()
        assert rest(link).endswith(
            forwarding.message("given", username="me", token="at")
        )


def test_who_waits_is_told_what_to_do(path: Path, said: Said) -> None:
    said.lines = ["run this"]
    said.until.clear()
    with connected(path) as link:
        link.sendall(ASKED.bytes())
        assert link.recv(4096) == forwarding.message("working", line="run this")
        said.until.set()
        assert rest(link).endswith(
            forwarding.message("given", username="me", token="at")
        )


def test_who_hangs_up_is_not_waited_for(path: Path, said: Said) -> None:
    said.until.clear()
    with connected(path) as link:
        link.sendall(ASKED.bytes())
        wait_until(lambda: bool(said.asked), "the question")

    assert said.left.wait(10)


def test_end_hangs_up_and_takes_the_socket_away(said: Said) -> None:
    folder = short_folder("forward")
    made = Server(str(folder / "socket"), said)  # type: ignore[arg-type]
    made.start()
    said.until.clear()
    with connected(folder / "socket") as link:
        link.sendall(ASKED.bytes())
        wait_until(lambda: bool(said.asked), "the question")
        began = time.monotonic()
        made.stop()
        assert rest(link) == b""
    assert time.monotonic() - began < 8
    assert said.left.wait(10)
    assert list(folder.iterdir()) == []
    folder.rmdir()
