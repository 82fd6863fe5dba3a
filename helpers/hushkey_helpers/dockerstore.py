"""Where docker's typed passwords lie in the store: one slot for each way to a place.

Which protocols a registry stands for is `registries.Registry.protocols`. Imported
by every call; what opens the store is imported when there is something in it.
"""

from hushkey import hosts
from hushkey.stashindex import Slot
from hushkey_helpers import registries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hushkey.stash import Record, Stash
    from hushkey_helpers.registries import Registry

TOOL = "docker"


def slots_of(registry: "Registry") -> "list[Slot]":
    """Return where a password for *registry* may lie, the likeliest first."""
    return [Slot(TOOL, protocol, registry.place) for protocol in registry.protocols]


def first(stash: "Stash", slots: "list[Slot]") -> "Record | None":
    """Return the newest of what is kept in the first of *slots* that has any."""
    return next((r for slot in slots for r in stash.matching(slot)), None)


def keep(stash: "Stash", registry: "Registry", user: str, secret: str) -> None:
    """Keep what a person typed, in the place of all that was kept before."""
    from hushkey.stash import Record

    usual, *others = slots_of(registry)
    slot = Slot(TOOL, usual.protocol, usual.host, user=user)
    stash.store(Record(slot, {"username": user, "secret": secret}), alone=True)
    for other in others:
        stash.erase(other)


def erase(stash: "Stash", registry: "Registry") -> None:
    """Forget *registry* by every protocol: docker's logout means all spellings."""
    for protocol in hosts.DEFAULT_PORTS:
        stash.erase(Slot(TOOL, protocol, registry.place))


def users(stash: "Stash") -> "dict[str, str]":
    """Return the user name by the key under which clients find the password."""
    kept = stash.slots(TOOL)
    return {registries.key_of(s.protocol, s.host): s.user or "" for s in kept}
