"""Start the agent when it is missing: one, however many processes find it missing.

Whoever gets the lock starts it and hands the lock on: the agent holds it for as long
as it lives, so that two cannot live and nobody waits for anything.
"""

import os
import sys
import time

from hushkey import door, isolated, paths
from hushkey.errors import HushkeyError

if sys.platform != "win32":
    import fcntl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: seconds in which an agent that did not end in order is not started again
BACK_OFF = 10
#: a socket's path has room for so many bytes on every system (sun_path)
_PATH_BYTES = 100


def lock_path(folder: str) -> str:
    """Return the path of the file whose lock the agent holds."""
    return os.path.join(folder, "agent.lock")


def take_lock(folder: str) -> int:
    """Return the locked descriptor, -1 if an agent has it; may raise OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    descriptor = os.open(lock_path(folder), flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return -1
    return descriptor


def start(environ: "Mapping[str, str]", module: str, *, again: bool = False) -> str:
    """Start the agent, which is our *module*; return why not, nothing if so.

    *again*: a person wants it now, whatever became of the last one. Never waits for
    it, and never raises: an answer was given already.
    """
    folder = door.folder(environ)
    if not folder or not sys.executable:
        return "there is no agent on this system"
    if len(os.fsencode(folder)) > _PATH_BYTES - len("/agent"):
        return f"{folder} is too long a path for a socket; set HUSHKEY_RUNTIME_DIR"
    try:
        paths.check_owner(paths.data_folder(environ))
        paths.make_private(folder)
        descriptor = take_lock(folder)
    except HushkeyError as error:
        return error.line()
    except OSError as error:
        return f"cannot write to {folder}: {error.strerror}"
    if descriptor < 0:
        return "it is running already"
    try:
        age = time.time() - os.fstat(descriptor).st_mtime
        fresh = os.fstat(descriptor).st_size == 0
        if not again and not fresh and 0 <= age < BACK_OFF:
            return f"it ended out of order {age:.0f} s ago"
        _write(descriptor, b"starting\n")
        _spawn(descriptor, module, environ)
    except OSError as error:
        return f"cannot start it: {error.strerror}"
    finally:
        os.close(descriptor)
    return ""


def sign(descriptor: int) -> None:
    """Say which process holds the lock, for who has to end it."""
    _write(descriptor, f"{os.getpid()}\n".encode())


def ended_in_order(descriptor: int) -> None:
    """Let the next agent start at once, for the holder of the lock."""
    _write(descriptor, b"")


def holder(folder: str) -> int:
    """Return the process that holds the lock; 0: none; -1: one that is on its way."""
    try:
        descriptor = take_lock(folder)
        if descriptor >= 0:
            os.close(descriptor)
            return 0
        with open(lock_path(folder), "rb") as file:
            text = file.read(32).strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() else -1


def _write(descriptor: int, text: bytes) -> None:
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, text, 0)


def _spawn(lock: int, module: str, environ: "Mapping[str, str]") -> None:
    """Start the program with nothing of ours but the lock and a few variables."""
    known = {name: environ[name] for name in door.NAMES if name in environ}
    words = isolated.words(module, str(lock))
    os.set_inheritable(lock, True)
    streams = [
        (os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)
    ]
    os.posix_spawn(words[0], words, known, file_actions=streams)
