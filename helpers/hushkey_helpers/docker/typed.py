"""Where docker's typed passwords lie in the store: one key for each way to a place.

The path of a server's address is part of the key; no path is the whole registry.
Which protocols a registry stands for is `registries.Registry.protocols`. Imported
by every call; what opens the store is imported when there is something in it.
"""

from __future__ import annotations

from hushkey import origins
from hushkey.store.typed_index import CredentialKey
from hushkey_helpers.docker import registries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hushkey.store.typed import StoredCredential, TypedCredentials
    from hushkey_helpers.docker.registries import Registry

TOOL = "docker"


def keys_of(registry: Registry) -> list[CredentialKey]:
    """Return where a password for *registry* may lie, the likeliest first.

    What was typed for the registry is good for what lies in it.
    """
    paths = [registry.path or None]
    if registry.path and not registry.holds_token:
        paths.append(None)
    return [
        CredentialKey(TOOL, protocol, registry.place, path)
        for path in paths
        for protocol in registry.protocols
    ]


def first(
    typed_store: TypedCredentials, keys: list[CredentialKey]
) -> StoredCredential | None:
    """Return the newest of what is kept in the first of *keys* that has any."""
    found = (r for key in keys for r in typed_store.matching(key, exact=True))
    return next(found, None)


def keep(
    typed_store: TypedCredentials, registry: Registry, user: str, secret: str
) -> None:
    """Keep what a person typed, in the place of what was kept for the same address."""
    from hushkey.store.typed import StoredCredential

    path = registry.path or None
    usual, *others = registry.protocols
    key = CredentialKey(TOOL, usual, registry.place, path, user)
    typed_store.store(
        StoredCredential(key, {"username": user, "secret": secret}), alone=True
    )
    for other in others:
        typed_store.erase(CredentialKey(TOOL, other, registry.place, path), exact=True)


def erase(typed_store: TypedCredentials, registry: Registry) -> None:
    """Forget *registry* by every protocol: docker's logout means all spellings.

    What is kept for other paths of the same host stays.
    """
    for protocol in origins.DEFAULT_PORTS:
        key = CredentialKey(TOOL, protocol, registry.place, registry.path or None)
        typed_store.erase(key, exact=True)


def users(typed_store: TypedCredentials) -> dict[str, str]:
    """Return the user name by the key under which clients find the password."""
    return {
        registries.key_of(s.protocol, s.host, s.path or ""): s.user or ""
        for s in typed_store.all_keys(TOOL)
    }
