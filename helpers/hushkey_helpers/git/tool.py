"""git, as a tool that asks for credentials."""

from __future__ import annotations

from hushkey_helpers.tool import Tool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_COMMANDS = (
    "archive clone credential fetch ls-remote maintenance pull push remote submodule"
)


def _command() -> str:
    from hushkey.system import callers

    return callers.command_of(TOOL.name)


def _interactive(environ: Mapping[str, str]) -> str:
    from hushkey.system import callers

    return callers.git_interactive(environ)


TOOL = Tool(
    "git-credential-hushkey",
    callers={"git": _COMMANDS},
    command=_command,
    interactive=_interactive,
)
