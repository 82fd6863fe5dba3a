"""What doctor says of one thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

PROBLEM, NOTE = "problem", "note"


class Finding(NamedTuple):
    """One thing that is wrong, or worth knowing.

    ``code`` is a fixed name for programs; ``level`` is problem or note; ``text``
    says what, for whom; ``command`` is what mends it, to be typed as it is, and
    empty where no command can; ``mend`` does the same for `doctor --fix`, or is
    None where only the person can.
    """

    code: str
    level: str
    text: str
    command: str = ""
    mend: Callable[[], object] | None = None
