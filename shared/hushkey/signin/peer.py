"""Whose process is at the other end of a loopback connection.

Every process of this machine can connect to the receiver, and the address that a
browser is started on stands in its command line, which every user may read. Linux
tells in /proc/net/tcp and tcp6 which user made each TCP socket of this network
namespace (proc_net(5)). A socket whose process is gone has no inode there, and may
be shown as root's: it proves nothing.

Only our own user passes. Root is refused too: it could do anything anyway, but some
of its services fetch what others tell them to. So is a peer that has no row here,
and one whose user does not exist in our user namespace: with a browser in a
container that runs as somebody else, the address that it ends at is pasted back.

Nothing can be told on macOS and Windows, where /proc is hidden, and under WSL: there
the browser is on Windows' side, and one person owns the whole system.
"""

from __future__ import annotations

import os
import socket
import sys
import time

_TABLES = "/proc/net"
# An orphan may pass for root's while it is being read, and a row may be missed
# while others come and go: two looks must agree, and a look that found nothing is
# repeated after a pause (seconds), half a second long in all.
_LOOKS, _TRIES, _PAUSE = 2, 50, 0.01


def can_tell(tables: str = _TABLES) -> bool:
    """Tell whether this machine says whose connections are."""
    if sys.platform != "linux" or "microsoft" in os.uname().release.lower():
        return False
    return os.access(f"{tables}/tcp", os.R_OK)


def is_ours(connection: socket.socket, tables: str = _TABLES) -> bool:
    """Tell whether a process of our own user made the other end of *connection*.

    Only where `can_tell`; what cannot be read or is gone is not ours.
    """
    ours, seen = {os.geteuid()}, 0
    try:
        rows = _rows(connection)
        for _ in range(_TRIES):
            owners = _owners(rows, tables)
            if owners and owners != ours:
                return False
            seen += bool(owners)
            if seen == _LOOKS:
                return True
            if not owners:
                time.sleep(_PAUSE)
    except OSError:
        return False
    return False


def _rows(connection: socket.socket) -> list[bytes]:
    """Return how the peer's row begins, after its number, in either table.

    A client that uses an IPv6 socket for 127.0.0.1 is in tcp6, as ::ffff:127.0.0.1.
    """
    ends = [connection.getpeername(), connection.getsockname()]
    rows = [[(socket.inet_pton(connection.family, e[0]), e[1]) for e in ends]]
    if connection.family == socket.AF_INET:
        mapped = b"\0" * 10 + b"\xff\xff"
        rows.append([(mapped + address, port) for address, port in rows[0]])
    return [" {} {} ".format(*map(_written, row)).encode() for row in rows]


def _written(end: tuple[bytes, int]) -> str:
    """Return an address and port as the tables write them: words in host order."""
    address, port = end
    words = (address[at : at + 4] for at in range(0, len(address), 4))
    text = "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
    return f"{text}:{port:04X}"


def _owners(rows: list[bytes], tables: str) -> set[int | None]:
    """Return the user ids of the *rows* that are there; None for an orphan's."""
    found: set[int | None] = set()
    for name in ("tcp", "tcp6"):
        if name == "tcp6" and not os.path.exists(f"{tables}/tcp6"):
            continue  # a kernel without IPv6
        with open(f"{tables}/{name}", "rb") as table:
            for line in table:
                if any(row in line for row in rows):
                    fields = line.split()
                    found.add(int(fields[7]) if int(fields[9]) else None)
    return found
