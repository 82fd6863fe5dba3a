"""A bus of the tests that answers what it is told; tests/contracts asks a real one."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hushkey.system.dbus import Body, Reply, SessionBus, Unusual

SERVICE = "org.example.service"


def message(
    serial: int, body: Body, *, kind: int = 2, order: str = "l", size: int | None = None
) -> bytes:
    """Return a message of *kind* (2: a reply) to call *serial*."""
    head = Body()
    head.data += bytes((ord(order), kind, 1, 1))
    head.number(len(body.data) if size is None else size).number(7).number(0)
    head.pad(8).data.append(5)
    head.kind("u").number(serial)
    head.pad(8).data.append(8)
    head.kind("g").kind(body.signature)
    head.data[12:16] = (len(head.data) - 16).to_bytes(4, "little")
    return bytes(head.pad(8).data + body.data)


def turned(data: bytes) -> bytes:
    """Return a number-only message as a machine of the other byte order sends it."""
    found = bytearray(data)
    found[0] = ord("B")
    size = -(-(16 + int.from_bytes(data[12:16], "little")) // 8) * 8
    for at in (4, 8, 12, 20, size):
        found[at : at + 4] = found[at : at + 4][::-1]
    return bytes(found)


NUMBER = Body("u").number(258)
HELLO = message(1, Body("s").text(":1.1"))


@contextmanager
def bus(
    folder: Path, answers: list[bytes], *, says: bytes = b"OK 1\r\n"
) -> Iterator[str]:
    """Yield a bus's address; it says *says*, then each answer to one message."""
    path = str(folder / "bus")
    heard: list[bytes] = []

    def serve() -> None:
        link, _ = listener.accept()
        with link:
            link.settimeout(20)
            heard.append(link.recv(4096))
            link.sendall(says)
            for answer in answers:
                heard.append(link.recv(4096))
                if heard[-1] == b"BEGIN\r\n":
                    heard.append(link.recv(4096))
                link.sendall(answer)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        yield path
        thread.join(20)
        assert not thread.is_alive()


def asked(monkeypatch: pytest.MonkeyPatch, address: str) -> int:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
    with SessionBus(SERVICE) as made:
        return made.call("/", SERVICE, "Number", Body("s").text("x"), "u").number()


@pytest.mark.parametrize(
    "answer",
    [
        message(2, NUMBER),
        turned(message(2, NUMBER)),
        message(0, Body("s").text("NameAcquired"), kind=4) + message(2, NUMBER),
        message(1, Body("u").number(3)) + message(2, NUMBER),
    ],
    ids=["plain", "other byte order", "after a signal", "after another's reply"],
)
def test_reply_to_the_call_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    with bus(tmp_path, [HELLO, answer]) as path:
        assert asked(monkeypatch, f"unix:path={path},guid=0") == 258


@pytest.mark.parametrize(
    "answer",
    [
        message(2, Body("s").text("org.example.Error"), kind=3),
        message(2, Body("s").text("text")),
        message(2, Body("")),
        message(2, Body("u")),
        message(2, NUMBER, size=1 << 30),
        message(2, NUMBER)[:-1],
        b"",
    ],
    ids=["error", "another type", "no type", "no value", "too long", "cut", "hung up"],
)
def test_any_other_answer_is_unusual(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    with bus(tmp_path, [HELLO, answer]) as path, pytest.raises(Unusual):
        asked(monkeypatch, f"unix:path={path}")


def test_bus_that_refuses_us_is_unusual(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = b"REJECTED EXTERNAL\r\n"
    with bus(tmp_path, [], says=refused) as path, pytest.raises(Unusual):
        asked(monkeypatch, f"unix:path={path}")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "nonsense",
        "tcp:host=localhost,port=1",
        "unix:path=/a;unix:path=/b",
        "unix:",
        "unix:path=/a%20b",
        "unix:tmpdir=/tmp",
        "autolaunch:",
        "unix:abstract=",
    ],
)
def test_address_of_another_kind_is_unusual(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    with pytest.raises(Unusual):
        asked(monkeypatch, address)


def test_socket_that_is_not_there_is_an_oserror(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(OSError):
        asked(monkeypatch, "unix:path=/nowhere/bus")


@pytest.mark.parametrize(
    ("read", "data"),
    [
        (Reply.number, b"\1\0\0"),
        (Reply.text, b"\4\0\0\0abc"),
        (Reply.text, b"\3\0\0\0abc"),
        (Reply.octets, b"\xff\xff\xff\xffabc"),
        (Reply.kind, b""),
        (Reply.kind, b"\2s"),
        (Reply.texts, b"\xff\0\0\0\1\0\0\0a\0"),
    ],
)
def test_value_that_ends_too_early_is_unusual(
    read: Callable[[Reply], object], data: bytes
) -> None:
    with pytest.raises(Unusual):
        read(Reply(data, ord("l")))


@pytest.mark.parametrize("before", ["", "x", "four", "seven.."])
def test_dictionary_says_how_long_it_is(before: str) -> None:
    body = Body("sa{ss}").text(before).texts({"a": "1", "long name": "value"})

    reply = Reply(bytes(body.data), ord("l"))
    assert reply.text() == before
    size = reply.number()
    begin = len(reply.pad(8).take(0)) + reply._at
    assert begin + size == len(body.data)
    pairs = [(reply.pad(8).text(), reply.text()) for _ in range(2)]
    assert pairs == [("a", "1"), ("long name", "value")]
