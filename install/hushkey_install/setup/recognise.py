"""What a target is: by a rule, as a built-in host, or by what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from hushkey import origins
from hushkey.config.rules import Config
from hushkey.errors import HushkeyError, plain
from hushkey.model import HostRule
from hushkey.providers import registry
from hushkey.providers.registry import SPECS
from hushkey_install.common import output, probe
from hushkey_install.setup.target import Target
from hushkey_install.tools import purposes

_WRITTEN = {
    "user": "your config",
    "system": "your administrator's config",
    "preset": "built in",
}


class Found(NamedTuple):
    """A target and what is known of it; empty fields are not known.

    A ``rule`` serves it already. Else ``provider`` is the kind of its server, which is
    at ``base``, and ``waits`` the built-in identity that lacks a client.
    """

    target: Target
    rule: HostRule | None = None
    provider: str = ""
    base: str = ""
    waits: str = ""
    issuer: str = ""
    kinds: frozenset[str] = frozenset()
    #: its name says what it is
    named: bool = False

    @property
    def told_kinds(self) -> tuple[str, ...]:
        """What a new rule has to say of its purpose, or git is expected to ask.

        A forge has repositories beside its packages.
        """
        pattern = origins.parse_pattern(self.target.origin)
        if self.provider or purposes.GIT in self.kinds or purposes.by_name(pattern):
            return ()
        return tuple(sorted(self.kinds))

    @property
    def known(self) -> bool:
        """Tell whether anything says who signs in there."""
        return bool(self.rule or self.provider or self.issuer)

    def line(self) -> str:
        """Return who it is, and how that is known, for a person."""
        host = plain(self.target.host)
        if self.rule:
            where = _WRITTEN[self.rule.origin]
            return f"{host}: identity {self.rule.identity.name} ({where})"
        if self.waits:
            return f"{host}: {self.provider}, built in; it needs a client of yours"
        if self.provider:
            how = "by its name" if self.named else "as it says itself"
            return f"{host}: a {self.provider} server, {how}"
        if self.issuer:
            return f"{plain(self.issuer)}: an OpenID Connect server"
        return f"{host}: not known, and it does not say who signs people in"


def find(
    config: Config, target: Target, environ: Mapping[str, str], *, ask: bool
) -> Found:
    """Return what *target* is; *ask* the server itself where nothing else says it.

    Raises Permanent where rules go by path and the target names none.
    """
    row = config.row_for(target.request)
    if row and (rule := config.rule_for(target.request)):
        said = frozenset((target.kind,) if target.kind else ())
        kinds = said or purposes.of(rule) or _kinds(target, rule.identity.provider)
        return Found(target, rule, kinds=kinds)
    if row:
        identity = config.identity(row["identity"])
        return Found(
            target,
            provider=identity.provider,
            base=identity.option("base_url"),
            waits=identity.name,
            kinds=_kinds(target, identity.provider),
        )
    if target.issuer:
        return Found(target, issuer=target.issuer)
    if named := registry.hosted(target.scheme, target.host):
        kinds = _kinds(target, named)
        return Found(
            target, provider=named, base=target.origin, kinds=kinds, named=True
        )
    seen = _seen(config, target, environ) if ask else probe.Server()
    kinds = _kinds(target, seen.provider)
    if seen.registry or seen.packages:
        kinds = frozenset((purposes.DOCKER if seen.registry else purposes.PYTHON,))
    issuer = "" if seen.provider else seen.issuer
    return Found(
        target, provider=seen.provider, base=seen.base, issuer=issuer, kinds=kinds
    )


def without_rule(found: Found) -> Found:
    """Return *found*, a built-in host, as one of which only the server is known."""
    if found.rule is None:
        return found
    identity = found.rule.identity
    return found._replace(
        rule=None,
        provider=identity.provider,
        base=identity.option("base_url"),
        waits=identity.name,
    )


def _seen(config: Config, target: Target, environ: Mapping[str, str]) -> probe.Server:
    try:
        return probe.server(target.origin, target.path, config.settings, environ)
    except HushkeyError as error:
        output.say(f"note: the server could not be asked: {error.line()}", err=True)
        return probe.Server()


def _kinds(target: Target, provider: str) -> frozenset[str]:
    """Return which kinds of tools the target is for, as far as its address says it."""
    if target.kind:
        return frozenset((target.kind,))
    by_name = purposes.by_name(origins.parse_pattern(target.origin))
    forge = provider and "base_url" in SPECS[provider].keys
    return by_name or frozenset((purposes.GIT,) if forge else ())
