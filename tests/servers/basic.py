"""A git and LFS server behind one user name and password, as private hosts have.

git's "dumb" HTTP protocol is files in a folder (gitprotocol-http(5)), and `git lfs
locks` is one GET (git-lfs docs/api/locking.md): enough for real clients to ask their
credential helpers.
"""

import base64
import functools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class BasicServer(ThreadingHTTPServer):
    """Serves *folder* to whoever knows ``user`` and ``password``, on loopback."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.user, self.password = "typist", "s3cret"
        self.log: list[tuple[str, int]] = []
        handler = functools.partial(_Handler, directory=str(folder))
        super().__init__(("127.0.0.1", 0), handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def authorization(self) -> str:
        pair = f"{self.user}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


class _Handler(SimpleHTTPRequestHandler):
    server: BasicServer

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != self.server.authorization:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="typed"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif "/info/lfs/locks" in self.path:
            data = json.dumps({"locks": []}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.git-lfs+json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        else:
            super().do_GET()

    def log_message(self, form: str, *args: object) -> None:
        if args and isinstance(args[0], str) and len(args) > 1:
            self.server.log.append((args[0], int(str(args[1]))))


@contextmanager
def basic_server(folder: Path) -> Iterator[BasicServer]:
    """Yield a running server of the files in *folder*."""
    with BasicServer(folder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
