"""Our own listener for one redirect of one sign-in.

It answers only our own user, where the system tells whose a connection is; only the
path of the redirect, the cancel link and the short address; and only for the Host it
expects. It takes the first answer that carries the state, once. The browser is kept
waiting until the code was redeemed: nobody reads "signed in" who is not.

The short address is what a browser's command line shows instead of the request: who
knows the state can end the sign-in as somebody else. It sends one visitor on; HEAD
and a browser's prefetch do not count. A second visit, by a person whose first window
came to nothing, gets a page with a link that goes on, but only where the visitor is
known to be our user.
"""

from __future__ import annotations

import contextlib
import secrets
import select
import socket
import threading
import time
from contextlib import suppress
from http import HTTPStatus

from hushkey.errors import Cancelled
from hushkey.model import Frozen
from hushkey.signin import pages, peer, redirect
from hushkey.signin.listener import Connections, listen
from hushkey.signin.messages import no_answer
from hushkey.signin.redirect import LIMIT

# Seconds that a browser waits for the outcome before it gets a page without one.
_HOLD = 60.0
_FLUSH = 1.0


class Receiver:
    """Listens from its making until `close`; raises Permanent if it cannot.

    *redirect_uri* is as configured; *host*, what the pages name, is the rule's.
    """

    def __init__(self, redirect_uri: str, host: str) -> None:
        loopback = redirect.parse(redirect_uri)
        listeners = listen(loopback)
        port = listeners[0].getsockname()[1]
        self.redirect_uri = loopback.uri(port)
        self._host = host
        self._path = loopback.path or "/"
        self._open_path, self._again_path, self._cancel_path = (
            f"/{kind}{secrets.token_urlsafe(16)}" for kind in ("", "again-", "cancel-")
        )
        # A name could be resolved elsewhere; the address is ours (RFC 8252 8.3).
        named = loopback.netloc_host.lower()
        address = "127.0.0.1" if named == "localhost" else named
        # A browser leaves out the port of the scheme (RFC 9110 4.2.3).
        ports = (f":{port}", "") if port == 80 else (f":{port}",)
        self._authorities = {name + end for name in (named, address) for end in ports}
        self.open_url = f"http://{address}:{port}{self._open_path}"
        self.cancel_url = f"http://{address}:{port}{self._cancel_path}"
        self._can_tell = peer.can_tell()
        self._began = time.monotonic()
        self._state = ""
        self._url = ""
        self._opened = False
        self._lock = threading.Lock()
        self._taken = False
        self._answer: dict[str, str] | None = None
        self._cancelled = False
        self._page = ""
        self._concluded = threading.Event()
        self._news, self._bell = socket.socketpair()
        self._connections = Connections(listeners, self._serve)

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def expect(self, state: str, url: str = "") -> None:
        """Take only a redirect that carries *state*; until then, none.

        *url* is where the short address leads, an http(s) URL without spaces.
        """
        with self._lock:
            self._state = state
            self._url = url

    def wait(
        self, deadline: float, also: int | None = None, at_most: float | None = None
    ) -> dict[str, str] | None:
        """Return the parameters of the redirect once it has come.

        Return None when the descriptor *also* can be read, or after *at_most*
        seconds. Raises Cancelled after the cancel link, or when the monotonic
        clock passes *deadline*.
        """
        left = deadline - time.monotonic()
        watched = [self._news.fileno(), *(() if also is None else (also,))]
        patience = max(0.0, left if at_most is None else min(left, at_most))
        ready, _, _ = select.select(watched, [], [], patience)
        with self._lock:
            if self._answer is not None:
                return self._answer
            if self._cancelled:
                raise Cancelled("the sign-in was cancelled in the browser")
        if not ready and time.monotonic() >= deadline:
            raise Cancelled(no_answer(deadline - self._began))
        return None

    def conclude(self, page: str) -> None:
        """Show *page* in the waiting browser; no redirect is taken any more."""
        with self._lock:
            self._taken = True
            if not self._concluded.is_set():
                self._page = page
                self._concluded.set()

    def close(self) -> None:
        """End everything, after at most a second for the last page to be sent."""
        self.conclude(pages.unsettled(self._host))
        self._connections.close(_FLUSH)
        self._news.close()
        self._bell.close()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._can_tell and not peer.is_ours(connection):
                raise Refused(403, "another user", pages.foreign())
            request = read(connection)
            if request is None:
                return
            if onward := self._onward(request):
                request.send_on(onward)
            else:
                request.answer(*self._reply(request, connection))
        except Refused as refusal:
            refusal.send(connection)

    def _onward(self, request: Request) -> str:
        """Return where *request* is sent on to, if it is for that."""
        if not self._is_for_us(request) or request.method != "GET" or request.ahead:
            return ""
        with self._lock:
            if self._taken or self._cancelled:
                return ""
            if request.path == self._again_path:
                return self._url
            if request.path != self._open_path or self._opened:
                return ""
            self._opened = bool(self._url)
            return self._url

    def _is_for_us(self, request: Request) -> bool:
        return request.hosts in [[name] for name in self._authorities]

    def _reply(self, request: Request, connection: socket.socket) -> tuple[int, str]:
        """Return status and page for *request*."""
        if not self._is_for_us(request):
            return 400, pages.refused("The request names another host.")
        if request.path in (self._open_path, self._again_path):
            return self._not_onward(request)
        if request.path == self._cancel_path and request.method in ("GET", "HEAD"):
            if request.method == "GET":
                self._connections.keep(connection)  # the page is shown all the same
                self._cancel()
            return 200, pages.cancelled(self._host)
        if request.path != self._path:
            return 404, pages.refused("There is nothing at this address.")
        if request.method == "HEAD":
            return 200, ""
        if request.method not in ("GET", "POST"):
            return 405, pages.refused("Only GET and POST are answered here.")
        return self._take(request, connection)

    def _not_onward(self, request: Request) -> tuple[int, str]:
        """Return the answer to what asks for the short address and gets no redirect."""
        if request.method == "HEAD":
            return 200, ""
        if request.method != "GET":
            return 405, pages.refused("Only GET is answered here.")
        with self._lock:
            over, opened = self._taken or self._cancelled, self._opened
        if over:
            return 200, pages.already_used(self._host)
        if request.ahead or not opened:
            return 503, pages.refused(
                "Only a person may open it, and not ahead of time."
            )
        again = self._again_path if self._can_tell else ""
        return 410, pages.opened_before(self._host, again)

    def _take(self, request: Request, connection: socket.socket) -> tuple[int, str]:
        """Take the redirect, once, and wait for what becomes of it."""
        answer = redirect.fields(request.form)
        if answer is None:
            return 400, pages.refused("The answer is malformed.")
        with self._lock:
            if not redirect.has_state(answer, self._state):
                return 400, pages.refused("The answer belongs to another sign-in.")
            if self._taken or self._cancelled:
                return 200, pages.already_used(self._host)
            self._taken = True
            self._answer = answer
        self._connections.keep(connection)
        self._ring()
        if self._concluded.wait(_HOLD):
            return 200, self._page
        return 200, pages.unsettled(self._host)

    def _cancel(self) -> None:
        with self._lock:
            if self._taken:
                return
            self._cancelled = True
        self._ring()

    def _ring(self) -> None:
        with suppress(OSError):
            self._bell.send(b"!")


