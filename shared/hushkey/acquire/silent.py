"""Silent acquisition: one process redeems the refresh token, under the lock.

Whoever waited for the lock looks again first, and shares a failure instead of
repeating it. What the server gave is saved before anything is said about it: a
rotated refresh token that is not saved is a sign-in lost.
"""

from __future__ import annotations

from contextlib import contextmanager

from hushkey.acquire import cached
from hushkey.acquire.attempts import FailureCache, once
from hushkey.claims import merged
from hushkey.errors import Permanent, Transient, UiRequired
from hushkey.scopes import covers
from hushkey.system import locks
from hushkey.trace import event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hushkey.errors import HushkeyError
    from hushkey.model import Account, Grant, Token, TokenKey
    from hushkey.providers.base import Provider
    from hushkey.store.tokencache import GrantRow
    from hushkey.store.tokenfile import Change, TokenFile
    from hushkey.tokenrequest import Session, TokenRequest

#: suberrors of invalid_grant (Entra) with which the refresh token itself is dead;
#: with others it lives, and a person has to do something for these scopes
_DEAD = ("", "bad_token", "token_expired")
_KILLED = (
    "hushkey was killed while it renewed this sign-in, and what the server gave then "
    "is lost; one new sign-in mends it"
)
#: seconds that a waiting process gives the renewing one beyond its own limit
_GRACE = 5


class Renewal:
    """Renews the tokens of one token file."""

    def __init__(
        self,
        file: TokenFile,
        open_provider: Callable[[str], Provider],
        session: Session,
    ) -> None:
        self._file = file
        self._open_provider = open_provider
        self._timeout = float(session.settings["silent_timeout"])
        self._failures = FailureCache(session.folder, file.name)
        self._clock = session.clock
        self._warn = session.warn
        self._login = session.options.login

    def token(self, wanted: TokenRequest) -> Token:
        """Return a renewed token; raises UiRequired, Transient, Permanent."""
        return once(
            self._turn(),
            lambda change: self._look(change, wanted),
            lambda change: self._renew(change, wanted),
        )

    @contextmanager
    def _turn(self) -> Iterator[Change]:
        with (
            self._file.change(self._timeout + _GRACE) as change,
            locks.uninterrupted(insists=False, hear=self._say_why),
        ):
            yield change

    def _say_why(self) -> None:
        """Say to whoever wants this process to end why it does not, yet."""
        self._warn(
            "a renewal is under way, and to stop it now could lose the sign-in: it "
            f"ends in {self._timeout:g} s at most"
        )

    def _look(self, change: Change, wanted: TokenRequest) -> Token | None:
        token = cached.fresh_token(change.cache, wanted, self._clock())
        if token:
            event("refreshed-by-sibling", wanted)
        return token

    def _renew(self, change: Change, wanted: TokenRequest) -> Token:
        """Return a new token, or raise the failure of a sibling.

        Of one that tried the same accounts with the same claims, that is.
        """
        now = self._clock()
        accounts = cached.accounts_for(change.cache, wanted)
        allowed = [
            account
            for account in accounts
            if not cached.was_refused(change.cache, account, wanted, now)
        ]
        key = _key(allowed, wanted)
        try:
            if failure := self._failures.refresh_failure(
                wanted.began, now, key, asked_for=self._login
            ):
                raise failure
            kinds = (UiRequired, Transient, Permanent)
            with self._failures.recorded("refresh", self._clock, kinds, key):
                token = self._first(change, allowed, wanted)
        except UiRequired:
            # That the host refuses the likeliest is the better reason.
            cached.check_not_refused(change.cache, accounts[0], wanted, now)
            raise
        event("refreshed", wanted)
        return token

    def _first(
        self, change: Change, accounts: list[Account], wanted: TokenRequest
    ) -> Token:
        """Return the token of the first of *accounts* that gets one silently.

        Only what asks for a person leads to the next; if nobody gets a token,
        the first account's reason is the reason.
        """
        reason: UiRequired | None = None
        for account in accounts:
            try:
                return self._redeem(change, account, wanted)
            except UiRequired as error:
                reason = reason or error
        raise reason or UiRequired("nobody is signed in")

    def _redeem(self, change: Change, account: Account, wanted: TokenRequest) -> Token:
        """Try the refresh tokens of *account*, best first; one is the rule."""
        key = wanted.rule.token_key
        claims = wanted.claims or change.cache.demanded(account, key)
        provider = self._open_provider(claims)
        need = cached.need(change.cache, account, claims)
        for grant in change.cache.grants(account, key):
            change.reserve()
            noted = self._failures.under_way("renewal", self._clock(), account.id)
            with noted as killed:
                try:
                    granted = provider.refresh(
                        grant.refresh_token, grant.scopes_to_send(wanted.rule.scopes)
                    )
                except (UiRequired, Permanent) as error:
                    if claims and isinstance(error, Permanent):
                        # A host may demand what the server knows nothing of.
                        change.cache.forget_demand(account, key)
                        change.save()
                    now = int(self._clock())
                    need = _judge(change, grant, key, error, claims, now)
                    need.claims = merged(claims, need.claims)
                    if killed and _is_dead(need):
                        self._warn(f"{wanted.host}: {_KILLED}")
                    continue
                return self._keep(
                    change, granted, account, wanted, grant.refresh_token, claims
                )
        raise need

    def _keep(
        self,
        change: Change,
        granted: Grant,
        account: Account,
        wanted: TokenRequest,
        replaces: str,
        claims: str,
    ) -> Token:
        """Save what was granted; then say what is wrong with it, if anything."""
        now, key = int(self._clock()), wanted.rule.token_key
        fault = _fault(granted, account, key.scopes)
        if fault is not None:
            change.cache.keep_grant(granted, account, key, now, replaces)
            if isinstance(fault, UiRequired):
                change.cache.mark_narrow(account, key)
            change.save()
            raise fault
        token = change.cache.keep(granted, account, key, now, replaces, claims)
        if not cached.is_named(change.cache, wanted):
            place = change.cache.bound_by(key, wanted.host, wanted.where)
            change.cache.bind(key, place, account, here=True)
        change.save()
        return token.with_source("refresh")


