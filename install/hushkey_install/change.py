"""A change to one text file: shown, backed up, written atomically."""

import difflib
import errno
import os
import stat
import tempfile
from contextlib import suppress

from hushkey import paths
from hushkey.errors import StoreError, visible


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

    def apply(self, backup: bool = True) -> None:
        """Write the file; the one before stays beside it as ``.hushkey-backup``.

        A symbolic link is followed, so that a dotfiles repository stays one.
        Raises StoreError where it cannot be written.
        """
        path = os.path.realpath(self.path)
        folder = os.path.dirname(path)
        paths.check_owner(path if os.path.exists(path) else folder)
        try:
            os.makedirs(folder, 0o700, exist_ok=True)
            mode = os.stat(path).st_mode & 0o777 if os.path.exists(path) else 0o600
            if backup and self.before:
                write_text(path + ".hushkey-backup", self.before, mode)
            write_text(path, self.after, mode)
        except OSError as error:
            raise StoreError(
                "unwritable",
                f"cannot write {path}: {error.strerror or error}",
                hint="nothing was changed",
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
    """Replace *path* by *text*, whole or not at all; OSError if it cannot."""
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path))
    try:
        with open(
            descriptor, "w", encoding="utf-8", errors="surrogateescape", newline=""
        ) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise
