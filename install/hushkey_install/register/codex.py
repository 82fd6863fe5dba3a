"""Registering with Codex: the command of a model provider.

developers.openai.com/codex/config-reference, ``model_providers.<id>.auth``. Which
provider is meant, its ``base_url`` says.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from hushkey import origins
from hushkey.system import paths
from hushkey_install.register.setting import (
    Form,
    Setting,
    SettingsRegistration,
    Setup,
    is_ours,
)
from hushkey_install.tools import tomltext

_KEYS = ("auth.command", "auth.args")


def _providers(text: str) -> dict[str, Any]:
    found = tomltext.value(text, ("model_providers",))
    tables = found.items() if isinstance(found, dict) else ()
    return {name: table for name, table in tables if isinstance(table, dict)}


def _path(name: str, key: str) -> tuple[str, ...]:
    return ("model_providers", name, *key.split("."))


def _value(text: str) -> str:
    said = {
        name: {key: tomltext.source(text, _path(name, key)) for key in _KEYS}
        for name in _providers(text)
    }
    return json.dumps(said, sort_keys=True)


def _edited(text: str, value: str) -> str:
    for name, keys in json.loads(value).items():
        if name in _providers(text):
            for key in reversed(_KEYS):
                text = tomltext.rewrite(text, _path(name, key), keys[key])
    return text


def _without(text: str, before: str) -> str:
    now, old = json.loads(_value(text)), json.loads(before)
    for name in now:
        command = tomltext.value(text, _path(name, _KEYS[0]))
        if isinstance(command, str) and is_ours(command):
            now[name] = old.get(name, dict.fromkeys(_KEYS, ""))
    return _edited(text, json.dumps(now))


class CodexRegistration(SettingsRegistration):
    """Codex, by the config of this user."""

    takes_hosts = several = True
    sample = "llm.example.com"
    programs = ("codex",)
    about = "codex asks hushkey for the token of these model providers"

    def settings(self, setup: Setup) -> Iterable[Setting]:
        """Return command and words for the providers at the hosts."""
        hosts = {setup.origin(word): setup.place(word) for word in setup.some_words()}

        def wanted(text: str) -> str:
            said, missing = json.loads(_value(text)), dict(hosts)
            for name, table in _providers(text).items():
                origin = _origin(str(table.get("base_url", "")))
                if origin in hosts:
                    args = json.dumps(["token", hosts[origin]])
                    command = json.dumps(setup.program, ensure_ascii=False)
                    said[name] = dict(zip(_KEYS, (command, args), strict=True))
                    missing.pop(origin, None)
            if missing:
                where = ", ".join(missing.values())
                raise ValueError(f"no model provider has a base_url at {where}")
            return json.dumps(said, sort_keys=True)

        folder = setup.environ.get("CODEX_HOME", "")
        if not os.path.isabs(folder):
            folder = os.path.join(paths.home(setup.environ), ".codex")
        return [Setting(os.path.join(folder, "config.toml"), wanted)]

    def form(self, environ: Mapping[str, str], words: tuple[str, ...]) -> Form:
        """Return the commands of all providers, as they are written."""
        return Form(_edited, _value, _without)


def _origin(url: str) -> str:
    try:
        request = origins.parse_url(url)
    except ValueError:
        return ""
    return f"{request.protocol}://{request.host}"


CODEX = CodexRegistration("codex")
