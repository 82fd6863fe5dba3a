"""Secrets that people type for hosts of a static identity: who keeps one, in words.

From the index of what is kept alone: nothing is opened, so no keyring is needed.
"""

from __future__ import annotations

from collections.abc import Mapping

from hushkey import origins
from hushkey.errors import Permanent
from hushkey.model import HostRule, Identity
from hushkey.store import typed_index
from hushkey.system import paths
from hushkey_helpers.docker import registries
from hushkey_helpers.docker import typed as docker
from hushkey_helpers.git import typed as git


def tools_of(protocol: str, host: str, environ: Mapping[str, str]) -> list[str]:
    """Return the tools for which a secret for *host* is kept, for whatever path."""
    folder = paths.data_folder(environ)
    keys = {"git": [git.key_of(protocol, host)], "docker": []}
    if registry := registries.parse(f"{protocol}://{host}"):
        keys["docker"] = docker.keys_of(registry)
    return [tool for tool, asked in keys.items() if typed_index.holds(folder, *asked)]


def tools_of_rule(rule: HostRule, environ: Mapping[str, str]) -> list[str]:
    """Return the same for the host of *rule*; a wildcard names none."""
    pattern = origins.parse_pattern(rule.pattern)
    if pattern.wild:
        return []
    place = f"{pattern.host}:{pattern.port}"
    return tools_of(pattern.scheme, place, environ)


def check_not_typed(identity: Identity, host: str) -> None:
    """Raise Permanent where *identity* is one that nobody signs in to."""
    if identity.typed:
        raise Permanent(
            (f"nobody signs in to {host}: " if host else "nobody signs in: ")
            + f'identity {identity.name} is provider = "{identity.provider}", which '
            "keeps what you type",
            hint="answer git's question, or run `docker login`; "
            "`git credential reject` and `docker logout` forget it",
        )
