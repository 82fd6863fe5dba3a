"""Where a running forward has its sockets, and what is told of it there."""

from __future__ import annotations

import json
import os
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from hushkey.errors import HushkeyError
from hushkey.system import cachefile, ownership, paths
from hushkey.system.digest import blake2s
from hushkey_helpers.forward import consent

if sys.platform != "win32":
    import fcntl

_PREFIX = "forward-"
#: of a folder in /tmp, for sockets whose path would be too long here
_SHORT = "hushkey-"
#: a question that waits for `hushkey forward allow`, and its answer
_ASKED, _SAID = "asked-", "said-"
#: seconds between two looks for an answer
_LOOK = 0.2
#: seconds in which a forward that starts has its folder and not yet its lock
_YOUNG = 10.0
#: a socket's path has room for so many bytes (sun_path), and ssh needs 18 for a name
_PATH_BYTES = 100 - 18


class Place:
    """The folder of one forward, held for as long as this process lives."""

    def __init__(self, environ: Mapping[str, str], **about: Any) -> None:
        runtime = paths.runtime_folder(environ)
        paths.make_private(runtime, 0o077)
        clean(environ)
        self.name = os.urandom(4).hex()
        self.folder = os.path.join(runtime, f"{_PREFIX}{self.name}")
        ownership.make_folder(self.folder)
        self._lock = os.open(
            os.path.join(self.folder, "lock"), os.O_RDWR | os.O_CREAT, 0o600
        )
        # Nobody knows its name; who looks at all of them holds it for a moment only.
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._sockets = self.folder
        if len(os.fsencode(os.path.join(self.folder, "control"))) > _PATH_BYTES:
            self._sockets = tempfile.mkdtemp(prefix=_SHORT, dir="/tmp")
            about = {**about, "sockets": self._sockets}
        facts = {"pid": os.getpid(), "began": int(time.time()), **about}
        cachefile.write(os.path.join(self.folder, "about"), facts)

    def path(self, name: str) -> str:
        """Return the path of the socket *name*."""
        return os.path.join(self._sockets, name)

    def ask(self, host: str, question: str, gone: Callable[[], bool]) -> bool | None:
        """Return what `answer` says about *host*; None: nothing in PATIENCE seconds."""
        asked = os.path.join(self.folder, f"{_ASKED}{_name(host)}")
        said = os.path.join(self.folder, f"{_SAID}{_name(host)}")
        end = time.monotonic() + consent.PATIENCE
        cachefile.write(asked, {"host": host, "question": question})
        try:
            while time.monotonic() < end and not gone():
                found = cachefile.read(said)
                # One that came too late for the question before is not this one's.
                if found.get("question") == question:
                    return found.get("allow") is True
                time.sleep(_LOOK)
            return None
        finally:
            for path in (asked, said):
                with suppress(OSError):
                    os.unlink(path)

    def close(self) -> None:
        """Take the folder away, sockets and all."""
        for folder in {self._sockets, self.folder}:
            _remove(folder)
        os.close(self._lock)


def living(environ: Mapping[str, str]) -> list[tuple[str, dict[str, Any]]]:
    """Return name and facts of every forward that runs, the oldest first."""
    found = [
        (os.path.basename(folder).removeprefix(_PREFIX), facts)
        for folder in _folders(environ)
        if _is_held(folder) and (facts := cachefile.read(os.path.join(folder, "about")))
    ]
    return sorted(found, key=lambda pair: json.dumps(pair[1].get("began", 0)))


def waiting(environ: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return forward, host and question of everything that waits for an answer."""
    runtime, found = paths.runtime_folder(environ), []
    for name, _ in living(environ):
        folder = os.path.join(runtime, f"{_PREFIX}{name}")
        for file in sorted(os.listdir(folder)):
            if file.startswith(_ASKED):
                facts = cachefile.read(os.path.join(folder, file)) or {}
                host, question = facts.get("host"), facts.get("question")
                if isinstance(host, str) and isinstance(question, str):
                    found.append((name, host, question))
    return found


def answer(
    environ: Mapping[str, str], name: str, host: str, question: str, *, allow: bool
) -> None:
    """Tell the forward called *name* whether *host* may be, which its *question* is."""
    folder = os.path.join(paths.runtime_folder(environ), f"{_PREFIX}{name}")
    said = os.path.join(folder, f"{_SAID}{_name(host)}")
    cachefile.write(said, {"allow": allow, "question": question})


def _name(host: str) -> str:
    return blake2s(host.encode(), digest_size=8).hexdigest()


def clean(environ: Mapping[str, str]) -> None:
    """Remove what killed forwards have left."""
    for folder in _folders(environ):
        if not _is_held(folder) and not _starts(folder):
            facts = cachefile.read(os.path.join(folder, "about")) or {}
            _remove_short(facts.get("sockets"))
            _remove(folder)


def _folders(environ: Mapping[str, str]) -> list[str]:
    try:
        runtime = ownership.check_owner(paths.runtime_folder(environ))
        names = os.listdir(runtime)
    except (OSError, HushkeyError):
        return []
    return [os.path.join(runtime, n) for n in names if n.startswith(_PREFIX)]


def _starts(folder: str) -> bool:
    """Tell whether *folder* may be one that is only just made."""
    try:
        age = time.time() - os.stat(folder).st_mtime
        return age < _YOUNG and set(os.listdir(folder)) <= {"lock"}
    except OSError:
        return True  # somebody else has removed it


def _is_held(folder: str) -> bool:
    try:
        lock = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def _remove_short(path: object) -> None:
    """Remove a folder of sockets in /tmp, if it still is this user's."""
    if not isinstance(path, str) or not path.startswith(f"/tmp/{_SHORT}"):  # noqa: S108
        return
    try:
        found = os.lstat(path)
    except OSError:
        return
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    if ours and path.count("/") == 2:
        _remove(path)


def _remove(folder: str) -> None:
    try:
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)
    except OSError:
        return  # somebody else has, or the next one will
