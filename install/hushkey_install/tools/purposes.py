"""What a host of the config is for, where that can be told without asking it.

The config says so (`tools`), or its rule, or the host's own name. What nothing is
known of may be for anything.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from hushkey import origins
from hushkey.config.schema import TOOLS
from hushkey.model import HostRule
from hushkey.providers import azure_devops, exchange
from hushkey.providers.registry import SPECS

GIT, DOCKER, PYTHON = TOOLS
#: words in a host's name by which people call what is for one kind of tool
_WORDS = {
    GIT: ("git", "scm"),
    DOCKER: ("docker", "registry", "cr", "oci", "harbor", "quay", "ghcr", "azurecr"),
    PYTHON: ("pypi", "devpi", "pkgs"),
}
#: the ports of the reference registry, and of GitLab's
_PORTS = {5000: DOCKER, 5050: DOCKER}


def of(rule: HostRule) -> frozenset[str]:
    """Return which kinds of tools the hosts of *rule* are for, nothing if unknown."""
    if rule.tools:
        return frozenset(rule.tools)
    if rule.exchange:
        return frozenset(exchange.KINDS[rule.exchange].tools)
    pattern = origins.parse_pattern(rule.pattern)
    is_git = _is_forge(rule.identity.provider) or _is_known_for_git(pattern.host)
    return by_name(pattern) or frozenset((GIT,) if is_git else ())


def _is_forge(provider: str) -> bool:
    """Tell whether *provider* is one of servers that have repositories."""
    return provider in SPECS and "base_url" in SPECS[provider].keys


def _is_known_for_git(host: str) -> bool:
    """Tell whether *host* is a public forge's, or Azure Repos', whoever signs in."""
    forges = (spec.base_url for spec in SPECS.values() if _is_forge(spec.name))
    azure, by_label = azure_devops.BY_PATH[0], azure_devops.BY_LABEL[0]
    public = {urlsplit(url).hostname for url in forges if url}
    return host in public or host == azure or host.endswith(f".{by_label}")


def by_name(pattern: origins.Pattern) -> frozenset[str]:
    """Return which kinds of tools a host is for by its name or port, or nothing."""
    if pattern.port in _PORTS:
        return frozenset((_PORTS[pattern.port],))
    for label in pattern.host.split(".")[:-1]:  # the first one that says it counts
        words = set(label.split("-"))
        if kinds := [kind for kind, known in _WORDS.items() if words & {*known}]:
            return frozenset(kinds)
    return frozenset()


def may_be_for(rule: HostRule, kind: str) -> bool:
    """Tell whether tools of *kind* may ask for the hosts of *rule*."""
    return kind in (of(rule) or TOOLS)
