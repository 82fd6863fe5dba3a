"""A forward from its beginning to its end, whichever way it ends."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType

from hushkey import runtime
from hushkey.errors import Permanent, span
from hushkey.system import paths
from hushkey_helpers import table
from hushkey_helpers.agent import process
from hushkey_helpers.forward import consent
from hushkey_helpers.forward.answers import Answers
from hushkey_helpers.forward.consent import Consent
from hushkey_helpers.forward.server import Server
from hushkey_install.common import output
from hushkey_install.forward.connection import Connection
from hushkey_install.forward.places import Place
from hushkey_install.forward.sshwords import SshWords

#: seconds between two looks at whether it is over
_TICK = 0.2
_SPAN = re.compile(r"(?:(\d{1,3})d)?(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,7})s?)?")


def seconds(text: str) -> int:
    """Return how long ``8h``, ``1h30m`` or ``90`` (seconds) is; raises ValueError."""
    found = _SPAN.fullmatch(text.strip())
    parts = [int(part or 0) for part in found.groups()] if found else []
    if not any(parts):
        raise ValueError(f"{text!r} is not a duration such as 8h, 90m or 600s")
    days, hours, minutes, rest = parts
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest


def by_ssh(
    words: SshWords, only: tuple[str, ...], lasts: int, environ: Mapping[str, str]
) -> int:
    """Run ssh with a forwarded socket; return its exit code."""
    to = words.destination
    with (
        _ends_in_order(),
        _answering(to, only, lasts, environ, words.silent) as (
            place,
            server,
            path,
        ),
    ):
        server.start()
        connection = Connection(words, place.path("control"), environ)
        try:
            connection.open(path)
            if words.silent:
                _say_ready(to, lasts)
                _wait(lasts, lambda: not connection.is_alive)
                return 0
            return _session(connection, server, lasts)
        finally:
            connection.close()


def _session(connection: Connection, server: Server, lasts: int) -> int:
    """Wait for the session; the forward may end before it does."""
    running = connection.session()
    end = time.monotonic() + lasts if lasts else 0.0
    try:
        while True:
            left = max(0.0, end - time.monotonic()) if end else None
            try:
                return running.wait(left)
            except subprocess.TimeoutExpired:
                end = 0.0
                server.stop()
                connection.withdraw()
    finally:
        if running.poll() is None:
            running.terminate()
            running.wait()


def by_socket(
    path: str, only: tuple[str, ...], lasts: int, environ: Mapping[str, str]
) -> None:
    """Answer at *path*, for a container that it is mounted into."""
    _make_room(path)
    with (
        _ends_in_order(),
        _answering(path, only, lasts, environ, True, path) as (
            _,
            server,
            _path,
        ),
    ):
        server.start()
        _say_ready(path, lasts)
        _wait(lasts, lambda: not os.path.exists(path))


@contextmanager
def _answering(
    to: str,
    only: tuple[str, ...],
    lasts: int,
    environ: Mapping[str, str],
    terminal: bool,
    path: str = "",
) -> Iterator[tuple[Place, Server, str]]:
    """Give a place and a server that is not started yet, and take both away."""
    runtime.tool_of = table.tool_of
    process.hide_memory()  # it remembers tokens, as the agent does
    until = int(time.time()) + lasts if lasts else 0
    place = Place(environ, to=to, only=list(only), until=until)
    try:
        asks = _ask if terminal and sys.stdin.isatty() else None
        answers = Answers(
            place.name, to, environ, Consent(to, only, environ, asks, place.ask)
        )
        path = path or place.path("socket")
        server = Server(path, answers)
        try:
            yield place, server, path
        finally:
            server.stop()
    finally:
        place.close()


def _ask(question: str) -> bool:
    """Ask on the terminal, for as long as a window would."""
    output.say(f"{question} [y/N]", err=True)
    ready, _, _ = select.select([sys.stdin], [], [], consent.PATIENCE)
    return bool(ready) and sys.stdin.readline().strip().lower() in ("y", "yes")


def _say_ready(to: str, lasts: int) -> None:
    for_how_long = f" for {span(lasts)}" if lasts else ""
    output.say(f"answering {to}{for_how_long}; Ctrl-C ends it", err=True)


def _wait(lasts: int, is_over: Callable[[], bool]) -> None:
    end = time.monotonic() + lasts
    with suppress(KeyboardInterrupt):
        while not is_over() and (not lasts or time.monotonic() < end):
            time.sleep(_TICK)


def _make_room(path: str) -> None:
    """Make the folder of *path*, and remove the socket that a killed one left."""
    if not os.path.isabs(path):
        raise Permanent(f"{path} is not an absolute path")
    paths.make_private(os.path.dirname(path))
    try:
        found = os.lstat(path)
    except OSError:
        return
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.geteuid():
        raise Permanent(f"{path} is there, and no socket of yours")
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(2)
        try:
            link.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError:
            pass
    raise Permanent(f"somebody answers at {path} already")


@contextmanager
def _ends_in_order() -> Iterator[None]:
    """Let what would end this process end the forward first."""

    def end(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, end) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
