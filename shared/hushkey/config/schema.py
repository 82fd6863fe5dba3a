"""What config.toml may say: every key, its kind of value, and who needs it.

`hushkey.config.compile` walks these tables; nothing here knows about files.
A check returns None when the value will do, else what was expected. The keys that
only some providers have are in `hushkey.providers.registry`.
"""

from __future__ import annotations

from hushkey import origins
from hushkey.providers import exchange
from hushkey.providers.checks import (
    absolute_path as absolute_path,
)
from hushkey.providers.checks import (
    flag,
    near,
    one_of,
    text,
    url_parts,
)
from hushkey.providers.registry import SPECS
from hushkey.store.keystores import KEY_STORES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from hushkey.providers.checks import Check

INTERACTIVE = ("auto", "browser", "device", "paste", "never")
METHODS = ("browser", "paste", "device")
#: the kinds of tools that a host can be for
TOOLS = ("git", "docker", "python")
#: how the services begin that clients name after what a project calls its sources:
#: poetry (PasswordManager), pdm (RepositoryConfig), conda-auth (a channel's name)
PROJECT_NAMES = ("poetry-repository-", "pdm-", "conda-auth")


def seconds(low: int, high: int) -> Check:
    """Accept a whole number of seconds from *low* to *high*."""

    def check(value: Any) -> str | None:
        good = type(value) is int and low <= value <= high
        return None if good else f"a whole number of seconds from {low} to {high}"

    return check


def words(value: Any) -> str | None:
    """Accept a list of strings without spaces inside (OAuth scopes, aliases)."""
    good = isinstance(value, list) and all(
        isinstance(word, str) and word.isprintable() and len(word.split()) == 1
        for word in value
    )
    return None if good else 'a list of words, such as ["openid", "git"]'


def alias(value: str) -> str | None:
    """Return why the keyring service *value* cannot stand for a host, or None.

    It may be no name that a project gives to a URL of its own: poetry and pdm ask
    for a source by the name in pyproject.toml, pip, uv and poetry for the host of
    any URL. A slash ends a URL's host, so no host's name holds one (RFC 3986 3.2).
    """
    if "://" in value:
        return "is a URL: give it a table of its own"
    if value.lower().startswith(PROJECT_NAMES):
        return (
            "is a name that any project can give to a URL of its own: remove it "
            "(poetry and pdm ask for the URL, too, which needs no alias)"
        )
    if "/" not in value:
        return (
            "can be the host of a URL in any project: remove it, and ask for the "
            "URL or for a name with a slash, as team/feed"
        )
    return None


def user_name(value: Any) -> str | None:
    """Accept a user name as it is in a URL, decoded."""
    good = isinstance(value, str) and value.isprintable() and not set(value) & {*" /:"}
    return None if good and value else "the user name of a URL, decoded"


def methods(value: Any) -> str | None:
    """Accept a list of ways to sign in."""
    good = isinstance(value, list) and value and all(word in METHODS for word in value)
    return None if good else "a list of " + ", ".join(METHODS)


def tools(value: Any) -> str | None:
    """Accept a list of kinds of tools."""
    good = isinstance(value, list) and value and all(word in TOOLS for word in value)
    return None if good else "a list of " + ", ".join(TOOLS)


def key_store(value: Any) -> str | None:
    """Accept a word for a key store, or an explicit keyring backend class."""
    words = [word for word in KEY_STORES if not word.endswith(":")]
    if value in words:
        return None
    if isinstance(value, str) and value.startswith("keyring:"):
        module, dot, name = value[8:].rpartition(".")
        if (
            dot
            and name.isidentifier()
            and all(p.isidentifier() for p in module.split("."))
        ):
            return None
    hint = near(value, words)
    return f'{", ".join(words)}, or "keyring:module.Class"{hint}'


def loopback_url(value: Any) -> str | None:
    """Accept the http redirect of a native app (RFC 8252 7.3)."""
    parts = url_parts(value)
    good = (
        parts
        and parts[0] == "http"
        and origins.is_loopback(parts[1])
        and "?" not in value
    )
    return None if good else "an http:// URL on localhost, 127.0.0.1 or [::1]"


def proxy_url(value: Any) -> str | None:
    """Accept a proxy's URL."""
    good = isinstance(value, str) and not any(c <= " " or c == "\x7f" for c in value)
    scheme, _, rest = value.partition("://") if good else ("", "", "")
    host = rest.rstrip("/").rpartition("@")[2]
    # The proxy's name is looked at as any host's; its port has a default.
    if scheme not in ("http", "https", "socks5h"):
        host = ""
    return (
        None
        if origins.parse_origin("http", host)
        else "a proxy URL such as http://proxy:3128"
    )


def pattern(value: str) -> str | None:
    """Accept a host pattern."""
    try:
        origins.parse_pattern(value)
    except ValueError as error:
        return str(error)
    return None


SETTINGS: Mapping[str, Check] = {
    "interactive": one_of(*INTERACTIVE),
    "agent": flag,
    "audit": flag,
    "key_store": key_store,
    "ca_file": absolute_path,
    "proxy": proxy_url,
    "silent_timeout": seconds(1, 600),
    "sign_in_timeout": seconds(5, 3600),
    "keyring_timeout": seconds(1, 120),
    "min_lifetime": seconds(0, 86400),
}

DEFAULTS: Mapping[str, Any] = {
    "interactive": "auto",
    "agent": True,
    "audit": False,
    "key_store": "keyring",
    "ca_file": "",
    "proxy": "",
    "silent_timeout": 30,
    "sign_in_timeout": 300,
    "keyring_timeout": 10,
    "min_lifetime": 300,
}

_COMMON: Mapping[str, Check] = {
    "provider": text,
    "account": text,
    "client_id": text,
    "client_secret": text,
    "client_secret_env": text,
    "scopes": words,
    "redirect_uri": loopback_url,
    "flows": methods,
}

#: nobody signs in as a machine, so there is nothing to say about how
_MACHINES: Mapping[str, Check] = {
    key: _COMMON[key] for key in ("provider", "client_id", "scopes")
}


def names(value: Any) -> str | None:
    """Accept the name of an identity, or a list of names of which one will do."""
    if isinstance(value, list):
        good = value and all(text(name) is None for name in value)
        return None if good else 'a list of identities, such as ["ci", "work"]'
    return text(value)


HOST: Mapping[str, Check] = {
    "identity": names,
    "scopes": words,
    "account": text,
    "user": user_name,
    "username": text,
    "scheme": one_of("basic", "bearer"),
    "exchange": one_of(*exchange.KINDS),
    "interactive": one_of(*INTERACTIVE),
    "min_lifetime": seconds(0, 86400),
    "aliases": words,
    "bare": flag,
    "tools": tools,
}


def identity_keys(provider: object) -> Mapping[str, Check]:
    """Return the keys that an identity of *provider* may have, of whatever kind."""
    return keys_of({"provider": provider})


def keys_of(table: Mapping[str, Any]) -> Mapping[str, Check]:
    """Return the keys that the identity *table* may have, by its provider."""
    provider = table.get("provider")
    spec = SPECS.get(provider) if isinstance(provider, str) else None
    if spec is None:
        return _COMMON
    common = _MACHINES if spec.machine else _COMMON
    return {**common, **spec.keys_of(table)}


def host_keys(table: object) -> Mapping[str, Check]:
    """Return the keys that a host's *table* may have, those of its exchange too."""
    named = table.get("exchange") if isinstance(table, dict) else None
    kind = exchange.KINDS.get(named) if isinstance(named, str) else None
    return {**HOST, **(kind.keys if kind else {})}
