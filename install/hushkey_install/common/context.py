"""What every verb needs: the config, an acquirer, and which rule is meant."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping

from hushkey import origins
from hushkey.acquire import session
from hushkey.acquire.acquirer import Acquirer
from hushkey.config import rules
from hushkey.config.rules import Config
from hushkey.errors import HushkeyError, Permanent, plain
from hushkey.model import HostRule, Identity, Request
from hushkey.tokenrequest import PromptOptions, TokenRequest, may_be_person


def shown(url: str) -> str:
    """Return *url* for an error line: short, without user info, query or fragment."""
    scheme, marker, rest = url.partition("://")
    rest = (rest if marker else scheme).partition("#")[0].partition("?")[0]
    origin, slash, path = rest.partition("/")
    where = f"{origin.rpartition('@')[2]}{slash}{path}"
    return plain(f"{scheme}{marker}{where}" if marker else where, 80)


class Context:
    """One run of the command, in one environment."""

    def __init__(
        self, environ: Mapping[str, str] | None = None, *, login: bool = False
    ) -> None:
        self.environ = dict(os.environ if environ is None else environ)
        self.config: Config = rules.load(self.environ)
        options = PromptOptions(login=login, command=str)
        self.acquirer: Acquirer = session.acquirer(
            self.environ,
            time.time(),
            options=options,
            # What git has asked for in vain, a person can sign in to.
            git_url="" if login else None,
        )

    def request(self, url: str) -> Request:
        """Return the request for *url*; raises Permanent for what is no URL."""
        try:
            return origins.parse_url(url)
        except ValueError as error:
            raise Permanent(f"{shown(url)!r}: {error}") from error

    def wanted(
        self, rule: HostRule, host: str, url: str = "", account: str = ""
    ) -> TokenRequest:
        """Return the need for a token of *rule*.

        *url* may name an organisation, and whose account is meant; *account* names
        that for certain. Raises Permanent if the config says another one.
        """
        request = self.request(url or host)
        name = request.username or rule.user
        if account and rule.account and account.casefold() != rule.account.casefold():
            raise Permanent(
                f"{rule.pattern} is for the account {rule.account}, as the config says",
                hint="change `account` in config.toml to sign in somebody else",
            )
        if account:
            rule = rule.with_account(account)
        elif not rule.account and may_be_person(name, rule):
            rule = rule.with_account(name)
        return self.acquirer.wanted(rule, host, request=request)

    def rule(self, url: str) -> tuple[HostRule, str]:
        """Return the rule for *url* and its origin; raises Permanent if not ours."""
        request = self.request(url)
        rule = self.config.rule_for(request)
        origin = origins.parse_origin(request.protocol, request.host)
        if rule is None or origin is None:
            missing = self.config.missing_for(request)
            what = f"it lacks {missing}" if missing else "no rule covers it"
            if users := self.config.users_of(request):
                named = f"https://{users[0]}@{request.host}"
                names = plain(", ".join(users), 200)
                raise Permanent(
                    f"the rules for {shown(url)} are for a user name: {names}",
                    hint=f"name one in the URL: {plain(named, 200)}",
                )
            raise Permanent(
                f"{shown(url)} is not served by hushkey: {what}",
                hint=f"run `hushkey setup {plain(request.host, 80)}`",
            )
        return rule, origins.origin_text(request.protocol, *origin)

    def rule_or_none(self, url: str) -> HostRule | None:
        """Return the rule that covers *url*; None where it is nobody's.

        Raises Permanent for what is no URL, for a built-in host that waits for a
        client, and where rules go by path and *url* names none.
        """
        request = self.request(url)
        if self.config.row_for(request) is None:
            return None
        return self.rule(url)[0]

    def rules_of(self, target: str | None) -> list[tuple[HostRule, str]]:
        """Return the rules that *target* means: a host, a URL, or an identity.

        No target means the only identity, if the config has just one.
        """
        own = list(self.own_rules())
        names = list(dict.fromkeys(rule.identity.name for rule, _ in own))
        if target is None and len(names) != 1:
            if not names:
                raise Permanent(
                    "no host has an identity yet",
                    hint="run `hushkey setup HOST`, or name a built-in host",
                )
            raise Permanent(f"which identity or host? ({', '.join(names)})")
        wanted = names[0] if target is None else target
        if wanted in names:
            return [(rule, host) for rule, host in own if rule.identity.name == wanted]
        if wanted in self.config.identities():
            return [self._built_in(wanted)]
        return [self.rule(wanted)]

    def _built_in(self, name: str) -> tuple[HostRule, str]:
        """Return what a built-in identity is mainly for: its first host."""
        for rule in self.config.rules():
            if rule.identity.name == name:
                return rule, rule.pattern
        missing = self.config.missing_of(name)
        raise Permanent(
            f"identity {name} serves no host yet"
            + (f": it lacks {missing}" if missing else ""),
            hint="run `hushkey setup HOST`"
            if missing
            else f'add a [host."..."] table to {self.config.source}',
        )

    def is_used(self, identity: Identity) -> bool:
        """Tell whether somebody is signed in by *identity*, as far as can be seen."""
        if identity.typed:
            return False
        file = self.acquirer.file_of(identity)
        if not file.stamp():
            return False
        try:
            cache = file.read()
        except HushkeyError:
            return True  # nobody can tell
        account = identity.account
        return bool(cache.account(account) if account else cache.accounts)

    def is_in_use(self) -> bool:
        """Tell whether a host has a rule of its own, or somebody is signed in."""
        identities = self.config.identities().values()
        return any(self.own_rules()) or any(map(self.is_used, identities))

    def own_rules(self) -> Iterator[tuple[HostRule, str]]:
        """Yield the rules that the user configured, with their patterns."""
        for rule in self.config.rules():
            if not rule.built_in:
                yield rule, rule.pattern

    def identity(self, target: str | None) -> Identity:
        """Return the identity that *target* means."""
        if target is not None and target in self.config.identities():
            return self.config.identity(target)
        return self.rules_of(target)[0][0].identity
