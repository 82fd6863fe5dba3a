"""The agent as a process: detached, nameless to debuggers, alone.

In a session of its own, without streams, in `/`, with nothing open but the lock that
it was started with; not dumpable, so that no program of this user but root's can look
into its memory, and no crash writes it down (prctl(2), PR_SET_DUMPABLE).
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from contextlib import suppress

from hushkey.acquire import session
from hushkey.errors import Permanent
from hushkey.system import callers, paths
from hushkey_helpers.agent import start as starting
from hushkey_helpers.agent.answers import Answers
from hushkey_helpers.agent.memory import Memory, Watch
from hushkey_helpers.agent.renewal import IN_USE, RenewalSchedule
from hushkey_helpers.agent.server import Server
from hushkey_helpers.agent.workers import Workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from hushkey_helpers.agent.answers import Answerer

#: seconds without a question after which it ends
IDLE = IN_USE
_BACKLOG = 256
#: the first descriptor that systemd hands over (sd_listen_fds(3))
_FIRST = 3
_PR_SET_DUMPABLE, _PR_SET_NAME = 4, 15


def run(lock: int, tools: Mapping[str, Answerer], step: int = 0) -> None:
    """Be the agent until it is over, with *lock* held; -1: take it.

    *step* is the process that it ends with, 0 for none.
    """
    given = _given_sockets()
    _detach(keep={lock, *(s.fileno() for s in given.values())})
    environ = dict(os.environ)
    folder = paths.runtime_folder(environ)
    paths.check_owner(paths.data_folder(environ))
    paths.make_private(folder, starting.OTHERS)
    lock = lock if lock >= 0 else starting.take_lock(folder)
    if lock < 0:
        return
    if not given and (other := starting.in_the_way(folder)):
        starting.ended_in_order(lock)
        raise Permanent(other)
    starting.sign(lock)
    sockets = given or _listening(folder)
    places = _places(folder)
    memory = Memory(watch(), RenewalSchedule())
    workers = Workers()
    answers = Answers(tools, memory, environ)
    sources = _sources()

    step_ended = callers.watched(step) if step else bool

    def check() -> str:
        if step_ended():
            return "the step of the job has ended"
        if _places(folder) != places:
            return "its sockets are gone"
        return "" if _sources() == sources else "another hushkey was installed"

    server = Server(
        sockets, answers, memory, workers, idle=IDLE, check=check, step=step > 0
    )

    def end(*_: object) -> None:
        server.over = server.over or "it was told to"
        workers.ring()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGHUP, end)
    # What is loaded by now stays: looking through it again costs answers their time.
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)
    server.run()
    if not given and _places(folder) == places:
        for kind in starting.KINDS:
            os.unlink(os.path.join(folder, kind))
    starting.ended_in_order(lock)
    os._exit(0)  # threads that hang in a library are not waited for


def _detach(keep: set[int]) -> None:
    os.umask(0o077)
    os.chdir("/")
    if os.getpid() != os.getsid(0):
        with suppress(OSError):  # the leader of a group already: systemd's, a shell's
            os.setsid()
    start = 3
    for descriptor in sorted(d for d in keep if d >= 3):
        os.closerange(start, descriptor)
        start = descriptor + 1
    os.closerange(start, os.sysconf("SC_OPEN_MAX"))
    for descriptor in keep:
        if descriptor >= 0:
            os.set_inheritable(descriptor, False)
    hide_memory()
    sys.setswitchinterval(0.001)  # a quick answer does not wait for an import
    if sys.platform == "linux":
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_NAME, starting.NAME.encode(), 0, 0, 0)


def hide_memory() -> None:
    """Let no program of this user but root's look into this process, and no crash."""
    session.leave_no_core()
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _given_sockets() -> dict[str, socket.socket]:
    """Return the sockets that systemd listens on for us (sd_listen_fds(3))."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    number = int(os.environ.get("LISTEN_FDS", "0"))
    given = [socket.socket(fileno=_FIRST + index) for index in range(number)]
    found = {os.path.basename(listener.getsockname()): listener for listener in given}
    for listener in found.values():
        listener.setblocking(False)
    return found


def _listening(folder: str) -> dict[str, socket.socket]:
    return {kind: _listen(os.path.join(folder, kind)) for kind in starting.KINDS}


def _listen(path: str) -> socket.socket:
    """Listen at *path*, in place of whatever a dead agent left there."""
    with suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)  # 0600: the umask is 077
    os.chmod(path, 0o600)
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener


def _places(folder: str) -> list[tuple[int, int] | None]:
    """Return which files are at the sockets' paths."""
    found: list[tuple[int, int] | None] = []
    for kind in starting.KINDS:
        try:
            status = os.lstat(os.path.join(folder, kind))
            found.append((status.st_ino, status.st_dev))
        except OSError:
            found.append(None)
    return found


def _sources() -> dict[str, tuple[int, int]]:
    """Return the state of hushkey's own files."""
    found = {}
    for name in ("hushkey", "hushkey_helpers"):
        for folder in sys.modules[name].__path__:
            for place, _, files in os.walk(folder):
                for path in (os.path.join(place, file) for file in files):
                    if path.endswith((".py", ".toml")):
                        found[path] = _state(path)
    return found


def _state(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0  # replaced at this very moment
    return status.st_mtime_ns, status.st_size


def watch() -> Watch:
    """Return what hears of changes of this system's keyring."""
    if sys.platform == "linux":
        from hushkey_helpers.agent import keyring_signals

        return keyring_signals.Signals()
    return Watch()
