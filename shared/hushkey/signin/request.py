"""One HTTP request to the receiver: read with limits, answered, then over.

The standard library's http.server lets a sender that drips bytes hold a thread
for hours and hides duplicate slashes; this reads the little that a redirect needs.
"""

import contextlib
import socket
import time
from http import HTTPStatus

from hushkey.model import Frozen
from hushkey.signin import pages
from hushkey.signin.redirect import LIMIT

# A GET carries the answer in its head: as much as a body may have, and then some.
_HEAD = LIMIT + 16_384
# Seconds from the first byte we wait for to the last.
_WHOLE = 10.0
_FORM = "application/x-www-form-urlencoded"


class Refused(Exception):
    """The request cannot be read; *status* and *what* tell the sender so."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self._status = status
        self._what = what

    def send(self, connection: socket.socket) -> None:
        """Answer on *connection*, if anyone is still there."""
        with contextlib.suppress(OSError):
            _send(connection, self._status, pages.refused(self._what), bare=False)


class Request(Frozen):
    """Method, path and Host headers as sent; ``form`` is the query or the body.

    ``ahead`` tells that a browser only prepares for what its user may do.
    """

    __slots__ = ("_connection", "ahead", "form", "hosts", "method", "path")
    _secret = ("form",)
    method: str
    path: str
    hosts: list[str]
    form: str
    ahead: bool
    _connection: socket.socket

    def __init__(
        self,
        connection: socket.socket,
        method: str,
        path: str,
        hosts: list[str],
        form: str,
        ahead: bool,
    ) -> None:
        self._set(
            _connection=connection,
            method=method,
            path=path,
            hosts=hosts,
            form=form,
            ahead=ahead,
        )

    def answer(self, status: int, page: str) -> None:
        """Send *page*; without its body to a HEAD."""
        _send(self._connection, status, page, bare=self.method == "HEAD")

    def send_on(self, url: str) -> None:
        """Send the browser to *url*, by GET and without our address as its referrer."""
        _send(self._connection, 302, "", bare=False, location=url)


def read(connection: socket.socket) -> Request | None:
    """Read one request; None if the peer said nothing. Raises Refused."""
    reader = _Reader(connection)
    head = reader.head()
    if not head:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target = _first_line(first)
    headers = _headers(lines)
    path, _, query = target.partition("?")
    if method == "POST":
        query = reader.body(_length(headers)).decode("utf-8", "replace")
    hosts = [host.lower() for host in headers.get("host", [])]
    return Request(connection, method, path, hosts, query, _is_ahead(headers))


class _Reader:
    """Reads from a socket against one deadline and with a limit."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._until = time.monotonic() + _WHOLE
        self._buffer = bytearray()

    def head(self) -> bytes:
        """Return everything before the empty line, or nothing at all."""
        seen = 0  # where the empty line cannot begin before
        while (end := self._buffer.find(b"\r\n\r\n", seen)) < 0:
            seen = max(0, len(self._buffer) - 3)
            if len(self._buffer) > _HEAD:
                raise Refused(431, "The request is too large.")
            if not self._more():
                if self._buffer:
                    raise Refused(400, "The request is incomplete.")
                return b""
        found = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        return found

    def body(self, length: int) -> bytes:
        """Return *length* bytes after the head."""
        while len(self._buffer) < length:
            if not self._more():
                raise Refused(400, "The request is incomplete.")
        return bytes(self._buffer[:length])

    def _more(self) -> bool:
        try:
            data = self._connection.recv(16_384)
        except TimeoutError:
            if not self._buffer:
                return False  # a connection opened ahead of need: no answer
            raise Refused(408, "The request took too long.") from None
        if time.monotonic() > self._until:
            raise Refused(408, "The request took too long.")
        self._buffer += data
        return bool(data)


def _first_line(line: str) -> tuple[str, str]:
    words = line.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Refused(400, "This is not an HTTP request.")
    return words[0], words[1]


def _headers(lines: list[str]) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise Refused(400, "The request has a malformed header.")
        headers.setdefault(name.lower(), []).append(value.strip())
    return headers


def _is_ahead(headers: dict[str, list[str]]) -> bool:
    """Tell whether this is a prefetch or a preview (Fetch standard, Sec-Purpose)."""
    names = ("sec-purpose", "purpose", "x-purpose", "x-moz")
    said = [value.lower() for name in names for value in headers.get(name, [])]
    return any(value.startswith(("prefetch", "preview")) for value in said)


def _length(headers: dict[str, list[str]]) -> int:
    """Return the length of a form that we are willing to read."""
    kind = headers.get("content-type", [""])[0].partition(";")[0].strip().lower()
    if kind != _FORM:
        raise Refused(415, "Only a form is taken here.")
    lengths = headers.get("content-length", [])
    if "transfer-encoding" in headers or len(lengths) != 1:
        raise Refused(411, "The length of the form must be given.")
    if not (lengths[0].isascii() and lengths[0].isdigit()):
        raise Refused(400, "The length of the form is no number.")
    if len(lengths[0]) > 9 or int(lengths[0]) > LIMIT:
        raise Refused(413, "The form is too large.")
    return int(lengths[0])


def _send(
    connection: socket.socket,
    status: int,
    page: str,
    *,
    bare: bool,
    location: str = "",
) -> None:
    body = page.encode()
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in pages.HEADERS]
    lines += [f"Location: {location}"] if location else []
    lines += ["Connection: close"]
    lines += [] if bare else [f"Content-Length: {len(body)}"]
    head = "\r\n".join(lines) + "\r\n\r\n"
    connection.sendall(head.encode("latin-1") + (b"" if bare else body))
