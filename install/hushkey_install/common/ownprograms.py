"""Our own programs, as what is written into other tools' files names them."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Mapping

from hushkey.errors import Permanent
from hushkey.system import programs


def find(name: str, environ: Mapping[str, str]) -> str:
    """Return the absolute path of our program *name*, as PATH finds it, or nothing.

    So it outlives an upgrade, which may replace the environment behind it.
    """
    if found := programs.find(name, environ):
        return found
    beside = os.path.join(sysconfig.get_path("scripts"), name)
    return beside if os.access(beside, os.X_OK) else ""


def beside(name: str, other: str, environ: Mapping[str, str]) -> str:
    """Return the absolute path of our *name* in the folder of our *other*, or nothing.

    For a program that an installation may lack: what has its name elsewhere on PATH may
    be anybody's.
    """
    found = find(other, environ)
    for path in (found, os.path.realpath(found)) if found else ():
        program = os.path.join(os.path.dirname(path), name)
        if programs.find(program, environ):
            return program
    return ""


def expect(name: str, environ: Mapping[str, str]) -> str:
    """Return what `find` finds; raises Permanent where that is nothing."""
    found = find(name, environ)
    if not found:
        raise Permanent(
            f"{name} is not on PATH", hint="add hushkey's bin folder to PATH"
        )
    return found
