"""The loop: quick ones are not held up by slow, dead, mad or many others."""

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hushkey import runtime
from hushkey.errors import NeedsCaller, Transient
from hushkey.store.tokencache import TokenCache
from hushkey.system import locks
from hushkey_helpers.agent import answers, apart, connections, protocol, server
from kit.agent import Running, Said, fields, frames, rest
from servers.process import short_folder, wait_until

WORKING = [protocol.WORKING]


class Desk:
    """Tools of which the test holds the strings."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.runs: list[tuple[str, bool]] = []

    def quick(
        self, argv: list[str], request: Callable[[], bytes], _: Mapping[str, str]
    ) -> Said:
        return Said(b"quick " + request())

    def slow(
        self, argv: list[str], request: Callable[[], bytes], _: Mapping[str, str]
    ) -> Said:
        here = runtime.current()
        assert here
        self.runs.append((request().decode(), here.quick))
        runtime.ensure_may_block()
        assert self.go.wait(10)
        return Said(b"slow")

    def once(
        self, argv: list[str], request: Callable[[], bytes], _: Mapping[str, str]
    ) -> Said:
        """Wait the first time; know it afterwards."""
        if not self.go.is_set():
            runtime.ensure_may_block()
            time.sleep(0.1)
            self.runs.append((request().decode(), False))
            self.go.set()
        return Said(b"known")

    def broken(self, *_: object) -> Said:
        raise RuntimeError("s3cret")

    def person(self, *_: object) -> Said:
        raise NeedsCaller(person=True)

    def fails(self, *_: object) -> Said:
        runtime.ensure_may_block()
        raise Transient("the server fails")


@pytest.fixture
def folder() -> Iterator[Path]:
    path = short_folder("loop")
    yield path
    subprocess.run(["rm", "-rf", path], check=True)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def loop(folder: Path, desk: Desk) -> Iterator[Running]:
    names = ("quick", "slow", "once", "broken", "person", "fails")
    tools = {name: getattr(desk, name) for name in names}
    with Running(folder, {**tools, "git": desk.quick}) as running:
        yield running
        desk.go.set()


def test_quick_answer_is_one_frame(loop: Running) -> None:
    assert loop.ask(b"x", tool="quick") == [[protocol.ANSWERED, b"0", b"quick x", b""]]


def test_slow_answer_is_announced_at_once_and_every_second(
    loop: Running, desk: Desk
) -> None:
    with loop.connect() as link:
        link.sendall(protocol.frame(*fields(tool="slow")))
        began = time.monotonic()
        assert link.recv(65536) == protocol.frame(*WORKING)
        assert time.monotonic() - began < 0.25
        assert link.recv(65536) == protocol.frame(*WORKING)
        assert 0.8 < time.monotonic() - began < 2.5
        desk.go.set()
        assert frames(link) == [[protocol.ANSWERED, b"0", b"slow", b""]]


@pytest.mark.skipif(not apart.is_possible(), reason="a fork is not safe")
def test_what_asks_a_server_is_done_in_a_process_that_ends(folder: Path) -> None:
    """And in a thread where others are in the middle of something."""
    go = threading.Event()

    def renews(*_: object) -> Said:
        runtime.ensure_may_renew()
        return Said(str(os.getpid()).encode())

    def slow(*_: object) -> Said:
        runtime.ensure_may_block()
        go.wait(10)
        return Said()

    with Running(folder, {"renews": renews, "slow": slow}) as loop:
        working, (_, code, pid, _) = loop.ask(tool="renews")
        assert (working, code) == (WORKING, b"0")
        assert int(pid) != os.getpid()
        with loop.connect() as link:
            link.sendall(protocol.frame(*fields(tool="slow")))
            assert link.recv(65536) == protocol.frame(*WORKING)
            assert loop.ask(tool="renews")[-1][2] == str(os.getpid()).encode()
            go.set()


@pytest.mark.skipif(not apart.is_possible(), reason="a fork is not safe")
def test_what_is_sealed_is_opened_in_a_process_and_only_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once no thread is in the middle of something, and for all that want the same."""
    monkeypatch.setattr(server, "_PATIENCE", 30)
    go, opened = threading.Event(), folder / "opened"
    many = TokenCache({"current": "x" * 2 * protocol.MAX})

    def stored(_: object, request: Callable[[], bytes], __: object) -> Said:
        memory = runtime.memory()
        assert memory
        if not memory.tokens("f", (1,), ()):
            runtime.ensure_may_block()
            runtime.ensure_may_open()
            with opened.open("a") as file:
                file.write(f"{os.getpid()}\n")
            time.sleep(0.1)
            memory.keep_tokens("f", (1,), (), many)
        return Said(request())

    def slow(*_: object) -> Said:
        runtime.ensure_may_block()
        go.wait(10)
        return Said()

    with Running(folder, {"stored": stored, "slow": slow}) as loop:
        with loop.connect() as link, ThreadPoolExecutor(8) as pool:
            link.sendall(protocol.frame(*fields(tool="slow")))
            assert link.recv(65536) == protocol.frame(*WORKING)
            names = [b"%d" % number for number in range(8)]
            asked = [pool.submit(loop.ask, name, tool="stored") for name in names]
            wait_until(lambda: len(loop.server._held) == 8, "them to wait", pause=0.01)
            go.set()
            assert [each.result()[-1][2] for each in asked] == names
        (pid,) = opened.read_text().split()
        assert int(pid) != os.getpid()
        assert len(loop.ask(tool="stored")) == 1  # it is known by now


