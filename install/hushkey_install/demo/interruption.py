"""Being stopped in the middle: every way of it becomes an exception, once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """The story was stopped by a signal; like KeyboardInterrupt, for all of them."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise Interrupted where the first Ctrl-C, TERM or HUP finds us.

    A closing terminal sends several. The next is not heard: raised on the way to
    the clean-up, it would leave everything where it is.
    """
    heard: list[int] = []

    def interrupt(signum: int, _: FrameType | None) -> None:
        if not heard:
            heard.append(signum)
            raise Interrupted(signum)

    with _handlers(interrupt):
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let nothing stop us: for putting things away."""
    with _handlers(signal.SIG_IGN):
        yield


@contextmanager
def _handlers(handler: signal._HANDLER) -> Iterator[None]:
    before = {signum: signal.signal(signum, handler) for signum in SIGNALS}
    try:
        yield
    finally:
        for signum, former in before.items():
            signal.signal(signum, former)
