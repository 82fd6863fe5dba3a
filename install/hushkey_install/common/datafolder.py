"""What hushkey makes in its data folder, which may be one that somebody chose.

Such a folder may hold other programs' files, too: those are not ours to change.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from hushkey.store import typed_index
from hushkey.store.sealedfile import sealed_files
from hushkey.system import madefolders
from hushkey_install.common import output

#: what the tools start, and the notes of how they were before
_OF_TOOLS = ("installed", "programs", madefolders.NOTES)
_NAMES = (
    "tokens",
    "stash",
    "state",
    "key",
    "locks",
    "run",
    "discovery",
    "audit.log",
    "audit.log.1",
    *_OF_TOOLS,
)
#: the same, where a part of the name differs
_NUMBERED = re.compile(
    r"config-[0-9a-f]{8}\.compiled|\.hushkey-[0-9a-f]{12}\.new|.+\.hushkey-backup"
)
_ASIDE = "before-reset-"


def counts(folder: str) -> str:
    """Return how many sign-ins and typed credentials there are; nothing for none."""
    typed = sum(1 for _ in typed_index.files(folder))
    signed_in = len(sealed_files(folder)) - typed
    found = ((signed_in, "stored sign-in"), (typed, "typed credential"))
    return " and ".join(output.counted(n, noun) for n, noun in found if n)


def of_tools(folder: str) -> list[str]:
    """Return where that is without which a registered tool cannot be taken out."""
    return [os.path.join(folder, name) for name in _OF_TOOLS]


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