@pytest.mark.skipif(not apart.is_possible(), reason="a fork is not safe")
def test_process_that_fails_leaves_it_to_the_caller(folder: Path) -> None:
    def dies(*_: object) -> Said:
        runtime.ensure_may_renew()
        os._exit(1)

    with Running(folder, {"dies": dies}) as loop:
        assert loop.ask(tool="dies") == [WORKING, [protocol.NOT_OURS]]


@pytest.mark.skipif(not apart.is_possible(), reason="a fork is not safe")
def test_where_no_process_can_be_made_a_thread_does_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def renews(*_: object) -> Said:
        runtime.ensure_may_renew()
        return Said(str(os.getpid()).encode())

    def full() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", full)
    here = [protocol.ANSWERED, b"0", str(os.getpid()).encode(), b""]
    with Running(folder, {"renews": renews}) as loop:
        assert loop.ask(tool="renews") == [WORKING, here]
        assert loop.ask(tool="renews") == [WORKING, here]  # nor does the next one wait


def test_where_no_thread_can_be_made_the_caller_does_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with Running(folder, {"slow": Desk().slow, "quick": Desk().quick}) as loop:
        monkeypatch.setattr(threading.Thread, "start", full)
        assert loop.ask(tool="slow") == [WORKING, [protocol.ERROR]]
        assert loop.ask(tool="quick")[-1][0] == protocol.ANSWERED


@pytest.mark.parametrize(("setting", "seconds"), [(30, 90), (600, 1800)])
def test_a_process_has_the_time_that_the_settings_give(
    home: Path, setting: int, seconds: float
) -> None:
    config = home / ".config/hushkey/config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(f"[settings]\nsilent_timeout = {setting}\n")
    assert answers.patience(os.environ) == seconds


def test_quick_ones_do_not_wait_for_slow_ones(loop: Running, desk: Desk) -> None:
    waiting = []
    for number in range(20):
        link = loop.connect()
        link.sendall(protocol.frame(*fields(str(number).encode(), tool="slow")))
        waiting.append(link)

    began = time.monotonic()
    assert loop.ask(tool="quick")[0][0] == protocol.ANSWERED
    assert time.monotonic() - began < 0.25
    desk.go.set()
    for link in waiting:
        assert frames(link)[-1] == [protocol.ANSWERED, b"0", b"slow", b""]
        link.close()


def test_same_questions_take_one_worker(loop: Running, desk: Desk) -> None:
    waiting = []
    for _ in range(30):
        link = loop.connect()
        link.sendall(protocol.frame(*fields(b"same", tool="once")))
        waiting.append(link)

    for link in waiting:
        assert frames(link)[-1] == [protocol.ANSWERED, b"0", b"known", b""]
        link.close()
    assert desk.runs == [("same", False)]


def test_failure_reaches_each_of_the_same_questions(loop: Running) -> None:
    waiting = []
    for _ in range(5):
        link = loop.connect()
        link.sendall(protocol.frame(*fields(tool="fails")))
        waiting.append(link)

    for link in waiting:
        (*_, last) = frames(link)
        assert last == [protocol.ANSWERED, b"1", b"", b"hushkey: the server fails\n"]
        link.close()


@pytest.mark.parametrize(
    ("tool", "status"),
    [("broken", protocol.ERROR), ("person", protocol.UI), ("unknown", protocol.ERROR)],
)
def test_what_the_agent_cannot_do_is_said(
    loop: Running, tool: str, status: bytes
) -> None:
    assert loop.ask(tool=tool) == [[status]]


