"""Cached, then silent, then one sign-in: the file to read first.

1. a stored access token that is still good: no network, no lock;
2. else the refresh token, by one process under a lock: whoever waited looks
   again before asking the network, and shares a failure instead of repeating it;
3. only if that ends in UiRequired: one sign-in, however many processes ask,
   and only where policy says that a person can see it;
4. else one of the errors of `hushkey.errors`, as it is.
"""

from __future__ import annotations

import math

from hushkey import origins, runtime
from hushkey.acquire import cached
from hushkey.errors import (
    Cancelled,
    ConfigError,
    HushkeyError,
    Permanent,
    StoreError,
    Transient,
    UiRequired,
    plain,
)
from hushkey.model import FORWARDED, Token
from hushkey.store import sealedfile
from hushkey.store.datakey import DataKey, open_data_key
from hushkey.store.tokencache import RARE, YOUNG, TokenCache
from hushkey.store.tokenfile import TokenFile
from hushkey.system import paths
from hushkey.tokenrequest import TokenRequest, may_be_person
from hushkey.trace import event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from hushkey.acquire.interactive import Interaction
    from hushkey.acquire.silent import Renewal
    from hushkey.model import Account, HostRule, Identity, Request
    from hushkey.providers.base import Minter, Provider
    from hushkey.tokenrequest import Session


#: seconds for the anonymous question about an organisation's tenant
_ANONYMOUS = 5


