"""What users typed for hosts that are not ours (git's store, `docker login`).

One sealed file for each (tool, protocol, host, path, user), found by
`hushkey.store.typed_index`. Reads take no lock. Every change holds one lock, so that
two hundred stores and erases at once lose nothing and double nothing. Helpers
import this only when the index says that something may be there, or to store.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress

from hushkey import runtime
from hushkey.model import Frozen
from hushkey.store import cipher, typed_index
from hushkey.store.datakey import open_data_key
from hushkey.store.sealedfile import Draft, SealedFile, sealed_files, sweep, unwritable
from hushkey.store.typed_index import CredentialKey
from hushkey.system import locks, paths
from hushkey.trace import event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from hushkey.store.datakey import DataKey

_VERSION = 1
#: seconds for a change to wait for its siblings
_PATIENCE = 60


class StoredCredential(Frozen):
    """One kept secret: its key, and what the tool gave, by the tool's own names.

    Everything in ``values`` counts as secret.
    """

    _secret = ("values",)
    key: CredentialKey
    values: Mapping[str, str]

    @staticmethod
    def _complete(values: dict[str, Any]) -> None:
        values["values"] = dict(values["values"])


def open_typed_credentials(
    settings: Mapping[str, Any], folder: str, warn: Callable[[str], None]
) -> TypedCredentials:
    """Return the typed credentials below the data *folder*; nothing is contacted yet.

    What a person typed is none of the agent's: only the process that was called has it.
    """
    runtime.ensure_in_caller()
    data_key = open_data_key(settings, folder, lambda: sealed_files(folder))
    return TypedCredentials(folder, data_key, warn)


class TypedCredentials:
    """Keeps, finds, lists and forgets; every method may raise StoreError."""

    def __init__(
        self, folder: str, data_key: DataKey, warn: Callable[[str], None]
    ) -> None:
        self._folder = folder
        self.data_key = data_key
        self._warn = warn

    # -- reading ------------------------------------------------------------

    def matching(
        self, key: CredentialKey, *, exact: bool = False
    ) -> Iterator[StoredCredential]:
        """Yield what is kept for *key*, the newest first, opened one by one.

        *exact*: no path means none, not any. Nothing found costs no keyring.
        """
        index = self._index()
        for path in index.matching(key, exact=exact) if index else ():
            record = self._read(path)
            if record is not None and _answers(record.key, key, exact=exact):
                event("found", host=key.host)
                yield record

    def all_keys(self, tool: str = "") -> list[CredentialKey]:
        """Return what is kept (for *tool*), in order: no secrets."""
        index = self._index()
        found = []
        for path in typed_index.files(self._folder) if index else ():
            record = self._read(path)
            # A rebuild that was cut short leaves files that no key leads to.
            if record and index and index.path_of(record.key) == path:
                found.append(record.key)
        wanted = (key for key in found if tool in ("", key.tool))
        return sorted(wanted, key=_words)

    def check_key(self) -> None:
        """Raise StoreError where the key opens nothing of what is kept.

        Changes nothing, and opens no more than it must: one key is for all.
        """
        for path in typed_index.files(self._folder):
            with suppress(cipher.Damaged):  # this one tells nothing about the key
                if self._file(path).content() is not None:
                    return

    # -- changing -----------------------------------------------------------

    def store(self, record: StoredCredential, *, alone: bool = False) -> None:
        """Keep *record* in the place of an older one for the same key.

        *alone*: forget all others of the same tool, protocol, host and path, for
        tools that know one user for each of these.
        """
        key = record.key
        around = CredentialKey(key.tool, key.protocol, key.host, key.path)
        paths.check_owner(os.path.join(self._folder, typed_index.FOLDER))
        self.data_key.ensure_key()
        if not alone and self._is_kept(record):
            return
        with self._change():
            index = self._index_to_write()
            path = index.path_of(key)
            self._write(path, record)
            index.note_last(key)
            if alone:
                others = index.matching(around, exact=True)
                _unlink([other for other in others if other != path])
            event("stored", host=key.host)

    def erase(
        self,
        key: CredentialKey,
        only: Callable[[StoredCredential], bool] | None = None,
        *,
        exact: bool = False,
    ) -> int:
        """Forget what is kept for *key* and passes *only*; return how many.

        *exact*: no path means none, not any.
        Without *only* nothing is opened, so a locked keyring is no obstacle.
        """
        if not typed_index.holds(self._folder, key, exact=exact):
            return 0
        paths.check_owner(os.path.join(self._folder, typed_index.FOLDER))
        with self._change():
            index = self._index_to_write()
            gone = []
            for path in index.matching(key, exact=exact):
                if only is not None:
                    record = self._read_locked(path)
                    if record is None or not only(record):
                        continue
                gone.append(path)
            _unlink(gone)
            event("erased" if gone else "kept", host=key.host)
            return len(gone)

    # -- parts --------------------------------------------------------------

    def _is_kept(self, record: StoredCredential) -> bool:
        """Tell whether *record* is kept already, and let it be the newest.

        git stores after each success what it was given a moment before: that
        costs no lock and no new file.
        """
        index = self._index()
        path = index.path_of(record.key) if index else ""
        if not index or self._read(path) != record:
            return False
        event("kept", host=record.key.host)
        if not index.is_last(record.key):
            _date(path, time.time_ns())
            index.note_last(record.key)
        return True

    def _change(self) -> Any:
        return locks.held(os.path.join(self._folder, "locks", "stash.lock"), _PATIENCE)

    def _index(self) -> typed_index.Index | None:
        """Return the index, rebuilt if it was lost; None if nothing is kept."""
        try:
            return typed_index.read(self._folder)
        except typed_index.Lost:
            if not any(typed_index.files(self._folder)):
                return None
            with self._change():
                return self._index_to_write()

    def _index_to_write(self) -> typed_index.Index:
        """Return the index, made if there is none. For holders of the lock."""
        try:
            index = typed_index.read(self._folder)
        except typed_index.Lost:
            index = None
        return index or self._new_index()

    def _new_index(self) -> typed_index.Index:
        """Make an index; what is there already is written once more under it.

        First the new files, then the index, then the old files go: killed in
        between, the next attempt finds everything again.
        """
        key = os.urandom(typed_index.KEY_BYTES)
        index = typed_index.Index(self._folder, key)
        old = list(typed_index.files(self._folder))
        for path in sorted(old, key=typed_index.changed):
            if record := self._read_locked(path):
                self._write(index.path_of(record.key), record)
                _date(index.path_of(record.key), typed_index.changed(path))
        self._draft(typed_index.index_path(self._folder)).save(typed_index.dumps(key))
        _unlink(old)
        return index

    def _file(self, path: str) -> SealedFile:
        name = os.path.basename(path).removesuffix(typed_index.SUFFIX)
        file = SealedFile(path, b"\0stash\0" + name.encode(), self.data_key)
        file.holds = "secrets"
        return file

    def _read(self, path: str) -> StoredCredential | None:
        try:
            return _loads(self._file(path).content())
        except cipher.Damaged:
            # Look again under the lock before calling it damaged for good.
            with self._change():
                return self._read_locked(path)

    def _read_locked(self, path: str) -> StoredCredential | None:
        try:
            return _loads(self._file(path).content())
        except cipher.Damaged as error:
            aside = self._file(path).move_aside()
            self._warn(
                f"a stored credential is damaged ({error}) and was moved to {aside}"
            )
            return None

    def _write(self, path: str, record: StoredCredential) -> None:
        """Write *path*, dated to the nanosecond: file systems count in ticks."""
        self._draft(path).save(self._file(path).sealed(_dumps(record)))
        _date(path, time.time_ns())

    def _draft(self, path: str) -> Draft:
        paths.make_private(os.path.dirname(path))
        new = os.path.join(self._folder, typed_index.FOLDER, typed_index.DRAFTS)
        sweep(new)
        return Draft(path, new)


def _answers(kept: CredentialKey, asked: CredentialKey, *, exact: bool) -> bool:
    """Tell whether *kept* answers *asked*: the names of files are only hashes."""
    return (
        (kept.tool, kept.protocol, kept.host)
        == (asked.tool, asked.protocol, asked.host)
        and (kept.path == asked.path or (asked.path is None and not exact))
        and asked.user in (None, kept.user)
    )


def _words(key: CredentialKey) -> tuple[str, ...]:
    words = (key.tool, key.host, key.protocol, key.path, key.user)
    return tuple(word or "" for word in words)


def _dumps(record: StoredCredential) -> bytes:
    key = record.key
    places = [key.tool, key.protocol, key.host, key.path, key.user]
    content = {"version": _VERSION, "slot": places, "values": record.values}
    return json.dumps(content, separators=(",", ":")).encode()


def _loads(content: bytes | None) -> StoredCredential | None:
    if content is None:
        return None
    try:
        found = json.loads(content)
        if found["version"] != _VERSION:
            raise ValueError
        return StoredCredential(CredentialKey(*found["slot"]), found["values"])
    except (ValueError, TypeError, KeyError) as error:
        raise cipher.Damaged("the content is not a stored credential") from error


def _date(path: str, nanoseconds: int) -> None:
    with suppress(OSError):  # only the order among several users suffers
        os.utime(path, ns=(nanoseconds, nanoseconds))


def _unlink(gone: list[str]) -> None:
    for path in gone:
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise unwritable("erase", path, error) from error
