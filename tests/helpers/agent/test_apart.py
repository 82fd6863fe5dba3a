"""Work in a process of its own: what comes back, and what does not stay."""

import os
import signal
import socket
import time

import pytest

from hushkey_helpers.agent import apart

pytestmark = pytest.mark.skipif(not apart.is_possible(), reason="a fork is not safe")


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_what_it_says_comes_back_whole(size: int) -> None:
    assert apart.Apart(lambda: b"x" * size).wait(30) == b"x" * size


def test_it_is_another_process_and_gone_afterwards() -> None:
    pid = int(apart.Apart(lambda: str(os.getpid()).encode()).wait(30))

    assert pid != os.getpid()
    assert is_gone(pid)


def test_failure_says_nothing() -> None:
    def fails() -> bytes:
        raise RuntimeError("s3cret")

    assert apart.Apart(fails).wait(30) == b""


def test_endless_work_is_ended() -> None:
    reading, writing = os.pipe()

    def endless() -> bytes:
        time.sleep(60)
        return b"late"

    process = apart.Apart(endless)
    began = time.monotonic()
    assert process.wait(0.1) == b""
    assert time.monotonic() - began < 20
    os.close(writing)
    assert os.read(reading, 1) == b""  # nobody else has it open
    os.close(reading)


def test_endless_work_ends_where_nobody_ends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where the agent was killed meanwhile."""
    monkeypatch.setattr(apart, "_GRACE", 0.1)

    def endless() -> bytes:
        time.sleep(60)
        return b"late"

    process = apart.Apart(endless, 0.1)

    _, status = os.waitpid(process._pid, 0)
    os.close(process._said)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGALRM


def test_client_of_the_agent_is_hung_up_on_while_it_works() -> None:
    """git's client reads to the end, which comes when nobody has the socket open."""
    client, ours = socket.socketpair()

    def works() -> bytes:
        time.sleep(5)
        return b"done"

    process = apart.Apart(works)
    ours.close()
    client.settimeout(4)
    with client:
        assert client.recv(1) == b""
    process.wait(0)


def test_polite_end_does_not_stop_what_it_has_begun() -> None:
    def ends_politely() -> bytes:
        os.kill(os.getpid(), signal.SIGTERM)
        return b"saved"

    assert apart.Apart(ends_politely).wait(30) == b"saved"


def test_too_much_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "MAX", 500_000)
    size = apart.MAX + 100_000
    process = apart.Apart(lambda: b"x" * size)

    assert apart.MAX < len(process.wait(30)) < size + 1


def test_no_process_is_possible_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", full)
    before = os.listdir("/proc/self/fd")

    assert apart.begin(lambda: b"", 1) is None
    assert os.listdir("/proc/self/fd") == before
