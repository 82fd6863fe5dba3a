"""The encrypted token files: one per (issuer, client id), one lock each.

Reads take no lock: files are only ever replaced whole. Every change is one
transaction: lock, reload, act, save. What is wrong with a file decides what
happens to it: another key or no key leaves everything untouched (StoreError);
only the right key with a failing tag means damage, and then that one file is
moved aside with one warning, which signs that one identity out (design 7).
"""

import errno
import os
import time
from contextlib import contextmanager, suppress
from hashlib import blake2s

from hushkey import locks, paths, seal
from hushkey.errors import StoreError
from hushkey.tokencache import TokenCache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hushkey.vault import Vault

MAX_BYTES = 64 * 1024 * 1024
#: bytes put aside before a refresh, so that a full disk cannot eat its answer
_HEADROOM = 512 * 1024


class TokenFile:
    """The token file of one issuer and client id."""

    def __init__(
        self,
        folder: str,
        issuer: str,
        client_id: str,
        vault: "Vault",
        warn: "Callable[[str], None]",
    ) -> None:
        pair = issuer.encode() + b"\0" + client_id.encode()
        self.name = blake2s(pair, digest_size=12).hexdigest()
        self._purpose = b"\0tokens\0" + pair
        self._tokens = os.path.join(folder, "tokens")
        self._locks = os.path.join(folder, "locks")
        self.path = os.path.join(self._tokens, self.name + ".sealed")
        self._vault = vault
        self._warn = warn

    def lock_path(self, kind: str) -> str:
        """Return the path of the lock for *kind* of work on this file."""
        return os.path.join(self._locks, f"{self.name}.{kind}.lock")

    def stamp(self) -> "tuple[int, ...]":
        """Return what changes with every save; nothing for no file."""
        try:
            status = os.stat(self.path)
        except OSError:
            return ()
        return status.st_mtime_ns, status.st_size, status.st_ino

    def read(self) -> TokenCache:
        """Return the content; an absent file is an empty cache.

        Raises StoreError if the keyring cannot open it.
        """
        try:
            return self._open(self._bytes())
        except seal.Damaged:
            # Look again under the lock before calling it damaged for good.
            with self.change(timeout=self._vault.timeout) as change:
                return change.cache

    @contextmanager
    def change(self, timeout: float) -> "Iterator[Change]":
        """Hold the lock, reload, and yield what may be changed and saved."""
        paths.check_owner(self._tokens)
        with locks.held(self.lock_path("change"), timeout):
            _sweep(self._tokens)
            change = Change(self, self._load_locked(), self._vault)
            try:
                yield change
            finally:
                change.discard()

    def _load_locked(self) -> TokenCache:
        try:
            return self._open(self._bytes())
        except seal.Damaged as error:
            aside = f"{self.path}.damaged-{int(time.time())}"
            try:
                os.replace(self.path, aside)
            except OSError as failure:
                raise _unwritable("move aside", self.path, failure) from failure
            self._warn(
                f"a token file is damaged ({error}) and was moved to {aside}; "
                "that identity is signed out"
            )
            return TokenCache()

    def _open(self, data: "bytes | None") -> TokenCache:
        if data is None:
            return TokenCache()
        # The key comes first: without the right one nothing counts as damage.
        key = self._vault.key()
        if key is None:
            raise StoreError(
                "no-key",
                f"{self._vault.name} holds no hushkey key, but sealed tokens exist",
                hint="restore the key, or run `hushkey reset` to start anew",
            )
        if seal.is_newer(data):
            raise StoreError(
                "broken",
                f"{self.path} was written by a newer hushkey",
                hint="use the newer one, or run `hushkey reset` to start anew",
            )
        if seal.key_id(key) != seal.sealed_with(data):
            raise StoreError(
                "other-key",
                f"{self._vault.name} holds another key than the one that sealed "
                "the tokens",
                hint="restore the key, or run `hushkey reset` to start anew",
            )
        try:
            return TokenCache.loads(seal.unseal(key, data, self._purpose))
        except ValueError as error:
            raise seal.Damaged("the content is not a token cache") from error

    def _bytes(self) -> "bytes | None":
        """Return what the file holds, or None if there is no file."""
        try:
            with open(self.path, "rb") as file:
                return file.read(MAX_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unwritable("read", self.path, error) from error

    def sealed(self, cache: TokenCache) -> bytes:
        """Return *cache* sealed for this file; the key must exist."""
        key = self._vault.key()
        if key is None:
            raise StoreError("no-key", f"{self._vault.name} lost the hushkey key")
        return seal.seal(key, cache.dumps(), self._purpose)


class Change:
    """One transaction under way: change ``cache``, then `save`."""

    def __init__(self, file: TokenFile, cache: TokenCache, vault: "Vault") -> None:
        self.cache = cache
        self._file = file
        self._vault = vault
        self._descriptor = -1
        self._temporary = ""

    def reserve(self) -> None:
        """Make sure now that a later `save` will find key, folder and room.

        Called before anybody is asked to sign in and before a refresh token is
        redeemed. Raises StoreError.
        """
        self._vault.ensure_key()
        if self._descriptor >= 0:
            return
        folder = os.path.dirname(self._file.path)
        paths.make_private(folder)
        size = len(self.cache.dumps()) * 2 + _HEADROOM
        self._temporary = f"{self._file.path}.{os.getpid()}.{time.monotonic_ns()}.new"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
            self._descriptor = os.open(self._temporary, flags, 0o600)
            _make_room(self._descriptor, size)
        except OSError as error:
            self.discard()
            raise _unwritable("write to", folder, error) from error

    def save(self) -> None:
        """Write the cache: seal, write, fsync, replace. Raises StoreError."""
        self.reserve()
        data = self._file.sealed(self.cache)
        try:
            with open(self._descriptor, "wb", closefd=False) as out:
                out.write(data)
            os.truncate(self._descriptor, len(data))
            os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
            os.replace(self._temporary, self._file.path)
            self._temporary = ""
            with suppress(OSError):  # the new file is in place already
                _sync_folder(os.path.dirname(self._file.path))
        except OSError as error:
            self.discard()
            raise _unwritable("write", self._file.path, error) from error

    def discard(self) -> None:
        """Drop what was reserved and not saved."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._temporary:
            with suppress(OSError):
                os.unlink(self._temporary)
            self._temporary = ""


def sealed_files(folder: str) -> "list[str]":
    """Return the paths of all sealed files below the data *folder*."""
    tokens = os.path.join(folder, "tokens")
    try:
        names = sorted(os.listdir(tokens))
    except OSError:
        return []
    return [os.path.join(tokens, name) for name in names if name.endswith(".sealed")]


def _sweep(tokens: str) -> None:
    """Delete what killed processes left half-written an hour ago or more."""
    with suppress(OSError):
        for name in os.listdir(tokens):
            path = os.path.join(tokens, name)
            if name.endswith(".new") and os.stat(path).st_mtime < time.time() - 3600:
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


def _sync_folder(folder: str) -> None:
    """Make the rename itself durable, where folders can be opened."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(verb: str, path: str, error: OSError) -> StoreError:
    return StoreError(
        "unwritable",
        f"cannot {verb} {path}: {error.strerror or error}",
        hint="make room and check its permissions; nothing was changed",
    )
