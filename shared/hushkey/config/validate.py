"""What is wrong with a config file, and on which line.

Walks the tables of `hushkey.config.schema` and the rules between them. Imported only
when a changed file is compiled.
"""

from __future__ import annotations

import tomllib
from itertools import pairwise

from hushkey import origins
from hushkey.config import identities, layers, schema
from hushkey.errors import plain
from hushkey.model import Frozen
from hushkey.providers import exchange
from hushkey.providers.checks import near
from hushkey.providers.registry import SPECS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from hushkey.providers.checks import Check
    from hushkey.providers.spec import ProviderSpec

#: (table, key, what is wrong)
Fault = tuple[tuple[str, ...], str, str]
_TOP = ("settings", "identity", "host")


class Written(Frozen):
    """One file, and the tables of it that count."""

    source: str
    text: str
    tables: Mapping[str, Any]


def problems(
    user: dict[str, Any], presets: dict[str, Any], files: list[Written]
) -> list[str]:
    """Return every problem of *user*, which is in *files*, one line each.

    A fault that no file has is named in the first of them.
    """
    faults = list(_faults(user, presets))
    lines = {file.source: _Lines(file.text) for file in files} if faults else {}
    shown = []
    for table, key, what in faults:
        source = _holder(files, user, (*table, key)).source
        where = lines[source].of(table, key)
        shown.append(f"{source}:{where}: {_name(table, key)}: {what}")
    return shown


def _holder(
    files: list[Written], joined: dict[str, Any], path: tuple[str, ...]
) -> Written:
    """Return the file whose value at *path* counts, else whose table around it does."""
    while path:
        counts = _at(joined, path)
        found = [file for file in files if _at(file.tables, path) is not None]
        found.sort(key=lambda file: _at(file.tables, path) is not counts)
        if found:
            return found[0]
        path = path[:-1]
    return files[0]


def _at(tables: Any, path: tuple[str, ...]) -> Any:
    """Return the value at *path*, None if there is none."""
    for name in path:
        tables = tables.get(name) if isinstance(tables, dict) else None
    return tables


def _faults(user: dict[str, Any], presets: dict[str, Any]) -> Iterator[Fault]:
    """Yield (table, key, what is wrong) for everything that is."""
    for key in user:
        if key not in _TOP:
            yield (), key, _unknown(key, _TOP)
    yield from _table_faults(("settings",), user.get("settings", {}), schema.SETTINGS)
    identities = user.get("identity", {})
    for name, table in _tables("identity", identities):
        keys = schema.keys_of(table if isinstance(table, dict) else {})
        yield from _table_faults(("identity", name), table, keys)
        if isinstance(table, dict):
            yield from _identity_faults(("identity", name), table)
    known = (
        {*identities, *presets["identity"]} if isinstance(identities, dict) else set()
    )
    for written, table in layers.hosts(user):
        yield from _table_faults(("host", written), table, schema.host_keys(table))
        if isinstance(table, dict):
            yield from _host_faults(("host", written), table, known)
            yield from _order_faults(("host", written), table, identities)
    yield from _misplaced(user)
    yield from _strangers(user, presets)
    yield from _shared_files(user)
    yield from _twins(user)
    yield from _alias_faults(user)


def _strangers(user: dict[str, Any], presets: dict[str, Any]) -> Iterator[Fault]:
    """Yield rules that would send a built-in server's token to another host."""
    identities = dict(_tables("identity", user.get("identity")))
    for written, rule in layers.hosts(user):
        for name in _named(rule):
            table = identities.get(name, presets["identity"].get(name))
            spec = _spec(table) if isinstance(table, dict) else None
            url = spec.server(table) if spec else ""
            if spec and name not in identities:
                url = url or spec.base_of(table)
            if spec is None or not url or schema.pattern(written):
                continue
            asked, place = origins.parse_url(url), origins.parse_pattern(written)
            origin = origins.parse_origin(asked.protocol, asked.host)
            server, port = origin or (asked.host, 443)
            host = place.host
            # Another port than the usual one is another server's.
            same = host == server and port in (443, place.port)
            if not same and not host.endswith(f".{server}"):
                what = f"is signed in at {server}, whose tokens are not for {host}"
                hint = f"; give [identity.{plain(name)}] a {spec.server_key} of its own"
                yield ("host", written), "identity", what + hint


