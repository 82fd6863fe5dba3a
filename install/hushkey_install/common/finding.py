"""What doctor says of one thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

PROBLEM, NOTE, FINE = "problem", "note", "fine"


class Finding(NamedTuple):
    """One thing that is wrong, worth knowing, or as it should be.

    ``code`` is a fixed name for programs; ``level`` is problem, note or fine (shown
    with ``-v`` only); ``text`` says what, for whom; ``command`` is what fixes it, to be
    typed as it is, and empty where no command can; ``mend`` does the same for
    `doctor --fix`, or is None where only the person can. Findings of one ``cause``
    are told as one, for all of their ``tool``s; one without a tool tells it for all.
    """

    code: str
    level: str
    text: str
    command: str = ""
    mend: Callable[[], object] | None = None
    cause: str = ""
    tool: str = ""
