"""A small file of ours that may be lost: JSON, this user's alone, replaced whole.

For what costs no more than one repeated try or question: notes on failures, the
tenants found so far, discovery documents. Reading never fails, nor does writing:
what cannot be read is empty, and what cannot be written is asked for again.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress

from hushkey.errors import HushkeyError
from hushkey.system import ownership

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: bytes; a longer file reads as an empty one
MAX_BYTES = 2 * 1024 * 1024


def read(path: str) -> dict[str, Any]:
    """Return the JSON object in *path*, an empty one for anything else.

    Also for what another user wrote.
    """
    try:
        with open(ownership.open_own(path), "rb") as file:
            data = file.read(MAX_BYTES + 1)
        found = json.loads(data) if len(data) <= MAX_BYTES else {}
    except (OSError, ValueError, RecursionError, HushkeyError):
        return {}
    return found if isinstance(found, dict) else {}


def write(path: str, content: dict[str, Any]) -> None:
    """Put *content* in place of what *path* holds, if that can be done.

    What `read` would not take is not written: the file stays within MAX_BYTES.
    """
    data = json.dumps(content).encode()
    if len(data) > MAX_BYTES:
        return
    with suppress(OSError, HushkeyError):
        ownership.make_inside(os.path.dirname(path))
        ownership.replace(path, data, durable=False)


def trim(folder: str, seconds: float, most: int, now: float) -> None:
    """Remove the files in *folder* that are older than *seconds* or beyond *most*.

    The newest stay; what cannot be removed stays, too.
    """
    found = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if entry.is_file(follow_symlinks=False):
                    found.append((status.st_mtime, entry.path))
    found.sort(reverse=True)
    for number, (written, path) in enumerate(found):
        if number >= most or now - written > seconds:
            with suppress(OSError):
                os.unlink(path)
