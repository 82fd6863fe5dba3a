from collections.abc import Iterator

import pytest

from hushkey.errors import Cancelled, HushkeyError, Permanent, Transient
from hushkey.model import DeviceCode, Grant
from hushkey.providers.base import Pending
from hushkey.signin import device
from kit.signin import (
    GRANT,
    Clock,
    FakeProvider,
    FakeTerminal,
    device_code,
)


@pytest.fixture
def terminal() -> Iterator[FakeTerminal]:
    with FakeTerminal() as made:
        yield made


def poll(
    polls: "list[Exception | Grant]",
    code: DeviceCode,
    clock: Clock,
    terminal: FakeTerminal,
    seconds: float = 300,
) -> Grant:
    return device.sign_in(
        FakeProvider(polls),
        code,
        terminal,
        deadline=clock.now + seconds,
        clock=clock,
        sleep=clock.sleep,
    )


def test_code_is_shown_with_where_to_enter_it(terminal: FakeTerminal) -> None:
    code = device_code(verification_uri_complete="https://id.example.com/d?c=WDJB")
    device.present(code, terminal, 300)

    assert "open https://id.example.com/device on any device" in terminal.said
    assert "\n  WDJB-MJHT\n" in terminal.said
    assert "\n  https://id.example.com/d?c=WDJB\n" in terminal.said
    assert "up to 5 min" in terminal.said


def test_server_cannot_move_the_cursor(terminal: FakeTerminal) -> None:
    code = device_code(
        user_code="A\x1b[2J\nB", verification_uri="https://x/\x1b]0;y\x07"
    )
    device.present(code, terminal, 60)

    assert "\x1b" not in terminal.said
    assert "\x07" not in terminal.said


def test_poll_waits_the_interval_before_each_try(terminal: FakeTerminal) -> None:
    clock = Clock()

    assert poll([Pending(), Pending(), GRANT], device_code(), clock, terminal) is GRANT
    assert clock.slept == [2, 2, 2]


@pytest.mark.parametrize("interval", [0, -1])
def test_interval_is_5_s_when_the_server_gives_none(
    interval: float, terminal: FakeTerminal
) -> None:
    clock = Clock()
    poll([GRANT], device_code(interval=interval), clock, terminal)

    assert clock.slept == [5]


def test_slow_down_adds_5_s_for_good(terminal: FakeTerminal) -> None:
    clock = Clock()
    polls: list[Exception | Grant] = [
        Pending(True),
        Pending(),
        Pending(True),
        Pending(),
        GRANT,
    ]
    poll(polls, device_code(), clock, terminal)

    assert clock.slept == [2, 7, 7, 12, 12]


def test_transient_fault_widens_the_interval(terminal: FakeTerminal) -> None:
    clock = Clock()
    polls: list[Exception | Grant] = [
        Transient("no network"),
        Transient("busy", retry_after=30),
        Pending(),
        GRANT,
    ]
    poll(polls, device_code(), clock, terminal)

    assert clock.slept == [2, 4, 30, 8]


def test_interval_is_never_widened_beyond_a_minute(terminal: FakeTerminal) -> None:
    clock = Clock()
    faults: list[Exception | Grant] = [Transient("x") for _ in range(8)]
    poll([*faults, GRANT], device_code(), clock, terminal, 900)

    assert max(clock.slept) == 60


def test_expired_code_is_cancelled(terminal: FakeTerminal) -> None:
    polls: list[Exception | Grant] = [Pending() for _ in range(99)]

    with pytest.raises(Cancelled, match="expired"):
        poll(polls, device_code(expires_in=20), Clock(), terminal)


def test_deadline_is_cancelled_with_its_length(terminal: FakeTerminal) -> None:
    polls: list[Exception | Grant] = [Pending() for _ in range(99)]
    clock = Clock()

    with pytest.raises(Cancelled, match="no answer within 30 s"):
        poll(polls, device_code(), clock, terminal, 30)
    assert sum(clock.slept) <= 30


def test_ctrl_c_is_cancelled(terminal: FakeTerminal) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Cancelled, match="Ctrl-C"):
        device.sign_in(
            FakeProvider(), device_code(), terminal, deadline=2e9, sleep=interrupted
        )


@pytest.mark.parametrize("error", [Cancelled("declined"), Permanent("bad client")])
def test_other_errors_end_the_polling(
    error: HushkeyError, terminal: FakeTerminal
) -> None:
    with pytest.raises(type(error)):
        poll([error], device_code(), Clock(), terminal)
