"""What docker's person has just been told: one command, one line.

docker asks its helper more than once in one command, and each failure would be said
each time. Lost notes cost a second line.
"""

from __future__ import annotations

import os
import time

from hushkey.errors import HushkeyError
from hushkey.system import cachefile, paths
from hushkey.system.digest import blake2s

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: seconds in which the same failure is not said again to the same command
_LATELY = 10


def again(error: BaseException, environ: Mapping[str, str]) -> bool:
    """Tell whether the process that asks was told *error* a moment ago; note it.

    The words may differ by a number or a time, so what counts is the kind, the host
    and what to do. Nothing is noted where hushkey keeps nothing.
    """
    from hushkey.system import callers

    command = callers.starter()
    try:
        folder = os.path.join(paths.data_folder(environ), "state")
    except HushkeyError:
        return False
    if not command or not os.path.isdir(folder):
        return False
    now = time.time()
    parts = [getattr(error, name, "") for name in ("exit_code", "host", "hint")]
    if not any(parts[1:]):
        parts.append(str(error))
    words = repr((command, parts)).encode("utf-8", "replace")
    name = blake2s(words, digest_size=8).hexdigest()
    path = os.path.join(folder, "told.json")
    notes = cachefile.read(path)
    recent = {
        key: at
        for key, at in notes.items()
        if isinstance(at, int | float) and 0 <= now - at < _LATELY
    }
    cachefile.write(path, {**recent, name: now})
    return name in recent
