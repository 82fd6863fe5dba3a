"""The Python tools that ask a keyring, by its program or its backend."""

from __future__ import annotations

from hushkey_helpers.tool import Tool

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
)
