"""Cached, then silent, then one sign-in: the file to read first.

1. a stored access token that is still good: no network, no lock;
2. else the refresh token, by one process under a lock: whoever waited looks
   again before asking the network, and shares a failure instead of repeating it;
3. only if that ends in UiRequired: one sign-in, however many processes ask,
   and only where policy says that a person can see it;
4. else one of the errors of `hushkey.errors`, as it is.
"""

import time

from hushkey import locks, providers, seal, store
from hushkey.errors import (
    HushkeyError,
    Permanent,
    StoreError,
    Transient,
    UiRequired,
)
from hushkey.flight import Flight
from hushkey.model import Account, Token
from hushkey.store import TokenFile
from hushkey.tokencache import TokenCache, covers
from hushkey.vault import Vault, open_vault
from hushkey.want import Manners, Want

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from hushkey.interactive import Interaction
    from hushkey.model import Identity, Site
    from hushkey.provider import Grant, Provider
    from hushkey.store import Change
    from hushkey.tokencache import GrantRow

#: seconds a token must still live to be handed out while the server fails
_LAST_RESORT = 10


class Acquirer:
    """Gets tokens for the identities of one config."""

    def __init__(
        self,
        settings: "Mapping[str, Any]",
        folder: str,
        environ: "Mapping[str, str]",
        manners: Manners,
        warn: "Callable[[str], None]",
        *,
        began: float = 0.0,
        clock: "Callable[[], float]" = time.time,
        open_provider: "Callable[..., Provider]" = providers.open_provider,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._environ = environ
        self._manners = manners
        self._warn = warn
        self._began = began or clock()
        self._clock = clock
        self._open_provider = open_provider
        self.vault: Vault = open_vault(
            settings, folder, lambda: store.sealed_files(folder)
        )

    def want(self, site: "Site", host: str, username: str = "") -> Want:
        """Return the need for a token of *site*, since this call began."""
        lifetime = site.min_lifetime or self._settings["min_lifetime"]
        return Want(site, host, username, self._began, lifetime)

    def file_of(self, identity: "Identity") -> TokenFile:
        """Return the token file that *identity* uses."""
        return TokenFile(
            self._folder, identity.issuer, identity.client_id, self.vault, self._warn
        )

    # -- the line through everything ----------------------------------------

    def acquire(self, want: Want) -> Token:
        """Return a token for *want*, or raise the one outcome that it came to."""
        try:
            try:
                return self._acquire(want)
            except StoreError as error:
                if error.reason != "locked":
                    raise
                self._interaction(want).unlock(want, error, self.vault)
                return self._acquire(want)
        except HushkeyError as error:
            site = want.site
            raise error.about(
                host=want.host, identity=site.identity.name, account=site.account
            ) from error.__cause__

    def _acquire(self, want: Want) -> Token:
        try:
            return self.silent(want)
        except UiRequired as need:
            return self._interaction(want).acquire(want, need, self.silent)

    def sign_in(self, want: Want) -> Token:
        """Sign in for *want* even if nothing requires it."""
        return self._interaction(want).sign_in(want)

    def silent(self, want: Want) -> Token:
        """Return a token without anybody noticing, or raise why not."""
        file = self.file_of(want.site.identity)
        cache = file.read()
        if token := self._fresh(cache, want):
            return token
        account = self._account(cache, want)
        if not cache.grants(account, want.site.scopes):
            self._check_not_refused(cache, account, want)
            raise UiRequired("a sign-in for these scopes is needed")
        return self._refreshed(file, want)

    # -- cached -------------------------------------------------------------

    def _account(self, cache: TokenCache, want: Want) -> Account:
        wanted = want.site.account
        account = cache.account(wanted)
        if not wanted and want.username:
            account = cache.account(want.username) or account
        if account is None:
            raise UiRequired("nobody is signed in")
        return account

    def _fresh(self, cache: TokenCache, want: Want) -> "Token | None":
        try:
            account = self._account(cache, want)
        except UiRequired:
            return None
        token = cache.token(account, want.site.scopes)
        fresh = token and token.is_fresh(self._clock(), want.min_lifetime, want.began)
        return token if fresh else None

    # -- silent -------------------------------------------------------------

    def _refreshed(self, file: TokenFile, want: Want) -> Token:
        timeout = self._settings["silent_timeout"]
        with file.change(timeout) as change, locks.uninterrupted():
            if token := self._fresh(change.cache, want):
                return token
            account = self._account(change.cache, want)
            self._check_not_refused(change.cache, account, want)
            flight = Flight(self._folder, file.name)
            try:
                if failure := flight.refresh_failure(want.began, self._clock()):
                    raise failure
                change.reserve()
                token = self._redeem(change, account, want)
            except (Transient, Permanent) as error:
                if not failure:
                    flight.note("refresh", error, self._clock())
                if token := self._last_resort(change.cache, account, want, error):
                    return token
                raise
            flight.clear("refresh")
            return token

    def _redeem(self, change: "Change", account: Account, want: Want) -> Token:
        """Try the refresh tokens of *account*, best first; one is the rule."""
        provider = self._provider(want.site.identity)
        need = UiRequired("a sign-in for these scopes is needed")
        for grant in change.cache.grants(account, want.site.scopes):
            try:
                granted = provider.refresh(
                    grant.refresh_token, grant.scopes_to_send(want.site.scopes)
                )
            except (UiRequired, Permanent) as error:
                need = _judge(change, grant, want, error)
                continue
            return self._keep(change, granted, account, want, grant.refresh_token)
        raise need

    def _keep(
        self,
        change: "Change",
        granted: "Grant",
        account: Account,
        want: Want,
        replaces: str,
    ) -> Token:
        """Save what was granted, before anything else is said about it."""
        named = granted.account
        if named is not None and named.id != account.id:
            raise Permanent("the server answered for another account than asked")
        asked = want.site.scopes
        if not covers(granted.scopes, asked):
            # The refresh token may have been rotated: keep it, not the token.
            change.cache.keep(granted, account, granted.scopes, self._now(), replaces)
            for grant in change.cache.grants(account, asked):
                grant.mark_narrow(asked)
            change.save()
            raise UiRequired("the server granted less than these scopes")
        token = change.cache.keep(granted, account, asked, self._now(), replaces)
        change.save()
        return token.with_source("refresh")

    def _last_resort(
        self, cache: TokenCache, account: Account, want: Want, error: HushkeyError
    ) -> "Token | None":
        """Return a token that is old but alive, when only the server is down."""
        token = cache.token(account, want.site.scopes)
        if not isinstance(error, Transient) or token is None or not token.expires_at:
            return None
        left = token.expires_at - self._clock()
        issued = token.expires_at - token.obtained_at
        return token if _LAST_RESORT < left <= issued + 5 else None

    def _check_not_refused(
        self, cache: TokenCache, account: Account, want: Want
    ) -> None:
        if cache.was_refused(account, want.host, self._clock()):
            name = account.label or "this account"
            raise Permanent(
                f"signed in as {name}, but {want.host} refuses {name}",
                hint="check that the account has access, and the host's scopes "
                "in config.toml",
            )

    # -- what helpers and people say about a token ---------------------------

    def refuse(self, site: "Site", host: str, secret: str) -> bool:
        """Forget the access token that *host* refused; tell whether it was ours.

        Only that token: the sign-in stays, and the next request refreshes. No
        *secret* (Docker's erase has none) means the site's current token.
        """
        file = self.file_of(site.identity)
        cache = file.read()
        secret = secret or self._current_secret(cache, site)
        if not any(token.value == secret for token in cache.tokens()):
            return False
        with file.change(self._settings["silent_timeout"]) as change:
            for token in change.cache.drop_tokens(value=secret):
                change.cache.note_refusal(token, host, self._now())
            change.save()
        return True

    def hashed(self, token: Token) -> str:
        """Return a name for *token* that says nothing about it to others."""
        return seal.keyed_hash(self.vault.key() or b"", token.value)

    def refuse_hashed(self, site: "Site", host: str, name: str) -> None:
        """Forget the token that `hashed` named *name*, if it is still there."""
        for token in self.file_of(site.identity).read().tokens():
            if self.hashed(token) == name:
                self.refuse(site, host, token.value)

    def _current_secret(self, cache: TokenCache, site: "Site") -> str:
        account = cache.account(site.account)
        token = cache.token(account, site.scopes) if account else None
        return token.value if token else ""

    def sign_out(self, identity: "Identity") -> "list[str]":
        """Forget every account of *identity*; return the refresh tokens it had.

        The caller may revoke them; here they are gone either way.
        """
        file = self.file_of(identity)
        with file.change(self._settings["silent_timeout"]) as change:
            accounts = list(change.cache.accounts)
            if identity.account:
                found = change.cache.account(identity.account)
                accounts = [found.id] if found else []
            tokens = [t for a in accounts for t in change.cache.refresh_tokens(a)]
            for account in accounts:
                change.cache.sign_out(account)
            if accounts:
                change.save()
            Flight(self._folder, file.name).clear("sign-in")
        return tokens

    def revoke(self, identity: "Identity", refresh_tokens: "list[str]") -> bool:
        """Revoke *refresh_tokens* at the server; True if it confirmed them all."""
        provider = self._provider(identity)
        return all([provider.revoke(token) for token in refresh_tokens])

    def _interaction(self, want: Want) -> "Interaction":
        from hushkey.interactive import Interaction

        identity = want.site.identity
        return Interaction(
            self.file_of(identity),
            lambda: self._provider(identity),
            self._settings,
            self._folder,
            self._environ,
            self._manners,
            self._clock,
        )

    def _provider(self, identity: "Identity") -> "Provider":
        return self._open_provider(
            identity, self._settings, self._folder, self._environ
        )

    def _now(self) -> int:
        return int(self._clock())


def _judge(
    change: "Change", grant: "GrantRow", want: Want, error: HushkeyError
) -> UiRequired:
    """Draw the consequence of a refused refresh token; re-raise what is final.

    A refresh token that covers the scopes and is refused is dead: it is
    dropped, or every later call would pay for it. One that was to be widened
    may only serve its own audience.
    """
    scopes = want.site.scopes
    if grant.covers(scopes):
        if not isinstance(error, UiRequired):
            raise error
        if error.code == "invalid_grant":
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
