"""The terminal that a sign-in talks on.

Standard output belongs to the tool, so nothing here writes to it: words go to
/dev/tty, which only this file opens, or to standard error. Style: `hushkey: `,
lower case, no period after a one-liner; what happened, for which host, what to do.
Whatever a server or a tool named passes `plain` on its way in, and control
characters are dropped once more on the way out.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Self

from hushkey.errors import Cancelled, plain

if sys.platform != "win32":
    import termios

# Long enough for an authorization URL with claims; a terminal shows all of it.
_LONG = 16_000
_CATCHABLE = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")


def warn(line: str) -> None:
    """Write *line* to standard error; a closed one is no reason to fail."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"hushkey: {plain(line, _LONG)}\n")
        sys.stderr.flush()


class TerminalWriter:
    """A file descriptor that people read; it is not owned."""

    def __init__(self, fd: int, *, bold: bool = False) -> None:
        self._fd = fd
        self._bold = bold

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def line(self, text: str) -> None:
        """Write *text*, each line with our name in front."""
        lines = (f"hushkey: {plain(line, _LONG)}\n" for line in text.splitlines())
        self._write("".join(lines))

    def value(self, value: str) -> None:
        """Write *value*, which is to be copied, on a line by itself."""
        shown = plain(value, _LONG)
        self._write(
            f"\n  \x1b[1m{shown}\x1b[0m\n\n" if self._bold else f"\n  {shown}\n\n"
        )

    def _write(self, text: str) -> None:
        left = memoryview(text.encode(errors="backslashreplace"))
        with suppress(OSError):  # a terminal that hung up hears nothing; we go on
            while left:
                left = left[os.write(self._fd, left) :]


class Terminal(TerminalWriter):
    """The controlling terminal, while our process group is in its foreground."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptor; further calls do nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def in_foreground(self) -> bool:
        """Tell whether reading and changing modes would not stop us."""
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:
            return False

    @contextmanager
    def raw_input(self) -> Iterator[None]:
        """Deliver bytes as they are typed, unseen, until the block ends.

        A line in canonical mode ends at 4096 bytes, and a redirect can be longer.
        Signals stay on, so Ctrl-C works. The old mode comes back on every exit:
        exceptions, signals that end us, and while we are stopped with Ctrl-Z.
        """
        try:
            mode = _RawMode(self)
        except termios.error:
            raise Cancelled("the terminal was closed") from None
        mode.enter()
        try:
            with _handling(mode):
                yield
        finally:
            mode.leave()


def open_terminal(
    environ: Mapping[str, str], path: str = "/dev/tty"
) -> Terminal | None:
    """Return the terminal if a person is in front of it and of us, else None.

    A background job that changes a terminal's mode is stopped by the kernel, so
    only the foreground process group gets one.
    """
    if sys.platform == "win32":
        return None
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    bold = environ.get("TERM", "dumb") != "dumb" and not environ.get("NO_COLOR")
    terminal = Terminal(fd, bold=bold)
    if os.isatty(fd) and terminal.in_foreground():
        return terminal
    terminal.close()
    return None


def has_terminal(environ: Mapping[str, str]) -> bool:
    """Tell whether `open_terminal` would return one."""
    terminal = open_terminal(environ)
    if terminal is None:
        return False
    terminal.close()
    return True


class _RawMode:
    """The two modes of one terminal; both calls may come at any time, repeatedly."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._before = termios.tcgetattr(terminal.fileno())
        self._raw = [*self._before[:6], list(self._before[6])]
        self._raw[3] &= ~(termios.ICANON | termios.ECHO | termios.ECHONL)
        self._raw[3] &= ~termios.IEXTEN  # Ctrl-V and Ctrl-O are only characters
        self._raw[6][termios.VMIN] = 1
        self._raw[6][termios.VTIME] = 0

    def enter(self) -> None:
        self._set(self._raw)

    def leave(self) -> None:
        self._set(self._before)

    def _set(self, attributes: list[Any]) -> None:
        # Flushing keeps the rest of a paste, which may hold a code, from the shell.
        if self._terminal.in_foreground():
            with suppress(termios.error):
                termios.tcsetattr(
                    self._terminal.fileno(), termios.TCSAFLUSH, attributes
                )


@contextmanager
def _handling(mode: _RawMode) -> Iterator[None]:
    """Restore the terminal around signals that end, stop or continue us."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers; the block still restores
        return
    handlers: dict[str, Callable[[int, FrameType | None], None]] = {
        name: _ending(mode, signal.getsignal(getattr(signal, name)))
        for name in _CATCHABLE
    }
    handlers |= {"SIGTSTP": _stopping(mode), "SIGCONT": lambda *_: mode.enter()}
    before = {
        number: signal.signal(number, handler)
        for name, handler in handlers.items()
        if signal.getsignal(number := getattr(signal, name)) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler_before in before.items():
            # None: set by C code, which Python cannot put back
            signal.signal(number, handler_before or signal.SIG_DFL)


def _ending(mode: _RawMode, before: Any) -> Callable[[int, FrameType | None], None]:
    """Return a handler that restores the terminal and does as was done *before*."""

    def handle(number: int, frame: FrameType | None) -> None:
        mode.leave()
        if callable(before):
            before(number, frame)
            mode.enter()  # it came back: the sign-in goes on
        else:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    return handle


def _stopping(mode: _RawMode) -> Callable[[int, FrameType | None], None]:
    """Return a handler for Ctrl-Z: stop with the terminal as the shell knows it."""

    def handle(number: int, _: FrameType | None) -> None:
        mode.leave()
        ours = signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)  # we stop here, and go on after `fg`
        signal.signal(number, ours)
        mode.enter()

    return handle
