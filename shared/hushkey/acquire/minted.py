"""Tokens of machines: nobody signs in, and however many ask, one of them mints.

What is stored and good costs no network. Else one process mints under the lock, and
whoever waited looks again, or shares the failure. What a host has refused while it was
young is not minted again within the minute (`hushkey.acquire.cached.was_refused`), so
that a tool which asks again and again does not hammer the server that mints.

Nothing of a pipeline's job outlives it: its tokens are kept in the job's own folder
(`hushkey.system.jobs`). Elsewhere they are kept as everybody's are, sealed; and where
there is no key for that, in the memory of this process alone, such as the agent's.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from hashlib import blake2s

from hushkey import runtime
from hushkey.acquire import cached
from hushkey.acquire.attempts import FailureCache, once
from hushkey.errors import HushkeyError, Permanent, StoreError, Transient
from hushkey.model import Token
from hushkey.store.datakey import open_data_key
from hushkey.store.tokencache import TokenCache
from hushkey.store.tokenfile import Change, TokenFile
from hushkey.system import jobs, locks
from hushkey.trace import event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hushkey.model import Grant, Identity
    from hushkey.providers.base import Minter
    from hushkey.store.datakey import DataKey
    from hushkey.tokenrequest import Session, TokenRequest

#: seconds that a waiting process gives the minting one beyond its own limit
_GRACE = 5


class Minting:
    """Gets the tokens of machines, for one call of a tool."""

    def __init__(self, session: Session, open_minter: Callable[[str], Minter]) -> None:
        self._session = session
        self._open_minter = open_minter
        self._timeout = float(session.settings["silent_timeout"])
        self._clock = session.clock

    def token(self, file: MachineFile, wanted: TokenRequest) -> Token:
        """Return a token for *wanted* from *file*, or mint one.

        Raises Transient or Permanent, and never what asks for a person.
        """
        if not wanted.rule.identity.kept:
            return self._given(file, wanted)
        token = self._look(file.read_cached(), wanted, "cached")
        if token is not None:
            return token
        runtime.ensure_may_renew()
        try:
            return once(
                self._turn(file),
                lambda change: self._look(change.cache, wanted, "refreshed-by-sibling"),
                lambda change: self._mint(file, change, wanted),
            )
        except (Transient, Permanent) as error:
            old = cached.last_resort(file.read(), wanted, self._clock())
            if old is None:
                raise
            event("kept-old", wanted, error=error)
            return old

    @contextmanager
    def _turn(self, file: MachineFile) -> Iterator[Change]:
        with file.change(self._timeout + _GRACE) as change, locks.uninterrupted():
            yield change

    def _look(self, cache: TokenCache, wanted: TokenRequest, step: str) -> Token | None:
        _check_not_refused(cache, wanted, self._clock())
        token = cached.fresh_token(cache, wanted, self._clock())
        if token:
            event(step, wanted)
        return token

    def _mint(self, file: MachineFile, change: Change, wanted: TokenRequest) -> Token:
        failures = FailureCache(file.folder, file.name)
        key = wanted.rule.token_key.text
        if failure := failures.refresh_failure(wanted.began, self._clock(), key):
            raise failure
        kinds = (Transient, Permanent)
        with failures.recorded("refresh", self._clock, kinds, key):
            token = self._minted(file, change, wanted)
        event("refreshed", wanted)
        return token

    def _minted(self, file: MachineFile, change: Change, wanted: TokenRequest) -> Token:
        rule = wanted.rule
        account, now = rule.identity.itself, int(self._clock())
        granted = self._granted(file, wanted)
        token = change.cache.keep(
            granted, account, rule.token_key, now, username=granted.username
        )
        change.save()
        jobs.sweep(self._clock())
        return token.with_source("refresh")

    def _given(self, file: MachineFile, wanted: TokenRequest) -> Token:
        """Return what is in the environment anyway: nothing is gained by keeping it."""
        granted = self._granted(file, wanted)
        return Token(
            granted.access_token,
            expires_at=None,
            obtained_at=int(self._clock()),
            scopes=wanted.rule.scopes,
            account=wanted.rule.identity.itself,
            source="refresh",
            username=granted.username,
        )

    def _granted(self, file: MachineFile, wanted: TokenRequest) -> Grant:
        try:
            return self._open_minter(file.folder).mint(wanted.rule, wanted.host)
        except (Transient, Permanent):
            raise
        except HushkeyError as error:
            # What would ask a person elsewhere: there is nobody to ask.
            raise Permanent(
                error.what, hint=error.hint, code=error.code, suberror=error.suberror
            ) from error


def _check_not_refused(cache: TokenCache, wanted: TokenRequest, now: float) -> None:
    """Raise Permanent where another token would be refused like the last one."""
    account = wanted.rule.identity.itself
    if cached.was_refused(cache, account, wanted, now):
        hint = "check that this identity has access there"
        if wanted.host.partition("/")[0] in _DEVOPS:
            hint = (
                "add the principal to the organisation's users, with an access level "
                "and permissions (Organization settings, Users)"
            )
        raise Permanent(f"{wanted.host} refuses a token that is new", hint=hint)


#: hosts whose organisations list the principals that may come in
_DEVOPS = ("dev.azure.com", "pkgs.dev.azure.com")


def open_file(identity: Identity, session: Session, data_key: DataKey) -> MachineFile:
    """Return where the tokens of the machine *identity* are kept.

    Never those of another job, or of what other variables name: both are part of the
    file's name.
    """
    environ = session.environ
    facts = [repr(sorted(identity.options.items())), jobs.job(environ)]
    facts += [f"{name}={environ.get(name, '')}" for name in identity.depends]
    digest = blake2s("\n".join(facts).encode("utf-8", "replace"), digest_size=8)
    client = f"{identity.client_id}\t{digest.hexdigest()}"
    folder = jobs.folder(environ)
    if folder:
        # The key is beside what it seals: both end with the job.
        settings = {**session.settings, "key_store": "file"}
        data_key = open_data_key(settings, folder, list)
    return MachineFile(
        folder or session.folder, identity.issuer, client, data_key, session.warn
    )


class MachineFile(TokenFile):
    """A token file that needs no disk: without a key, this process remembers."""

    def read_cached(self) -> TokenCache:
        """Return the access tokens; see `TokenFile`."""
        try:
            return _recalled(self.path) or super().read_cached()
        except StoreError:
            return TokenCache()

    def read(self) -> TokenCache:
        """Return the content; what cannot be opened is as good as nothing."""
        try:
            return _recalled(self.path) or super().read()
        except StoreError:
            return TokenCache()

    @contextmanager
    def change(self, timeout: float) -> Iterator[Change]:
        """Hold the lock, and yield what may be changed and saved somewhere."""
        with ExitStack() as stack:
            change: Change
            try:
                self._data_key.ensure_key()
                change = stack.enter_context(super().change(timeout))
                change.reserve()
            except (StoreError, OSError):
                stack.enter_context(_MEMORY)
                change = _Remembering(self, self._data_key)
            yield change


#: path -> what this process remembers instead of that token file, and its lock
_REMEMBERED: dict[str, bytes] = {}
_MEMORY = threading.RLock()


def _recalled(path: str) -> TokenCache | None:
    content = _REMEMBERED.get(path)
    return TokenCache.loads(content) if content else None


class _Remembering(Change):
    """A transaction on what this process remembers."""

    def __init__(self, file: MachineFile, data_key: DataKey) -> None:
        super().__init__(file, _recalled(file.path) or TokenCache(), data_key)
        self._path = file.path

    def reserve(self) -> None:
        """Do nothing: there is room."""

    def save(self) -> None:
        """Remember the cache."""
        _REMEMBERED[self._path] = self.cache.dumps()
