"""git, as a tool that asks for credentials."""

from __future__ import annotations

from hushkey_helpers.tool import Tool

_COMMANDS = (
    "archive clone credential fetch ls-remote maintenance pull push remote submodule"
)
TOOL = Tool("git-credential-hushkey", callers={"git": _COMMANDS})
