"""Loopback sockets, and a thread for each connection to them: bounded in all ways.

Anything on this machine can connect: browsers that open a connection ahead of
need, port scanners, other users. So a connection has 5 s for each read, there are
at most 64, and when one more comes the oldest that is not being answered goes.
"""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable

from hushkey.errors import Permanent
from hushkey.signin.redirect import Loopback

#: seconds for one read or write on a connection
PATIENCE = 5.0
_MOST = 64
_TRIES = 10  # free IPv4 ports of which the IPv6 twin may be taken
_NO_IPV6 = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


def listen(loopback: Loopback) -> list[socket.socket]:
    """Return listening sockets on one port; raises Permanent if it cannot be had.

    `localhost` is listened to on both address families: some browsers try ::1
    first and do not fall back. A literal address gets exactly what it names.
    """
    for _ in range(_TRIES):
        first = _bound(loopback.host, loopback.port)
        if loopback.host != "localhost":
            return [first]
        try:
            second = _bound("::1", first.getsockname()[1])
        except _Unavailable:
            return [first]
        except Permanent:
            first.close()
            if loopback.port:
                raise
        except BaseException:
            first.close()
            raise
        else:
            return [first, second]
    raise Permanent("no port is free on both 127.0.0.1 and ::1")


class _Unavailable(Permanent):
    """Nothing on this machine has the address."""


def _bound(host: str, port: int) -> socket.socket:
    address = "127.0.0.1" if host == "localhost" else host
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _refusal(error, address, port) from error
    try:
        if sys.platform == "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:  # a fixed port may be in TIME_WAIT from the sign-in before
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        listener.listen(_MOST)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _refusal(error, address, port) from error
    return listener


def _refusal(error: OSError, address: str, port: int) -> Permanent:
    if error.errno in _NO_IPV6:
        return _Unavailable(f"this machine has no address {address}")
    if error.errno == errno.EADDRINUSE:
        return Permanent(
            f"port {port} of {address}, where the sign-in has to come back, is in use",
            hint=f"stop the program that listens on port {port}, "
            "or set another redirect_uri",
        )
    return Permanent(
        f"cannot listen on port {port} of {address}: {error.strerror}",
        hint="set a redirect_uri with another port, or with none",
    )


class Connections:
    """Accepts on *listeners* and calls *answer* with each connection, in a thread."""

    def __init__(
        self, listeners: list[socket.socket], answer: Callable[[socket.socket], None]
    ) -> None:
        self._listeners = listeners
        self._answer = answer
        self._lock = threading.Lock()
        #: connection -> its thread; the oldest first
        self._open: dict[socket.socket, threading.Thread] = {}
        self._kept: set[socket.socket] = set()
        self._stop, self._stopped = socket.socketpair()
        self._acceptor = threading.Thread(
            target=self._accept, name="hushkey-receiver", daemon=True
        )
        self._acceptor.start()

    def keep(self, connection: socket.socket) -> None:
        """Never drop *connection* to make room: its answer is being prepared."""
        with self._lock:
            self._kept.add(connection)

    def close(self, patience: float) -> None:
        """Stop accepting; give kept connections *patience* seconds to be flushed."""
        self._stop.close()
        self._acceptor.join()
        for one in (*self._listeners, self._stopped):
            one.close()
        until = time.monotonic() + patience
        with self._lock:
            threads = dict(self._open)
        for connection, thread in threads.items():
            if connection not in self._kept:
                _abort(connection)
            thread.join(max(0.0, until - time.monotonic()))
        for connection, thread in threads.items():
            _abort(connection)
            thread.join(patience)

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            for one in (*self._listeners, self._stopped):
                selector.register(one, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._stopped:
                        return
                    with contextlib.suppress(OSError):  # gone before we looked
                        self._begin(key.fileobj.accept()[0])  # type: ignore[union-attr]

    def _begin(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        thread = threading.Thread(target=self._run, args=(connection,), daemon=True)
        with self._lock:
            idle = [c for c in self._open if c not in self._kept]
            if len(self._open) >= _MOST and idle:
                _abort(idle[0])
            self._open[connection] = thread
        try:
            thread.start()
        except RuntimeError:  # no more threads: this one goes, the others stay
            self._forget(connection)

    def _run(self, connection: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError):
                self._answer(connection)
                _drain(connection)
        finally:
            self._forget(connection)

    def _forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.pop(connection, None)
            self._kept.discard(connection)
            connection.close()


def _abort(connection: socket.socket) -> None:
    """Wake the thread that waits on *connection*; it closes it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _drain(connection: socket.socket) -> None:
    """Let the peer read our answer: a close with unread input would reset it away."""
    connection.shutdown(socket.SHUT_WR)
    connection.settimeout(0.2)
    until = time.monotonic() + 0.5
    while connection.recv(65_536) and time.monotonic() < until:
        pass
