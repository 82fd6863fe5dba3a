"""Who is asking: `git fetch` in which repository, and what it has been told.

Looked at only when a person is about to be asked, so that the question can say
what it is for. Command lines may hold secrets (URLs with passwords): only the
program's name and a known subcommand are taken from them.
"""

import os
import subprocess
from contextlib import suppress

from hushkey import programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from psutil import Process

_DEPTH = 12
#: seconds for `git config`
_PATIENCE = 3
_GIT = "archive clone credential fetch ls-remote maintenance pull push remote submodule"
_DOCKER = "build buildx compose login manifest pull push run"
_SUBCOMMANDS = {
    "git": frozenset(_GIT.split(" ")),
    "docker": frozenset(_DOCKER.split(" ")),
}


def command_of(tool: str) -> str:
    """Return for example ``git fetch in /src/app``, or nothing if unknown."""
    import psutil

    best = ""
    with suppress(psutil.Error, OSError):
        for process in psutil.Process().parents()[:_DEPTH]:
            if found := _described(process, tool):
                best = found  # the outermost one is what the person typed
    return best


def _described(process: "Process", tool: str) -> str:
    words = process.cmdline()
    if not words or os.path.basename(words[0]).removesuffix(".exe") != tool:
        return ""
    known = _SUBCOMMANDS.get(tool, frozenset())
    subcommand = next((word for word in words[1:] if word in known), "")
    return f"{tool} {subcommand} in {process.cwd()}" if subcommand else ""


def git_wish(environ: "Mapping[str, str]") -> str:
    """Return git's credential.interactive as the calling git has it, or nothing.

    git hands its own ``-c`` options on in the environment, so asking git is
    exact; background maintenance sets it to false (git 2.47).
    """
    git = programs.find("git", environ)
    if git is None:
        return ""
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            [git, "config", "--get", "credential.interactive"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE,
            check=False,
            env=dict(environ),
        )
        return done.stdout.decode("utf-8", "replace").strip()
    return ""
