"""Which of several accounts: one question on the terminal, answered by a number."""

from __future__ import annotations

import select
import time

from hushkey.signin import messages
from hushkey.signin.paste import PasteReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from hushkey.signin.terminal import Terminal

#: seconds between two looks at whether the caller is still there
_BEAT = 1.0


def choose(
    terminal: Terminal,
    place: str,
    names: list[str],
    *,
    timeout: float,
    ended: Callable[[], bool] = bool,
    clock: Callable[[], float] = time.monotonic,
) -> int | None:
    """Return the index of the one of *names* that the person chooses for *place*.

    None if nobody did within *timeout* seconds, or the caller has *ended*. Raises
    Cancelled if the terminal is closed.
    """
    deadline, reader = clock() + timeout, PasteReader()
    with terminal.raw_input():  # first of all, for it drops what was typed before
        terminal.line(messages.which_account(place, names))
        while (left := deadline - clock()) > 0 and not ended():
            if not select.select([terminal], [], [], min(left, _BEAT))[0]:
                continue
            for line in reader.read(terminal.fileno()):
                number = line.strip()
                if number in map(str, range(1, len(names) + 1)):
                    return int(number) - 1
                terminal.line(messages.no_such_number(len(names)))
    return None
