"""The administrator's config below the user's: what is left of it, and both as one.

A table of the user replaces the administrator's of the same name as a whole: an
identity that was put together from both could send one server's client to another.
Imported only when a changed file is compiled, or shown.
"""

from __future__ import annotations

from hushkey import origins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def left(system: dict[str, Any], user: dict[str, Any]) -> dict[str, Any]:
    """Return what of *system* counts beside *user*; both are parsed, not checked."""
    settings = names(user, "settings")
    identities = names(user, "identity")
    patterns = set(map(_place, names(user, "host")))

    def counts(kind: str, name: str) -> bool:
        if kind == "host":
            return _place(name) not in patterns
        return name not in (settings if kind == "settings" else identities)

    found = dict(system)
    for kind in ("settings", "identity", "host"):
        table = system.get(kind)
        if isinstance(table, dict):
            found[kind] = {k: v for k, v in table.items() if counts(kind, k)}
    return found


def replaced(system: dict[str, Any], user: dict[str, Any]) -> list[str]:
    """Return what of *system* does not count beside *user*, as a person writes it."""
    kept = left(system, user)
    return [
        f"settings.{name}" if kind == "settings" else f'[{kind}."{name}"]'
        for kind in ("settings", "identity", "host")
        for name in system.get(kind, {})
        if name not in kept[kind]
    ]


def joined(below: dict[str, Any], user: dict[str, Any]) -> dict[str, Any]:
    """Return *user* with what `left` kept *below* it; the user's comes first."""
    found = {**below, **user}
    for kind in ("settings", "identity", "host"):
        one, other = user.get(kind, {}), below.get(kind, {})
        if isinstance(one, dict) and isinstance(other, dict) and other:
            found[kind] = {**one, **other}
        elif not isinstance(other, dict):
            found[kind] = other  # which the check refuses
    return found


def names(config: dict[str, Any], kind: str) -> set[str]:
    """Return the names in the tables of *kind*; none where they are no tables."""
    table = config.get(kind)
    return set(table) if isinstance(table, dict) else set()


def _place(written: str) -> object:
    """Return the same for two spellings of one pattern."""
    try:
        parsed = origins.parse_pattern(written)
    except ValueError:
        return written
    return (
        parsed.scheme,
        parsed.host,
        parsed.port,
        parsed.wild,
        origins.place(parsed.path),
    )
