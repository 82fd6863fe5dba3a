"""A change to one text file: shown, backed up, written atomically."""

from __future__ import annotations

import difflib
import errno
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from hushkey.errors import StoreError, visible
from hushkey.system import ownership, paths

BACKUP = ".hushkey-backup"
#: what a file holds where it may hold a password: better one backup too few. The last
#: line is a word that nobody types: letters and digits, twenty or more of them. It is
#: tried once for each word, or a long one would be read again from each hyphen on
_SECRET = re.compile(
    r"""://[^/\s"']*@
    | pass | secret | token | "auth" | authorization | headers? | cookie | bearer
    | private | api_?key | \bnetrc
    | (?<![a-z0-9+=_-])[+=-]*+(?=[a-z+=_-]*\d)(?=[\d+=_-]*[a-z])[a-z0-9+=_-]{20,}
    """,
    re.IGNORECASE | re.VERBOSE,
)


class Change:
    """What *path* holds *before* and *after*."""

    def __init__(self, path: str, before: str, after: str) -> None:
        self.path = path
        self.before = before
        self.after = after

    def __bool__(self) -> bool:
        return self.before != self.after

    def diff(self) -> str:
        """Return the change as a unified diff, without the lines around it.

        Those are the user's own, and a line of a gitconfig may hold a secret.
        """
        name = visible(self.path)  # which may hold a line end
        lines = difflib.unified_diff(
            self.before.splitlines(keepends=True),
            self.after.splitlines(keepends=True),
            name,
            name,
            n=0,
        )
        text = "".join(line if line.endswith("\n") else line + "\n" for line in lines)
        # Bytes that are no UTF-8 are kept in the file, and only shown differently.
        return text.encode("utf-8", "backslashreplace").decode()

    def apply(self, backup: bool | None = None) -> None:
        """Write the file.

        The one before stays beside it as ``.hushkey-backup`` until `drop_backup`, if
        *backup*; None: if it holds no secret, which would outlive its own tool's
        sign-out there. An older backup goes in any case.

        A symbolic link is followed, so that a dotfiles repository stays one. Raises
        StoreError ``foreign`` as `paths.check_owner`, ``unwritable`` where it cannot be
        written.
        """
        path = paths.check_owner(self.path)
        ownership.make_folder(os.path.dirname(path))
        wanted = not holds_secret(self.before) if backup is None else backup
        try:
            mode = os.stat(path).st_mode & 0o777 if os.path.exists(path) else 0o600
            if wanted and self.before:
                write_text(path + BACKUP, self.before, mode)
            else:
                remove(path + BACKUP)
            write_text(path, self.after, mode)
        except OSError as error:
            raise StoreError(
                "unwritable",
                f"cannot write {path}: {error.strerror or error}",
                hint="nothing was changed",
            ) from error


def holds_secret(text: str) -> bool:
    """Tell whether *text*, of any tool's settings, may hold a password or token."""
    return _SECRET.search(text) is not None


def backup_of(path: str) -> str:
    """Return where the backup of the file *path* is, if there is one."""
    return os.path.realpath(path) + BACKUP


def drop_backup(path: str) -> None:
    """Delete the backup of the file *path*: what it was for is taken back."""
    remove(backup_of(path))


def remove(path: str) -> None:
    """Delete the file or link *path*, if it is there.

    Raises StoreError: ``foreign`` as `ownership.check_name`, ``unwritable``.
    """
    ownership.check_name(path)
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(
            "unwritable", f"cannot delete {path}: {error.strerror or error}"
        ) from error


def read_text(path: str) -> str:
    """Return what *path* holds, with its own line ends; OSError if it cannot.

    A pipe or a device is refused: reading it may never end.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "not a plain file", path)
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        return file.read()


def write_text(path: str, text: str, mode: int) -> None:
    """Replace *path* by *text*, whole or not at all; OSError if it cannot.

    Raises StoreError ``foreign`` as `ownership.check_name`.
    """
    ownership.check_name(path)
    ownership.replace(path, text.encode("utf-8", "surrogateescape"), mode=mode)


def temporary_place() -> str:
    """Return where `tempfile` would make its files, if this user may write there.

    It tries each place out with a file of its own, so the gate comes first. Raises
    StoreError ``foreign``.
    """
    for name in ("TMPDIR", "TEMP", "TMP"):
        if place := os.environ.get(name):
            place = os.path.abspath(place)
            ownership.check_name(os.path.join(place, "hushkey"))
            if os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK):
                return place
    place = tempfile.gettempdir()
    ownership.check_name(os.path.join(place, "hushkey"))
    return place


@contextmanager
def temporary_folder() -> Iterator[str]:
    """Yield a new folder of this user's alone, gone afterwards.

    Raises StoreError ``foreign`` where TMPDIR is another user's, who could put
    another folder in its place.
    """
    with tempfile.TemporaryDirectory(dir=temporary_place()) as folder:
        yield folder