def _key(accounts: list[Account], wanted: TokenRequest) -> str:
    """Return for whom a failure counts: these accounts, scopes and claims."""
    claims = ""
    if wanted.claims:
        import hashlib  # noqa: PLC0415 - no cached answer needs it

        claims = hashlib.sha256(wanted.claims.encode()).hexdigest()
    who = [account.id for account in accounts]
    return " ".join([*who, wanted.rule.token_key.text, claims])


def _fault(
    granted: Grant, account: Account, scopes: tuple[str, ...]
) -> HushkeyError | None:
    named = granted.account
    if granted.fault is not None:
        return granted.fault
    if named is not None and named.id != account.id:
        return Permanent("the server answered for another account than asked")
    if not covers(granted.scopes, scopes):
        return UiRequired("the server granted less than these scopes")
    return None


def _is_dead(error: HushkeyError) -> bool:
    """Tell whether *error* means that the refresh token is good for nothing."""
    ended = error.ended or error.code == "invalid_grant"
    return ended and error.suberror in _DEAD and not error.claims


def _judge(
    change: Change,
    grant: GrantRow,
    key: TokenKey,
    error: HushkeyError,
    claims: str,
    now: int,
) -> UiRequired:
    """Draw the consequence of a refused refresh token; re-raise what is final.

    A refresh token that covers the scopes and is refused is dead: it is
    dropped, or every later call would pay for it. One that was to be widened
    may only serve its own audience, unless it was *claims* that were refused.
    """
    if grant.covers(key):
        if not isinstance(error, UiRequired):
            raise error
        if _is_dead(error):
            change.cache.drop_grant(grant.refresh_token, ended=now)
            change.save()
        return error
    if isinstance(error, UiRequired) or error.code in (
        "invalid_scope",
        "invalid_target",
        "invalid_resource",
    ):
        if not claims:
            grant.mark_narrow(key)
            change.save()
        what = "the server wants a sign-in for these scopes"
        return UiRequired(
            what, code=error.code, suberror=error.suberror, claims=error.claims
        )
    raise error
