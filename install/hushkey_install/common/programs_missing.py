"""What to run where a program of ours is not on PATH."""

from __future__ import annotations

from collections.abc import Mapping

from hushkey.system import programs


def command(environ: Mapping[str, str]) -> str:
    """Return it: all of them are in one folder, which is on PATH or lacks one."""
    if programs.find("hushkey", environ):
        return "pipx reinstall hushkey"
    return "pipx ensurepath"
