"""The encrypted token files: one per (issuer, client id), one lock each.

Reads take no lock. Every change is one transaction: lock, reload, act, save. A
damaged file is moved aside with one warning, which signs that one identity out;
see `hushkey.store.sealedfile` for what counts as damage.
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from hushkey import runtime
from hushkey.store import cipher
from hushkey.store.sealedfile import SUFFIX, Draft, SealedFile, sweep
from hushkey.store.tokencache import TokenCache
from hushkey.system import locks, paths
from hushkey.system.digest import blake2s

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hushkey.store.datakey import DataKey

#: bytes put aside before a refresh, so that a full disk cannot eat its answer
_HEADROOM = 512 * 1024


class TokenFile(SealedFile):
    """The token file of one issuer and client id."""

    def __init__(
        self,
        folder: str,
        issuer: str,
        client_id: str,
        data_key: DataKey,
        warn: Callable[[str], None],
    ) -> None:
        pair = issuer.encode() + b"\0" + client_id.encode()
        self.name = blake2s(pair, digest_size=12).hexdigest()
        self.folder = folder
        self._tokens = os.path.join(folder, "tokens")
        self._warn = warn
        path = os.path.join(self._tokens, self.name + SUFFIX)
        super().__init__(path, b"\0tokens\0" + pair, data_key)

    def lock_path(self, kind: str) -> str:
        """Return the path of the lock for *kind* of work on this file."""
        return os.path.join(self.folder, "locks", f"{self.name}.{kind}.lock")

    def read_cached(self) -> TokenCache:
        """Return the access tokens, from the agent's memory if it has them.

        What it remembers has no grants in it. Else as `read`.
        """
        memory = runtime.memory()
        if memory is None:
            return self.read()
        stamp, version = self.stamp(), self._data_key.version()
        known: TokenCache | None = memory.tokens(self.path, stamp, version)
        if known:
            return known
        proof = memory.proof(version)
        cache = self.read()
        memory.keep_tokens(self.path, stamp, proof, cache)
        for token in cache.tokens():
            self._data_key.hashed(token.value)  # while the key is at hand
        return cache

    def read(self) -> TokenCache:
        """Return the content; an absent file is an empty cache.

        Raises StoreError if the keyring cannot open it.
        """
        runtime.ensure_may_block()
        try:
            return self._open()
        except cipher.Damaged:
            # Look again under the lock before calling it damaged for good.
            with self.change(timeout=self._data_key.timeout) as change:
                return change.cache

    @contextmanager
    def change(self, timeout: float) -> Iterator[Change]:
        """Hold the lock, reload, and yield what may be changed and saved."""
        paths.check_owner(self._tokens)
        with locks.held(self.lock_path("change"), timeout):
            sweep(self._tokens)
            change = Change(self, self._load_locked(), self._data_key)
            try:
                yield change
            finally:
                change.discard()

    def _load_locked(self) -> TokenCache:
        try:
            return self._open()
        except cipher.Damaged as error:
            aside = self.move_aside()
            self._warn(
                f"a token file is damaged ({error}) and was moved to {aside}; "
                "that identity is signed out"
            )
            return TokenCache()

    def _open(self) -> TokenCache:
        content = self.content()
        if content is None:
            return TokenCache()
        try:
            return TokenCache.loads(content)
        except ValueError as error:
            raise cipher.Damaged("the content is not a token cache") from error


class Change:
    """One transaction under way: change ``cache``, then `save`."""

    def __init__(self, file: TokenFile, cache: TokenCache, data_key: DataKey) -> None:
        self.cache = cache
        self._file = file
        self._data_key = data_key
        self._draft = Draft(file.path)

    def reserve(self) -> None:
        """Make sure now that a later `save` will find key, folder and room.

        Called before anybody is asked to sign in and before a refresh token is
        redeemed. Raises StoreError.
        """
        self._data_key.ensure_key()
        self._draft.reserve(len(self.cache.dumps()) * 2 + _HEADROOM)

    def save(self) -> None:
        """Write the cache: seal, write, fsync, replace. Raises StoreError."""
        self.reserve()
        self._draft.save(self._file.sealed(self.cache.dumps()))

    def discard(self) -> None:
        """Drop what was reserved and not saved."""
        self._draft.discard()
