"""One connection to the agent, from its first byte to its last.

Nothing here waits: bytes are taken when there are some and given when there is room,
and each connection has a time at which it is over, whatever its other end does.
"""

from __future__ import annotations

import os
import socket
import sys

from hushkey_helpers.agent import git_socket, protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hushkey_helpers.agent.answers import Question

#: seconds for a question to arrive, and for an answer to be taken
ARRIVAL = 2.0


class Connection:
    """A client. ``until`` is the monotonic time at which it is over."""

    def __init__(self, connection: socket.socket, now: float) -> None:
        self.connection = connection
        self.until = now + ARRIVAL
        #: when to send the next sign of life, while somebody works for it
        self.heartbeat = 0.0
        self.question: Question | None = None
        self._data = bytearray()
        self._out = memoryview(b"")
        self._last = False

    def fileno(self) -> int:
        """Return the descriptor, for poll."""
        return self.connection.fileno()

    def arrived(self) -> bytes | None:
        """Take what has arrived; return the whole question once it is there.

        Raises protocol.Garbage, and OSError for a client that has gone.
        """
        while True:
            try:
                piece = self.connection.recv(65536)
            except BlockingIOError:
                return None
            self._data += piece
            if (whole := self._whole(over=not piece)) is not None:
                return whole
            if not piece:
                raise protocol.Garbage("half a question")

    def _whole(self, *, over: bool) -> bytes | None:
        size = protocol.size(bytes(self._data[: protocol.HEADER]))
        if len(self._data) > size >= protocol.HEADER + 1:
            raise protocol.Garbage("more than one frame")
        done = len(self._data) == size and size > protocol.HEADER
        return bytes(self._data) if done else None

    def say(self, *fields: bytes, now: float, last: bool) -> None:
        """Send one frame, as far as there is room for it now."""
        self._give(protocol.frame(*fields), now, last=last)

    def _give(self, data: bytes, now: float, *, last: bool) -> None:
        self._out = memoryview(bytes(self._out) + data)
        self._last = last
        if last:
            self.until = now + ARRIVAL
        self.flush()

    def flush(self) -> None:
        """Send what is left to be sent; raises OSError if nobody takes it."""
        try:
            while self._out:
                self._out = self._out[self.connection.send(self._out) :]
        except BlockingIOError:
            return

    @property
    def is_full(self) -> bool:
        """Whether there is something that waits for room."""
        return bool(self._out)

    @property
    def is_done(self) -> bool:
        """Whether the last word has gone out."""
        return self._last and not self._out

    def close(self) -> None:
        """Hang up."""
        self.connection.close()


class GitLink(Connection):
    """git's C client: plain text until its end of the line is closed."""

    def _whole(self, *, over: bool) -> bytes | None:
        if len(self._data) > git_socket.MAX:
            raise protocol.Garbage("too long")
        return bytes(self._data) if over else None

    def give(self, text: bytes, now: float) -> None:
        """Send the whole answer."""
        self._give(text, now, last=True)


def peer(connection: socket.socket) -> tuple[int, int] | None:
    """Return process (0 if unknown) and user at the other end; None: cannot tell."""
    try:
        if sys.platform == "linux":
            found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            pid, uid = (int.from_bytes(found[i : i + 4], sys.byteorder) for i in (0, 4))
            return pid, uid
        # struct xucred of the BSDs and macOS: version, user, groups
        found = connection.getsockopt(0, 1, 76)
        return 0, int.from_bytes(found[4:8], sys.byteorder)
    except OSError:
        return None


def is_mine(connection: socket.socket) -> bool:
    """Tell whether the other end is a process of this user."""
    found = peer(connection)
    return found is not None and found[1] == os.geteuid()
