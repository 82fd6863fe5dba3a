"""Work in a short-lived process: what it loads and learns ends with it.

A fork, so that nothing secret goes through a command line, an environment or a file,
and nothing has to be written down to be handed over. It has none of the agent's
connections, or a client would wait for it; nor its lock. It is let end what it has
begun: what a server was just asked must still be saved, also where the agent is told to
end or is killed.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


#: bytes that a job may say: more than all that a token file can hold
MAX = 64 * 1024 * 1024
#: seconds for a job of which nothing else is known, and more than its agent waits
_SECONDS, _GRACE = 90.0, 1.0


def is_possible() -> bool:
    """Tell whether a fork is safe here; on macOS, system libraries do not allow it."""
    return sys.platform == "linux"


def begin(job: Callable[[], bytes], seconds: float) -> Apart | None:
    """Return a process that does *job*; None where there can be none, or no more now.

    Then a thread is to do it. It ends after *seconds*, whoever is there to end it.
    """
    if not is_possible():
        return None
    try:
        return Apart(job, seconds)
    except OSError:  # a limit of processes or descriptors, or no memory
        return None


class Apart:
    """A process that does *job*, begun in the thread that makes this; or OSError.

    No other thread may be in the middle of something then: it would never end there.
    """

    def __init__(self, job: Callable[[], bytes], seconds: float = _SECONDS) -> None:
        self._seconds = seconds
        self._said, out = os.pipe()
        try:
            self._pid = os.fork()
        except OSError:
            os.close(self._said)
            os.close(out)
            raise
        if self._pid == 0:
            _be(job, out, seconds)
        os.close(out)

    def wait(self, seconds: float | None = None) -> bytes:
        """Return what the job returned; nothing if it failed or had to be ended.

        It has to be after *seconds*; None: those that it was begun with.
        """
        end = time.monotonic() + (self._seconds if seconds is None else seconds)
        found = b""
        try:
            while len(found) <= MAX:
                left = max(0.0, end - time.monotonic())
                if not select.select([self._said], [], [], left)[0]:
                    found = b""
                    break
                piece = os.read(self._said, 65536)
                if not piece:
                    break
                found += piece
        finally:
            os.close(self._said)
            with suppress(ProcessLookupError):
                # It has said all; or its time is over.
                os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        return found


def _be(job: Callable[[], bytes], out: int, seconds: float) -> None:
    try:
        # The kernel ends what hangs in a library, also where the agent has gone.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.closerange(3, out)
        os.closerange(out + 1, os.sysconf("SC_OPEN_MAX"))
        left = memoryview(job())
        while left:
            left = left[os.write(out, left) :]
    finally:
        os._exit(0)
