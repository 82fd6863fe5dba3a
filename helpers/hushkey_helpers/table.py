"""Every tool that asks hushkey for credentials."""

from __future__ import annotations

from hushkey_helpers.docker import tool as docker
from hushkey_helpers.git import tool as git
from hushkey_helpers.keyring import tool as keyring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from hushkey_helpers.tool import Tool

TOOLS: tuple[Tool, ...] = (
    git.TOOL,
    docker.TOOL,
    keyring.TOOL,
)


def programs_of(tool: str) -> Mapping[str, str]:
    """Return what a person types to use *tool*; as `hushkey.runtime.programs_of`."""
    return {each.name: each.callers for each in TOOLS}.get(tool, {})
