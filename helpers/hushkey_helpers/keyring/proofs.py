"""Whether the client that asks for a bare host name reaches that host over https.

A name without a scheme does not say how the token would travel. pip asks so when a
file outside of its indexes answered 401, with ``https://HOST/x`` and ``http://HOST/x``
alike, and what leads it there may be anybody's: a requirement, a page, a redirect.
So nothing is looked for that speaks against https; one thing has to speak for it,
and whatever cannot be looked at does not.
"""

from __future__ import annotations

import os
import sys

from hushkey import origins, runtime
from hushkey.system import deadline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hushkey.model import Request

#: seconds for the system to say again which addresses the host has
_PATIENCE = 2
#: where /proc/PID/net has a socket's inode, and its other end (proc_pid_net(5))
_TABLES = {"unix": (6, 0), "tcp": (9, 2), "tcp6": (9, 2)}


def by_url(request: Request) -> bool:
    """Tell whether this process asks in order to repeat an https request.

    pip, and unearth for pdm, ask for the netloc of ``original_url``, the request
    that was refused and will be sent again (`MultiDomainBasicAuth`).
    """
    frame = sys._getframe()
    while frame.f_code.co_name != "_get_new_credentials":
        if frame.f_back is None:
            return False
        frame = frame.f_back
    url = str(frame.f_locals.get("original_url"))
    if url[:8].lower() != "https://":
        return False
    try:
        return _origin(origins.parse_url(url)) == _origin(request)
    except ValueError:
        return False


def by_connection(request: Request, environ: Mapping[str, str]) -> bool:
    """Tell whether the pip that started this program can only mean https.

    pip (from 21.1) asks after a 401, and keeps that connection open meanwhile. So it
    was https if all of its connections are to port 443 and one is to the host: a
    proxy is not the host. Linux only.
    """
    if ":" in request.host.rpartition("]")[2]:
        return False  # http://HOST:8443 and https://HOST:8443 are asked for alike
    proxies = (environ[n] for n in environ if n.lower() in ("http_proxy", "all_proxy"))
    if any(proxies):
        return False  # it may have port 443, too, and https may do without
    try:
        asker = _parent(runtime.asker())
        peers = set(_peers(asker)) if _is_pip(asker) else set()
    except (OSError, ValueError):
        return False
    https = origins.DEFAULT_PORTS["https"]
    if not peers or any(port != https for _, port in peers):
        return False
    return not peers.isdisjoint(_addresses(request))


def _origin(request: Request) -> tuple[str, int] | None:
    return origins.parse_origin("https", request.host)


def _parent(process: int | None) -> int:
    """Return what started *process*; None: this one. Raises OSError."""
    if process is None:
        return os.getppid()
    with open(f"/proc/{process}/stat", "rb") as file:
        # Behind the name, which may hold anything: state, parent (proc_pid_stat(5)).
        return int(file.read().rpartition(b")")[2].split()[1])


def _is_pip(process: int) -> bool:
    """Tell whether *process* is a pip; others may ask before they are connected."""
    from hushkey.system import python_callers

    with open(f"/proc/{process}/cmdline", "rb") as file:
        words = file.read().decode("utf-8", "surrogateescape").split("\0")[:-1]
    return python_callers.named(words)[0] == "pip"


def _peers(process: int) -> Iterator[tuple[bytes, int]]:
    """Yield address and port at the other end of each connection of *process*.

    Raises OSError if one of its sockets is in no table: it is of another kind, or was
    reset, and may be the very one that the 401 came by.
    """
    folder = f"/proc/{process}"
    sockets = set()
    for name in os.listdir(f"{folder}/fd"):
        link = os.readlink(f"{folder}/fd/{name}")
        if link.startswith("socket:["):
            sockets.add(link[8:-1])
    for table, (inode, end) in _TABLES.items():
        if not os.path.exists(f"{folder}/net/{table}"):
            continue  # a machine without IPv6
        with open(f"{folder}/net/{table}", encoding="utf-8", errors="replace") as file:
            for line in file:
                fields = line.split()
                if len(fields) > inode and fields[inode] in sockets:
                    sockets.remove(fields[inode])
                    if end:
                        yield _address(fields[end])
    if sockets:
        raise OSError("a socket that cannot be identified")


def _address(text: str) -> tuple[bytes, int]:
    """Return address and port from /proc, which has words of the machine's order."""
    digits, _, port = text.partition(":")
    words = (int(digits[at : at + 8], 16) for at in range(0, len(digits), 8))
    data = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    return _as_ipv6(data), int(port, 16)


def _as_ipv6(address: bytes) -> bytes:
    """Return *address* as IPv6 has it, an IPv4 one mapped (RFC 4291 2.5.5.2)."""
    return address if len(address) == 16 else b"\xff\xff".rjust(12, b"\0") + address


def _addresses(request: Request) -> set[tuple[bytes, int]]:
    """Return where the host of *request* is, as the system resolves its name."""
    import _socket  # 3 ms less than socket

    host, port = _origin(request) or ("", 0)
    name, kind = host.strip("[]"), _socket.SOCK_STREAM
    try:
        found = deadline.within(
            _PATIENCE, lambda: _socket.getaddrinfo(name, port, 0, kind)
        )
    except (OSError, deadline.Expired):
        return set()
    return {
        (_as_ipv6(_socket.inet_pton(family, str(at[0]).partition("%")[0])), port)
        for family, _, _, _, at in found
    }
