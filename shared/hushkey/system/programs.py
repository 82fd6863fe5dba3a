"""Where programs are found: on absolute PATH entries, never near the caller.

A cloned repository may hold a file called `git` or `xdg-open`. An empty PATH
entry means the working directory, so it is skipped together with every relative
one, and what is returned can be started whatever the working directory is.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def find(name: str, environ: Mapping[str, str]) -> str | None:
    """Return the absolute path of the executable *name*, or None.

    A *name* with a slash is taken as it is, and only if it is absolute.
    """
    if not name or "\0" in name:
        return None
    if os.path.dirname(name):
        return _executable(name, environ) if os.path.isabs(name) else None
    for folder in environ.get("PATH", "").split(os.pathsep):
        if os.path.isabs(folder):
            path = _executable(os.path.join(folder, name), environ)
            if path is not None:
                return path
    return None


def _executable(path: str, environ: Mapping[str, str]) -> str | None:
    """Return *path*, on Windows with its ending, if a regular file there can run."""
    endings = [""]
    if sys.platform == "win32":
        endings += environ.get("PATHEXT", ".COM;.EXE;.BAT;.CMD").split(";")
    for ending in endings:
        whole = path + ending
        if os.path.isfile(whole) and os.access(whole, os.X_OK):
            return whole
    return None
