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
#: programs that ask by the name of their protocol, with the words worth showing
_SUBCOMMANDS = {
    "git": {"git": _GIT},
    "docker": {"docker": _DOCKER},
    "python": {
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
}
_NAMES = {"pyproject-build": "build", "__pip-runner__.py": "pip"}
#: what keeps pip, twine, poetry and pdm from asking on the terminal
_FORBIDDING = ("--no-input", "--non-interactive", "--no-interaction")


def command_of(tool: str) -> str:
    """Return for example ``git fetch in /src/app``, or nothing if unknown."""
    import psutil

    best = ""
    with suppress(psutil.Error, OSError):
        myself = psutil.Process()  # keyring's backend runs inside of the tool
        for process in (myself, *myself.parents()[:_DEPTH]):
            if found := _described(process, tool):
                best = found  # the outermost one is what the person typed
    return best


def _described(process: "Process", tool: str) -> str:
    program, arguments = _program(process.cmdline())
    known = _SUBCOMMANDS.get(tool, {}).get(program)
    if known is None:
        return ""
    shown = next((word for word in arguments if word in known.split()), "")
    if known and not shown:
        return ""
    return f"{program} {shown} in {process.cwd()}".replace("  ", " ")


def _program(words: "list[str]") -> "tuple[str, list[str]]":
    """Return the name of the program and its arguments, also of a Python one."""
    if not words:
        return "", []
    name, *rest = (os.path.basename(words[0]).removesuffix(".exe"), *words[1:])
    if name.startswith("python"):
        while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c"):
            rest = rest[1:]
        if rest[:1] == ["-c"]:
            return "", []
        rest = rest[1:] if rest[:1] == ["-m"] else rest
        name, *rest = (os.path.basename(rest[0]), *rest[1:]) if rest else ("",)
    return _NAMES.get(name, name), rest


def mentions_plain_http(netloc: str) -> bool:
    """Tell whether the calling tool was given a plain http URL of *netloc*."""
    import psutil

    with suppress(psutil.Error, OSError):
        myself = psutil.Process()
        for process in (myself, *myself.parents()[:_DEPTH]):
            program, arguments = _program(process.cmdline())
            if program not in _SUBCOMMANDS["python"]:
                continue
            words = (word.lower() for word in arguments)
            if any("http://" in w and netloc.lower() in w for w in words):
                return True
    return False


def forbidding_option() -> str:
    """Return the option with which a Python tool keeps us off the terminal.

    Its own: hushkey may run inside of it, or be started by it.
    """
    import psutil

    with suppress(psutil.Error, OSError):
        myself = psutil.Process()
        for process in (myself, *myself.parents()[:_DEPTH]):
            program, arguments = _program(process.cmdline())
            found = next((word for word in arguments if word in _FORBIDDING), "")
            if found and program in _SUBCOMMANDS["python"]:
                return f"{program} {found}"
    return ""


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
