"""What the agent remembers between two questions, and until when.

Access tokens and what was derived from them, by the file that they come from; never
a refresh token, never the data key: a process of its own, with a copy of what is
remembered, opens the file and tells what it learned.

What is remembered counts only while the file is the one that was read (times, size,
inode, device) and the key is where it was: a key file by its own stamp, a Secret
Service by its signals. Of any other keyring nobody can tell, so there it counts for
seconds only.
"""

from __future__ import annotations

import json
import threading
import time

from hushkey.store.tokencache import TokenCache
from hushkey_helpers.agent.renewal import RenewalSchedule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

#: seconds after a change in which a file may change again without showing it
_RACY = 0.05
#: seconds for which a keyring that gives no signals is believed
UNSEEN = 10.0
#: config files, token files and hashes; far more than anybody has
_MOST = 64
_MOST_NAMES = 4096


class Watch:
    """Hears of changes of a keyring; this one only knows what was *heard* before."""

    def __init__(self, heard: int | None = None) -> None:
        self._heard = heard

    def number(self) -> int | None:
        """Return what rises with every change, None while nobody listens."""
        return self._heard

    def heard(self) -> int | None:
        """Return the number, without beginning to listen."""
        return self._heard

    def on_change(self, act: Callable[[], None]) -> None:
        """Let *act* be called after every change."""


class Memory:
    """Filled and read by the answers themselves, from any thread."""

    def __init__(
        self,
        watch: Watch,
        uses: RenewalSchedule,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.uses = uses
        self._watch = watch
        self._clock = clock
        self._lock = threading.Lock()
        self._configs: dict[str, tuple[object, Mapping[str, Any]]] = {}
        self._files: dict[str, tuple[object, object, TokenCache]] = {}
        self._names: dict[tuple[object, str], str] = {}
        #: what a `copy` had at first of the last two
        self._copied: tuple[dict[str, Any], dict[tuple[object, str], str]] = {}, {}
        watch.on_change(self.forget)

    def copy(self) -> Memory:
        """Return what a process of its own begins with; its lock is its own, too."""
        made = Memory(Watch(self._watch.heard()), RenewalSchedule(), self._clock)
        with self._lock:
            made._configs = dict(self._configs)
            made._files = dict(self._files)
            made._names = dict(self._names)
        made._copied = dict(made._files), dict(made._names)
        return made

    def learned(self) -> bytes:
        """Return for `learn` what this copy knows by now and did not at first."""
        files, names = self._copied
        new = [
            (path, stamp, proof, cache.dumps().decode())
            for path, (stamp, proof, cache) in self._files.items()
            if (stamp, proof, cache) != files.get(path)
        ]
        # A file that is read again takes all the names with it.
        known = {} if new else names
        found = [(*k, v) for k, v in self._names.items() if k not in known]
        return json.dumps((new, found)).encode()

    def learn(self, said: bytes) -> None:
        """Remember what a copy has `learned`, as far as it counts by now."""
        files, names = json.loads(said)
        with self._lock:
            for path, stamp, proof, content in files:
                cache = TokenCache.loads(content.encode())
                self._put(path, tuple(stamp), _tuples(proof), cache)
            for proof, value, name in names:
                self._put_name((_tuples(proof), value), name)

    def forget(self) -> None:
        """Forget everything."""
        with self._lock:
            self._configs.clear()
            self._files.clear()
            self._names.clear()

    def count(self) -> int:
        """Return how many access tokens are remembered, fresh or not."""
        with self._lock:
            return sum(len(cache.tokens()) for _, _, cache in self._files.values())

    # -- the compiled config ----------------------------------------------------

    def config(self, source: str, stamp: object) -> Mapping[str, Any] | None:
        """Return the compiled form of *source*, if it has not changed."""
        found = self._configs.get(source)
        return found[1] if found and found[0] == stamp else None

    def keep_config(
        self, source: str, stamp: object, compiled: Mapping[str, Any]
    ) -> None:
        """Remember the compiled form of *source*."""
        with self._lock:
            if self._configs.get(source, (stamp,))[0] != stamp:
                self.uses.forget()
            _make_room(self._configs, source, _MOST)
            self._configs[source] = stamp, compiled

    # -- tokens -----------------------------------------------------------------

    def proof(self, version: object) -> object:
        """Return what stays the same while the key is where it was; None: unknown.

        *version* is the data key's (`DataKey.version`).
        """
        if version == "signals":
            return self._watch.number()
        if version is None:
            return int(self._clock() / UNSEEN)
        return version

    def tokens(self, path: str, stamp: object, version: object) -> TokenCache | None:
        """Return the remembered tokens of the file *path*: no grants among them."""
        found = self._files.get(path)
        if not found or found[0] != stamp:
            return None
        return found[2] if found[1] == self.proof(version) else None

    def keep_tokens(
        self,
        path: str,
        stamp: tuple[int, ...],
        proof: object,
        cache: TokenCache,
    ) -> None:
        """Remember the tokens of *path*; *proof* is from before it was opened."""
        settled = self._clock() - stamp[0] / 1e9 > _RACY if stamp else False
        with self._lock:
            if proof is not None and settled:
                self._put(path, stamp, proof, _without_grants(cache))
            else:
                self._files.pop(path, None)
                self._names.clear()

    def _put(
        self, path: str, stamp: tuple[int, ...], proof: object, cache: TokenCache
    ) -> None:
        self._names.clear()
        _make_room(self._files, path, _MOST)
        self._files[path] = stamp, proof, cache

    def settle(self) -> None:
        """Wait until a file that was saved just now counts."""
        time.sleep(2 * _RACY)

    def name(self, version: object, value: str, make: Callable[[], str]) -> str:
        """Return the keyed hash of the token *value*; *make* needs the key."""
        proof = self.proof(version)
        key = (proof, value)
        if proof is None or (found := self._names.get(key)) is None:
            found = make()
            with self._lock:
                if proof is not None:
                    self._put_name(key, found)
        return found

    def _put_name(self, key: tuple[object, str], name: str) -> None:
        _make_room(self._names, key, _MOST_NAMES)
        self._names[key] = name


def _without_grants(cache: TokenCache) -> TokenCache:
    """Return what may stay in memory: no refresh token, and nothing beside tokens."""
    content = json.loads(cache.dumps())
    tokens = [{**row, "beside": ""} for row in content["tokens"]]
    return TokenCache({**content, "grants": [], "tokens": tokens})


def _tuples(proof: Any) -> object:
    """Return *proof* as it was before JSON, which has no tuples."""
    return tuple(proof) if isinstance(proof, list) else proof


def _make_room(kept: dict[Any, Any], key: object, most: int) -> None:
    """Let *key* be the newest, and drop the oldest beyond *most*."""
    kept.pop(key, None)
    while len(kept) >= most:
        del kept[next(iter(kept))]
