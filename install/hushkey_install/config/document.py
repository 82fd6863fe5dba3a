"""config.toml as a document: comments and order stay, only valid ones are written.

The only file that names tomlkit.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Callable
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from hushkey.config import compile, rules
from hushkey.errors import ConfigError, Permanent, plain
from hushkey.system import ownership
from hushkey_install.common.filechange import Change
from hushkey_install.config import masking

#: what some editors put in front of UTF-8
_MARK = "\ufeff"


def text_of(source: str) -> str:
    """Return what the config file holds; nothing if there is none.

    Raises ConfigError where it cannot be read, StoreError ``foreign`` or ``open``
    where others could have written it.
    """
    try:
        ownership.check_trusted(source)
        if stat.S_ISFIFO(os.stat(source).st_mode):
            raise OSError(0, "Is a pipe")  # nobody may ever write to it
        with open(source, encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", "") or "not UTF-8 text"
        raise ConfigError(
            f"cannot read {source}: {plain(why)}", hint="see `hushkey doctor`"
        ) from error


def edited(source: str, what: str, edit: Callable[[Any], object]) -> Change:
    """Return the change that *edit* makes to the document at *source*.

    Raises ConfigError where the result would be no valid config, Permanent
    where *what* cannot be done to this document. Comments that *edit* returns, as
    `drop` does, go where the first line is missing.
    """
    before = text_of(source)
    try:
        document = tomlkit.parse(before.removeprefix(_MARK))
        behind = edit(document)
        after = tomlkit.dumps(document)
        if isinstance(behind, str) and behind:
            after = _put_back(before.removeprefix(_MARK), after, behind)
    except (TOMLKitError, TypeError, AttributeError, KeyError) as error:
        raise Permanent(
            f"cannot {what}: {plain(error)}", hint="run `hushkey config edit`"
        ) from error
    _check_edit(source, what, before, after)
    mark = _MARK if before.startswith(_MARK) else ""
    return Change(source, before, mark + after)


def _put_back(before: str, after: str, comments: str) -> str:
    """Return *after* with *comments* where its lines begin to differ."""
    lines = after.splitlines(keepends=True)
    pairs = zip(before.splitlines(keepends=True), lines, strict=False)
    same = 0
    for old, new in pairs:
        if old != new:
            break
        same += 1
    return "".join((*lines[:same], comments, *lines[same:]))


def check(text: str, source: str) -> None:
    """Raise ConfigError, with every problem, if *text* is no valid config."""
    below = rules.system_text(os.environ)
    compile.compile_config(text.removeprefix(_MARK), source, *below)


def _check_edit(source: str, what: str, before: str, after: str) -> None:
    """Raise ConfigError if *after* is no valid config.

    A line is named only for a fault that the file has: a new one stands nowhere.
    """
    try:
        check(after, source)
    except ConfigError as error:
        # Each fault without its line: the edit may have moved it.
        there = {_fault(p, source): p for p in _problems(before, source)}
        found = [_fault(problem, source) for problem in error.problems]
        new = [fault for fault in found if fault not in there]
        told = (*new, *(there[fault] for fault in found if fault in there))
        more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
        refused = ConfigError(
            f"cannot {what}: {told[0]}{more}",
            hint="nothing was changed" if new else "run `hushkey config check`",
        )
        refused.problems = told
        raise refused from error


def _problems(text: str, source: str) -> tuple[str, ...]:
    try:
        check(text, source)
    except ConfigError as error:
        return error.problems
    return ()


def _fault(problem: str, source: str) -> str:
    """Return what is wrong, without the line of the file *source*."""
    rest = problem.removeprefix(f"{plain(source)}:")
    number, colon, fault = rest.partition(": ")
    return fault if rest != problem and colon and number.isdigit() else problem


def tables(source: str) -> dict[str, Any]:
    """Return what the file at *source* says, as plain values; it must be TOML."""
    return tomllib.loads(text_of(source).removeprefix(_MARK))


def parsed(text: str, source: str) -> dict[str, Any]:
    """Return what *text*, from *source*, says; ConfigError if it is no TOML."""
    try:
        return tomllib.loads(text.removeprefix(_MARK))
    except (ValueError, RecursionError) as error:
        what = f"{source}: not valid TOML: {plain(error)}"
        raise ConfigError(what, hint="run `hushkey config check`") from error


def put(table: Any, path: list[str], value: object) -> None:
    """Set the value at *path* in a document, making tables on the way."""
    # A table that only holds tables needs no line of its own.
    only_tables = len(path) > 2 or isinstance(value, dict)
    if isinstance(value, Table) and path[0] in table and path[0] != [*table][-1]:
        value.add(tomlkit.nl())  # the next table does not begin right below it
    for name in path[:-1]:
        if name not in table:
            table[name] = tomlkit.table(is_super_table=only_tables)
        table = _one(table[name], name)
    table[path[-1]] = value


def _one(table: Any, name: str) -> Any:
    """Return *table*, which is called *name*; Permanent if it is several."""
    if isinstance(table, list):
        raise Permanent(
            f"there are several tables for {plain(name)}",
            hint="run `hushkey config edit`, and change the one that is meant",
        )
    return table


def drop(table: Any, path: list[str]) -> str:
    """Take out the value or table at *path*; KeyError if there is none.

    A table that only held it goes, too. What stands between it and the next
    table is about that one, and is returned: a document has no place for it.
    """
    above = [table]
    for name in path[:-1]:
        above.append(_one(above[-1][name], name))
    behind = _behind(above[-1][path[-1]])
    del above[-1][path[-1]]
    for depth in range(len(above) - 1, 0, -1):
        if not above[depth]:
            del above[depth - 1][path[depth - 1]]
    return behind


def _behind(item: Any) -> str:
    """Return the comments at the end of a table, from its last empty line on.

    Without an empty line nobody can tell whose they are: all of them.
    """
    lines: list[str] = []
    while isinstance(item, Table):
        for key, part in reversed(item.value.body):
            if key is not None:
                item = part
                break
            lines[:0] = part.as_string().splitlines(keepends=True)
        else:
            break
    if not any(line.strip() for line in lines):
        return ""
    ends = [number for number, line in enumerate(lines) if not line.strip()]
    return "".join(lines[ends[0] + 1 :] if ends else lines)


def new_table(values: dict[str, object]) -> Any:
    """Return *values* as a table of a document."""
    table = tomlkit.table()
    table.update(values)
    return table


def keys_of(dotted: str) -> list[str]:
    """Return the names in a dotted key, as TOML writes it; bare means settings."""
    try:
        node: Any = tomllib.loads(f"{dotted} = 0")
    except tomllib.TOMLDecodeError as error:
        raise _no_key(dotted) from error
    names: list[str] = []
    while isinstance(node, dict) and len(node) == 1:
        name, node = next(iter(node.items()))
        names.append(name)
    if node != 0:
        raise _no_key(dotted)
    return names if len(names) > 1 else ["settings", *names]


def _no_key(dotted: str) -> Permanent:
    return Permanent(
        f"{plain(dotted)!r} is not a key", hint="see `hushkey config set --help`"
    )


def value_of(text: str) -> Any:
    """Return *text* as TOML reads it, or as a string if it is none."""
    try:
        found = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value = found["value"]
    plain_kind = isinstance(value, bool | int | str | list) and len(found) == 1
    return value if plain_kind else text


def without_secrets(text: str) -> str:
    """Return the document with every value and comment masked that may be secret.

    Raises ConfigError for what is no TOML: nobody knows what is secret in it.
    """
    try:
        document = tomlkit.parse(text.removeprefix(_MARK))
        masking.mask(document)
        shown = tomlkit.dumps(document)
    except (TOMLKitError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"not valid TOML: {plain(error)}", hint="run `hushkey config edit`"
        ) from error
    return masking.text(shown)


def save(change: Change) -> None:
    """Write *change*; the file before stays beside it unless a secret is in it.

    Raises StoreError as `Change.apply`.
    """
    try:
        public = without_secrets(change.before) == change.before
    except ConfigError:
        public = False
    change.apply(backup=public)


def shown(change: Change) -> Change:
    """Return *change* as it may be shown: without secrets."""
    before, after = without_secrets(change.before), without_secrets(change.after)
    return Change(change.path, before, after)
