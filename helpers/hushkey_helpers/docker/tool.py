"""docker and what speaks its protocol, as tools that ask for credentials."""

from __future__ import annotations

from hushkey_helpers.tool import Tool

_COMMANDS = "attach build bud compose copy create inspect login manifest pull push run"
_KIN = ("podman", "buildah", "skopeo", "nerdctl", "helm", "oras", "crane")


def _command() -> str:
    from hushkey.system import callers

    return callers.command_of(TOOL.name)


TOOL = Tool(
    "docker-credential-hushkey",
    callers={"docker": f"buildx {_COMMANDS}", **dict.fromkeys(_KIN, _COMMANDS)},
    command=_command,
)