class Acquirer:
    """Gets tokens for the identities of one config."""

    def __init__(
        self,
        session: Session,
        *,
        open_provider: Callable[..., Provider] | None = None,
    ) -> None:
        self.session = session
        self._open_provider = open_provider
        self.data_key: DataKey = open_data_key(
            session.settings,
            session.folder,
            lambda: sealedfile.sealed_files(session.folder),
        )

    def wanted(
        self,
        rule: HostRule,
        host: str,
        username: str = "",
        *,
        request: Request | None = None,
        challenges: tuple[str, ...] = (),
        person: bool = False,
    ) -> TokenRequest:
        """Return the need for a token of *rule*, since this call began.

        *username* picks an account that is known by it. *person*: if it may be a
        person's name, it also says who has to sign in; else any name will do.
        *request* and the server's *challenges* tell the tenant of an Azure
        DevOps organisation, where the config leaves it open, and the claims
        that an Entra token needs to be taken.
        """
        claims, username = "", username if may_be_person(username, rule) else ""
        person = person or bool(rule.user)
        if request is not None and rule.identity.tenants:
            rule, host = self._placed(rule, host, request, challenges)
            claims = _demanded(challenges)
        lifetime = rule.min_lifetime or self.session.settings["min_lifetime"]
        began, place = self.session.began, _place(request)
        return TokenRequest(
            rule, host, username, began, lifetime, claims, place, person, request
        )

    def named(self, wanted: TokenRequest, token: Token) -> str:
        """Return the user name for *token*: the one asked for, if it is that one's."""
        label, name = token.account.label, wanted.username
        if not name or not label:
            return name
        cache = self.file_of(wanted.rule.identity).read_cached()
        return name if cache.goes_by(token.account, name) else label

    def _placed(
        self,
        rule: HostRule,
        host: str,
        request: Request,
        challenges: tuple[str, ...],
    ) -> tuple[HostRule, str]:
        """Return *rule* in the tenant of what is asked for, and who that is.

        Organisations of one host are different hosts to their users.
        """
        from hushkey.providers import azure_devops

        organisation = azure_devops.organisation(request)
        host = organisation or host
        if rule.identity.option("tenant") or rule.identity.option("authority"):
            return rule, host
        cloud = rule.identity.option("cloud") or "public"
        if organisation:
            directory = azure_devops.Directory(self.session.folder, self.session.clock)
            tenant = directory.tenant(organisation, challenges, cloud, self._anonymous)
        else:
            tenant = azure_devops.from_challenges(challenges, cloud)
        return (rule.with_tenant(tenant) if tenant else rule), host

    def _anonymous(self, url: str) -> list[tuple[str, str]]:
        """Ask *url* for its headers, without any credential and not for long."""
        from hushkey.net import http

        patience = {**self.session.settings, "silent_timeout": _ANONYMOUS}
        with http.Network(patience, self.session.environ).session() as anonymous:
            answer = anonymous.head(url)
        if answer.status_code == 429 or answer.status_code >= 500:
            raise Transient(f"{url} fails")  # it knows, but not now
        # The status stands where HTTP/2 has it (RFC 9113 8.3.2).
        return [(":status", str(answer.status_code)), *answer.headers.items()]

    def file_of(self, identity: Identity) -> TokenFile:
        """Return the token file that *identity* uses."""
        if identity.machine:
            from hushkey.acquire import minted

            return minted.open_file(identity, self.session, self.data_key)
        return TokenFile(
            self.session.folder,
            identity.issuer,
            identity.client_id,
            self.data_key,
            self.session.warn,
        )

    # -- the line through everything ----------------------------------------

    def acquire(self, wanted: TokenRequest) -> Token:
        """Return a token for *wanted*, or raise the one outcome that it came to."""
        try:
            try:
                return self._acquire(wanted)
            except StoreError as error:
                if error.reason != "locked":
                    raise
                self._interaction(wanted).unlock(wanted, error, self.data_key)
                return self._acquire(wanted)
        except HushkeyError as error:
            event("failed", wanted, error=error)
            rule = wanted.rule
            if isinstance(error, Permanent | Cancelled):
                # It may have been the wrong tenant: an organisation moves, one ends.
                self._forget_tenant_of(wanted.host)
            raise error.about(
                host=wanted.host, identity=rule.identity.name, account=rule.account
            ) from error.__cause__

    def given(self, wanted: TokenRequest, token: Token) -> Token:
        """Return *token*, which goes out for *wanted*; the audit log says so if on."""
        session = self.session
        # Of a forwarded one it is written down where it came from.
        if session.settings["audit"] and token.source != FORWARDED:
            from hushkey.system import audit  # noqa: PLC0415 - if on

            audit.record(
                session.environ,
                tool=session.options.tool,
                host=wanted.host,
                path=wanted.request.path if wanted.request else wanted.place,
                outcome="given",
                account=token.account.label,
                expires=token.expires_at,
            )
        return token

    def _acquire(self, wanted: TokenRequest) -> Token:
        seen = self.file_of(wanted.rule.identity).stamp()
        try:
            return self.silent(wanted, choose=True)
        except UiRequired as need:
            event("ui-required", wanted, error=need)
            if token := self._forwarded(wanted):
                return token
            return self._interaction(wanted).acquire(wanted, need, self.silent, seen)
        except Permanent as error:
            # Who says `hushkey login` wants to be asked, whatever is stored.
            asks = self.session.options.login and not wanted.rule.identity.machine
            if not asks or isinstance(error, ConfigError):
                raise
            event("ui-required", wanted, error=error)
            return self.sign_in(wanted)

    def _forwarded(self, wanted: TokenRequest) -> Token | None:
        """Return the token of the machine that the person sits at, if that has one."""
        session = self.session
        if session.options.login or not paths.may_have_upstream(session.environ):
            return None
        from hushkey.acquire import upstream

        request = wanted.request or origins.parse_url(wanted.host)
        options = session.options
        found = upstream.find(
            request, session.environ, options.tool, lambda: options, session.warn
        )
        return found.token if found else None

    def sign_in(self, wanted: TokenRequest) -> Token:
        """Sign in for *wanted* even if nothing requires it; a machine cannot."""
        if wanted.rule.identity.machine:
            return self.acquire(wanted)
        return self._interaction(wanted).sign_in(wanted)

    def silent(self, wanted: TokenRequest, *, choose: bool = False) -> Token:
        """Return a token without anybody noticing, or raise why not.

        *choose*: where several accounts fit and nothing says which, a person who is at
        the terminal may be asked; else the one that signed in first answers.
        """
        if wanted.rule.identity.machine:
            return self._minted(wanted)
        file = self.file_of(wanted.rule.identity)
        cache = file.read_cached()
        options = self.session.options
        several = choose and options.tool_may_ask and not options.login
        if several and (fit := cached.undecided(cache, wanted)):
            self._interaction(wanted).choose(wanted, fit)
            cache = file.read_cached()
        if token := cached.fresh_token(cache, wanted, self.session.clock()):
            event("cached", wanted)
            return runtime.used(wanted, self.session.environ, token)
        if runtime.memory():
            runtime.ensure_may_renew()
            cache = file.read()  # what is remembered has nothing to renew with
        accounts = cached.accounts_for(cache, wanted)
        if token := self._once_more(file, cache, accounts, wanted):
            return runtime.used(wanted, self.session.environ, token)
        if not any(cache.grants(a, wanted.rule.token_key) for a in accounts):
            cached.check_not_refused(cache, accounts[0], wanted, self.session.clock())
            need = cached.need(cache, accounts[0], cached.demanded(cache, wanted))
            key = wanted.rule.token_key
            need.refused = cache.refused_token(accounts[0], key) is not None
            raise need
        try:
            token = self._renewal(file, wanted).token(wanted)
            return runtime.used(wanted, self.session.environ, token)
        except UiRequired:
            # That the host refuses the likeliest is the better reason.
            now = self.session.clock()
            if cached.was_refused(cache, accounts[0], wanted, now) and (
                token := self._given_again(cache, accounts[0], wanted)
            ):
                return token
            raise
        except (Transient, Permanent) as error:
            # The server, the network or a busy sibling fails: what still lives
            # serves, and no person is the wiser.
            if token := cached.last_resort(file.read(), wanted, self.session.clock()):
                event("kept-old", wanted, error=error)
                return token
            raise

    def _minted(self, wanted: TokenRequest) -> Token:
        from hushkey.acquire import minted

        session, identity = self.session, wanted.rule.identity

        def open_minter(folder: str) -> Minter:
            from hushkey.providers import registry

            return registry.open_minter(
                identity, session.settings, folder, session.environ
            )

        file = minted.open_file(identity, session, self.data_key)
        token = minted.Minting(session, open_minter).token(file, wanted)
        return runtime.used(wanted, session.environ, token)

    # -- a token that was refused ---------------------------------------------

    def _once_more(
        self,
        file: TokenFile,
        cache: TokenCache,
        accounts: list[Account],
        wanted: TokenRequest,
    ) -> Token | None:
        """Return the newest token although a place has refused it, or None.

        There is one renewal in a minute at most for that reason alone, and one window
        in ten: until then it serves all the same.
        """
        if self.session.options.login or wanted.rule.exchange:
            return None
        now, key = self.session.clock(), wanted.rule.token_key
        welcome = [a for a in accounts if not cached.was_refused(cache, a, wanted, now)]
        account = (welcome or accounts)[0]
        within = float(YOUNG) if welcome else math.inf
        if not any(cache.grants(a, key) for a in accounts):
            from hushkey.acquire.attempts import FailureCache  # noqa: PLC0415 - seldom

            notes = FailureCache(self.session.folder, file.name)
            asked = notes.asked_for("refusal", now, wanted.host)
            within = math.inf if asked else max(within, RARE)
        return self._given_again(cache, account, wanted, within)

    def _given_again(
        self,
        cache: TokenCache,
        account: Account,
        wanted: TokenRequest,
        within: float = math.inf,
    ) -> Token | None:
        now = self.session.clock()
        token = cached.refused_token(cache, account, wanted, now, within)
        if token is not None:
            event("given-again", wanted)
            if line := cached.refusal_line(cache, account, wanted):
                self.session.warn(line)
        return token

    def _renewal(self, file: TokenFile, wanted: TokenRequest) -> Renewal:
        from hushkey.acquire.silent import Renewal  # noqa: PLC0415 - not for what is good

        return Renewal(
            file,
            lambda claims: self._provider(
                wanted.rule.identity,
                whole=True,
                claims=claims,
                tenant=wanted.rule.tenant,
            ),
            self.session,
        )

    # -- what helpers and people say about a token ---------------------------

    def refuse(
        self,
        rule: HostRule,
        host: str,
        secret: str,
        challenges: tuple[str, ...] = (),
        request: Request | None = None,
    ) -> bool:
        """Set the access token aside that *host* refused; tell whether it was ours.

        Only that token: the sign-in stays, and the next request refreshes, with
        the claims that the *challenges* of the refusal demand. No *secret*
        (Docker's erase has none) means the rule's current token; *request* tells
        what of the host was asked for.
        """
        file = self.file_of(rule.identity)
        cache = file.read()
        secret = secret or self._current_secret(cache, rule)
        if not secret or not cache.is_known(secret):
            return False
        claims = _demanded(challenges) if rule.identity.tenants else ""
        with file.change(self.session.settings["silent_timeout"]) as change:
            # To mint again at once would only hammer the server that mints.
            change.cache.refuse(
                secret,
                host,
                int(self.session.clock()),
                claims,
                _place(request),
                keeps_young=rule.identity.machine,
            )
            change.save()
        event("refused", rule=rule, host=host)
        return True

    def forget_tenant(self, request: Request) -> None:
        """Drop the tenant found for *request*: its token was refused."""
        from hushkey.providers import azure_devops

        self._forget_tenant_of(azure_devops.organisation(request))

    def _forget_tenant_of(self, organisation: str) -> None:
        from hushkey.providers import azure_devops

        azure_devops.Directory(self.session.folder, self.session.clock).forget(
            organisation
        )

    def hashed(self, token: Token) -> str:
        """Return a name for *token* that says nothing about it to others."""
        return self.data_key.hashed(token.value)

    def refuse_hashed(
        self,
        rule: HostRule,
        host: str,
        name: str,
        challenges: tuple[str, ...] = (),
        request: Request | None = None,
    ) -> None:
        """Do as `refuse` with the token that `hashed` named *name*, if it is there."""
        for token in self.file_of(rule.identity).read().tokens():
            if self.hashed(token) == name:
                self.refuse(rule, host, token.value, challenges, request)

    def _current_secret(self, cache: TokenCache, rule: HostRule) -> str:
        account = cache.account(rule.account)
        token = cache.token(account, rule.token_key) if account else None
        return token.value if token else ""

    def sign_out(self, identity: Identity, account: str = "") -> list[str]:
        """Forget every account of *identity*; return the tokens that can be revoked.

        Or the one that is called *account*: Permanent if nobody is. The caller may
        revoke them; here they are gone either way.
        """
        file = self.file_of(identity)
        with file.change(self.session.settings["silent_timeout"]) as change:
            accounts = list(change.cache.accounts)
            if identity.account:
                found = change.cache.account(identity.account)
                accounts = [found.id] if found else []
            if account:
                named = change.cache.called(account)
                if named is None or named.id not in accounts:
                    raise Permanent(
                        f"{account} is not signed in by identity {identity.name}",
                        hint="run `hushkey accounts`",
                    )
                accounts = [named.id]
            tokens = [t for a in accounts for t in change.cache.revocable(a)]
            for each in accounts:
                change.cache.sign_out(each)
            if accounts:
                change.save()
            from hushkey.acquire.attempts import FailureCache  # noqa: PLC0415 - seldom

            FailureCache(self.session.folder, file.name).clear("sign-in")
        event("signed-out", host=identity.issuer)
        return tokens

    def revoke(self, identity: Identity, refresh_tokens: list[str]) -> bool:
        """Revoke *refresh_tokens* at the server; True if it confirmed them all."""
        provider = self._provider(identity)
        return all([provider.revoke(token) for token in refresh_tokens])

    def _interaction(self, wanted: TokenRequest) -> Interaction:
        runtime.ensure_in_caller(person=True)
        from hushkey.acquire.interactive import Interaction

        identity = wanted.rule.identity
        return Interaction(
            self.file_of(identity),
            lambda claims: self._provider(
                identity, claims=claims, tenant=wanted.rule.tenant
            ),
            self.session,
        )

    def _provider(
        self,
        identity: Identity,
        *,
        whole: bool = False,
        claims: str = "",
        tenant: str = "",
    ) -> Provider:
        """Return the provider; *whole*: one deadline for all of its requests."""
        from hushkey.providers import registry

        return (self._open_provider or registry.open_provider)(
            identity, self.session, whole=whole, claims=claims, tenant=tenant
        )


def _place(request: Request | None) -> str:
    """Return what of a host *request* is for, as one line."""
    return plain(request.path.strip("/"), 200) if request else ""


def _demanded(challenges: tuple[str, ...]) -> str:
    """Return the claims request that *challenges* carry, or nothing."""
    if not challenges:
        return ""
    from hushkey.net.challenges import demanded_claims  # noqa: PLC0415 - seldom

    return demanded_claims(challenges)
