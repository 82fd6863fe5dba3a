"""A tool that stays for many requests: each is a line, and each answer, too.

They are answered one after the other. Meanwhile the tool, which waits for a few seconds
only, hears that those which came in are worked at.
"""

from __future__ import annotations

import os
import queue
import threading
from functools import partial

import hushkey_helpers
from hushkey_helpers import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hushkey_helpers.answer import Answerer

#: seconds between two signs of life; NuGet gives up after 5
_HEARTBEAT = 1.5
#: the exit code after Ctrl-C, as a shell counts it
_INTERRUPTED = 130


def hold(answer: Answerer, progress: Callable[[bytes], bytes]) -> None:
    """Answer every line of stdin until its end, and end the process.

    *progress* returns what says that a request is worked at.
    """
    out = process.begun(answer)
    waiting: dict[int, bytes] = {}
    lines: queue.SimpleQueue[tuple[int, bytes]] = queue.SimpleQueue()
    turn, over = threading.Lock(), threading.Event()

    def listen() -> None:
        try:
            for number, line in enumerate(_lines()):
                with turn:
                    waiting[number] = progress(line)
                lines.put((number, line))
        finally:  # whatever a line holds, who has nobody to listen to ends
            over.set()
            lines.put((-1, b""))

    def beat() -> None:
        while not over.wait(_HEARTBEAT):
            with turn:
                for sign in waiting.values():
                    process.write_all(out, sign)

    for work in (listen, beat):
        threading.Thread(target=work, daemon=True).start()
    try:
        while (found := lines.get())[0] >= 0:
            number, line = found
            result = process.answered(answer, partial(bytes, line))
            with turn:
                del waiting[number]
                process.write(result, out)
            if result.code == _INTERRUPTED:
                os._exit(_INTERRUPTED)
    except KeyboardInterrupt:
        os._exit(_INTERRUPTED)
    os._exit(0)


def _lines() -> Iterator[bytes]:
    """Yield the lines of stdin; one that is too long is cut, and is the last."""
    data = b""
    while len(data) <= hushkey_helpers.REQUEST_BYTES:
        try:
            piece = os.read(0, 65536)
        except OSError:
            return
        if not piece:
            return
        *whole, data = (data + piece).split(b"\n")
        yield from whole