# A GET carries the answer in its head: as much as a body may have, and then some.
_HEAD = LIMIT + 16_384
# Seconds from the first byte we wait for to the last.
_WHOLE = 10.0
_FORM = "application/x-www-form-urlencoded"


class Refused(Exception):
    """The request is not served; *status* and *what*, or *page*, tell the sender so."""

    def __init__(self, status: int, what: str, page: str = "") -> None:
        super().__init__(what)
        self._status = status
        self._page = page or pages.refused(what)

    def send(self, connection: socket.socket) -> None:
        """Answer on *connection*, if anyone is still there."""
        with contextlib.suppress(OSError):
            _send(connection, self._status, self._page, bare=False)


class Request(Frozen):
    """Method, path and Host headers as sent; ``form`` is the query or the body.

    ``ahead`` tells that a browser only prepares for what its user may do.
    """

    _secret = ("form",)
    _connection: socket.socket
    method: str
    path: str
    hosts: list[str]
    form: str
    ahead: bool

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
        raise Refused(415, "Only a form is accepted here.")
    lengths = headers.get("content-length", [])
    if "transfer-encoding" in headers or len(lengths) != 1:
        raise Refused(411, "The length of the form must be given.")
    if not (lengths[0].isascii() and lengths[0].isdigit()):
        raise Refused(400, "The length of the form is not a number.")
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
