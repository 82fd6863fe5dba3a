"""Locks between processes, on files that are never deleted.

The kernel releases a lock with its holder, so a killed process leaves nothing
behind. Python signals that would end the process wait while a change to the
store is under way: the gap between a server's answer and the saved file is
where a rotated refresh token would be lost.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager

from hushkey import runtime
from hushkey.errors import StoreError, Transient
from hushkey.system import ownership
from hushkey.trace import event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from filelock import FileLock


@contextmanager
def held(
    path: str, timeout: float, waiting: Callable[[], None] | None = None
) -> Iterator[None]:
    """Hold the lock file *path*, waiting at most *timeout* seconds.

    It lies in a folder of the data folder. *waiting* is called, once, after two
    seconds without it. Raises Transient when the time is over,
    StoreError where locks cannot be made.
    """
    runtime.ensure_may_block()
    from filelock import FileLock, Timeout

    ownership.make_inside(os.path.dirname(path))
    ownership.check_name(path)
    lock = FileLock(path, mode=0o600)
    try:
        try:
            lock.acquire(timeout=min(1.0, timeout), poll_interval=0.02)
        except Timeout:
            event("waiting")
            _wait(lock, max(timeout - 1.0, 0), waiting)
    except Timeout as error:
        raise Transient(
            f"another hushkey process has been busy for {timeout:g} s",
            hint="try again; `fuser` on the lock shows who holds it",
        ) from error
    except OSError as error:
        raise StoreError(
            "unwritable",
            f"cannot lock {path}: {error.strerror or error}",
            hint="make the data folder writable, or set HUSHKEY_DATA_DIR",
        ) from error
    try:
        yield
    finally:
        lock.release()


def _wait(lock: FileLock, timeout: float, waiting: Callable[[], None] | None) -> None:
    from filelock import Timeout

    if waiting is not None and timeout > 1:
        try:
            lock.acquire(timeout=1.0, poll_interval=0.05)
        except Timeout:
            waiting()
            timeout -= 1.0
        else:
            return
    lock.acquire(timeout=timeout, poll_interval=0.05)


@contextmanager
def uninterrupted(
    *, insists: bool = True, hear: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold back the signals that end or stop a process until the block is done.

    A second Ctrl-C, a second later, goes through: a person who *insists* is
    obeyed, unless the block has an end of its own and to stop it would lose a
    sign-in. A closing terminal and a service manager send several signals at
    once; they wait. *hear* is called at the first of them. Only the main thread
    can do this.
    """
    import signal  # noqa: PLC0415 - what only reads needs neither
    import threading  # noqa: PLC0415

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    since: list[float] = []

    def remember(number: int, frame: FrameType | None) -> None:
        again = insists and number == signal.SIGINT and arrived.count(number)
        if again and time.monotonic() - since[0] > 1:
            raise KeyboardInterrupt
        since[:] = since or [time.monotonic()]
        arrived.append(number)
        if len(arrived) == 1:
            hear()

    wanted = ("SIGINT", "SIGTERM", "SIGHUP", "SIGTSTP", "SIGQUIT", "SIGBREAK")
    names = [name for name in wanted if hasattr(signal, name)]
    before = {getattr(signal, n): signal.getsignal(getattr(signal, n)) for n in names}
    for number, handler in before.items():
        # What the caller's shell ignores (nohup) stays ignored.
        if handler is not signal.SIG_IGN:
            signal.signal(number, remember)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        if arrived:
            signal.raise_signal(arrived[0])