def _shared_files(user: dict[str, Any]) -> Iterator[Fault]:
    """Yield identities that share a token file, and do not say whose tokens are theirs.

    Only an account, or a tenant of its own, tells their tokens apart: without one,
    what is sent to the host of one identity may be the token of the other. Built-in
    identities count for nobody here: they serve their makers' own hosts, by design
    with whichever account fits.
    """
    own = dict(_tables("identity", user.get("identity")))
    files: dict[object, dict[str, str]] = {}
    for name, table in own.items():
        texts = _texts(table)
        spec = _spec(texts)
        if spec is None or spec.machine:
            continue  # a machine's file is its own
        if file := identities.token_file(name, texts):
            tenant = origins.folded(texts.get("tenant", "")) if spec.tenants else ""
            files.setdefault(file, {})[name] = tenant
    for tenants in files.values():
        for name, tenant in tenants.items():
            shared = [
                other
                for other, theirs in tenants.items()
                if other != name and (not tenant or not theirs or tenant == theirs)
            ]
            if shared and "account" not in own[name]:
                others = ", ".join(f"[identity.{plain(n)}]" for n in shared)
                what = (
                    f"is required beside {others}: the same server and client, and so"
                )
                yield ("identity", name), "account", f"{what} the same tokens"


def _spec(table: Mapping[str, Any]) -> ProviderSpec | None:
    """Return the provider of an identity's *table*, if it names one."""
    provider = table.get("provider")
    return SPECS.get(provider) if isinstance(provider, str) else None


def _texts(table: object) -> dict[str, str]:
    """Return the values of *table* that are text: what names a server or a client."""
    pairs = table.items() if isinstance(table, dict) else ()
    return {key: value for key, value in pairs if isinstance(value, str)}


def _misplaced(user: dict[str, Any]) -> Iterator[Fault]:
    for key in ("identity", "host"):
        if key in user and not isinstance(user[key], dict):
            yield (), key, f"expected tables such as [{key}.NAME]"


def _tables(kind: str, table: Any) -> list[tuple[str, Any]]:
    return list(table.items()) if isinstance(table, dict) else []


def _table_faults(
    path: tuple[str, ...], table: Any, checks: Mapping[str, Check]
) -> Iterator[Fault]:
    if not isinstance(table, dict):
        yield path[:-1], path[-1], "expected a table"
        return
    for key, value in table.items():
        if key not in checks:
            yield path, key, _unknown(key, tuple(checks))
        elif expected := checks[key](value):
            yield path, key, f"expected {expected}"


def _unknown(key: str, valid: tuple[str, ...]) -> str:
    tail = near(key, valid) or "; valid: " + ", ".join(sorted(valid))
    return f"unknown key{tail}"


def _identity_faults(path: tuple[str, ...], table: dict[str, Any]) -> Iterator[Fault]:
    provider = table.get("provider")
    if provider is not None and not isinstance(provider, str):
        return  # which its own check has said
    spec = _spec(table)
    if spec is None:
        hint = near(provider, SPECS)
        word = "is missing" if provider is None else f"{plain(provider)!r} is not one"
        yield path, "provider", f"{word}; one of {', '.join(SPECS)}{hint}"
        return
    missing = [key for key in spec.required_of(table) if key not in table]
    for key in missing:
        yield path, key, f"is required for provider {provider}"
    for key, what in spec.faults(table):
        yield path, key, what
    if spec.machine:
        return
    yield from _half_a_server(path, table, spec)
    possible, chosen = spec.methods(table), table.get("flows")
    if possible and isinstance(chosen, list) and not {*possible} & {*map(str, chosen)}:
        only = ", ".join(possible)
        yield path, "flows", f"{provider} signs in by {only} only, with these settings"
    if "client_secret" in table and "client_secret_env" in table:
        yield path, "client_secret_env", "give client_secret or this, not both"


def _half_a_server(
    path: tuple[str, ...], table: dict[str, Any], spec: ProviderSpec
) -> Iterator[Fault]:
    """Yield the endpoints that a server of one's own lacks."""
    if not (own := spec.own_server(table)):
        return
    known = {**spec.options(table), **table}.keys()
    what = f"is required beside {own}, or base_url for both: what is at "
    what += f"{spec.base_url} is not for another server"
    if "token_endpoint" not in known:
        yield path, "token_endpoint", what
    if not known & {"authorization_endpoint", "device_authorization_endpoint"}:
        yield path, "authorization_endpoint", what


def _host_faults(
    path: tuple[str, ...], table: dict[str, Any], known: set[str]
) -> Iterator[Fault]:
    if expected := schema.pattern(path[1]):
        yield path, "", expected
    elif table.get("bare") is True and origins.parse_pattern(path[1]).path:
        yield path, "bare", "a host's name alone has no path: say it for the whole host"
    if "exchange" in table and path[1].startswith("http://"):
        yield path, "exchange", "a token is exchanged over https only"
    yield from _exchange_faults(path, table)
    identity = table.get("identity")
    if identity is None:
        yield path, "identity", "is required: which [identity.NAME] serves this host?"
    for name in _named(table):
        if name not in known:
            hint = near(name, known)
            yield path, "identity", f"there is no [identity.{plain(name)}]{hint}"


def _named(rule: object) -> list[str]:
    """Return the identities that a host's *rule* names, as far as they are names."""
    value = rule.get("identity") if isinstance(rule, dict) else None
    names = value if isinstance(value, list) else [value]
    return [name for name in names if isinstance(name, str)]


