"""What the tests of the agent share: a clock, a watch, a question, a running loop."""

import os
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hushkey import runtime
from hushkey.config import rules
from hushkey_helpers.agent import protocol
from hushkey_helpers.agent.answers import Answers, Question
from hushkey_helpers.agent.memory import Memory, Watch
from hushkey_helpers.agent.renewal import RenewalSchedule
from hushkey_helpers.agent.server import Server
from hushkey_helpers.agent.workers import Workers

Tool = Callable[[list[str], Callable[[], bytes], Mapping[str, str]], Any]


class Told(Watch):
    """A watch that hears what the test says."""

    def __init__(self, number: int | None = 1) -> None:
        self.value = number
        self.act: Callable[[], None] = lambda: None

    def number(self) -> int | None:
        return self.value

    def heard(self) -> int | None:
        return self.value

    def on_change(self, act: Callable[[], None]) -> None:
        self.act = act

    def change(self) -> None:
        self.value = (self.value or 0) + 1
        self.act()


class Said:
    """What a tool of the tests answers."""

    def __init__(
        self, out: bytes = b"", lines: tuple[str, ...] = (), code: int = 0
    ) -> None:
        self.out = out
        self.lines = lines
        self.code = code


def fields(
    data: bytes = b"",
    tool: str = "git",
    argv: tuple[str, ...] = ("get",),
    installation: bytes | None = None,
    **environ: str,
) -> tuple[bytes, ...]:
    """Return a question as the client sends it from this process's environment."""
    known = {
        n: os.environ[n] for n in protocol.FORWARDED_VARS if n in os.environ
    } | environ
    pairs = (f"{name}={value}" for name, value in known.items())
    words = (tool, str(len(argv)), *argv, *pairs)
    stamp = protocol.installation() if installation is None else installation
    return stamp, data, *(word.encode() for word in words)


def question(data: bytes = b"", began: float = 1.0, **options: Any) -> Question:
    return Question(list(fields(data, **options)), began)


class Running:
    """The loop in a thread, with real sockets and the test's own tools."""

    def __init__(
        self,
        folder: Path,
        tools: Mapping[str, Tool],
        *,
        idle: float = 60,
        check: Callable[[], str] = str,
    ) -> None:
        self.folder = folder
        self.memory = Memory(Told(), RenewalSchedule())
        sockets = {}
        for kind in ("agent", "git"):
            sockets[kind] = socket.socket(socket.AF_UNIX)
            sockets[kind].bind(str(folder / kind))
            sockets[kind].listen(64)
            sockets[kind].setblocking(False)
        self.workers = Workers()
        self.answers = Answers(tools, self.memory, os.environ)
        self.server = Server(
            sockets, self.answers, self.memory, self.workers, idle=idle, check=check
        )
        self.thread = threading.Thread(target=self.server.run)

    def __enter__(self) -> Self:
        self.thread.start()
        with runtime.AgentContext(self.memory, 0, quick=False):  # the config is known
            rules.load(os.environ)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.server.over = "the test has ended"
        self.workers.ring()
        self.thread.join(20)
        assert not self.thread.is_alive()

    def connect(self, kind: str = "agent") -> socket.socket:
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(10)
        link.connect(str(self.folder / kind))
        return link

    def ask(self, data: bytes = b"", **options: Any) -> list[list[bytes]]:
        """Ask as the client does; return every frame."""
        with self.connect() as link:
            link.sendall(protocol.frame(*fields(data, **options)))
            return frames(link)

    def git(self, data: bytes) -> bytes:
        """Ask as git's C client does."""
        with self.connect("git") as link:
            link.sendall(data)
            link.shutdown(socket.SHUT_WR)
            return rest(link)


def rest(link: socket.socket) -> bytes:
    data = b""
    while piece := link.recv(65536):
        data += piece
    return data


def frames(link: socket.socket) -> list[list[bytes]]:
    """Return all frames until the agent hangs up."""
    data, found = rest(link), []
    while data:
        size = protocol.size(data[: protocol.HEADER])
        found.append(protocol.fields(data[:size]))
        data = data[size:]
    return found
