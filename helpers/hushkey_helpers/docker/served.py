"""Which registries `get` would answer with a token, for `list`: nobody is asked.

Those that the config names one by one, and those that gave a token which is still
good. docker's classic builder sends what it finds here to its engine, so a host of
which nothing says that it is a registry, perhaps a git server, is left out: it needs
an exchange, or a key in docker's own file. Imported by `list` alone.
"""

from __future__ import annotations

import time

from hushkey import origins
from hushkey.errors import HushkeyError
from hushkey.model import Request
from hushkey.tokenrequest import PromptOptions
from hushkey_helpers.docker import clientfile, registries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from hushkey.config.rules import Config
    from hushkey.model import HostRule


def named(config: Config, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the user name by key for the registries that config or docker names."""
    found = {}
    for rule in config.rules():
        pattern = origins.parse_pattern(rule.pattern)
        if not rule.built_in and rule.exchange and not pattern.wild:
            origin = origins.origin_text(pattern.scheme, pattern.host, pattern.port)
            if registry := registries.parse(origin):
                key = registries.key_of(pattern.scheme, registry.place)
                found[key] = _user(rule)
    for key in clientfile.ours(environ):
        registry = registries.parse(key)
        for request in registry.requests() if registry else ():
            asked = _rule(config, request)
            if asked and not asked.identity.typed:
                found[key] = _user(asked)
                break
    return found


def _user(rule: HostRule) -> str:
    from hushkey.providers import exchange

    own = exchange.KINDS[rule.exchange].username if rule.exchange else ""
    return rule.answer_user(own)


def live(config: Config, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the user name by key for registries whose token is still good.

    Raises StoreError where the keyring or the token files cannot serve.
    """
    from hushkey.acquire import session

    now, found = time.time(), {}
    options = PromptOptions(tool_may_ask=False)
    acquirer = session.acquirer(environ, now, options=options)
    for identity in config.identities().values():
        file = None if identity.typed else acquirer.file_of(identity)
        if file is None or not file.stamp():
            continue
        for host, token in file.read().exchanged():
            rule = _rule(config, Request("https", host))
            is_good = token.expires_at is None or token.expires_at > now
            if rule and is_good and rule.identity.name == identity.name:
                user = rule.answer_user(token.username)
                found[registries.key_of("https", host)] = user
    return found


def _rule(config: Config, request: Request) -> HostRule | None:
    try:
        return config.rule_for(request)
    except HushkeyError:
        return None  # several identities serve it, by path
