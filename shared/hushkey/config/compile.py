"""config.toml and the presets, as one checked, compiled whole.

A wrong file is refused as a whole, with file, line, key and the nearest valid
spelling; never is a token handed out for a half-read config.
`hushkey.config.rules` reads the compiled form and is what helpers use; this module is
imported only when the compiled form is out of date.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files

from hushkey import origins
from hushkey.config import identities, layers, schema, validate
from hushkey.errors import ConfigError, plain
from hushkey.providers import exchange
from hushkey.providers.registry import SPECS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def compile_config(
    text: str, source: str, system: str = "", system_source: str = ""
) -> dict[str, Any]:
    """Return the plain, marshallable form of *text* joined with the presets.

    Between the two comes *system*, what the administrator wrote: its settings count
    where *text* has none, its identities where *text* has none of that name, its hosts
    where *text* has none of that pattern. No table is put together from both.
    Raises ConfigError whose ``problems`` list every fault, each one line:
    ``FILE:LINE: [table] key: what was expected``.
    """
    user = _parse(text, source)
    below = layers.left(_parse(system, system_source), user) if system else {}
    presets = tomllib.loads(
        files("hushkey.config").joinpath("presets.toml").read_text("utf-8")
    )
    joined = layers.joined(below, user)
    texts = [validate.Written(source, text, user)]
    if system:
        texts.append(validate.Written(system_source, system, below))
    if problems := validate.problems(joined, presets, texts):
        raise _refusal(problems)
    return _compiled(joined, presets, below)


def _refusal(problems: list[str]) -> ConfigError:
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    error = ConfigError(problems[0] + more, hint="run `hushkey config check`")
    error.problems = tuple(plain(problem) for problem in problems)
    return error


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # an endless number: ValueError
        raise _refusal([f"{source}: not valid TOML: {plain(error)}"]) from error


def _compiled(
    user: dict[str, Any], presets: dict[str, Any], system: dict[str, Any]
) -> dict[str, Any]:
    """Return the compiled form of *user*, of which *system* is the administrator's."""
    whose = dict.fromkeys(user.get("identity", {}), "user")
    whose |= dict.fromkeys(system.get("identity", {}), "system")
    known = {
        name: identities.compiled(table)
        for name, table in user.get("identity", {}).items()
    }
    rules: list[dict[str, Any]] = []
    below = {id(table) for _, table in layers.hosts(system)}
    for pattern, table in layers.hosts(user):
        # A rule may lean on a preset's identity that the user has not completed.
        names = identities.named(table)
        lacking = (_missing(n, {}, presets) for n in names if n not in known)
        missing = next(filter(None, lacking), "")
        origin = "system" if id(table) in below else "user"
        rules.append(_rule(pattern, table, origin, missing))
    for pattern, table in presets["host"].items():
        missing = _missing(table["identity"], user, presets)
        # Completed by the user's own identity, a preset is what the user asked for.
        origin = whose.get(table["identity"], "preset")
        rules.append(_rule(pattern, table, origin, missing))
    for name, table in presets["identity"].items():
        known.setdefault(name, identities.compiled(table))
    return {
        "settings": {**schema.DEFAULTS, **user.get("settings", {})},
        "identities": known,
        "origins": whose,
        "rules": rules,
        "index": _index(rules),
    }


def _rule(
    written: str, table: dict[str, Any], origin: str, missing: str
) -> dict[str, Any]:
    pattern = origins.parse_pattern(written)
    plain = all(map(str.isascii, pattern.path))
    if "exchange" in table:
        kind = exchange.KINDS[table["exchange"]]
        options = {key: table[key] for key in kind.keys if key in table}
        table = {k: v for k, v in table.items() if k not in kind.keys}
        table |= {"options": options} if options else {}
        if "username" in table:
            table["username"] = kind.words.get(table["username"], table["username"])
    return {
        **{k: tuple(v) if isinstance(v, list) else v for k, v in table.items()},
        **({} if plain else {"letters": origins.letters(pattern.path)}),
        "pattern": written,
        "path": origins.place(pattern.path),
        "key": (pattern.scheme, pattern.host, pattern.port, pattern.wild),
        "origin": origin,
        "missing": missing,
    }


def _missing(name: str, user: dict[str, Any], presets: dict[str, Any]) -> str:
    """Return the setting that keeps a preset from serving, or nothing.

    The user's identity completes a preset only when it is of the same provider:
    another server's identity that happens to share the name must not send its
    tokens to the preset's host.
    """
    preset = presets["identity"][name]
    own = user.get("identity", {}).get(name)
    if own is not None and own["provider"] != preset["provider"]:
        return f'[identity.{name}] provider = "{preset["provider"]}"'
    cloud = preset.get("cloud", "public")
    elsewhere = own and ("authority" in own or own.get("cloud", "public") != cloud)
    if elsewhere:
        own_cloud = "an authority or cloud" if cloud == "public" else "an authority"
        wanted = "" if cloud == "public" else f'cloud = "{cloud}", '
        return f"[identity.{name}] {wanted}without {own_cloud} of its own"
    spec = SPECS[preset["provider"]]
    if own is not None and spec.base_of(own) != spec.base_of(preset):
        key = spec.own_server(own)
        own_server = f"without a {key} of its own"
        same = f'base_url = "{spec.base_of(preset)}"'
        return f"[identity.{name}] {own_server if key else same}"
    table = {**preset, **(own or {})}
    for key in SPECS[table["provider"]].required:
        if key not in table:
            return f"[identity.{name}] {key}"
    return ""


def _index(rules: list[dict[str, Any]]) -> dict[Any, tuple[int, ...]]:
    """Map (scheme, host, port, wild) to the rules of that host, best first."""
    grouped: dict[Any, list[int]] = {}
    for number, rule in enumerate(rules):
        grouped.setdefault(rule["key"], []).append(number)
    return {
        key: tuple(
            sorted(
                numbers,
                key=lambda n: (-len(rules[n]["path"]), "user" not in rules[n], n),
            )
        )
        for key, numbers in grouped.items()
    }
