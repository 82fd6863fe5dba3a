"""What a host takes: the access token itself, or what it is exchanged for.

The same rule as for tokens. A secret that is still good costs no network and no
lock; else one process exchanges, under a lock of that host, and whoever waited looks
again, or shares the failure. It is kept beside the access tokens, under a key of its
own (`TokenKey.exchange`), so that signing out forgets it too.
"""

from __future__ import annotations

from hushkey import runtime
from hushkey.acquire import cached
from hushkey.acquire.attempts import FailureCache, once
from hushkey.errors import Permanent, StoreError, Transient, UiRequired
from hushkey.model import FORWARDED, Grant, TokenKey
from hushkey.store.tokencache import ASSUMED_LIFETIME
from hushkey.system import locks
from hushkey.system.digest import blake2s
from hushkey.trace import event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from hushkey.acquire.acquirer import Acquirer
    from hushkey.model import Token
    from hushkey.providers.exchange.base import Secret
    from hushkey.store.tokencache import TokenCache
    from hushkey.store.tokenfile import TokenFile
    from hushkey.tokenrequest import TokenRequest

#: seconds that something old must still live to serve where nothing may be asked
_LAST_RESORT = 10
#: seconds that a waiting process gives the exchanging one beyond its own limits
_GRACE = 5


class ExchangedCredential:
    """The secrets of one request: finds, makes and forgets what its host takes."""

    def __init__(self, acquirer: Acquirer, wanted: TokenRequest) -> None:
        self._acquirer = acquirer
        self._wanted = wanted
        self._session = session = acquirer.session
        self._timeout = float(session.settings["silent_timeout"])
        self._file: TokenFile = acquirer.file_of(wanted.rule.identity)
        rule, kind = wanted.rule, wanted.rule.exchange
        made = f"{kind}:{wanted.host}" if kind else ""
        if made and rule.options:
            made += f" {_digest(rule.options)}"
        self._key = TokenKey(rule.scopes, rule.tenant, made)

    # -- without asking anybody -------------------------------------------------

    def fresh(self) -> Token | None:
        """Return what is stored and good: no network, no lock, no complaint."""
        try:
            token = self._fresh(self._file.read_cached())
        except StoreError:
            return None  # who needs more than this will hear of it
        if token:
            event("cached", self._wanted)
        return token

    def usable(self) -> Token | None:
        """Return what is stored and usable at all, for who may not wait."""
        try:
            token = self._stored(self._file.read_cached())
        except StoreError:
            return None
        if token is None or token.expires_at is None:
            return token
        left = token.expires_at - self._session.clock()
        issued = token.expires_at - token.obtained_at
        return token if _LAST_RESORT < left <= issued + 5 else None

    def given(self, token: Token) -> Token:
        """Return *token*, which goes out; see `Acquirer.given`."""
        return self._acquirer.given(self._wanted, token)

    def forget(self) -> bool:
        """Forget what the host takes, keep the account; tell if there was any."""
        token = self._stored(self._file.read())
        if token is None:
            return False
        with self._file.change(self._timeout) as change:
            change.cache.forget(token.value)
            change.save()
        event("forgotten", self._wanted)
        return True

    def _fresh(self, cache: TokenCache) -> Token | None:
        token, wanted = self._stored(cache), self._wanted
        now = self._session.clock()
        good = token and token.is_fresh(now, wanted.min_lifetime, wanted.began)
        return token if good else None

    def _stored(self, cache: TokenCache) -> Token | None:
        try:
            account = cached.account_for(cache, self._wanted)
        except UiRequired:
            return None
        return cache.token(account, self._key)

    # -- with the network, and perhaps a person ---------------------------------

    def token(self) -> Token:
        """Return what the host takes, or raise the one outcome that it came to."""
        wanted = self._wanted
        if not wanted.rule.exchange:
            return self._acquirer.acquire(wanted)
        if token := self.fresh():
            return token
        runtime.ensure_may_renew()
        try:
            return self._exchanged_or_signed_in()
        except (Transient, Permanent) as error:
            if token := self.usable():
                event("kept-old", wanted, error=error)
                return token
            event("failed", wanted, error=error)
            raise error.about(
                host=wanted.host,
                identity=wanted.rule.identity.name,
                account=wanted.rule.account,
            ) from error.__cause__

    def _exchanged_or_signed_in(self) -> Token:
        try:
            return self._exchanged()
        except UiRequired:
            pass
        except StoreError as error:
            if error.reason != "locked":
                raise
        # Outside the lock: a person may take minutes.
        token = self._acquirer.acquire(self._wanted)
        # What was forwarded is what the host takes: it was exchanged there.
        return token if token.source == FORWARDED else self._exchanged()

    def _exchanged(self) -> Token:
        """Exchange, unless a sibling has just done so or has just failed."""
        name = blake2s(self._key.exchange.encode(), digest_size=8).hexdigest()
        # Any registry's name may be asked for: one file of notes for all, and no
        # more than 256 lock files, each for whoever it falls to.
        lock = self._file.lock_path(f"exchange-{name[:2]}")
        failures = FailureCache(self._session.folder, f"{self._file.name}.exchange")
        # One exchange, and a refresh before and perhaps after it.
        turn = locks.held(lock, 3 * self._timeout + _GRACE)
        return once(
            turn, lambda _: self._look(), lambda _: self._exchange(failures, name)
        )

    def _look(self) -> Token | None:
        token = self._fresh(self._file.read())
        if token:
            event("refreshed-by-sibling", self._wanted)
        return token

    def _exchange(self, failures: FailureCache, name: str) -> Token:
        wanted, clock = self._wanted, self._session.clock
        try:
            token = self._acquirer.silent(wanted)
        except cached.Unwelcome as error:
            # What the host itself said, and what it takes, is the better reason.
            if said := failures.last(name, clock()):
                raise said from error
            raise
        if failure := failures.refresh_failure(wanted.began, clock(), step=name):
            raise failure
        with failures.recorded(name, clock, (Transient, Permanent)):
            kept = self._keep(*self._perform(token))
        event("exchanged", wanted)
        return kept

    def _perform(self, token: Token) -> tuple[Secret, Token]:
        """Exchange *token*; once more with a new one if the host refuses it."""
        from hushkey.providers.exchange.base import Refused

        try:
            return self._ask(token), token
        except Refused as refused:
            self._acquirer.refuse(self._wanted.rule, self._wanted.host, token.value)
            try:
                newer = self._acquirer.silent(self._wanted)
            except Permanent:
                raise refused from None  # it was new: another fares no better
            return self._ask(newer), newer

    def _ask(self, token: Token) -> Secret:
        from hushkey.net import http
        from hushkey.providers import exchange
        from hushkey.providers.exchange.base import Context

        rule = self._wanted.rule
        token = self._with_id_token(self._whole(token))
        asked = Context(
            self._wanted.host,
            token.value,
            rule.tenant,
            beside=token.beside,
            username=token.username,
            options=rule.options,
        )
        network = http.Network(self._session.settings, self._session.environ)
        return exchange.perform(rule.exchange, asked, network, self._session.clock())

    def _whole(self, token: Token) -> Token:
        """Return *token* with what was granted beside it, which no memory keeps."""
        stored = self._file.read().tokens()
        return next((t for t in stored if t.value == token.value), token)

    def _with_id_token(self, token: Token) -> Token:
        """Return *token* with a living ID token, where that is what is exchanged.

        Raises Permanent where the server gives none with a refresh: it need not
        (OpenID Connect Core 1.0, 12.2).
        """
        from hushkey.providers import exchange, registry

        rule = self._wanted.rule
        kind = exchange.KINDS[rule.exchange]
        spec = registry.SPECS.get(rule.identity.provider)
        if not (kind.takes_proof and spec and spec.open_id):
            return token
        if self._lives(token.beside):
            return token
        with self._file.change(self._timeout) as change:
            change.cache.forget(token.value)
            change.save()
        token = self._whole(self._acquirer.silent(self._wanted))
        if not self._lives(token.beside):
            raise Permanent(
                f"{rule.identity.issuer} gives no new ID token without a sign-in",
                hint=f"run: hushkey login --force {rule.identity.name}",
            )
        return token

    def _lives(self, id_token: str) -> bool:
        from hushkey.providers.exchange import base

        end = base.moment(base.claims_of(id_token), "exp")
        return end is not None and end - self._session.clock() > _LAST_RESORT

    def _keep(self, given: Secret, token: Token) -> Token:
        """Store what the host gave, for as long as it says that it lives.

        Raises Transient if the account has signed out since: storing would bring
        it back.
        """
        lifetime = given.lifetime
        if lifetime is None:
            lifetime = ASSUMED_LIFETIME
            self._session.warn(
                f"{self._wanted.host} gave a token without an end; it is used for "
                f"{ASSUMED_LIFETIME // 60} min"
            )
        grant = Grant(given.value, expires_in=lifetime)
        with self._file.change(self._timeout) as change, locks.uninterrupted():
            known = token.account.id in change.cache.accounts
            # A machine never signs out, and its own token may be kept nowhere.
            if not known and not self._wanted.rule.identity.machine:
                raise Transient(
                    f"{token.account.label or 'the account'} has signed out since",
                    hint="try again",
                )
            now = int(self._session.clock())
            kept = change.cache.keep(
                grant, token.account, self._key, now, username=given.username
            )
            change.save()
        return kept.with_source("refresh")


def _digest(options: Mapping[str, Any]) -> str:
    """Return what no other *options* have: what they get is another secret."""
    text = repr(sorted(options.items()))
    return blake2s(text.encode("utf-8", "replace"), digest_size=8).hexdigest()
