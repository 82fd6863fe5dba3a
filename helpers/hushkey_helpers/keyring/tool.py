"""The Python tools that ask a keyring, by its program or its backend."""

from __future__ import annotations

from hushkey_helpers.tool import Tool


def _command() -> str:
    from hushkey.system import python_callers

    return python_callers.command()


def _no_terminal() -> str:
    from hushkey.system import python_callers

    return python_callers.forbidding_option()


TOOL = Tool(
    "hushkey-keyring",
    callers={
        "build": "",
        "hatch": "publish run shell",
        "keyring": "get",
        "nox": "",
        "pdm": "add install lock publish sync update",
        "pip": "download index install lock wheel",
        "pipx": "inject install reinstall run upgrade",
        "poetry": "add install lock publish sync update",
        "tox": "",
        "twine": "upload",
        "uv": "add build lock pip publish run sync tool",
        "uvx": "",
    },
    command=_command,
    no_terminal=_no_terminal,
    # pip from 26.2 on and pdm drop what they capture; uv prints it when we have ended
    stderr_shown_by=("uv",),
    inside=True,
    own_user=lambda identity: identity.keyring_user,
)
