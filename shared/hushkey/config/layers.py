"""The administrator's config below the user's: what is left of it, and both as one.

A table of the user replaces the administrator's of the same name as a whole: an
identity that was put together from both could send one server's client to another.
Imported only when a changed file is compiled, or shown.
"""

from __future__ import annotations

from hushkey import origins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any


def left(system: dict[str, Any], user: dict[str, Any]) -> dict[str, Any]:
    """Return what of *system* counts beside *user*; both are parsed, not checked."""
    settings = names(user, "settings")
    identities = names(user, "identity")
    taken = {place(*rule) for rule in hosts(user)}
    found = dict(system)
    for kind, own in (("settings", settings), ("identity", identities)):
        table = system.get(kind)
        if isinstance(table, dict):
            found[kind] = {k: v for k, v in table.items() if k not in own}
    if isinstance(system.get("host"), dict):
        left_over = (rule for rule in hosts(system) if place(*rule) not in taken)
        found["host"] = _tables(left_over)
    return found


def hosts(config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each host table with its pattern, which may have several.

    Those of one pattern are an array of tables: they differ in ``user``.
    """
    table = config.get("host")
    for written, found in table.items() if isinstance(table, dict) else ():
        for each in found if isinstance(found, list) and found else [found]:
            yield written, each


def _tables(rules: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return the tables that `hosts` yields as *rules*."""
    found: dict[str, list[Any]] = {}
    for written, table in rules:
        found.setdefault(written, []).append(table)
    return {w: each[0] if len(each) == 1 else each for w, each in found.items()}


def replaced(system: dict[str, Any], user: dict[str, Any]) -> list[str]:
    """Return what of *system* does not count beside *user*, as a person writes it."""
    kept = left(system, user)
    rules = {id(table) for _, table in hosts(kept)}
    return [
        *(
            f"settings.{n}"
            for n in system.get("settings", {})
            if n not in kept["settings"]
        ),
        *(
            f'[identity."{n}"]'
            for n in system.get("identity", {})
            if n not in kept["identity"]
        ),
        *(f'[host."{n}"]' for n, table in hosts(system) if id(table) not in rules),
    ]


def joined(below: dict[str, Any], user: dict[str, Any]) -> dict[str, Any]:
    """Return *user* with what `left` kept *below* it; the user's comes first."""
    found = {**below, **user}
    for kind in ("settings", "identity", "host"):
        one, other = user.get(kind, {}), below.get(kind, {})
        if isinstance(one, dict) and isinstance(other, dict) and other:
            found[kind] = {**one, **other}
            if kind == "host":
                found[kind] = _tables((*hosts(user), *hosts(below)))
        elif not isinstance(other, dict):
            found[kind] = other  # which the check refuses
    return found


def names(config: dict[str, Any], kind: str) -> set[str]:
    """Return the names in the tables of *kind*; none where they are no tables."""
    table = config.get(kind)
    return set(table) if isinstance(table, dict) else set()


def place(written: str, table: Any) -> tuple[object, ...]:
    """Return the same for two rules of which one request could not tell which."""
    user = table.get("user") if isinstance(table, dict) else None
    name = origins.folded(user) if isinstance(user, str) else ""
    try:
        parsed = origins.parse_pattern(written)
    except ValueError:
        return written, name
    return (
        name,
        parsed.scheme,
        parsed.host,
        parsed.port,
        parsed.wild,
        origins.place(parsed.path),
    )
