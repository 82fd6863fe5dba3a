"""Registering with Claude Code: its ``apiKeyHelper``, a command for a shell.

code.claude.com/docs/en/settings.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Mapping

from hushkey.system import paths
from hushkey_install.register.setting import (
    Form,
    Setting,
    SettingsRegistration,
    Setup,
    is_ours,
)
from hushkey_install.tools import jsontext

_PATH = ("apiKeyHelper",)


def _value(text: str) -> str:
    return jsontext.source(text, _PATH)


def _edited(text: str, value: str) -> str:
    if not value:
        return jsontext.take(text, _PATH)
    return jsontext.rewrite(jsontext.put(text, _PATH, ""), _PATH, value)


def _without(text: str, before: str) -> str:
    ours = is_ours(str(jsontext.value(text, *_PATH) or ""))
    return _edited(text, before) if ours else text


class ClaudeRegistration(SettingsRegistration):
    """Claude Code, by the settings of this user."""

    takes_hosts = True
    sample = "llm.example.com"
    programs = ("claude",)
    overridden_by = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
    about = "claude asks hushkey for its key"

    def settings(self, setup: Setup) -> Iterable[Setting]:
        """Return the command for the one host."""
        place = setup.place(setup.only_word("HOST"))
        written = json.dumps(shlex.join((setup.program, "token", place)))
        folder = setup.environ.get("CLAUDE_CONFIG_DIR", "")
        if not os.path.isabs(folder):
            folder = os.path.join(paths.home(setup.environ), ".claude")
        return [Setting(os.path.join(folder, "settings.json"), lambda _: written)]

    def form(self, environ: Mapping[str, str], words: tuple[str, ...]) -> Form:
        """Return the member as it is written."""
        return Form(_edited, _value, _without)


CLAUDE = ClaudeRegistration("claude")
