"""Who was given a token for what, and when: one line of JSON for each answer.

In the data folder, mode 0600, a file that grows to a limit and one older one, as
`hushkey.system.tracefile` has them. No secret is among the facts; what came from
another machine is its word, and is made one harmless line.
"""

from __future__ import annotations

import json
import os
import time

from hushkey.errors import HushkeyError, plain
from hushkey.system import ownership, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

#: what a line can say, in this order: epoch seconds, which forward and to where, the
#: far side's machine, command and tool, what for, and what became of it
_FACTS = "time forward to machine command tool host path outcome account expires why"
_WIDEST = 200


def path(environ: Mapping[str, str]) -> str:
    """Return the path of the log, which need not exist."""
    return os.path.join(paths.data_folder(environ), "audit.log")


def record(environ: Mapping[str, str], **facts: object) -> None:
    """Write one line; on any trouble, do without it."""
    known = {"time": int(time.time()), **facts}
    shown = {
        name: value if isinstance(value, int) else plain(value, _WIDEST)
        for name, value in ((n, known.get(n)) for n in _FACTS.split())
        if value not in (None, "")
    }
    from hushkey.system import tracefile

    try:
        paths.make_private(paths.data_folder(environ))
    except HushkeyError:
        return
    tracefile.Appended(path(environ)).write(json.dumps(shown).encode() + b"\n")


def lines(environ: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what was recorded, the oldest first; what is no line of ours is not."""
    from hushkey.system import tracefile

    found = []
    for name in (f"{path(environ)}.1", path(environ)):
        try:
            with open(ownership.open_own(name), "rb") as file:
                data = file.read(2 * tracefile.MAX_BYTES)
        except OSError:
            continue
        for line in data.splitlines():
            try:
                facts = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(facts, dict) and isinstance(facts.get("time"), int):
                found.append(
                    {name: facts[name] for name in _FACTS.split() if name in facts}
                )
    return found
