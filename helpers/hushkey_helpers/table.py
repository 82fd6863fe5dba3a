"""Every tool that asks hushkey for credentials."""

from __future__ import annotations

from hushkey_helpers.docker import tool as docker
from hushkey_helpers.git import tool as git
from hushkey_helpers.keyring import tool as keyring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hushkey_helpers.tool import Tool

TOOLS: tuple[Tool, ...] = (
    git.TOOL,
    docker.TOOL,
    keyring.TOOL,
)


def tool_of(name: str) -> Tool | None:
    """Return the tool called *name*; as `hushkey.runtime.tool_of`."""
    return {each.name: each for each in TOOLS}.get(name)
