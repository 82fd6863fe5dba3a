"""The SSH server's process: a loopback port, and an sshd for each connection.

`sshd -i` (sshd(8)) serves the one connection that it is given and ends with it, so
that no daemon has to be looked for afterwards.
"""

from __future__ import annotations

import socketserver
import subprocess
from typing import Any

from hushkey_install.demo import service


class Listener(socketserver.ThreadingTCPServer):
    """Gives each connection to the sshd that *words* start."""

    daemon_threads = True

    def __init__(self, words: list[str]) -> None:
        self.words = words
        super().__init__(("127.0.0.1", 0), Connection)


class Connection(socketserver.BaseRequestHandler):
    """One connection, for as long as its sshd runs."""

    server: Listener

    def handle(self) -> None:
        """Start sshd with the connection as its input and output."""
        subprocess.run(
            self.server.words,
            stdin=self.request,
            stdout=self.request,
            stderr=subprocess.DEVNULL,
            check=False,
        )


def build(facts: dict[str, Any]) -> tuple[Listener, dict[str, object]]:
    """Return the server, listening on a free port, and that port."""
    listener = Listener(facts["words"])
    return listener, {"port": listener.server_address[1]}


if __name__ == "__main__":
    service.run(build)
