"""The index of what is kept: keyed hashes, so that "nothing" costs next to nothing.

The secrets that users typed for hosts that are not ours lie in the folder
``typed_store``, one sealed file each, and the names of these files are the index:

    stash/index                              0600: the key of the hashes
    stash/3f/<place>-<path>-<user>.sealed    3f: the first byte of <place>
    stash/3f/recent                          which were stored last, a mere hint

*place* is the hash of tool, protocol and host, the other two are those of path and
user name. So the index can never disagree with the files, a question for any
number of paths and users is one look into one folder, and a store or an erase
touches one small file, however many there are: with 10,000 secrets one file for all
would cost 60 ms a time, and one damaged byte would cost all of them. The names
say nothing to whoever sees only them (a backup's listing, a report).

Imported by every helper: no keyring, no decryption, no lock in here.
"""

from __future__ import annotations

import os

from hushkey.model import Frozen
from hushkey.system import ownership
from hushkey.system.digest import blake2s

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = "stash"
#: where files are written before they get their name
DRAFTS = "new"
SUFFIX = ".sealed"
KEY_BYTES = 32
_MAGIC = b"HUSHIDX1"
_CHECK_BYTES = 8
_RECENT = 16  # names
_PLACE, _PART = 16, 8  # bytes of the hashes


class CredentialKey(Frozen):
    """Where a secret belongs: a tool's name, and what that tool knows a host by.

    ``path`` and ``user`` may be None: in a question that means any, unless it is put
    *exact*, where no path means none; for what is kept, that there is none (an empty
    user name is a user name).
    """

    tool: str
    protocol: str
    host: str
    path: str | None = None
    user: str | None = None


class Lost(Exception):
    """The index of what is kept is not usable: `TypedCredentials` rebuilds it."""


class Index:
    """Which file a key has; made by `read`."""

    def __init__(self, folder: str, key: bytes) -> None:
        self._typed_store = os.path.join(folder, FOLDER)
        self._key = key

    def path_of(self, key: CredentialKey) -> str:
        """Return the path of the file for exactly *key*."""
        place = self._place(key)
        name = f"{place}-{self._hash('path', place, key.path)}"
        name += f"-{self._hash('user', place, key.user)}{SUFFIX}"
        return os.path.join(self._typed_store, place[:2], name)

    def matching(self, key: CredentialKey, *, exact: bool = False) -> Iterator[str]:
        """Yield the paths of all files that answer *key*, the newest first."""
        by_path = exact or key.path is not None
        if by_path and key.user is not None:
            path = self.path_of(key)
            if os.path.exists(path):
                yield path
            return
        place = self._place(key)
        folder = os.path.join(self._typed_store, place[:2])
        start, end = place + "-", SUFFIX
        if by_path:
            start += self._hash("path", place, key.path) + "-"
        if key.user is not None:
            end = f"-{self._hash('user', place, key.user)}{SUFFIX}"
        recent = [n for n in _recent(folder) if n.startswith(start) and n.endswith(end)]
        for path in (os.path.join(folder, name) for name in recent):
            if os.path.exists(path):
                yield path
        names = [n for n in _names(folder) if n.startswith(start) and n.endswith(end)]
        older = [os.path.join(folder, name) for name in names if name not in recent]
        yield from sorted(older, key=changed, reverse=True) if len(older) > 1 else older

    def is_last(self, key: CredentialKey) -> bool:
        """Tell whether `note_last` was called for *key* last."""
        folder, name = os.path.split(self.path_of(key))
        return _recent(folder)[:1] == [name]

    def note_last(self, key: CredentialKey) -> None:
        """Note that *key* is stored now.

        The dates of the files say it too, but with ten thousand users of one
        host only after a look at ten thousand files.
        """
        folder, name = os.path.split(self.path_of(key))
        others = (n for n in _recent(folder) if n != name)
        there = [n for n in others if os.path.exists(os.path.join(folder, n))]
        recent = os.path.join(folder, "recent")
        data = "\n".join([name, *there[: _RECENT - 1]]).encode("ascii")
        drafts = os.path.join(self._typed_store, DRAFTS)
        try:
            ownership.replace(recent, data, folder=drafts, durable=False)
        except OSError:
            # A full disk: an old hint would be a wrong one, the dates remain.
            try:  # noqa: SIM105 - contextlib costs more than the whole answer may
                os.unlink(recent)
            except OSError:
                pass

    def digest(self, *parts: str) -> str:
        """Return a hash of *parts* that others cannot make: never for a file."""
        return self._hash("digest", *parts, size=_PLACE)

    def _place(self, key: CredentialKey) -> str:
        return self._hash("host", key.tool, key.protocol, key.host, size=_PLACE)

    def _hash(self, kind: str, *parts: str | None, size: int = _PART) -> str:
        data = b"".join(
            b"-" if part is None else b"%d:%s" % (len(part), _bytes(part))
            for part in parts
        )
        hashed = blake2s(data, key=self._key, digest_size=size, person=_bytes(kind))
        return str(hashed.hexdigest())


def read(folder: str) -> Index | None:
    """Return the index below the data *folder*; None if nothing is kept.

    Raises Lost if there is one without a usable index.
    """
    path = index_path(folder)
    try:
        with open(ownership.open_own(path), "rb") as file:
            key = _key_in(file.read(1024))
    except (FileNotFoundError, NotADirectoryError):
        if not os.path.isdir(os.path.dirname(path)):
            return None
        key = None
    except OSError:
        key = None
    if key is None:
        raise Lost
    return Index(folder, key)


def holds(folder: str, *keys: CredentialKey, exact: bool = False) -> bool:
    """Tell whether anything may be kept that answers one of *keys*."""
    try:
        index = read(folder)
    except Lost:
        return True  # the keyring has to be asked
    return index is not None and any(
        any(index.matching(key, exact=exact)) for key in keys
    )


def files(folder: str) -> Iterator[str]:
    """Yield the paths of all kept secrets below the data *folder*."""
    typed_store = os.path.join(folder, FOLDER)
    for part in _names(typed_store):
        if len(part) == 2:
            inner = os.path.join(typed_store, part)
            names = (name for name in _names(inner) if name.endswith(SUFFIX))
            yield from (os.path.join(inner, name) for name in names)


def index_path(folder: str) -> str:
    """Return the path of the index file below the data *folder*."""
    return os.path.join(folder, FOLDER, "index")


def dumps(key: bytes) -> bytes:
    """Return the content of an index file with *key*."""
    return _MAGIC + key + _check(key)


def changed(path: str) -> int:
    """Return when *path* was written, in ns; 0 if it is gone."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _key_in(data: bytes) -> bytes | None:
    key = data[len(_MAGIC) : len(_MAGIC) + KEY_BYTES]
    return key if len(key) == KEY_BYTES and data == dumps(key) else None


def _check(key: bytes) -> bytes:
    digest = blake2s(key, digest_size=_CHECK_BYTES, person=b"hk-index").digest()
    return bytes(digest)


def _recent(folder: str) -> list[str]:
    """Return the names that were stored last in *folder*, the newest first."""
    try:
        with open(os.path.join(folder, "recent"), "rb") as file:
            return file.read(_RECENT * 128).decode("ascii", "replace").split("\n")
    except OSError:
        return []


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _bytes(text: str) -> bytes:
    # Any text at all: tools hand over bytes that are not UTF-8, as surrogates.
    return text.encode("utf-8", "surrogatepass")
