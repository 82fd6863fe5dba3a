"""Finding, checking and changing config.toml."""

import os
import tomllib
from typing import Any

import click
import tomlkit
from tomlkit.exceptions import TOMLKitError

from hushkey import config, paths, sites
from hushkey.errors import ConfigError, Permanent, plain
from hushkey_install.change import Change

#: what some editors put in front of UTF-8
_MARK = "\ufeff"


def print_path() -> None:
    """Print the path of the config file."""
    click.echo(paths.config_file(os.environ))


def check() -> int:
    """Print every problem, or that there is none; return the exit code."""
    source = paths.config_file(os.environ)
    try:
        sites.load(os.environ)
    except ConfigError as error:
        for problem in error.problems or (error.line(),):
            click.echo(problem, err=True)
        return 5
    if os.path.exists(source):
        click.echo(f"{source}: no problems")
    else:
        click.echo(f"{source} does not exist: only the built-in hosts count")
    return 0


def set_value(key: str, value: str) -> None:
    """Set one key of the config file, if the result is a valid config."""
    source = paths.config_file(os.environ)
    before = _text(source)
    path = _path(key)
    try:
        document = tomlkit.parse(before.removeprefix(_MARK))
        table: Any = document
        for name in path[:-1]:
            if name not in table:
                table[name] = tomlkit.table(is_super_table=len(path) > 2)
            table = table[name]
        table[path[-1]] = _value(value)
        after = tomlkit.dumps(document)
    except (TOMLKitError, TypeError, AttributeError, KeyError) as error:
        raise Permanent(f"cannot set {plain(key)}: {plain(error)}") from error
    config.compile_config(after, source)
    mark = _MARK if before.startswith(_MARK) else ""
    Change(source, before, mark + after).apply()
    click.echo(f"set {'.'.join(path)} in {source}", err=True)


def _text(source: str) -> str:
    try:
        with open(source, encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {source}: {plain(error)}") from error


def _path(key: str) -> list[str]:
    """Return the names in a dotted key, as TOML writes it; bare means settings."""
    try:
        node: Any = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError as error:
        raise Permanent(f"{plain(key)!r} is not a key", hint="see --help") from error
    names: list[str] = []
    while isinstance(node, dict) and len(node) == 1:
        name, node = next(iter(node.items()))
        names.append(name)
    if node != 0:
        raise Permanent(f"{plain(key)!r} is not a key", hint="see --help")
    return names if len(names) > 1 else ["settings", *names]


def _value(text: str) -> Any:
    """Return *text* as TOML reads it, or as a string if it is none."""
    try:
        found = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value = found["value"]
    plain_kind = isinstance(value, bool | int | str | list) and len(found) == 1
    return value if plain_kind else text
