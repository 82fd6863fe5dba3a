"""A few calls over the session bus, without a library's import.

Just as much of the D-Bus specification (0.42, "Message Protocol", "Authentication
Protocol") as a short dialogue with one service needs: method calls with strings and
bytes, and their replies. What is beyond that is Unusual, and a whole library's to do.
"""

from __future__ import annotations

import os

from hushkey.system import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

#: bytes; of a longer message nothing is read
_MOST = 1 << 20
_CALL, _REPLY = 1, 2
#: header fields by their numbers
_PATH, _INTERFACE, _MEMBER, _REPLY_SERIAL, _DESTINATION, _SIGNATURE = 1, 2, 3, 5, 6, 8
_BUS, _BUS_PATH = "org.freedesktop.DBus", "/org/freedesktop/DBus"


class Unusual(Exception):
    """An address, an answer or an error that this module makes nothing of."""


class Body:
    """The arguments of one call, as they are added."""

    def __init__(self, signature: str = "") -> None:
        self.signature = signature
        self.data = bytearray()

    def pad(self, size: int) -> Self:
        """Go on at the next multiple of *size* bytes."""
        self.data += bytes(-len(self.data) % size)
        return self

    def number(self, value: int) -> Self:
        """Add an unsigned number of 32 bits."""
        self.pad(4).data += value.to_bytes(4, "little")
        return self

    def text(self, value: str) -> Self:
        """Add a string or an object path."""
        data = value.encode()
        self.number(len(data)).data += data + b"\0"
        return self

    def octets(self, value: bytes) -> Self:
        """Add an array of bytes."""
        self.number(len(value)).data += value
        return self

    def kind(self, signature: str) -> Self:
        """Add a signature, such as in front of a variant's value."""
        data = signature.encode()
        self.data += bytes((len(data),)) + data + b"\0"
        return self

    def texts(self, pairs: dict[str, str]) -> Self:
        """Add a dictionary of strings."""
        self.number(0)
        place = len(self.data) - 4
        begin = len(self.pad(8).data)  # the length does not count this padding
        for name, value in pairs.items():
            self.pad(8).text(name).text(value)
        size = len(self.data) - begin
        self.data[place : place + 4] = size.to_bytes(4, "little")
        return self


class Reply:
    """What a call returned, read in order; raises Unusual where it ends too early."""

    def __init__(self, data: bytes, order: int) -> None:
        self._data = data
        self._is_little = order == ord("l")
        self._at = 0

    def take(self, size: int) -> bytes:
        """Return the next *size* bytes."""
        found = self._data[self._at : self._at + size]
        if len(found) < size:
            raise Unusual("a message that ends too early")
        self._at += size
        return found

    def pad(self, size: int) -> Self:
        """Go on at the next multiple of *size* bytes."""
        self.take(-self._at % size)
        return self

    def number(self) -> int:
        """Return an unsigned number of 32 bits, or a boolean."""
        data = self.pad(4).take(4)
        return int.from_bytes(data, "little" if self._is_little else "big")

    def octets(self) -> bytes:
        """Return an array of bytes."""
        return self.take(self.number())

    def text(self) -> str:
        """Return a string or an object path."""
        found = self.octets().decode()
        self.take(1)
        return found

    def kind(self) -> str:
        """Return a signature."""
        found = self.take(self.take(1)[0]).decode()
        self.take(1)
        return found

    def texts(self) -> list[str]:
        """Return an array of strings or object paths."""
        end = self.number() + self._at
        found = []
        while self._at < end:
            found.append(self.text())
        return found

    @property
    def is_read(self) -> bool:
        """Tell whether nothing is left."""
        return self._at == len(self._data)


class SessionBus:
    """One connection to the user's session bus; no call of it has a deadline."""

    def __init__(self, service: str) -> None:
        """Connect, for calls to *service*; raises Unusual or OSError."""
        import _socket  # 3 ms less than socket

        self._service = service
        self._serial = 0
        self._left = b""
        path = _address(paths.session_bus(os.environ))
        self._link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            self._link.connect(path)
            who = str(os.getuid()).encode().hex().encode()
            self._link.sendall(b"\0AUTH EXTERNAL " + who + b"\r\n")
            if not self._line().startswith(b"OK "):
                raise Unusual("the bus does not know us")
            self._link.sendall(b"BEGIN\r\n")
            hello = Body()
            self._call(_BUS, _BUS_PATH, _BUS, "Hello", hello, "s")
        except BaseException:
            self._link.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._link.close()

    def call(
        self, path: str, interface: str, member: str, body: Body, returns: str
    ) -> Reply:
        """Return what the service answers; Unusual if it is not of type *returns*."""
        return self._call(self._service, path, interface, member, body, returns)

    def _call(
        self,
        service: str,
        path: str,
        interface: str,
        member: str,
        body: Body,
        returns: str,
    ) -> Reply:
        self._serial += 1
        head = Body()
        head.data += bytes((ord("l"), _CALL, 0, 1))
        head.number(len(body.data)).number(self._serial).number(0)
        for number, of, value in (
            (_PATH, "o", path),
            (_INTERFACE, "s", interface),
            (_MEMBER, "s", member),
            (_DESTINATION, "s", service),
        ):
            head.pad(8).data.append(number)
            head.kind(of).text(value)
        if body.signature:
            head.pad(8).data.append(_SIGNATURE)
            head.kind("g").kind(body.signature)
        head.data[12:16] = (len(head.data) - 16).to_bytes(4, "little")
        self._link.sendall(head.pad(8).data + body.data)
        while True:
            kind, serial, signature, reply = self._message()
            if serial == self._serial:
                break
        if kind != _REPLY or signature != returns:
            raise Unusual(f"{member} returned something else")
        return reply

    def _message(self) -> tuple[int, int, str, Reply]:
        """Return type, serial replied to, signature and body of the next message."""
        start = self._read(16)
        order, kind = start[0], start[1]
        sizes = Reply(start, order)
        sizes.take(4)
        size, _, fields_size = sizes.number(), sizes.number(), sizes.number()
        if size + fields_size > _MOST:
            raise Unusual("a message that is too long")
        fields = Reply(self._read(fields_size + -fields_size % 8), order)
        serial, signature = 0, ""
        while not fields.pad(8).is_read:
            number, of = fields.take(1)[0], fields.kind()
            if of == "u":
                value = fields.number()
                serial = value if number == _REPLY_SERIAL else serial
            else:
                text = fields.kind() if of == "g" else fields.text()
                signature = text if number == _SIGNATURE else signature
        return kind, serial, signature, Reply(self._read(size), order)

    def _line(self) -> bytes:
        while b"\r\n" not in self._left:
            self._more()
        line, _, self._left = self._left.partition(b"\r\n")
        return line

    def _read(self, size: int) -> bytes:
        while len(self._left) < size:
            self._more()
        found, self._left = self._left[:size], self._left[size:]
        return found

    def _more(self) -> None:
        piece = self._link.recv(65536)
        if not piece or len(self._left) > _MOST:
            raise Unusual("the bus hung up")
        self._left += piece


def _address(text: str) -> str:
    """Return where the one Unix socket is that *text* names; raises Unusual."""
    transport, _, rest = text.partition(":")
    pairs = dict(pair.partition("=")[::2] for pair in rest.split(","))
    path = pairs.get("path") or "\0" + pairs.get("abstract", "")
    if transport != "unix" or path == "\0" or ";" in text or "%" in path:
        raise Unusual("no address of a Unix socket")
    return path
