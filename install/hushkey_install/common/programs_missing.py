"""What is said, and to be run, where programs of ours are not on PATH.

All of them are in one folder: several tools that miss one have one cause.
"""

from __future__ import annotations

from collections.abc import Mapping

from hushkey.system import programs

_PROGRAMS = ("hushkey", "git-credential-hushkey", "docker-credential-hushkey")


def cause(environ: Mapping[str, str]) -> str:
    """Return which of them are not on PATH, for a person; nothing if all are."""
    lacking = [name for name in _PROGRAMS if not programs.find(name, environ)]
    if not lacking:
        return ""
    names = " and ".join(filter(None, (", ".join(lacking[:-1]), lacking[-1])))
    return f"{names} {'is' if len(lacking) == 1 else 'are'} not on PATH"


def command(environ: Mapping[str, str]) -> str:
    """Return it: their folder is on PATH and lacks one, or it is not."""
    if programs.find("hushkey", environ):
        return "pipx reinstall hushkey"
    return "pipx ensurepath"
