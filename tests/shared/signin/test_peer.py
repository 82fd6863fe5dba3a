import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hushkey.signin import peer
from kit.signin import another_user, needs_another_user

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not peer.can_tell(), reason="nobody tells here"
)
UID = 1234
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue"
LOOPBACK = "0100007F" if sys.byteorder == "little" else "7F000001"
MAPPED = (
    f"0000000000000000{'FFFF0000' if sys.byteorder == 'little' else '0000FFFF'}"
    f"{LOOPBACK}"
)


class Pair:
    """A connection on loopback, both ends held here; `row` is the client's."""

    def __init__(self, family: socket.AddressFamily = socket.AF_INET) -> None:
        address = "127.0.0.1" if family == socket.AF_INET else "::1"
        with socket.socket(family) as listener:
            listener.bind((address, 0))
            listener.listen()
            self.client = socket.create_connection((address, listener.getsockname()[1]))
            self.ours = listener.accept()[0]
        self.ports = self.client.getsockname()[1], self.ours.getsockname()[1]

    def row(
        self,
        uid: int = UID,
        inode: int = 7,
        *,
        address: str = LOOPBACK,
        ports: tuple[int, int] | None = None,
    ) -> str:
        here, there = ports or self.ports
        return (
            f"   1: {address}:{here:04X} {address}:{there:04X} 01 00000000:00000000 "
            f"00:00000000 00000000  {uid}        0 {inode} 1 0000000000000000 20 4 30"
        )


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    monkeypatch.setattr("os.geteuid", lambda: UID)
    made = Pair()
    with made.client, made.ours:
        yield made


def tables(folder: Path, *rows: str, tcp6: tuple[str, ...] = ()) -> str:
    for name, lines in (("tcp", rows), ("tcp6", tcp6)):
        (folder / name).write_text("".join(f"{line}\n" for line in (HEAD, *lines)))
    return str(folder)


def test_row_of_our_user_is_ours(pair: Pair, tmp_path: Path) -> None:
    assert peer.is_ours(pair.ours, tables(tmp_path, pair.row()))


@pytest.mark.parametrize("uid", [0, 1, 65534, 12345, 123])
def test_row_of_another_user_is_not_ours(uid: int, pair: Pair, tmp_path: Path) -> None:
    assert not peer.is_ours(pair.ours, tables(tmp_path, pair.row(uid)))


def test_socket_without_a_process_is_nobodys(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)  # such a row may say root
    assert not peer.is_ours(pair.ours, tables(tmp_path, pair.row(0, inode=0)))


def test_rows_of_other_connections_do_not_count(pair: Pair, tmp_path: Path) -> None:
    here, there = pair.ports
    others = [
        pair.row(ports=(there, here)),  # our own end
        pair.row(ports=(here ^ 1, there)),
        pair.row(ports=(here, there ^ 1)),
        pair.row(address=f"0{LOOPBACK[1:]}" if LOOPBACK[0] != "0" else "0200007F"),
    ]
    assert not peer.is_ours(pair.ours, tables(tmp_path, *others))
    assert peer.is_ours(pair.ours, tables(tmp_path, *others, pair.row()))


def test_ipv6_socket_of_a_client_to_127_0_0_1_is_found(
    pair: Pair, tmp_path: Path
) -> None:
    mapped = pair.row(address=MAPPED), pair.row(0, address=MAPPED)

    assert peer.is_ours(pair.ours, tables(tmp_path, tcp6=mapped[:1]))
    assert not peer.is_ours(pair.ours, tables(tmp_path, tcp6=mapped[1:]))


def test_two_rows_that_disagree_are_not_ours(pair: Pair, tmp_path: Path) -> None:
    mapped = pair.row(0, address=MAPPED)
    assert not peer.is_ours(pair.ours, tables(tmp_path, pair.row(), tcp6=(mapped,)))


def test_owner_that_changes_between_two_looks_is_not_ours(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[set[int | None]] = [set(), {UID}, set(), {None}]
    monkeypatch.setattr(peer, "_owners", lambda *_: looks.pop(0))
    assert not peer.is_ours(pair.ours)
    assert looks == []


def test_row_that_was_missed_once_is_looked_for_again(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[set[int | None]] = [set(), {UID}, set(), {UID}]
    monkeypatch.setattr(peer, "_owners", lambda *_: looks.pop(0))
    assert peer.is_ours(pair.ours)


def test_tables_that_cannot_be_read_prove_nothing(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "tcp").mkdir()
    assert not peer.is_ours(pair.ours, str(tmp_path))


def test_kernel_without_ipv6_has_one_table(pair: Pair, tmp_path: Path) -> None:
    folder = tables(tmp_path, pair.row())
    (tmp_path / "tcp6").unlink()
    assert peer.is_ours(pair.ours, folder)


def test_nothing_can_be_told_where_proc_is_hidden(tmp_path: Path) -> None:
    assert not peer.can_tell(str(tmp_path))


def test_nothing_can_be_told_under_wsl(monkeypatch: pytest.MonkeyPatch) -> None:
    class Release:
        release = "5.15.153.1-microsoft-standard-WSL2"

    monkeypatch.setattr("os.uname", Release)
    assert not peer.can_tell()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_connection_of_this_process_is_ours(family: socket.AddressFamily) -> None:
    made = Pair(family)
    with made.client, made.ours:
        assert peer.is_ours(made.ours)


@needs_another_user
@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1"])
def test_connection_of_another_user_is_not_ours(address: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        talking = another_user(address, listener.getsockname()[1], b"")
        connection = listener.accept()[0]
        with connection:
            assert not peer.is_ours(connection)
        assert talking.communicate(timeout=10)[0] == b""


@needs_another_user
def test_connection_that_another_user_has_closed_is_not_ours() -> None:
    """Its socket is an orphan then, which the kernel may show as root's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        gone = another_user("127.0.0.1", listener.getsockname()[1], b"x", leave=True)
        assert gone.communicate(timeout=10)[0] == b""
        connection = listener.accept()[0]
        with connection:
            assert not peer.is_ours(connection)
