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
    """Raise Interrupted where Ctrl-C, TERM or HUP finds us."""
    with _handlers(_interrupt):
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let nothing stop us: for putting things away."""
    with _handlers(signal.SIG_IGN):
        yield


def _interrupt(signum: int, _: FrameType | None) -> None:
    raise Interrupted(signum)


@contextmanager
def _handlers(handler: signal._HANDLER) -> Iterator[None]:
    before = {signum: signal.signal(signum, handler) for signum in SIGNALS}
    try:
        yield
    finally:
        for signum, former in before.items():
            signal.signal(signum, former)
