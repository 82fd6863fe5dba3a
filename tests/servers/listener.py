"""An HTTP server on loopback, with TLS or without, that leaves no connection open."""

import contextlib
import socket
import socketserver
import ssl
import sys
import threading
from http.server import ThreadingHTTPServer
from typing import Any


class Listener(ThreadingHTTPServer):
    """A server whose connections can all be ended, so that nothing outlives it."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(
        self,
        port: int,
        handler: type[socketserver.BaseRequestHandler],
        context: ssl.SSLContext | None,
    ) -> None:
        self.context = context
        self._open: set[socket.socket] = set()
        self._ended = False
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), handler)
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.02}
        )
        self._thread.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        # The handshake happens here, in the connection's own thread: a client that
        # says nothing holds up nobody.
        request.settimeout(30)
        if self.context is not None:
            request = self.context.wrap_socket(
                request, server_side=True, do_handshake_on_connect=False
            )
        with self._lock:
            self._open.add(request)
            ended = self._ended
        try:
            if ended:
                self.shutdown_request(request)
                return
            if isinstance(request, ssl.SSLSocket):
                try:
                    request.do_handshake()
                except OSError:
                    self.shutdown_request(request)
                    return
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._open.discard(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def end(self) -> None:
        self.shutdown()
        self._thread.join()
        with self._lock:
            self._ended = True
            still_open = list(self._open)
        for each in still_open:
            with contextlib.suppress(OSError):
                # Not SSLSocket.shutdown: it would pull the TLS from under a reader.
                socket.socket.shutdown(each, socket.SHUT_RDWR)
        self.server_close()
