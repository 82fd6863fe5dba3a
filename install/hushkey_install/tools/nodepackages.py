"""What the package of a program says that npm or one like it has put on PATH."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from hushkey.system import programs


def major(program: str, names: tuple[str, ...], environ: Mapping[str, str]) -> int:
    """Return the first number of *program*'s version; 0 where nothing tells.

    Its package is called one of *names*, and lies around where PATH leads. The program
    itself is not run: that may be one that first downloads it.
    """
    found = programs.find(program, environ)
    if not found:
        return 0
    package = os.path.join(os.path.dirname(os.path.realpath(found)), os.pardir)
    try:
        with open(os.path.join(package, "package.json"), encoding="utf-8") as file:
            said = json.load(file)
    except (OSError, ValueError, RecursionError):
        return 0
    if not isinstance(said, dict) or said.get("name") not in names:
        return 0
    first = str(said.get("version", "")).partition(".")[0]
    return int(first) if first.isdecimal() else 0
