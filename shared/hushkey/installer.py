"""Which Python tool asks (pip, uv, twine, ...), and what it has been told.

As `hushkey.caller`, which see: only a program's name and a known subcommand are
taken from a command line. keyring's backend runs inside of the tool, the
program `keyring` is started by it.
"""

import os
from contextlib import suppress

from hushkey import occasion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_DEPTH = 12
#: program -> its subcommands worth naming; empty: the name says it all
_PROGRAMS = {
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
}
_NAMES = {"pyproject-build": "build", "__pip-runner__.py": "pip"}
#: what keeps pip, twine, poetry and pdm from asking on the terminal
_FORBIDDING = ("--no-input", "--non-interactive", "--no-interaction")


def command() -> str:
    """Return for example ``pip install in /src/app``, or nothing if unknown."""
    best = ""
    for program, arguments, folder in _tools():
        known = _PROGRAMS[program].split()
        shown = next((word for word in arguments if word in known), "")
        if shown or not known:
            # the outermost one is what the person typed
            best = f"{program} {shown}".rstrip() + f" in {folder}"
    return best


def forbidding_option() -> str:
    """Return the option with which the tool keeps us off the terminal, or nothing."""
    for program, arguments, _ in _tools():
        if found := next((word for word in arguments if word in _FORBIDDING), ""):
            return f"{program} {found}"
    return ""


def mentions_plain_http(netloc: str) -> bool:
    """Tell whether the tool was given a plain http URL of *netloc*."""
    return any(
        "http://" in word.lower() and netloc.lower() in word.lower()
        for _, arguments, _ in _tools()
        for word in arguments
    )


def _tools() -> "Iterator[tuple[str, list[str], str]]":
    """Yield name, arguments and folder of the tools around us, the nearest first."""
    asker = occasion.asker()
    import psutil

    with suppress(psutil.Error, OSError):
        myself = psutil.Process(asker)
        for process in (myself, *myself.parents()[:_DEPTH]):
            program, arguments = named(process.cmdline())
            if program in _PROGRAMS:
                yield program, arguments, process.cwd()


def named(words: "list[str]") -> "tuple[str, list[str]]":
    """Return the name of a program and its arguments, also behind its Python."""
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
