"""Every tool that asks hushkey for credentials."""

from __future__ import annotations

from importlib import import_module

from hushkey_helpers import ANSWER, ANSWERS, row
from hushkey_helpers.docker import tool as docker
from hushkey_helpers.git import tool as git
from hushkey_helpers.keyring import tool as keyring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hushkey_helpers.tool import Tool
    from hushkey_helpers.tools.command import CommandTool

#: those with a program of their own
TOOLS: tuple[Tool, ...] = (
    git.TOOL,
    docker.TOOL,
    keyring.TOOL,
)


def tool_of(name: str) -> Tool | None:
    """Return the tool called *name*; as `hushkey.runtime.tool_of`."""
    if name in ANSWERS:
        return answered(name)
    return {each.name: each for each in TOOLS}.get(name)


def answered(name: str) -> CommandTool:
    """Return one of the tools of `ANSWERS`; it is loaded now."""
    found: CommandTool = import_module(row(f"{ANSWER} {name}")[1]).TOOL
    return found
