"""What HUSHKEY_LOG asks for: one line for each step, and never a secret.

``debug`` writes to stderr, as GIT_TRACE does; an absolute path names a file.
Lines look like this, one write for each, so that many processes share a file::

    2026-01-31T09:30:00.123Z pid=4711 tool=git step=cached host=git.example.com ms=31

`ms` counts from the beginning of the process, `took` is the step's own time.
Nothing else than the named facts of `hushkey.trace.event` can get in, and of each only
characters that cannot break the line, move a cursor or end a user name. What
goes wrong with the file never changes an answer. Imported only if HUSHKEY_LOG
is set.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import time
from contextlib import suppress

from hushkey import trace
from hushkey.errors import HushkeyError, StoreError, plain
from hushkey.system import paths

if sys.platform != "win32":
    import fcntl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: bytes; then the file becomes FILE.1, and the one before it is gone
MAX_BYTES = 1024 * 1024
_ODD = re.compile(r"[^A-Za-z0-9._:/\[\]*%~+-]")
#: an error code of OAuth or of ours: words, never what a token is made of
_CODE = re.compile(r"[a-z]+(_[a-z]+)*\Z")
_CORRELATION = re.compile(r"[A-Za-z0-9:._-]{1,80}\Z")
#: every step that there is
STEPS = frozenset(
    (
        "answered",
        "answered-nothing",
        "asked",
        "cached",
        "erased",
        "exchanged",
        "failed",
        "forgotten",
        "forwarded",
        "found",
        "http",
        "kept",
        "kept-old",
        "given-again",
        "key-read",
        "not-ours",
        "refreshed",
        "refreshed-by-sibling",
        "refused",
        "sign-in",
        "signed-in",
        "signed-out",
        "stored",
        "ui-required",
        "waiting",
    )
)
#: what git and docker want, and the methods of HTTP that we use; those of the
#: command are its own
VERBS = frozenset(("get", "store", "erase", "list", "version", "GET", "HEAD", "POST"))
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT
for _name in ("O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY", "O_BINARY"):
    _FLAGS |= getattr(os, _name, 0)


class _Refused(Exception):
    """The file is not one to write to."""


class Trace:
    """The steps of one process; *write* takes a whole line and does not raise."""

    def __init__(self, tool: str, write: Callable[[bytes], None]) -> None:
        self._tool = tool
        self._write = write
        self._began = time.monotonic()

    def event(
        self,
        step: str,
        *,
        verb: str = "",
        host: str = "",
        rule: str = "",
        url: str = "",
        status: int | None = None,
        correlation: str | None = None,
        error: BaseException | None = None,
        began: float | None = None,
    ) -> None:
        """Write one line; see `hushkey.trace.event`."""
        now, tick = time.time(), time.monotonic()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        server, path = _parts(url)
        facts = (
            ("pid", os.getpid()),
            ("tool", self._tool),
            ("step", step),
            ("verb", verb),
            ("host", host or server),
            ("path", path),
            ("rule", rule),
            ("status", status),
            *_outcome(error),
            ("correlation", _correlation(correlation, error)),
            ("took", None if began is None else int((tick - began) * 1000)),
            ("ms", int((tick - self._began) * 1000)),
        )
        tame = ((key, _tame(value)) for key, value in facts)
        words = [f"{key}={value}" for key, value in tame if value]
        line = f"{stamp}.{int(now % 1 * 1000):03}Z {' '.join(words)}\n"
        self._write(line.encode())


def begin(tool: str, environ: Mapping[str, str]) -> str:
    """Note the steps of this process, which speaks for *tool*, from now on.

    Returns the line that tells a person why nothing is noted, if that is so.
    """
    chosen = environ.get("HUSHKEY_LOG", "")
    if chosen == "debug":
        trace._sink = Trace(tool, _to_stderr)
    elif not os.path.isabs(chosen):
        return "HUSHKEY_LOG must be `debug` or an absolute path; nothing is logged"
    else:
        file = Appended(chosen)
        try:
            file.check()
        except (_Refused, StoreError) as refused:
            return f"HUSHKEY_LOG: {plain(refused)}; nothing is logged"
        trace._sink = Trace(tool, file.write)
    return ""


def _tame(value: object) -> str:
    """Return *value* without what could break a line, and without user info."""
    if value is None:
        return ""
    return _ODD.sub("?", str(value).rpartition("@")[2][:255])


def _parts(url: str) -> tuple[str, str]:
    """Return server and path of *url*: not its user info, its query, its fragment."""
    rest = url.partition("//")[2].partition("#")[0].partition("?")[0]
    server, slash, path = rest.partition("/")
    return server, slash + path


def _outcome(error: BaseException | None) -> tuple[tuple[str, object], ...]:
    """Return the class of *error* and its codes; its texts stay where they are."""
    if error is None:
        return ()
    kind = type(error).__name__
    if isinstance(error, StoreError):
        return ("outcome", kind), ("code", _word(error.reason))
    if isinstance(error, HushkeyError):
        suberror = _word(error.suberror)
        return ("outcome", kind), ("code", _word(error.code)), ("suberror", suberror)
    return (("outcome", kind),)


def _word(code: str | None) -> str | None:
    if not code:
        return None
    plain_word = code.replace("-", "_")
    return code if len(code) <= 40 and _CODE.match(plain_word) else "other"


def _correlation(given: str | None, error: BaseException | None) -> str | None:
    found = given or (error.correlation if isinstance(error, HushkeyError) else None)
    return found if found and _CORRELATION.match(found) else None


# -- where lines go --------------------------------------------------------------


def _to_stderr(line: bytes) -> None:
    with suppress(OSError):
        os.write(2, line)


def is_plain(found: os.stat_result) -> bool:
    """Tell whether this is a plain file of this user's under one name."""
    mine = not hasattr(os, "geteuid") or found.st_uid == os.geteuid()
    return stat.S_ISREG(found.st_mode) and found.st_nlink <= 1 and mine