def test_question_of_another_installation_is_passed_on(loop: Running) -> None:
    assert loop.ask(tool="quick", installation=b"older") == [[protocol.NOT_OURS]]
    assert loop.thread.is_alive()


@pytest.mark.parametrize("name", ["HOME", "DBUS_SESSION_BUS_ADDRESS", "XDG_DATA_HOME"])
def test_question_about_other_files_is_passed_on(loop: Running, name: str) -> None:
    other: dict[str, Any] = {name: "/other"}

    assert loop.ask(tool="quick", **other) == [[protocol.NOT_OURS]]


@pytest.mark.parametrize("name", ["DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"])
def test_caller_whose_session_was_stripped_is_answered(
    loop: Running, name: str
) -> None:
    stripped: dict[str, Any] = {name: ""}

    assert loop.ask(tool="quick", **stripped)[0][0] == protocol.ANSWERED


@pytest.mark.parametrize("possible", [True, False])
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "SSL_CERT_FILE"])
def test_other_network_matters_only_on_the_way_to_a_server(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, possible: bool
) -> None:
    """What is remembered or stored is the same whatever the way to a server is."""
    monkeypatch.setattr(apart, "is_possible", lambda: possible)
    asked: list[str] = []

    def stored(*_: object) -> Said:
        runtime.ensure_may_block()
        return Said(b"stored")

    def server(*_: object) -> Said:
        runtime.ensure_may_block()  # where the store is read
        runtime.ensure_may_renew()
        asked.append("server")
        return Said(b"new")

    def expired(*_: object) -> Said:
        runtime.ensure_may_renew()  # it is remembered that nothing serves
        asked.append("server")
        return Said(b"new")

    tools: dict[str, Any] = {"stored": stored, "server": server, "expired": expired}
    tools["quick"] = lambda *_: Said(b"remembered")
    other: dict[str, Any] = {name: "http://other:1"}
    with Running(folder, tools) as loop:
        assert loop.ask(tool="quick", **other)[-1][2] == b"remembered"
        assert loop.ask(tool="stored", **other)[-1][2] == b"stored"
        for tool in ("server", "expired"):
            assert loop.ask(tool=tool, **other)[-1] == [protocol.NOT_OURS]
            assert asked == []
            assert loop.ask(tool=tool)[-1][2] == b"new"
            asked.clear()


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.binary(max_size=300), st.booleans())
def test_garbage_ends_its_own_connection_only(
    loop: Running, data: bytes, framed: bool
) -> None:
    for kind in ("agent", "git"):
        with loop.connect(kind) as link:
            link.sendall(protocol.frame(data, data, data) if framed else data)
            link.shutdown(socket.SHUT_WR)
            link.recv(65536)

    assert loop.ask(b"x", tool="quick")[0][2] == b"quick x"


def test_client_that_says_half_a_word_is_hung_up_on(
    loop: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "ARRIVAL", 0.2)
    with loop.connect() as link:
        link.sendall(b"hk")
        assert rest(link) == b""


def test_client_that_dies_at_work_is_forgotten(loop: Running, desk: Desk) -> None:
    with loop.connect() as link:
        link.sendall(protocol.frame(*fields(tool="slow")))
        link.recv(65536)
    desk.go.set()

    def status() -> dict[bytes, bytes]:
        text = loop.ask(tool="agent", argv=("status",))[0][2]
        pairs = [line.split(b"=") for line in text.splitlines()]
        return {name: value for name, value in pairs}

    wait_until(lambda: status()[b"clients"] == b"0", "the link to be dropped")


