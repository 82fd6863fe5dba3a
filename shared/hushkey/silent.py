"""Silent acquisition: one process redeems the refresh token, under the lock.

Whoever waited for the lock looks again first, and shares a failure instead of
repeating it. What the server gave is saved before anything is said about it: a
rotated refresh token that is not saved is a sign-in lost (promise 3).
"""

from hushkey import cached, locks
from hushkey.errors import Permanent, Transient, UiRequired
from hushkey.flight import Flight
from hushkey.scopes import covers, scope_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from hushkey.cacherows import GrantRow
    from hushkey.errors import HushkeyError
    from hushkey.model import Account, Token
    from hushkey.provider import Grant, Provider
    from hushkey.store import Change, TokenFile
    from hushkey.want import Want

#: suberrors of invalid_grant (Entra) with which the refresh token itself is dead;
#: with others it lives, and a person has to do something for these scopes
_DEAD = ("", "bad_token", "token_expired")
#: seconds that a waiting process gives the renewing one beyond its own limit
_GRACE = 5


class Renewal:
    """Renews the tokens of one token file."""

    def __init__(
        self,
        file: "TokenFile",
        open_provider: "Callable[[], Provider]",
        settings: "Mapping[str, Any]",
        folder: str,
        clock: "Callable[[], float]",
        *,
        login: bool = False,
    ) -> None:
        self._file = file
        self._open_provider = open_provider
        self._timeout = float(settings["silent_timeout"])
        self._flight = Flight(folder, file.name)
        self._clock = clock
        self._login = login

    def token(self, want: "Want") -> "Token":
        """Return a renewed token; raises UiRequired, Transient, Permanent."""
        with (
            self._file.change(self._timeout + _GRACE) as change,
            locks.uninterrupted(),
        ):
            now = self._clock()
            if token := cached.fresh_token(change.cache, want, now):
                return token
            account = cached.account_for(change.cache, want)
            cached.check_not_refused(change.cache, account, want, now)
            key = scope_key(want.site.scopes)
            if failure := self._flight.refresh_failure(
                want.began, now, key, asked_for=self._login
            ):
                raise failure
            try:
                token = self._renewed(change, account, want)
            except (UiRequired, Transient, Permanent) as error:
                self._flight.note("refresh", error, self._clock(), key)
                raise
            self._flight.clear("refresh")
            return token

    def _renewed(self, change: "Change", account: "Account", want: "Want") -> "Token":
        """Try the refresh tokens of *account*, best first; one is the rule."""
        provider = self._open_provider()
        scopes = want.site.scopes
        need = UiRequired("a sign-in for these scopes is needed")
        for grant in change.cache.grants(account, scopes):
            change.reserve()
            try:
                granted = provider.refresh(
                    grant.refresh_token, grant.scopes_to_send(scopes)
                )
            except (UiRequired, Permanent) as error:
                need = _judge(change, grant, scopes, error)
                continue
            return self._keep(change, granted, account, scopes, grant.refresh_token)
        raise need

    def _keep(
        self,
        change: "Change",
        granted: "Grant",
        account: "Account",
        scopes: "tuple[str, ...]",
        replaces: str,
    ) -> "Token":
        """Save what was granted; then say what is wrong with it, if anything."""
        now = int(self._clock())
        fault = _fault(granted, account, scopes)
        if fault is not None:
            change.cache.keep_grant(granted, account, scopes, now, replaces)
            if isinstance(fault, UiRequired):
                change.cache.mark_narrow(account, scopes)
            change.save()
            raise fault
        token = change.cache.keep(granted, account, scopes, now, replaces)
        change.save()
        return token.with_source("refresh")


def _fault(
    granted: "Grant", account: "Account", scopes: "tuple[str, ...]"
) -> "HushkeyError | None":
    named = granted.account
    if granted.fault is not None:
        return granted.fault
    if named is not None and named.id != account.id:
        return Permanent("the server answered for another account than asked")
    if not covers(granted.scopes, scopes):
        return UiRequired("the server granted less than these scopes")
    return None


def _judge(
    change: "Change",
    grant: "GrantRow",
    scopes: "tuple[str, ...]",
    error: "HushkeyError",
) -> UiRequired:
    """Draw the consequence of a refused refresh token; re-raise what is final.

    A refresh token that covers the scopes and is refused is dead: it is
    dropped, or every later call would pay for it. One that was to be widened
    may only serve its own audience.
    """
    if grant.covers(scopes):
        if not isinstance(error, UiRequired):
            raise error
        if error.code == "invalid_grant" and error.suberror in _DEAD:
            change.cache.drop_grant(grant.refresh_token)
            change.save()
        return error
    if isinstance(error, UiRequired) or error.code in (
        "invalid_scope",
        "invalid_target",
        "invalid_resource",
    ):
        grant.mark_narrow(scopes)
        change.save()
        return UiRequired("the server wants a sign-in for these scopes")
    raise error
