"""Cached, then silent, then one sign-in: the file to read first.

1. a stored access token that is still good: no network, no lock;
2. else the refresh token, by one process under a lock: whoever waited looks
   again before asking the network, and shares a failure instead of repeating it;
3. only if that ends in UiRequired: one sign-in, however many processes ask,
   and only where policy says that a person can see it;
4. else one of the errors of `hushkey.errors`, as it is.
"""

import time

from hushkey import cached, occasion, providers, sealedfile, step
from hushkey.challenges import demanded_claims
from hushkey.errors import (
    Cancelled,
    HushkeyError,
    Permanent,
    StoreError,
    Transient,
    UiRequired,
)
from hushkey.flight import Flight
from hushkey.model import Token, placed
from hushkey.silent import Renewal
from hushkey.store import TokenFile
from hushkey.tokencache import TokenCache
from hushkey.vault import Vault, open_vault
from hushkey.want import Manners, Want

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from hushkey.interactive import Interaction
    from hushkey.model import Identity, Request, Site
    from hushkey.provider import Provider


#: seconds for the anonymous question about an organisation's tenant
_ANONYMOUS = 5


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
            settings, folder, lambda: sealedfile.sealed_files(folder)
        )

    def want(
        self,
        site: "Site",
        host: str,
        username: str = "",
        *,
        request: "Request | None" = None,
        challenges: "tuple[str, ...]" = (),
    ) -> Want:
        """Return the need for a token of *site*, since this call began.

        *request* and the server's *challenges* tell the tenant of an Azure
        DevOps organisation, where the config leaves it open, and the claims
        that an Entra token needs to be taken.
        """
        claims = ""
        if request is not None and site.identity.provider == "entra":
            site, host = self._placed(site, host, request, challenges)
            claims = demanded_claims(challenges)
        lifetime = site.min_lifetime or self._settings["min_lifetime"]
        return Want(site, host, username, self._began, lifetime, claims)

    def _placed(
        self,
        site: "Site",
        host: str,
        request: "Request",
        challenges: "tuple[str, ...]",
    ) -> "tuple[Site, str]":
        """Return *site* in the tenant of what is asked for, and who that is.

        Organisations of one host are different hosts to their users.
        """
        from hushkey import tenants

        organisation = tenants.organisation(request)
        host = organisation or host
        if site.identity.option("tenant") or site.identity.option("authority"):
            return site, host
        cloud = site.identity.option("cloud") or "public"
        if organisation:
            directory = tenants.Directory(self._folder, self._clock)
            tenant = directory.tenant(organisation, challenges, cloud, self._anonymous)
        else:
            tenant = tenants.from_challenges(challenges, cloud)
        return (placed(site, tenant) if tenant else site), host

    def _anonymous(self, url: str) -> "list[tuple[str, str]]":
        """Ask *url* for its headers, without any credential and not for long."""
        from hushkey import http

        patience = {**self._settings, "silent_timeout": _ANONYMOUS}
        with http.Network(patience, self._environ).session() as session:
            answer = session.head(url, withhold_token=True)
        if answer.status_code == 429 or answer.status_code >= 500:
            raise Transient(f"{url} fails")  # it knows, but not now
        return list(answer.headers.items())

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
            step("failed", want, error=error)
            site = want.site
            if isinstance(error, Permanent | Cancelled):
                # It may have been the wrong tenant: an organisation moves, one ends.
                self._forget_tenant_of(want.host)
            raise error.about(
                host=want.host, identity=site.identity.name, account=site.account
            ) from error.__cause__

    def _acquire(self, want: Want) -> Token:
        seen = self.file_of(want.site.identity).stamp()
        try:
            return self.silent(want)
        except UiRequired as need:
            step("ui-required", want, error=need)
            return self._interaction(want).acquire(want, need, self.silent, seen)

    def sign_in(self, want: Want) -> Token:
        """Sign in for *want* even if nothing requires it."""
        return self._interaction(want).sign_in(want)

    def silent(self, want: Want) -> Token:
        """Return a token without anybody noticing, or raise why not."""
        file = self.file_of(want.site.identity)
        cache = file.glance()
        if token := cached.fresh_token(cache, want, self._clock()):
            step("cached", want)
            return occasion.used(want, self._environ, token)
        if occasion.memory():
            cache = file.read()  # what is remembered has nothing to renew with
        accounts = cached.accounts_for(cache, want)
        if not any(cache.grants(account, want.site.scopes) for account in accounts):
            cached.check_not_refused(cache, accounts[0], want, self._clock())
            what = "a sign-in for these scopes is needed"
            raise UiRequired(what, claims=cached.demanded(cache, want))
        try:
            token = self._renewal(file, want).token(want)
            return occasion.used(want, self._environ, token)
        except (Transient, Permanent) as error:
            # The server, the network or a busy sibling fails: what still lives
            # serves, and no person is the wiser.
            if token := cached.last_resort(file.read(), want, self._clock()):
                step("kept-old", want, error=error)
                return token
            raise

    def _renewal(self, file: TokenFile, want: Want) -> Renewal:
        return Renewal(
            file,
            lambda claims: self._provider(
                want.site.identity, whole=True, claims=claims
            ),
            self._settings,
            self._folder,
            self._clock,
            login=self._manners.login,
        )

    # -- what helpers and people say about a token ---------------------------

    def refuse(
        self, site: "Site", host: str, secret: str, challenges: "tuple[str, ...]" = ()
    ) -> bool:
        """Forget the access token that *host* refused; tell whether it was ours.

        Only that token: the sign-in stays, and the next request refreshes, with
        the claims that the *challenges* of the refusal demand. No *secret*
        (Docker's erase has none) means the site's current token.
        """
        file = self.file_of(site.identity)
        cache = file.read()
        secret = secret or self._current_secret(cache, site)
        if not any(token.value == secret for token in cache.tokens()):
            return False
        entra = site.identity.provider == "entra"
        claims = demanded_claims(challenges) if entra else ""
        with file.change(self._settings["silent_timeout"]) as change:
            change.cache.refuse(secret, host, int(self._clock()), claims)
            change.save()
        step("refused", site=site, host=host)
        return True

    def forget_tenant(self, request: "Request") -> None:
        """Drop the tenant found for *request*: its token was refused."""
        from hushkey import tenants

        self._forget_tenant_of(tenants.organisation(request))

    def _forget_tenant_of(self, organisation: str) -> None:
        from hushkey import tenants

        tenants.Directory(self._folder, self._clock).forget(organisation)

    def hashed(self, token: Token) -> str:
        """Return a name for *token* that says nothing about it to others."""
        return self.vault.hashed(token.value)

    def refuse_hashed(
        self, site: "Site", host: str, name: str, challenges: "tuple[str, ...]" = ()
    ) -> None:
        """Forget the token that `hashed` named *name*, if it is still there."""
        for token in self.file_of(site.identity).read().tokens():
            if self.hashed(token) == name:
                self.refuse(site, host, token.value, challenges)

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
        step("signed-out", host=identity.issuer)
        return tokens

    def revoke(self, identity: "Identity", refresh_tokens: "list[str]") -> bool:
        """Revoke *refresh_tokens* at the server; True if it confirmed them all."""
        provider = self._provider(identity)
        return all([provider.revoke(token) for token in refresh_tokens])

    def _interaction(self, want: Want) -> "Interaction":
        occasion.own_process(person=True)
        from hushkey.interactive import Interaction

        identity = want.site.identity
        return Interaction(
            self.file_of(identity),
            lambda claims: self._provider(identity, claims=claims),
            self._settings,
            self._folder,
            self._environ,
            self._manners,
            self._clock,
        )

    def _provider(
        self, identity: "Identity", *, whole: bool = False, claims: str = ""
    ) -> "Provider":
        """Return the provider; *whole*: one deadline for all of its requests."""
        return self._open_provider(
            identity,
            self._settings,
            self._folder,
            self._environ,
            whole=whole,
            claims=claims,
        )