def test_more_clients_than_there_is_room_for_are_hung_up_on(
    loop: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MOST", 3)
    waiting = [loop.connect() for _ in range(3)]
    with loop.connect() as link:
        assert link.recv(1) == b""
    for one in waiting:
        one.close()

    def served() -> bool:
        with contextlib.suppress(OSError):
            return bool(loop.ask(tool="quick"))
        return False

    wait_until(served, "room again")


def test_client_of_another_user_is_hung_up_on(
    loop: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "peer", lambda _: (1, os.geteuid() + 1))

    with loop.connect() as link:
        assert link.recv(1) == b""


def test_peer_is_told_by_the_kernel() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert connections.peer(one) == (os.getpid(), os.geteuid())
        assert connections.is_mine(one)


def test_idle_agent_ends(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_TICK", 0.05)
    with Running(folder, {}, idle=0.1) as running:
        running.thread.join(10)

        assert running.server.over == "nobody asked for a while"


def test_agent_with_a_reason_to_end_ends(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_TICK", 0.05)
    with Running(folder, {}, check=lambda: "replaced") as running:
        running.thread.join(10)

        assert running.server.over == "replaced"


def test_agent_that_is_told_to_stop_finishes_its_work(
    loop: Running, desk: Desk
) -> None:
    with loop.connect() as link:
        link.sendall(protocol.frame(*fields(tool="slow")))
        link.recv(65536)
        assert loop.ask(tool="agent", argv=("stop",))[0][0] == protocol.ANSWERED
        time.sleep(0.1)
        desk.go.set()

        assert frames(link)[-1] == [protocol.ANSWERED, b"0", b"slow", b""]
    loop.thread.join(10)
    assert not loop.thread.is_alive()


def test_memory_is_emptied_on_demand(loop: Running) -> None:
    loop.memory.keep_config("c", 1, {})

    loop.ask(tool="agent", argv=("forget",))

    assert loop.memory.config("c", 1) is None


def test_lock_is_never_waited_for_in_the_loop(tmp_path: Path, loop: Running) -> None:
    here = runtime.AgentContext(loop.memory, 0, quick=True)

    with here, pytest.raises(runtime.WouldBlock), locks.held(str(tmp_path / "l"), 1):
        pass
    assert not (tmp_path / "l").exists()


class TestGitDoor:
    """git's C client gets what is known, or nothing."""

    HEAD = b"action=get\ntimeout=900\n"

    def test_get(self, loop: Running) -> None:
        assert loop.git(self.HEAD + b"host=h\n\n") == b"quick host=h\n\n"

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\n",
            b"action=get",
            b"action=get\n",
            b"action=get\nhost=h\n",
            b"action=store\ntimeout=900\nhost=h\npassword=p\n",
            b"action=erase\ntimeout=900\nhost=h\n",
            b"action=exit\ntimeout=900\n",
            b"timeout=900\naction=get\n",
            b"x" * (1024 * 1024 + 2),
        ],
    )
    def test_everything_else_is_nothing(self, loop: Running, data: bytes) -> None:
        with loop.connect("git") as link:
            try:
                link.sendall(data)
                link.shutdown(socket.SHUT_WR)
                assert rest(link) == b""
            except (BrokenPipeError, ConnectionResetError):
                pass  # hung up on in the middle of too much

        assert loop.thread.is_alive()

    def test_what_takes_time_is_nothing(self, folder: Path, desk: Desk) -> None:
        with Running(folder, {"git": desk.slow}) as loop:
            assert loop.git(self.HEAD + b"host=h\n") == b""

    def test_quit_is_never_said(self, folder: Path) -> None:
        def quits(*_: object) -> Said:
            return Said(b"quit=1\n")

        with Running(folder, {"git": quits}) as loop:
            assert loop.git(self.HEAD) == b""

    def test_failure_is_nothing(self, folder: Path) -> None:
        def fails(*_: object) -> Said:
            return Said(b"x", ("a line",), 1)

        with Running(folder, {"git": fails}) as loop:
            assert loop.git(self.HEAD) == b""

    def test_what_has_this_agent_s_number_hears_it_first(self, loop: Running) -> None:
        own = protocol.number(os.environ)
        head = b"action=get\ntimeout=%d\n" % own

        assert loop.git(head + b"host=h\n") == b"hushkey=%d\nquick host=h\n" % own

    def test_what_a_person_would_be_told_is_left_to_the_helper(
        self, folder: Path
    ) -> None:
        def tells(*_: object) -> Said:
            return Said(b"password=p\n", ("another account",))

        with Running(folder, {"git": tells}) as loop:
            assert loop.git(self.HEAD) == b""

    @pytest.mark.parametrize("name", ["GITHUB_ACTIONS", "HTTPS_PROXY", "PATH"])
    def test_what_the_client_does_not_send_is_unknown(
        self, folder: Path, name: str
    ) -> None:
        def looks(_: list[str], __: object, environ: Mapping[str, str]) -> Said:
            return Said(f"{environ.get(name)}".encode())

        with Running(folder, {"git": looks}) as loop:
            assert loop.git(self.HEAD) == b""

    def test_replaced_hushkey_says_nothing_more(
        self, loop: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(protocol, "installation", lambda: b"another")

        assert loop.git(self.HEAD) == b""


@pytest.mark.parametrize("name", protocol.PLACE_VARS)
def test_number_is_of_an_environment(name: str) -> None:
    assert protocol.number({name: "/a"}) != protocol.number({name: "/b"})
    assert protocol.number({name: "/a", "TERM": "x"}) == protocol.number({name: "/a"})
