import errno
import fcntl
import os
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from hushkey import runtime
from hushkey.errors import StoreError, Transient
from hushkey.system import locks
from kit.core import child, ended, preload, reachable, said_by

SOMEBODY = 65534
ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "locks" / "x.lock")


@contextmanager
def held_elsewhere(path: str) -> Iterator[int]:
    """Yield the id of another process that holds the lock until it dies."""
    read, write = os.pipe()

    def hold() -> None:
        with locks.held(path, 5):
            os.write(write, b"!")
            signal.pause()

    with child(hold) as pid:
        os.close(write)
        assert os.read(read, 1) == b"!"
        os.close(read)
        yield pid


def test_held_makes_a_private_lock_that_stays(path: str) -> None:
    with locks.held(path, 1):
        pass

    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700


def test_held_again_after_release(path: str) -> None:
    for _ in range(3):
        with locks.held(path, 0):
            pass


def test_held_releases_when_the_block_raises(path: str) -> None:
    with pytest.raises(ValueError, match="mine"), locks.held(path, 1):
        raise ValueError("mine")

    with locks.held(path, 0):
        pass


def test_held_waits_and_gets_it_when_the_holder_is_killed(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held_elsewhere(path) as pid:
        traced: list[str] = []

        def kill_holder(step: str) -> None:
            traced.append(step)
            os.kill(pid, signal.SIGKILL)

        monkeypatch.setattr(locks, "event", kill_holder)
        with locks.held(path, 10):
            assert traced == ["waiting"]


def test_lock_of_filelock_excludes_ours_and_ours_excludes_it(path: str) -> None:
    """What an earlier hushkey holds, and what this one holds."""
    os.makedirs(os.path.dirname(path), mode=0o700)
    theirs = FileLock(path, mode=0o600)
    with theirs, pytest.raises(Transient), locks.held(path, 0):
        raise AssertionError
    with locks.held(path, 0), pytest.raises(Timeout):
        theirs.acquire(timeout=0)
    with theirs.acquire(timeout=0):
        pass


@pytest.mark.filterwarnings("ignore::UserWarning")  # filelock's, that it makes do
def test_file_system_without_flock_still_excludes(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", missing)

    for _ in range(2):
        with locks.held(path, 1), pytest.raises(Transient), locks.held(path, 0.1):
            pass


def test_lock_on_a_file_that_was_removed_is_none(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, left = fcntl.flock, [path]

    def late(descriptor: int, operation: int) -> None:
        while left:
            os.unlink(left.pop())
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)

    with locks.held(path, 5), pytest.raises(Transient), locks.held(path, 0):
        pass


@pytest.mark.parametrize("timeout", [0, 0.2])
def test_held_after_the_timeout_is_transient(path: str, timeout: float) -> None:
    with held_elsewhere(path):
        began = time.monotonic()
        with (
            pytest.raises(Transient, match="another hushkey process has been busy"),
            locks.held(path, timeout),
        ):
            pytest.fail("the lock is held elsewhere")

        assert timeout <= time.monotonic() - began < timeout + 1


def test_held_is_given_up_when_the_answer_is_expected(path: str) -> None:
    with held_elsewhere(path):
        began = time.monotonic()
        with runtime.Expected(0.2), pytest.raises(Transient), locks.held(path, 30):
            pytest.fail("the lock is held elsewhere")

        assert time.monotonic() - began < 5
        assert runtime.left(30) == 30


def test_held_by_one_of_many_at_a_time(path: str) -> None:
    folder = os.path.dirname(path)

    def work() -> None:
        for _ in range(10):
            with locks.held(path, 30):
                os.mkdir(folder + "/inside")
                os.rmdir(folder + "/inside")

    with child(work) as one, child(work) as two:
        work()
        assert (ended(one), ended(two)) == (0, 0)


def test_held_where_a_folder_stands_is_unwritable(path: str) -> None:
    os.makedirs(path)

    with pytest.raises(StoreError, match="cannot lock") as caught, locks.held(path, 1):
        pass

    assert caught.value.reason == "unwritable"


def test_held_in_a_read_only_folder_is_unwritable(tmp_path: Path) -> None:
    folder = tmp_path / "locks"
    folder.mkdir()
    folder.chmod(0o500)
    uid = None
    if os.geteuid() == 0:
        uid = SOMEBODY
        os.chown(folder, uid, uid)
    reachable(tmp_path)
    folder.chmod(0o500)
    preload()

    def outcome() -> str:
        try:
            with locks.held(str(folder / "x.lock"), 1):
                return "held"
        except StoreError as error:
            return error.reason

    assert said_by(outcome, uid=uid) == "unwritable"


# ---------------------------------------------------------------- signals


class Told(Exception):
    """Raised by the handler that was there before."""


@pytest.fixture
def handlers() -> Iterator[Callable[[signal.Handlers | Callable[..., object]], None]]:
    """Set one handler for the signals that end a process; put back at the end."""
    before = {number: signal.getsignal(number) for number in ENDING}

    def set_all(handler: signal.Handlers | Callable[..., object]) -> None:
        for number in ENDING:
            signal.signal(number, handler)

    yield set_all
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING)
def test_uninterrupted_holds_a_signal_back_until_the_end(
    number: signal.Signals, handlers: Callable[..., None]
) -> None:
    def tell(number: int, frame: object) -> None:
        raise Told(number)

    handlers(tell)
    done: list[str] = []

    with pytest.raises(Told) as caught, locks.uninterrupted():
        signal.raise_signal(number)
        done.append("the block to its end")

    assert done
    assert caught.value.args == (number,)
    assert signal.getsignal(number) is tell


def test_uninterrupted_lets_a_second_ctrl_c_through_that_comes_later(
    handlers: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers(signal.default_int_handler)
    now = iter([0.0, 1.5, 1.5, 1.5])
    monkeypatch.setattr("hushkey.system.locks.time.monotonic", lambda: next(now))
    done: list[str] = []

    with pytest.raises(KeyboardInterrupt), locks.uninterrupted():
        signal.raise_signal(signal.SIGINT)
        done.append("after the first")
        signal.raise_signal(signal.SIGINT)
        done.append("after the second")

    assert done == ["after the first"]


def test_uninterrupted_waits_through_the_signals_of_a_closing_terminal(
    handlers: Callable[..., None],
) -> None:
    handlers(signal.default_int_handler)
    done: list[str] = []

    with pytest.raises(KeyboardInterrupt), locks.uninterrupted():
        for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(number)
        done.append("saved")

    assert done == ["saved"]


def test_uninterrupted_leaves_ignored_signals_ignored(
    handlers: Callable[..., None],
) -> None:
    handlers(signal.SIG_IGN)

    with locks.uninterrupted():
        for number in ENDING * 2:
            signal.raise_signal(number)
            assert signal.getsignal(number) == signal.SIG_IGN

    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_uninterrupted_without_a_signal_changes_nothing() -> None:
    before = [signal.getsignal(number) for number in ENDING]

    with locks.uninterrupted():
        assert [signal.getsignal(number) for number in ENDING] != before

    assert [signal.getsignal(number) for number in ENDING] == before


def test_uninterrupted_lets_the_block_s_own_error_out() -> None:
    before = signal.getsignal(signal.SIGINT)

    with pytest.raises(ValueError, match="mine"), locks.uninterrupted():
        raise ValueError("mine")

    assert signal.getsignal(signal.SIGINT) is before


def test_uninterrupted_outside_the_main_thread_changes_nothing() -> None:
    same: list[bool] = []

    def work() -> None:
        before = signal.getsignal(signal.SIGINT)
        with locks.uninterrupted():
            same.append(signal.getsignal(signal.SIGINT) is before)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert same == [True]


def test_uninterrupted_process_finishes_its_work_and_then_ends(tmp_path: Path) -> None:
    def work() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with locks.uninterrupted():
            os.kill(os.getpid(), signal.SIGTERM)
            (tmp_path / "saved").write_text("")

    with child(work) as pid:
        assert ended(pid) == -signal.SIGTERM
    assert (tmp_path / "saved").exists()


def test_who_waits_for_long_is_told_once(path: str) -> None:
    told: list[float] = []
    began = time.monotonic()

    with held_elsewhere(path) as pid:

        def tell() -> None:
            told.append(time.monotonic() - began)
            os.kill(pid, signal.SIGKILL)

        with locks.held(path, 30, tell):
            pass

    assert len(told) == 1
    assert told[0] >= 1.9


def test_who_gets_it_soon_is_told_nothing(path: str) -> None:
    told: list[str] = []

    with locks.held(path, 30, lambda: told.append("waiting")):
        pass

    assert told == []
