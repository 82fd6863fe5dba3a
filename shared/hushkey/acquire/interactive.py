"""The one sign-in, when silence cannot do it.

However many processes come here, one asks: the others wait at the lock, look
again, and take what it brought or share its failure.
"""

from __future__ import annotations

import os

from hushkey.acquire import accounts, attempts, cached, unlock
from hushkey.acquire.attempts import FailureCache, once
from hushkey.claims import merged
from hushkey.errors import (
    Cancelled,
    InteractionUnavailable,
    Permanent,
    StoreError,
    Transient,
    UiRequired,
)
from hushkey.model import UNNAMED, Account
from hushkey.providers.registry import SPECS, methods_of
from hushkey.scopes import covers
from hushkey.signin import choice, messages, policy, terminal
from hushkey.signin.flow import PromptSubject, sign_in
from hushkey.store.tokencache import place_of
from hushkey.system import cachefile, locks
from hushkey.trace import event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from hushkey.model import Grant, Token
    from hushkey.providers.base import Provider
    from hushkey.signin.policy import PromptDecision
    from hushkey.store.datakey import DataKey
    from hushkey.store.tokenfile import TokenFile
    from hushkey.tokenrequest import Session, TokenRequest


class Interaction:
    """Asks a person, for the identities of one token file."""

    def __init__(
        self,
        file: TokenFile,
        open_provider: Callable[[str], Provider],
        session: Session,
    ) -> None:
        self._file = file
        self._open_provider = open_provider
        self._session = session
        self._failures = FailureCache(session.folder, file.name)
        self._asking = os.path.join(session.folder, "state", f"{file.name}-asking.json")
        #: tells whether the caller has ended; made before there is any waiting
        self._ended: Callable[[], bool] = bool

    def acquire(
        self,
        wanted: TokenRequest,
        need: UiRequired,
        silent: Callable[[TokenRequest], Token],
        seen: tuple[int, ...],
    ) -> Token:
        """Sign in once for *wanted*, unless a sibling does while this one waits.

        *seen* is the token file's stamp from before silence was tried: only a
        file that has changed since is worth another try. Raises
        InteractionUnavailable where nobody may or can be asked.
        """
        decision = self._decision(wanted)
        if not decision.methods:
            raise self._unavailable(wanted, need, decision.reason)
        if need.suberror == "additional_action" and not self._session.options.login:
            # A step beyond signing in, such as a device to be enrolled: a window
            # that nobody expects would be closed again.
            raise self._unavailable(wanted, need, "it takes more than a sign-in")
        self._check_failed(wanted)
        self._reserve()

        def look(_: None) -> Token | None:
            nonlocal need
            if self._file.stamp() == seen:
                return None
            try:
                return silent(wanted)
            except UiRequired as error:
                error.claims = error.claims or need.claims
                need = error
            return None

        def act(_: None) -> Token:
            self._check_failed(wanted)
            self._check_claims(wanted, need)
            if need.refused:
                now = self._session.clock()
                self._failures.record("refusal", need, now, wanted.host)
            self._reserve()
            return self._sign_in(wanted, decision, merged(wanted.claims, need.claims))

        return once(self._turn(), look, act)

    def sign_in(self, wanted: TokenRequest) -> Token:
        """Sign in even if nothing requires it: as another account, or again."""
        decision = self._decision(wanted)
        if not decision.methods:
            need = UiRequired("a sign-in was asked for")
            raise self._unavailable(wanted, need, decision.reason)
        self._reserve()
        with self._turn():
            claims = cached.demanded(self._file.read(), wanted)
            return self._sign_in(wanted, decision, claims)

    def choose(self, wanted: TokenRequest, fit: list[Account]) -> None:
        """Let the person choose one of *fit* for *wanted*, and remember it.

        Once in ten minutes, and not where nobody is at a terminal: whoever is the
        default one goes on to be it.
        """
        key, now = wanted.rule.token_key, self._session.clock()
        # An organisation is what its first segment names.
        place = place_of(wanted.host, wanted.place.strip("/").partition("/")[0])
        if self._failures.asked_for("choice", now, place):
            return
        if not {"paste", "device"} & {*self._decision(wanted).methods}:
            return
        chosen_on = terminal.open_terminal(self._session.environ)
        if chosen_on is None:
            return

        def look(_: None) -> bool | None:
            made = not cached.undecided(self._file.read(), wanted)
            asked = self._failures.asked_for("choice", now, place)
            return made or asked or None

        def act(_: None) -> bool:
            need = UiRequired("several accounts are signed in")
            self._failures.record("choice", need, now, place)
            number = choice.choose(
                chosen_on,
                place,
                [account.shown for account in fit],
                timeout=self._session.settings["sign_in_timeout"],
                ended=self._ended,
            )
            if number is not None:
                patience = self._session.settings["silent_timeout"]
                with self._file.change(patience) as change:
                    change.cache.bind(key, place, fit[number], here=True)
                    change.save()
                chosen_on.line(messages.account_chosen(place, fit[number].shown))
            return True

        with chosen_on:
            once(self._turn(), look, act)

    def unlock(
        self, wanted: TokenRequest, locked: StoreError, data_key: DataKey
    ) -> None:
        """Let the person unlock the keyring, if they may be asked here."""
        unlock.unlock(
            data_key,
            locked,
            self._decision(wanted),
            self._session,
            began=wanted.began,
        )

    # -- one at a time ------------------------------------------------------

    def _turn(self) -> AbstractContextManager[None]:
        patience = self._session.settings["sign_in_timeout"] + unlock.GRACE
        self._ended = self._session.options.watch()
        return locks.held(self._file.lock_path("sign-in"), patience, self._say_who)

    def _say_who(self) -> None:
        """Tell who waits for whom, and how to end it."""
        if self._ended():
            raise InteractionUnavailable("the command that asked has ended")
        note = cachefile.read(self._asking)
        who, cancel = str(note.get("asker", "")), str(note.get("cancel", ""))
        self._session.warn(messages.waiting_for(who, cancel))

    def _reserve(self) -> None:
        """Make sure that the store can keep what a person is about to give."""
        with self._file.change(self._session.settings["silent_timeout"]) as change:
            change.reserve()

    def _check_failed(self, wanted: TokenRequest) -> None:
        """Raise the failure of the sign-in that this caller should not repeat."""
        if failure := self._failures.sign_in_failure(
            wanted.began,
            self._session.clock(),
            self._key(wanted),
            asked_for=self._session.options.login,
        ):
            # Signing in does not help against a server that is not there.
            if not (isinstance(failure, Transient) and failure.hint):
                failure.hint = f"run: {_login_command(wanted)}"
            raise failure

    def _key(self, wanted: TokenRequest) -> str:
        """Return what a permanent failure concerns: not what has been fixed."""
        around = attempts.circumstances(wanted.rule.identity, self._session)
        return f"{wanted.expected} {wanted.rule.token_key.text} {around}"

    def _check_claims(self, wanted: TokenRequest, need: UiRequired) -> None:
        """Let the claims of a server ask a person once in ten minutes."""
        if not need.claims or self._session.options.login:
            return
        # Not by the tenant, which the same server may name.
        now, key = self._session.clock(), f"{wanted.account} {wanted.host}"
        if self._failures.asked_for_claims(now, key):
            raise InteractionUnavailable(
                f"{need.what}, again, and a sign-in a moment ago did not end it",
                hint=f"run: {_login_command(wanted)}",
                code=need.code,
                correlation=need.correlation,
            )
        self._failures.record("claims", need, now, key)

    def _decision(self, wanted: TokenRequest) -> PromptDecision:
        return unlock.decision(
            self._session,
            host_mode=wanted.rule.interactive,
            flows=methods_of(wanted.rule.identity),
        )

    def _unavailable(
        self, wanted: TokenRequest, need: UiRequired, reason: str
    ) -> InteractionUnavailable:
        hint = f"run: {_login_command(wanted)}"
        if self._session.options.login:
            hint = (
                "run it on a desktop or a terminal, or with HUSHKEY_INTERACTIVE=device"
            )
        elif policy.ci(self._session.environ):
            hint += "; a job signs in as itself: hushkey help machines"
        return InteractionUnavailable(
            f"{need.what}, but {reason}",
            hint=hint,
            code=need.code,
            correlation=need.correlation,
        )

    # -- the sign-in --------------------------------------------------------

    def _sign_in(
        self, wanted: TokenRequest, decision: PromptDecision, claims: str
    ) -> Token:
        rule, identity = wanted.rule, wanted.rule.identity
        event("sign-in", wanted)
        kept: list[Token] = []
        note = {"asker": self._session.options.command()}
        cachefile.write(self._asking, note)
        # Not what only this process lacks: a browser, a terminal.
        kinds = (Cancelled, Permanent, Transient)
        clock, key = self._session.clock, self._key(wanted)
        with self._failures.recorded("sign-in", clock, kinds, key):
            try:
                sign_in(
                    self._open_provider(claims),
                    rule.scopes,
                    who=PromptSubject(
                        wanted.host,
                        identity=identity.name,
                        account=wanted.expected,
                        command=note["asker"],
                    ),
                    decision=decision,
                    redirect_uri=identity.option("redirect_uri")
                    or SPECS[identity.provider].redirect_uri,
                    login_hint=wanted.expected,
                    environ=self._session.environ,
                    timeout=self._session.settings["sign_in_timeout"],
                    says_who=self._session.options.login,
                    opened=lambda url: cachefile.write(
                        self._asking, {**note, "cancel": url}
                    ),
                    ended=self._ended,
                    finish=lambda granted: kept.append(
                        self._keep(wanted, granted, claims)
                    ),
                )
            except Cancelled as error:
                spec = SPECS[identity.provider]
                error.hint = error.hint or spec.filled(spec.given_up_hint, identity)
                again = f"run: {_login_command(wanted)}"
                error.hint = f"{error.hint}; {again}" if error.hint else again
                raise
        self._failures.clear("refresh")
        self._failures.clear("renewal")
        event("signed-in", wanted)
        return kept[0]

    def _keep(self, wanted: TokenRequest, granted: Grant, claims: str) -> Token:
        """Store what a sign-in brought, if it is what was asked for."""
        rule = wanted.rule
        # A server that names nobody: what was asked for tells accounts apart.
        nobody = Account(f"{UNNAMED}{wanted.account}", wanted.account)
        account = granted.account or nobody
        if not account.label:  # a server that names a key alone
            account = Account(account.id, wanted.account)
        if not covers(granted.scopes, rule.scopes):
            raise Permanent(
                "the server granted less than the scopes asked for: "
                + (" ".join(granted.scopes) or "none"),
                hint="check the host's scopes in config.toml, and those of the client",
            )
        with (
            self._file.change(self._session.settings["sign_in_timeout"]) as change,
            locks.uninterrupted(),
        ):
            now = int(self._session.clock())
            if granted.account is None and wanted.account:
                # One who is known by that name stays one account.
                account = change.cache.called(wanted.account) or account
            known = bool(granted.account) and account.id in change.cache.accounts
            account = accounts.known_as(change.cache, account, granted.claims)
            token = change.cache.keep(granted, account, rule.token_key, now, "", claims)
            accounts.name(change.cache, account, granted.claims)
            accounts.check(change.cache, account, wanted, known=known)
            if not wanted.expected:
                # Nobody was asked for by name: this is who the user is here.
                change.cache.bind(rule.token_key, wanted.host, account, here=False)
                if self._session.options.login:
                    change.cache.current = account.id
            change.save()
        return token.with_source("sign-in")


def _login_command(wanted: TokenRequest) -> str:
    """Return what to run to sign in; whoever the URL asked for has to be named."""
    name = "" if wanted.rule.account else wanted.expected
    return messages.login_command(wanted.host, name)