class Appended:
    """A file that grows to MAX_BYTES, and one older one.

    It is opened for each line. A line lands in the file or, if a sibling
    renames it at that moment, in the older one; both are read as one.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def check(self) -> None:
        """Raise _Refused or StoreError ``foreign`` where nothing may be written.

        That it cannot be written (read-only, full) is nobody's business now.
        """
        with suppress(OSError):
            paths.check_owner(self._path)
            folder = os.path.dirname(self._path)
            if not os.path.isdir(folder):
                try:
                    paths.make_private(folder)
                except StoreError as error:
                    if error.reason != "unwritable":
                        raise
            os.close(self._open())

    def write(self, line: bytes) -> None:
        """Append *line*; on any trouble, do without it."""
        with suppress(OSError, _Refused):
            for _ in range(3):  # a file that was rotated away twice meanwhile
                descriptor = self._open()
                try:
                    if os.fstat(descriptor).st_size >= MAX_BYTES and self._rotate(
                        descriptor
                    ):
                        continue
                    os.write(descriptor, line)
                    if os.fstat(descriptor).st_nlink:
                        return
                finally:
                    os.close(descriptor)

    def _open(self) -> int:
        """Return the file, opened to append; it is created for its owner alone."""
        try:
            descriptor = os.open(self._path, _FLAGS, 0o600)
        except OSError:
            if not stat.S_ISREG(os.lstat(self._path).st_mode):
                raise _Refused(f"{self._path} is not a plain file") from None
            raise
        if is_plain(os.fstat(descriptor)):
            return descriptor
        os.close(descriptor)
        raise _Refused(f"{self._path} is not a plain file of yours")

    def _rotate(self, descriptor: int) -> bool:
        """Make the open file the older one; True if somebody has done so.

        The lock is on the file itself: who gets it looks whether the name still
        means this file, so that no sibling renames the new one over the old.
        """
        if sys.platform == "win32":
            return False  # an open file cannot be renamed
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            now = os.stat(self._path, follow_symlinks=False)
            if os.path.samestat(now, os.fstat(descriptor)):
                os.rename(self._path, f"{self._path}.1")
        except FileNotFoundError:
            return True  # renamed; nobody has begun a new one
        except OSError:
            return False  # a sibling is at it, or the folder is not writable
        return True
