"""Which Python tool asks (pip, uv, twine, ...), and what it has been told.

As `hushkey.system.callers`, which see: only a program's name and a known subcommand are
taken from a command line. keyring's backend runs inside of the tool, the program
`keyring` is started by it.
"""

from __future__ import annotations

import os
from contextlib import suppress

from hushkey import runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from psutil import Process

_DEPTH = 12
_NAMES = {"pyproject-build": "build", "__pip-runner__.py": "pip"}
#: what keeps pip, twine, poetry and pdm from asking on the terminal
_FORBIDDING = ("--no-input", "--non-interactive", "--no-interaction")


def command() -> str:
    """Return for example ``pip install in /src/app``, or nothing if unknown."""
    best = ""
    for program, arguments, folder in _tools():
        known = runtime.programs_of("keyring")[program].split()
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


def _tools() -> Iterator[tuple[str, list[str], str]]:
    """Yield name, arguments and folder of the tools around us, the nearest first."""
    import psutil

    for process, words in _around():
        program, arguments = named(words)
        if program in runtime.programs_of("keyring"):
            with suppress(psutil.Error, OSError):
                yield program, arguments, process.cwd()


def _around() -> Iterator[tuple[Process, list[str]]]:
    """Yield us and what started us, with their command lines, the nearest first."""
    asker = runtime.asker()  # in the agent: whoever is at the other end
    import psutil

    found: list[Process] = []
    with suppress(psutil.Error, OSError):
        found.append(psutil.Process(asker))
        found += found[0].parents()[:_DEPTH]
    for process in found:
        with suppress(psutil.Error, OSError):
            yield process, process.cmdline()


def named(words: list[str]) -> tuple[str, list[str]]:
    """Return the name of a program and its arguments, also behind its Python."""
    if not words:
        return "", []
    name, *rest = (os.path.basename(words[0]).removesuffix(".exe"), *words[1:])
    if name.startswith(("python", "pypy")):
        rest = _behind_python(rest)
        if not rest:
            return "", []
        path, *rest = rest
        name = os.path.basename(path)
        if name == "__main__.py":
            name = os.path.basename(os.path.dirname(path))
    if name.startswith("pip") and not name[3:].strip("0123456789."):
        name = "pip"  # pip3, pip3.11
    return _NAMES.get(name, name), rest


def _behind_python(words: list[str]) -> list[str]:
    """Return the module or script that Python runs and its words; none for -c."""
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            return [word, *rest]
        if word.startswith("--"):
            continue
        # letters may stand together, and the last one with its value: -Im pip, -mpip
        at = next((n for n, letter in enumerate(word) if letter in "cmWX"), 0)
        letter, value = word[at], word[at + 1 :]
        if letter == "c":
            return []
        if letter == "m":
            return [value, *rest] if value else [*rest]
        if letter in "WX" and not value:
            next(rest, "")
    return []
