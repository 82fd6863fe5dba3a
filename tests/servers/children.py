"""What a test run hands to the processes that it starts, and which of them are left.

Linux only as far as it looks at processes: elsewhere nothing is known of them.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

_SET_CHILD_SUBREAPER = 36  # prctl(2)
#: what whoever starts the tests may ignore: nohup, a shell's `&`, a service
_IGNORED = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGTSTP", "SIGTTIN", "SIGTTOU")
_THREADS = 17  # words after the command in proc_pid_stat(5)
_MAX_SECONDS = 20.0


def start_as_from_a_shell() -> None:
    """Let what we start have signals and umask as a shell's foreground job has them.

    A signal that is ignored stays ignored through exec; one that is handled does
    not. So this process still survives what its starter wanted it to survive.
    """
    for name in _IGNORED:
        number = getattr(signal, name)
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, no exit code is seen
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o022)  # with 002 or 000 a config written by a test is not private


def adopt_orphans() -> None:
    """Let a process whose parent ends become our child: so it is seen here."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def alive() -> dict[int, str]:
    """Return our children that run, with their command lines."""
    ended: set[int] = set()
    while True:
        found = {pid: _command(pid) for pid in of()}
        now = {pid for pid, line in found.items() if not line}
        if now <= ended:
            return {pid: line for pid, line in found.items() if line}
        ended |= now  # what had its end since we were listed left us its children


def left(lasting: set[int]) -> list[str]:
    """End what runs a moment from now, but for sessions that are *lasting*.

    Returns the command lines of what had to be ended.
    """
    deadline = time.monotonic() + _MAX_SECONDS
    while found := {p: c for p, c in alive().items() if session(p) not in lasting}:
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    end(lambda pid, _: session(pid) not in lasting)
    return list(found.values())


def end(chosen: Callable[[int, str], bool]) -> None:
    """End our children whose id and command line are *chosen*, and then theirs.

    What is ending has lost its command line, and its children are not ours yet: so
    nothing is over before that has ended.
    """
    deadline = time.monotonic() + _MAX_SECONDS
    while running := alive():
        found = [pid for pid, line in running.items() if chosen(pid, line)]
        ending = [pid for pid, line in running.items() if line == _nameless(pid)]
        if not (found or ending) or time.monotonic() > deadline:
            break
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def session(pid: int) -> int:
    """Return the session of *pid*, 0 if it has ended."""
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def of(process: int | str = "self") -> Iterator[int]:
    """Yield the children of *process*; of a thread that has just ended, none."""
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):
            yield from map(int, path.read_text().split())


def _nameless(pid: int) -> str:
    return f"pid {pid}"


def _command(pid: int) -> str:
    """Return the command line of *pid*, nothing if it has ended."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        line = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    # Of several threads the first may have ended, and the others have the children.
    if words[0] in "ZX" and int(words[_THREADS]) < 2:
        return ""
    return line.replace("\0", " ").strip() or _nameless(pid)
