"""A few threads for what takes time; the loop hears of it when they are done."""

from __future__ import annotations

import os
import queue
import threading
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: at once; what has the same answer waits in the loop, not here
THREADS = 6


class Workers:
    """Runs jobs; ``descriptor`` becomes readable when one has ended.

    ``busy`` counts all of them, ``at_work`` those that do not only wait for a process.
    """

    def __init__(self) -> None:
        self.descriptor, self._bell = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._bell, False)
        self.busy = self.at_work = 0
        self._jobs: queue.SimpleQueue[tuple[Callable[[], object], Done]] = (
            queue.SimpleQueue()
        )
        self._ended: queue.SimpleQueue[tuple[Done, object]] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def run(
        self, job: Callable[[], object], done: Done, *, waits: bool = False
    ) -> None:
        """Run *job*; *done* gets what it returns, None if it failed, in the loop.

        *waits*: it only waits for a process, and is in the middle of nothing.
        """
        work = 0 if waits else 1
        self.busy += 1
        self.at_work += work

        def ended(result: object) -> None:
            self.busy -= 1
            self.at_work -= work
            done(result)

        self._jobs.put((job, ended))
        if len(self._threads) < min(self.busy, THREADS):
            thread = threading.Thread(target=self._work, daemon=True)
            try:
                thread.start()
            except RuntimeError:  # a limit of processes: the others do it, if any
                if not self._threads:
                    self._ended.put((self._jobs.get()[1], None))
                    self.ring()
            else:
                self._threads.append(thread)

    def _work(self) -> None:
        while True:
            job, done = self._jobs.get()
            result: object = None
            try:
                result = job()
            except BaseException:
                result = None  # which says it
            self._ended.put((done, result))
            self.ring()

    def ring(self) -> None:
        """Wake the loop; also from a signal handler."""
        try:
            os.write(self._bell, b".")
        except OSError:
            return  # it has been rung often enough

    def collect(self) -> None:
        """Hand over what has ended; for the loop."""
        with suppress(OSError):
            os.read(self.descriptor, 4096)
        while not self._ended.empty():
            done, result = self._ended.get()
            done(result)


if TYPE_CHECKING:
    Done = Callable[[object], None]
