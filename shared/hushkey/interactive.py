"""The one sign-in, when silence cannot do it.

However many processes come here, one asks: the others wait at the lock, look
again, and take what it brought or share its failure (design 1, 5).
"""

import time

from hushkey import asking, cached, locks, naming, outcomes, step, terminal
from hushkey.challenges import merged
from hushkey.errors import (
    Cancelled,
    HushkeyError,
    InteractionUnavailable,
    Permanent,
    StoreError,
    Transient,
    UiRequired,
)
from hushkey.flight import Flight
from hushkey.model import Account
from hushkey.scopes import covers, scope_key
from hushkey.signin.ladder import Who, sign_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from typing import Any

    from hushkey.model import Identity, Token
    from hushkey.provider import Grant, Provider
    from hushkey.signin.policy import Verdict
    from hushkey.store import TokenFile
    from hushkey.vault import Vault
    from hushkey.want import Manners, Want


class Interaction:
    """Asks a person, for the identities of one token file."""

    def __init__(
        self,
        file: "TokenFile",
        open_provider: "Callable[[str], Provider]",
        settings: "Mapping[str, Any]",
        folder: str,
        environ: "Mapping[str, str]",
        manners: "Manners",
        clock: "Callable[[], float]" = time.time,
    ) -> None:
        self._file = file
        self._open_provider = open_provider
        self._settings = settings
        self._environ = environ
        self._manners = manners
        self._clock = clock
        self._folder = folder
        self._flight = Flight(folder, file.name)

    def acquire(
        self,
        want: "Want",
        need: UiRequired,
        silent: "Callable[[Want], Token]",
        seen: "tuple[int, ...]",
    ) -> "Token":
        """Sign in once for *want*, unless a sibling does while this one waits.

        *seen* is the token file's stamp from before silence was tried: only a
        file that has changed since is worth another try. Raises
        InteractionUnavailable where nobody may or can be asked.
        """
        verdict = self._verdict(want)
        if not verdict.rungs:
            raise self._unavailable(want, need, verdict.reason)
        if need.suberror == "additional_action" and not self._manners.login:
            # A step beyond signing in, such as a device to be enrolled: a window
            # that nobody expects would be closed again.
            raise self._unavailable(want, need, "it takes more than a sign-in")
        self._check_failed(want)
        self._reserve()
        with self._turn():
            if self._file.stamp() != seen:
                try:
                    return silent(want)
                except UiRequired as error:
                    error.claims = error.claims or need.claims
                    need = error
            self._check_failed(want)
            self._check_claims(want, need)
            self._reserve()
            return self._sign_in(want, verdict, merged(want.claims, need.claims))

    def sign_in(self, want: "Want") -> "Token":
        """Sign in even if nothing requires it: another account, or anew."""
        verdict = self._verdict(want)
        if not verdict.rungs:
            need = UiRequired("a sign-in was asked for")
            raise self._unavailable(want, need, verdict.reason)
        self._reserve()
        with self._turn():
            claims = cached.demanded(self._file.read(), want)
            return self._sign_in(want, verdict, claims)

    def unlock(self, want: "Want", locked: StoreError, vault: "Vault") -> None:
        """Let the person unlock the keyring, if they may be asked here."""
        asking.unlock(
            vault,
            locked,
            self._verdict(want),
            self._settings["sign_in_timeout"],
            self._folder,
            began=want.began,
            clock=self._clock,
            login=self._manners.login,
        )

    # -- one at a time ------------------------------------------------------

    def _turn(self) -> "AbstractContextManager[None]":
        patience = self._settings["sign_in_timeout"] + asking.GRACE
        return locks.held(self._file.lock_path("sign-in"), patience)

    def _reserve(self) -> None:
        """Make sure that the store can keep what a person is about to give."""
        with self._file.change(self._settings["silent_timeout"]) as change:
            change.reserve()

    def _check_failed(self, want: "Want") -> None:
        """Raise the failure of the sign-in that this caller should not repeat."""
        if failure := self._flight.sign_in_failure(
            want.began,
            self._clock(),
            _key(want),
            asked_for=self._manners.login,
        ):
            failure.hint = f"run: {terminal.login_command(want.host)}"
            raise failure

    def _check_claims(self, want: "Want", need: UiRequired) -> None:
        """Let the claims of a server ask a person once in ten minutes (design 9)."""
        if not need.claims or self._manners.login:
            return
        # Not by scopes: those hold the tenant, which the same server may name.
        now, key = self._clock(), f"{want.account} {want.host}"
        if self._flight.asked_for_claims(now, key):
            raise InteractionUnavailable(
                f"{need.what}, again, and a sign-in a moment ago did not end it",
                hint=f"run: {terminal.login_command(want.host)}",
                code=need.code,
                correlation=need.correlation,
            )
        self._flight.note("claims", need, now, key)

    def _verdict(self, want: "Want") -> "Verdict":
        return asking.verdict(
            self._environ,
            self._settings,
            self._manners,
            host_mode=want.site.interactive,
            flows=tuple(want.site.identity.options.get("flows", ())),
        )

    def _unavailable(
        self, want: "Want", need: UiRequired, reason: str
    ) -> InteractionUnavailable:
        hint = f"run: {terminal.login_command(want.host)}"
        if self._manners.login:
            hint = "run it on a desktop or a terminal, or try --method device"
        return InteractionUnavailable(
            f"{need.what}, but {reason}",
            hint=hint,
            code=need.code,
            correlation=need.correlation,
        )

    # -- the sign-in --------------------------------------------------------

    def _sign_in(self, want: "Want", verdict: "Verdict", claims: str) -> "Token":
        site, identity = want.site, want.site.identity
        step("sign-in", want)
        kept: list[Token] = []
        try:
            sign_in(
                self._open_provider(claims),
                site.scopes,
                who=Who(
                    want.host,
                    identity=identity.name,
                    account=want.account,
                    command=self._manners.command(),
                ),
                verdict=verdict,
                redirect_uri=identity.option("redirect_uri") or _redirect(identity),
                login_hint=want.account,
                environ=self._environ,
                timeout=self._settings["sign_in_timeout"],
                says_who=self._manners.login,
                finish=lambda granted: kept.append(self._keep(want, granted, claims)),
            )
        except HushkeyError as error:
            if isinstance(error, Cancelled):
                if identity.provider == "entra":
                    error.hint = error.hint or outcomes.on_its_page(identity.client_id)
                again = f"run: {terminal.login_command(want.host)}"
                error.hint = f"{error.hint}; {again}" if error.hint else again
            if isinstance(error, Cancelled | Permanent | Transient):
                # Not what only this process lacks: a browser, a terminal.
                self._flight.note("sign-in", error, self._clock(), _key(want))
            raise
        self._flight.clear("sign-in")
        self._flight.clear("refresh")
        step("signed-in", want)
        return kept[0]

    def _keep(self, want: "Want", granted: "Grant", claims: str) -> "Token":
        """Store what a sign-in brought, if it is what was asked for."""
        site = want.site
        # A server that names nobody: what was asked for tells accounts apart.
        nobody = Account(f"signed-in:{want.account}", want.account)
        account = granted.account or nobody
        if not covers(granted.scopes, site.scopes):
            raise Permanent(
                "the server granted less than the scopes asked for: "
                + (" ".join(granted.scopes) or "none"),
                hint="check the host's scopes in config.toml, and the client's rights",
            )
        with (
            self._file.change(self._settings["sign_in_timeout"]) as change,
            locks.uninterrupted(),
        ):
            now = int(self._clock())
            account = naming.known_as(change.cache, account, granted.claims)
            token = change.cache.keep(granted, account, site.scopes, now, "", claims)
            naming.name(change.cache, account, granted.claims)
            naming.check(change.cache, account, want.account)
            if not want.account:
                # Nobody was asked for by name: this is who the user is here.
                change.cache.bind(site.scopes, want.host, account, here=False)
                if self._manners.login:
                    change.cache.current = account.id
            change.save()
        return token.with_source("sign-in")


def _key(want: "Want") -> str:
    return f"{want.account} {scope_key(want.site.scopes)}"


def _redirect(identity: "Identity") -> str:
    return "http://localhost" if identity.provider == "entra" else "http://127.0.0.1/"
