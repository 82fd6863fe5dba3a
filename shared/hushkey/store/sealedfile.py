"""One sealed file: how it is read, judged, replaced and moved aside.

Files are only ever replaced whole, so a read takes no lock. What is wrong with
one decides what happens to it: another key or no key leaves everything untouched
(StoreError); only the right key with a failing tag is `cipher.Damaged`.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress

from hushkey.errors import StoreError
from hushkey.store import cipher
from hushkey.system import ownership, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hushkey.store.datakey import DataKey

MAX_BYTES = 64 * 1024 * 1024
SUFFIX = ".sealed"
#: seconds after which a half-written file belongs to nobody any more
_ABANDONED = 3600


class SealedFile:
    """The sealed file at *path*; *purpose* keeps it from being any other's."""

    #: what such a file holds, for the error texts
    holds = "tokens"

    def __init__(self, path: str, purpose: bytes, data_key: DataKey) -> None:
        self.path = path
        self._purpose = purpose
        self._data_key = data_key

    def stamp(self) -> tuple[int, ...]:
        """Return what changes with every save; nothing for no file."""
        try:
            status = os.stat(self.path)
        except OSError:
            return ()
        return status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev

    def content(self) -> bytes | None:
        """Return what the file holds, None if there is none.

        Raises StoreError if the keyring cannot open it, cipher.Damaged if the
        right key does not.
        """
        data = self._bytes()
        if data is None:
            return None
        # The key comes first: without the right one nothing counts as damage.
        key = self._data_key.key()
        if key is None:
            raise StoreError(
                "no-key",
                f"{self._data_key.name} holds no hushkey key, but sealed {self.holds} "
                "exist",
                hint="restore the key, or run `hushkey reset` to start over",
            )
        if cipher.is_newer(data):
            raise StoreError(
                "broken",
                f"{self.path} was written by a newer hushkey",
                hint="use the newer one, or run `hushkey reset` to start over",
            )
        if cipher.key_id(key) != cipher.sealed_with(data):
            raise StoreError(
                "other-key",
                f"{self._data_key.name} holds another key than the one that sealed "
                f"the {self.holds}",
                hint="restore the key, or run `hushkey reset` to start over",
            )
        return cipher.unseal(key, data, self._purpose)

    def sealed(self, content: bytes) -> bytes:
        """Return *content* sealed for this file; the key must exist."""
        key = self._data_key.key()
        if key is None:
            raise StoreError("no-key", f"{self._data_key.name} lost the hushkey key")
        return cipher.seal(key, content, self._purpose)

    def move_aside(self) -> str:
        """Rename a damaged file; return its new path. For holders of the lock."""
        aside = f"{self.path}.damaged-{int(time.time())}"
        try:
            os.replace(self.path, aside)
        except OSError as error:
            raise unwritable("move aside", self.path, error) from error
        return aside

    def _bytes(self) -> bytes | None:
        try:
            with open(ownership.open_own(self.path), "rb") as file:
                return file.read(MAX_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise unwritable("read", self.path, error) from error


class Draft:
    """The next content of the file at *path*: reserve room, then save, or discard.

    It is written in *folder*, on the same file system; beside *path* if not given.
    """

    def __init__(self, path: str, folder: str = "") -> None:
        self._path = path
        self._folder = folder or os.path.dirname(path)
        self._descriptor = -1
        self._temporary = ""

    def reserve(self, size: int) -> None:
        """Make sure that *size* bytes will find folder and room; StoreError."""
        if self._descriptor >= 0:
            return
        paths.make_private(self._folder)
        name = f"{os.path.basename(self._path)}.{os.getpid()}.{time.monotonic_ns()}.new"
        self._temporary = os.path.join(self._folder, name)
        try:
            self._descriptor = ownership.create(self._temporary, os.O_EXCL)
            _make_room(self._descriptor, size)
        except OSError as error:
            self.discard()
            raise unwritable("write to", self._folder, error) from error

    def save(self, data: bytes) -> None:
        """Write, fsync, replace. Raises StoreError, and then nothing has changed."""
        self.reserve(len(data))
        try:
            with open(self._descriptor, "wb", closefd=False) as out:
                out.write(data)
            os.truncate(self._descriptor, len(data))
            os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
            os.replace(self._temporary, self._path)
            self._temporary = ""
            with suppress(OSError):  # the new file is in place already
                sync_folder(os.path.dirname(self._path))
        except OSError as error:
            self.discard()
            raise unwritable("write", self._path, error) from error

    def discard(self) -> None:
        """Drop what was reserved and not saved."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._temporary:
            with suppress(OSError):
                os.unlink(self._temporary)
            self._temporary = ""


def sealed_files(folder: str) -> list[str]:
    """Return the paths of all sealed files below the data *folder*."""
    return sorted(
        os.path.join(parent, name)
        for part in ("tokens", "stash")
        for parent, _, names in os.walk(os.path.join(folder, part))
        for name in names
        if name.endswith(SUFFIX)
    )


def sweep(folder: str) -> None:
    """Delete what killed processes left half-written in *folder* long ago."""
    abandoned = time.time() - _ABANDONED
    with suppress(OSError):
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if name.endswith(".new") and os.stat(path).st_mtime < abandoned:
                os.unlink(path)


def _make_room(descriptor: int, size: int) -> None:
    """Claim *size* bytes on the disk, on systems and file systems that can."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise


def sync_folder(folder: str) -> None:
    """Make a rename in *folder* durable, where folders can be opened."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unwritable(verb: str, path: str, error: OSError) -> StoreError:
    """Return the StoreError for a disk or a permission that is in the way."""
    refused = error.errno in (errno.EACCES, errno.EPERM)
    way = "check whose it is, and its permissions" if refused else "make room"
    return StoreError(
        "unwritable",
        f"cannot {verb} {path}: {error.strerror or error}",
        hint=f"{way}; nothing was changed",
        path=path,
    )
