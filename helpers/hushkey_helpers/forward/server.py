"""The near side's socket: whoever is at its other end may ask, and only ask.

A thread for each connection, as many as LINKS; a question arrives within ARRIVAL and
is no longer than the protocol says; so many in a minute. While somebody waits for a
person or a server, a sign of life goes out, and who hangs up is not waited for.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from contextlib import suppress

from hushkey.net import forwarding
from hushkey.net.forwarding import Garbage
from hushkey_helpers.agent import connections

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hushkey_helpers.forward.answers import Answers

#: connections at once, and questions in a minute
LINKS, A_MINUTE = 64, 600
#: seconds for a question to arrive and for an answer to be taken
ARRIVAL = 5.0
#: seconds between two looks at whether it is over
_TICK = 0.5
_BACKLOG = 128


class Server:
    """Listens at *path* until `stop` is called; *answers* says what to say."""

    def __init__(self, path: str, answers: Answers) -> None:
        self._path = path
        self._answers = answers
        self._over = threading.Event()
        self._links = 0
        self._lock = threading.Lock()
        self._asked: list[float] = []
        self._noted = 0.0
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            self._listener.bind(path)
        finally:
            os.umask(before)
        self._place = _place(path)
        self._listener.listen(_BACKLOG)
        self._listener.settimeout(_TICK)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to answer, in threads of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more questions, hang up, and take the socket away."""
        self._over.set()
        self._thread.join(5)
        self._listener.close()
        if _place(self._path) == self._place:
            with suppress(OSError):
                os.unlink(self._path)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                link, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                if self._over.wait(_TICK):  # no descriptor is free, for a moment
                    return
                continue
            with self._lock:
                full = self._links >= LINKS
                self._links += not full
            if full or not _may_ask(link):
                link.close()
                with self._lock:
                    self._links -= not full
                continue
            thread = threading.Thread(target=self._serve, args=(link,), daemon=True)
            thread.start()

    def _serve(self, link: socket.socket) -> None:
        try:
            with link:
                self._talk(link)
        except OSError:
            return  # it has hung up
        finally:
            with self._lock:
                self._links -= 1

    def _talk(self, link: socket.socket) -> None:
        try:
            if not self._is_in_time():
                raise Garbage(f"more than {A_MINUTE} questions in a minute")
            asked = forwarding.question(self._read(link))
        except Garbage as error:
            self._note(str(error))
            self._say(link, (forwarding.ERROR, {"line": str(error)}))
            _drain(link)
            return
        gone = threading.Event()
        done = threading.Event()
        reply: list[tuple[str, dict[str, str]]] = []

        lines: list[str] = []

        def is_gone() -> bool:
            return gone.is_set() or self._over.is_set()

        def work() -> None:
            try:
                reply.append(self._answers.reply(asked, is_gone, lines.append))
            finally:
                done.set()

        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        beat = time.monotonic() + forwarding.HEARTBEAT
        wait = 0.05
        try:
            while not done.wait(wait):
                if self._over.is_set() or _has_gone(link):
                    return
                wait = _TICK
                if lines or time.monotonic() >= beat:
                    line = {"line": lines.pop(0)} if lines else {}
                    self._say(link, (forwarding.WORKING, line))
                    beat = time.monotonic() + forwarding.HEARTBEAT
            if reply and not self._over.is_set():  # what comes too late is not given
                self._say(link, reply[0])
        finally:
            gone.set()

    def _read(self, link: socket.socket) -> bytes:
        """Return one whole question; raises Garbage for anything else."""
        data, end = bytearray(), time.monotonic() + ARRIVAL
        while not forwarding.is_whole(data, forwarding.QUESTION_BYTES):
            link.settimeout(max(0.01, end - time.monotonic()))
            try:
                piece = link.recv(4096)
            except TimeoutError:
                piece = b""
            if not piece or time.monotonic() > end:
                raise Garbage("half a question")
            data += piece
        return bytes(data)

    def _say(self, link: socket.socket, reply: tuple[str, dict[str, str]]) -> None:
        kind, words = reply
        try:
            data = forwarding.message(kind, **words)
        except Garbage as error:
            data = forwarding.message(forwarding.ERROR, line=str(error))
        link.settimeout(ARRIVAL)
        link.sendall(data)

    def _is_in_time(self) -> bool:
        """Count a question; tell whether there were not too many in a minute."""
        now = time.monotonic()
        with self._lock:
            self._asked = [when for when in self._asked if now - when < 60]
            if len(self._asked) >= A_MINUTE:
                return False
            self._asked.append(now)
        return True

    def _note(self, why: str) -> None:
        """Write down what was refused, once in a while: a flood is one line."""
        now = time.monotonic()
        with self._lock:
            if self._noted and now - self._noted < 10:
                return
            self._noted = now
        self._answers.refused(why)


def _may_ask(link: socket.socket) -> bool:
    """Tell whether the other end is this user's, or root's as in a container."""
    found = connections.peer(link)
    return found is not None and found[1] in (os.geteuid(), 0)


def _has_gone(link: socket.socket) -> bool:
    """Tell whether the other end has hung up; what it says beside is not heard."""
    ready, _, _ = select.select([link], [], [], 0)
    return bool(ready) and not link.recv(4096)


def _drain(link: socket.socket) -> None:
    """Let who sends a flood read why it was refused: a reset would take that away."""
    link.shutdown(socket.SHUT_WR)
    end = time.monotonic() + 1
    link.settimeout(0.5)
    with suppress(OSError):
        while time.monotonic() < end and link.recv(65536):
            continue


def _place(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_ino, found.st_dev
