"""What hushkey makes in its data folder, which may be one that somebody chose.

Such a folder may hold other programs' files, too: those are not ours to change.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from hushkey.system import madefolders

_NAMES = (
    "tokens",
    "stash",
    "state",
    "key",
    "locks",
    "installed",
    "run",
    "discovery",
    "programs",
    "audit.log",
    "audit.log.1",
    madefolders.NOTES,
)
#: the same, where a part of the name differs
_NUMBERED = re.compile(
    r"config-[0-9a-f]{8}\.compiled|\.hushkey-[0-9a-f]{12}\.new|.+\.hushkey-backup"
)
_ASIDE = "before-reset-"


def own(folder: str) -> Iterator[str]:
    """Yield what hushkey has made in its data folder, and nothing else there."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        numbered = _NUMBERED.fullmatch(name) or name.startswith(_ASIDE)
        if name in _NAMES or numbered:
            yield os.path.join(folder, name)