def _order_faults(
    path: tuple[str, ...], table: dict[str, Any], identities: Mapping[str, Any]
) -> Iterator[Fault]:
    """Yield identities that are never reached: a person is at home anywhere."""
    names = _named(table)
    for name, after in pairwise(names):
        own = identities.get(name)
        spec = _spec(own) if isinstance(own, dict) else None
        if spec is None or not spec.machine:
            what = f"{plain(name)} can always answer: {plain(after)} is never reached"
            yield path, "identity", f"{what}; write {plain(name)} last"
            return
    if len({*names}) < len(names):
        yield path, "identity", "names the same identity twice"


def _exchange_faults(path: tuple[str, ...], table: dict[str, Any]) -> Iterator[Fault]:
    """Yield what keeps a host's exchange from being done."""
    named = table.get("exchange")
    kind = exchange.KINDS.get(named) if isinstance(named, str) else None
    if kind is None or schema.pattern(path[1]):
        return
    for key in kind.required:
        if key not in table:
            yield path, key, f"is required for exchange {named}"
    found = origins.parse_pattern(path[1])
    covered = f"{_ANY_LABEL}.{found.host}" if found.wild else found.host
    if wrong := kind.faults(covered, _texts(table)):
        yield path, "exchange", wrong


#: what `*.` may stand for: registries of AWS are called after an account's number
_ANY_LABEL = "111122223333"


def _twins(user: dict[str, Any]) -> Iterator[Fault]:
    """Yield patterns that are written twice, and do not differ in ``user``.

    Two paths that differ only in case, or in a ``.git`` at the end, are one: most
    servers ignore both, and on the others nobody could say which of the two a
    request is for.
    """
    seen: dict[object, tuple[str, tuple[str, ...]]] = {}
    for written, table in layers.hosts(user):
        try:
            parsed = origins.parse_pattern(written)
        except ValueError:
            continue
        key = layers.place(written, table)
        if key in seen:
            other, path = seen[key]
            why = ""
            if [*map(origins.folded, path)] != [*map(origins.folded, parsed.path)]:
                why = ", for `.git` at the end of a path does not count"
            elif path != parsed.path:
                why = ", for case does not count in paths"
            yield ("host", written), "", f'is the same pattern as "{other}"{why}'
        seen[key] = written, parsed.path


def _alias_faults(user: dict[str, Any]) -> Iterator[Fault]:
    """Yield aliases that say nothing, or two things."""
    seen: dict[str, str] = {}
    for written, table in layers.hosts(user):
        aliases = table.get("aliases") if isinstance(table, dict) else None
        if schema.words(aliases) or schema.pattern(written):
            continue  # each has been told already
        if aliases and origins.parse_pattern(written).wild:
            yield ("host", written), "aliases", "need a rule for one host, without `*.`"
        for alias in aliases or ():
            if wrong := schema.alias(alias):
                yield ("host", written), "aliases", f"{plain(alias)!r} {wrong}"
            elif seen.setdefault(alias, written) != written:
                what = f'{plain(alias)!r} is an alias of "{seen[alias]}" already'
                yield ("host", written), "aliases", what


# -- where a fault stands ---------------------------------------------------


def _name(table: tuple[str, ...], key: str) -> str:
    parts = [part if part.isidentifier() else f'"{part}"' for part in table]
    return " ".join(filter(None, (f"[{'.'.join(parts)}]" if parts else "", key)))


class _Lines:
    """Where tables and keys of a file stand, found in one pass over it.

    tomllib keeps no positions; headers and keys are found again by parsing
    each line that could be one.
    """

    def __init__(self, text: str) -> None:
        #: the last header of a table counts, and the first line of a key
        self._headers: dict[tuple[str, ...], int] = {}
        self._keys: dict[tuple[str, ...], int] = {}
        current: tuple[str, ...] = ()
        for number, line in enumerate(text.split("\n"), 1):
            stripped = line.strip()
            if stripped.startswith("["):
                current = _path_to_leaf(stripped)
                self._headers[current] = number
                for length in range(1, len(current) + 1):
                    self._keys.setdefault(current[:length], number)
            elif key := _key(stripped):
                self._keys.setdefault((*current, key), number)

    def of(self, table: tuple[str, ...], key: str) -> int:
        """Return the line of *key* in *table*, else of the table's header, else 1."""
        found = self._keys.get((*table, key)) if key else None
        return found or self._headers.get(table, 1)


def _key(line: str) -> str:
    if "=" not in line or line.startswith("#"):
        return ""
    return ".".join(_path_to_leaf(line.partition("=")[0] + "= 0")[:1])


def _path_to_leaf(line: str) -> tuple[str, ...]:
    try:
        node: Any = tomllib.loads(line)
    except (ValueError, RecursionError):
        return ()
    path = []
    while isinstance(node, dict) and node:
        name, node = next(iter(node.items()))
        path.append(name)
    return tuple(path)
