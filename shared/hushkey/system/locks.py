"""Locks between processes, on files that are never deleted.

The kernel releases a lock with its holder, so a killed process leaves nothing
behind. Python signals that would end the process wait while a change to the
store is under way: the gap between a server's answer and the saved file is
where a rotated refresh token would be lost.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from contextlib import contextmanager, suppress

from hushkey import runtime
from hushkey.errors import StoreError, Transient
from hushkey.system import ownership
from hushkey.trace import event

if sys.platform != "win32":
    import fcntl

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

    Less, where an answer is expected earlier (`runtime.left`). It lies in a folder of
    the data folder. *waiting* is called, once, after two
    seconds without it. Raises Transient when the time is over,
    StoreError where locks cannot be made.
    """
    runtime.ensure_may_block()
    timeout = runtime.left(timeout)
    ownership.make_inside(os.path.dirname(path))
    ownership.check_name(path)
    lock = _Lock(path)
    try:
        try:
            lock.acquire(timeout=min(1.0, timeout), poll_interval=0.02)
        except _Busy:
            event("waiting")
            _wait(lock, max(timeout - 1.0, 0), waiting)
    except _Busy as error:
        raise Transient(
            f"another hushkey process has been busy for {round(timeout, 1):g} s",
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


def _wait(lock: _Lock, timeout: float, waiting: Callable[[], None] | None) -> None:
    if waiting is not None and timeout > 1:
        try:
            lock.acquire(timeout=1.0, poll_interval=0.05)
        except _Busy:
            waiting()
            timeout -= 1.0
        else:
            return
    lock.acquire(timeout=timeout, poll_interval=0.05)


class _Busy(Exception):
    """Another process has the lock, and the time is over."""


class _Lock:
    """The kernel's lock on a file (flock(2)), which filelock's own excludes, too.

    filelock itself, whose import costs as much as a request, serves where there is no
    flock: on Windows, and on a file system that has none.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1
        self._library: FileLock | None = None

    def acquire(self, timeout: float, poll_interval: float) -> None:
        """Take the lock, in *timeout* seconds; raises _Busy, OSError."""
        until = time.monotonic() + timeout
        while not self._is_taken():
            if time.monotonic() >= until:
                raise _Busy
            time.sleep(poll_interval)

    def release(self) -> None:
        """Let the next one have it."""
        if self._library is not None:
            self._library.release()
        elif self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _is_taken(self) -> bool:
        if self._library is None:
            try:
                return self._flock()
            except OSError as error:
                if error.errno != errno.ENOSYS:
                    raise
        from filelock import FileLock, Timeout

        self._library = self._library or FileLock(self._path, mode=0o600)
        with suppress(Timeout):
            self._library.acquire(timeout=0)
        return self._library.is_locked

    def _flock(self) -> bool:
        if sys.platform == "win32":
            raise OSError(errno.ENOSYS, "there is no flock")
        made = not os.path.lexists(self._path)
        exclusive = os.O_EXCL if made else 0
        try:
            descriptor = ownership.create(self._path, os.O_NONBLOCK | exclusive)
        except FileExistsError:
            return False  # made a moment ago by somebody else
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Somebody may have removed the file meanwhile: that lock excludes nobody.
            if os.path.samestat(os.fstat(descriptor), os.lstat(self._path)):
                self._descriptor, descriptor = descriptor, -1
                return True
        except (BlockingIOError, PermissionError, FileNotFoundError):
            return False
        except OSError:
            if made:
                os.unlink(
                    self._path
                )  # where there is no flock, a file itself is a lock
            raise
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return False


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
