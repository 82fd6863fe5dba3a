"""A git server over plain HTTP whose users are judged by a function of the test.

git's "dumb" protocol: files in a folder (gitprotocol-http(5)).
"""

import base64
import binascii
import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Judge = Callable[[str, str], bool]


class JudgedServer(ThreadingHTTPServer):
    """Serves *folder* to whom *judge* lets in, by user name and password."""

    daemon_threads = True

    def __init__(self, folder: Path, judge: Judge) -> None:
        self.judge = judge
        #: who came, as (user, password, status); no user for nobody
        self.seen: list[tuple[str, str, int]] = []
        handler = functools.partial(_Handler, directory=str(folder))
        super().__init__(("127.0.0.1", 0), handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(SimpleHTTPRequestHandler):
    server: JudgedServer

    def do_GET(self) -> None:
        user, password = _pair(self.headers.get("Authorization", ""))
        good = bool(password) and self.server.judge(user, password)
        self.server.seen.append((user, password, 200 if good else 401))
        if good:
            return super().do_GET()
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="judged"')
        self.send_header("Content-Length", "0")
        self.end_headers()
        return None

    def log_message(self, form: str, *args: object) -> None:
        """Say nothing."""


def _pair(header: str) -> tuple[str, str]:
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "basic":
        return "", rest
    try:
        user, _, password = base64.b64decode(rest).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return user, password


@contextmanager
def judged(folder: Path, judge: Judge) -> Iterator[JudgedServer]:
    """Yield a running server for *folder*."""
    server = JudgedServer(folder, judge)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}
    )
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
