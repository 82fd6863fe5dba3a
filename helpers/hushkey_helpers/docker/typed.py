"""Where docker's typed passwords lie in the store: one key for each way to a place.

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
    """Return where a password for *registry* may lie, the likeliest first."""
    return [
        CredentialKey(TOOL, protocol, registry.place) for protocol in registry.protocols
    ]


def first(
    typed_store: TypedCredentials, keys: list[CredentialKey]
) -> StoredCredential | None:
    """Return the newest of what is kept in the first of *keys* that has any."""
    return next((r for key in keys for r in typed_store.matching(key)), None)


def keep(
    typed_store: TypedCredentials, registry: Registry, user: str, secret: str
) -> None:
    """Keep what a person typed, in the place of all that was kept before."""
    from hushkey.store.typed import StoredCredential

    usual, *others = keys_of(registry)
    key = CredentialKey(TOOL, usual.protocol, usual.host, user=user)
    typed_store.store(
        StoredCredential(key, {"username": user, "secret": secret}), alone=True
    )
    for other in others:
        typed_store.erase(other)


def erase(typed_store: TypedCredentials, registry: Registry) -> None:
    """Forget *registry* by every protocol: docker's logout means all spellings."""
    for protocol in origins.DEFAULT_PORTS:
        typed_store.erase(CredentialKey(TOOL, protocol, registry.place))


def users(typed_store: TypedCredentials) -> dict[str, str]:
    """Return the user name by the key under which clients find the password."""
    kept = typed_store.all_keys(TOOL)
    return {registries.key_of(s.protocol, s.host): s.user or "" for s in kept}
