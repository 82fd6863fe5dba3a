"""Start the agent when it is missing: one, however many processes find it missing.

Whoever gets the lock starts it and hands the lock on: the agent holds it for as long
as it lives, so that two cannot live and nobody waits for anything.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from contextlib import suppress

from hushkey.config import rules
from hushkey.errors import HushkeyError
from hushkey.signin import policy
from hushkey.system import isolated, ownership, paths
from hushkey_helpers.agent import protocol

if sys.platform != "win32":
    import fcntl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    import psutil

#: what the agent's process calls itself on Linux, and a word of its command line
NAME = "hushkey-agent"
_OURS = "hushkey_helpers"
#: permissions that nobody else may have where the sockets are (`protocol.is_safe`)
OTHERS = 0o077
#: seconds in which an agent that did not end in order is not started again
BACK_OFF = 10
#: the sockets' names in their folder
KINDS = ("agent", "git")
#: seconds for a program that listens to take a connection
_PATIENCE = 1
#: a socket's path has room for so many bytes on every system (sun_path)
_PATH_BYTES = 100


def lock_path(folder: str) -> str:
    """Return the path of the file whose lock the agent holds."""
    return os.path.join(folder, "agent.lock")


def take_lock(folder: str, *, make: bool = True) -> int:
    """Return the locked descriptor, -1 if an agent has it; may raise OSError.

    *make* the file if there is none. Raises StoreError ``foreign`` for another
    user's: whoever holds that one is no agent of ours.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | (os.O_CREAT if make else 0)
    descriptor = os.open(lock_path(folder), flags, 0o600)
    if os.fstat(descriptor).st_uid != os.geteuid():
        os.close(descriptor)
        raise ownership.foreign(lock_path(folder), "so no agent can start")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return -1
    return descriptor


def start(environ: Mapping[str, str], module: str, *, again: bool = False) -> str:
    """Start the agent, which is our *module*; return why not, nothing if so.

    *again*: a person wants it now, whatever became of the last one. Never waits for
    it, and never raises: an answer was given already.
    """
    folder = protocol.folder(environ)
    if not folder or not sys.executable:
        return "the agent does not run on this system"
    if len(os.fsencode(folder)) > _PATH_BYTES - len("/agent"):
        return f"{folder} is too long a path for a socket; set HUSHKEY_RUNTIME_DIR"
    from hushkey.system import madefolders  # noqa: PLC0415 - not where none starts

    try:
        ownership.check_trusted(paths.config_file(environ))
        paths.check_owner(paths.data_folder(environ))
        lacked = madefolders.before([lock_path(folder)]).changed(files=())
        paths.make_private(folder, OTHERS)
        madefolders.note_own(environ, lacked)
        descriptor = take_lock(folder)
    except HushkeyError as error:
        return error.line()
    except OSError as error:
        return f"cannot write to {folder}: {error.strerror}"
    if descriptor < 0:
        return "it is running already"
    try:
        if other := in_the_way(folder):
            return other
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


def in_the_way(folder: str) -> str:
    """Return why no agent can listen in *folder*, nothing if one can.

    Only a socket that a dead agent left there is replaced: somebody may have chosen a
    folder with files of theirs. For who holds the lock, so that no agent lives.
    """
    for kind in KINDS:
        path = os.path.join(folder, kind)
        if os.path.lexists(path) and not is_left_behind(path):
            return (
                f"{path} is not hushkey's, so no agent can listen there; let "
                "HUSHKEY_RUNTIME_DIR name another folder"
            )
    return ""


def left_behind(folder: str) -> list[str]:
    """Return the sockets in *folder* that an agent left which was killed."""
    sockets = (os.path.join(folder, kind) for kind in KINDS)
    return list(filter(is_left_behind, sockets))


def is_left_behind(path: str) -> bool:
    """Tell whether *path* is a socket of this user's at which nobody listens."""
    import socket  # noqa: PLC0415 - seldom

    try:
        status = os.lstat(path)
    except OSError:
        return False
    if not stat.S_ISSOCK(status.st_mode) or status.st_uid != os.geteuid():
        return False
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(_PATIENCE)
        try:
            link.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False  # it is busy, or its path too long to be an agent's
    return False


def sign(descriptor: int) -> None:
    """Say which process holds the lock, for who has to end it."""
    _write(descriptor, f"{os.getpid()}\n".encode())


def ended_in_order(descriptor: int) -> None:
    """Let the next agent start at once, for the holder of the lock."""
    _write(descriptor, b"")


def holder(folder: str) -> int:
    """Return the process that holds the lock; 0: none; -1: one that is on its way.

    Leaves nothing behind. A number in the file is believed only if that process is
    this user's and an agent.
    """
    try:
        descriptor = take_lock(folder, make=False)
        if descriptor >= 0:
            os.close(descriptor)
            return 0
        with open(ownership.open_own(lock_path(folder)), "rb") as file:
            text = file.read(32).strip()
    except (OSError, HushkeyError):
        return 0
    return int(text) if text.isdigit() and _agent(int(text)) else -1


def kill(pid: int) -> None:
    """End the process *pid* at once, if it is an agent of this user."""
    import psutil

    if found := _agent(pid):
        with suppress(psutil.Error):
            found.kill()  # it looks whether the number has another process by now


def _agent(pid: int) -> psutil.Process | None:
    """Return the process *pid* if it is an agent of this user, else None."""
    import psutil

    try:
        found = psutil.Process(pid)
        mine = found.uids().effective == os.geteuid()
        if sys.platform == "linux":
            named = found.name() == NAME
        else:  # a process cannot name itself there
            named = any(_OURS in word for word in found.cmdline())
    except (psutil.Error, ValueError, OverflowError):
        return None
    return found if mine and named else None


def _write(descriptor: int, text: bytes) -> None:
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, text, 0)


def _spawn(lock: int, module: str, environ: Mapping[str, str]) -> None:
    """Start the program with nothing of ours but the lock and a few variables."""
    known = {name: environ[name] for name in protocol.FORWARDED_VARS if name in environ}
    known |= paths.session_variables(environ)
    words = isolated.words(module, str(lock), *_step(environ))
    os.set_inheritable(lock, True)
    streams = [
        (os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)
    ]
    os.posix_spawn(words[0], words, known, file_actions=streams)


def _step(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the process that the agent ends with, where this is a step of a job.

    A step may run what a stranger has written: nothing of it is to serve the next one.
    """
    from hushkey.system import callers

    step = callers.step(_marks, environ)
    return (str(step),) if step else ()


def _marks(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the variables of the job that *environ* is of, if it is of one."""
    named = policy.ci(environ)
    if not named:
        return {}
    from hushkey.system import jobs  # noqa: PLC0415 - in CI only

    return jobs.marks(environ) or {named: environ[named]}


_OFF = ("off", "0", "false", "no")


def refusal(environ: Mapping[str, str], *, asked: bool = False) -> str:
    """Return why no agent is to be started; nothing: it may be.

    *asked*: somebody gave the command, who may want one in CI, too.
    """
    if sys.platform == "win32":
        return "the agent does not run on Windows yet"
    switch = environ.get("HUSHKEY_AGENT", "").strip().lower()
    if switch in _OFF:
        return f"HUSHKEY_AGENT is {switch}"
    if (named := policy.ci(environ)) and not asked:
        return f"this is CI ({named} is set)"
    if switch == "on":
        return ""
    try:
        wanted = rules.load(environ).settings["agent"]
    except HushkeyError as error:
        return error.line()
    return "" if wanted else "agent is false in config.toml"
