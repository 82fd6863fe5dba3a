import signal
import threading
import time

import pytest

from hushkey.system.deadline import Expired, within


def test_within_returns_what_the_call_returns() -> None:
    assert within(5, lambda: "answer") == "answer"
    assert within(5, lambda: None) is None


@pytest.mark.parametrize("error", [ValueError("x"), OSError(5)])
def test_within_raises_what_the_call_raises(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        within(5, fail)

    assert caught.value is error


def test_within_makes_an_error_of_what_would_end_the_process() -> None:
    """A panic of a binding, or its sys.exit, is not our own Ctrl-C."""

    def fail() -> None:
        raise SystemExit(3)

    with pytest.raises(RuntimeError, match="SystemExit"):
        within(5, fail)


@pytest.mark.parametrize("seconds", [-1, 0, 0.05])
def test_within_of_a_call_that_hangs_is_expired(seconds: float) -> None:
    release = threading.Event()
    began = time.monotonic()

    with pytest.raises(Expired, match="no answer within"):
        within(seconds, release.wait)

    release.set()
    assert time.monotonic() - began < 2


def test_within_hears_a_signal_that_another_thread_got() -> None:
    """The kernel may give it to any: the main thread's wait goes on."""
    heard = threading.Event()

    def get_it() -> bool:
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        return heard.wait(10)

    before = signal.signal(signal.SIGUSR1, lambda *_: heard.set())
    try:
        assert within(60, get_it)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_within_leaves_no_thread_that_keeps_the_process_alive() -> None:
    release = threading.Event()
    before = set(threading.enumerate())
    with pytest.raises(Expired):
        within(0, release.wait)

    left = set(threading.enumerate()) - before
    release.set()

    assert all(thread.daemon for thread in left)
