"""Most of these run a child under a pseudo-terminal of its own, as a tool would."""

import os
import pty
import select
import signal
import sys
import termios
import time
from collections.abc import Iterator

import pytest

from hushkey.signin import messages, terminal
from servers import children as processes

CHILD = """
import os, sys
from hushkey.signin.terminal import open_terminal
from hushkey.signin.paste import PasteReader
terminal = open_terminal(dict(os.environ))
"""
READ = """
reader = PasteReader()
with terminal.raw_input():
    terminal.line("ready")
    lines = []
    while not lines:
        __import__("select").select([terminal], [], [])
        lines = reader.read(terminal.fileno())
terminal.line(f"got {len(lines[0])} {lines[0][-5:]}")
"""


class Child:
    """A Python program that has a terminal of its own."""

    def __init__(self, code: str) -> None:
        self.pid, self.fd = pty.fork()
        if not self.pid:  # pragma: no cover
            os.execv(sys.executable, [sys.executable, "-c", code])
        self.seen = b""

    def until(self, text: str, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while text.encode() not in self.seen:
            assert select.select([self.fd], [], [], max(0, end - time.monotonic()))[
                0
            ], self.seen
            self.seen += os.read(self.fd, 65_536)

    def type(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.fd, data[:1024]) :]

    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def canonical(self) -> bool:
        return bool(termios.tcgetattr(self.fd)[3] & termios.ICANON)

    def close(self) -> None:
        os.close(self.fd)
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        # What it forked: a hangup reaches only the terminal's foreground.
        for pid in processes.alive():
            if processes.session(pid) == self.pid:
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def children() -> Iterator[list[Child]]:
    started: list[Child] = []
    yield started
    for child in started:
        child.close()


def start(children: list[Child], code: str) -> Child:
    children.append(Child(CHILD + code))
    return children[-1]


def test_raw_input_takes_a_paste_of_6_kB_and_shows_none_of_it(
    children: list[Child],
) -> None:
    child = start(children, READ)
    child.until("ready")
    child.type(b"x" * 6000 + b"END12\r")
    child.until("got 6005 END12")

    assert b"xxx" not in child.seen


def test_raw_input_restores_the_terminal_after_an_exception(
    children: list[Child],
) -> None:
    code = """
try:
    with terminal.raw_input():
        raise ValueError
except ValueError:
    terminal.line("after")
sys.stdin.readline()
"""
    child = start(children, code)
    child.until("after")

    assert child.echoes()
    assert child.canonical()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_raw_input_restores_the_terminal_when_a_signal_ends_us(
    number: int, children: list[Child]
) -> None:
    # A second process keeps the terminal open, so that its mode can be looked at.
    code = f"""
import signal, time
signal.signal(signal.SIGINT, signal.SIG_DFL)
pid = os.fork()
if pid:
    _, status = os.waitpid(pid, 0)
    terminal.line(f"ended by {{os.WTERMSIG(status)}}")
    signal.pause()
with terminal.raw_input():
    terminal.line("ready")
    os.kill(os.getpid(), {int(number)})
    time.sleep(20)
"""
    child = start(children, code)
    child.until(f"ended by {int(number)}")

    assert child.echoes()
    assert child.canonical()


def test_raw_input_hands_a_signal_to_the_handler_that_was_there(
    children: list[Child],
) -> None:
    code = """
import signal
signal.signal(signal.SIGTERM, lambda *_: terminal.line("handled"))
with terminal.raw_input():
    os.kill(os.getpid(), signal.SIGTERM)
os.kill(os.getpid(), signal.SIGTERM)
terminal.line("done")
sys.stdin.readline()
"""
    child = start(children, code)
    child.until("done")

    assert child.seen.count(b"handled") == 2


def test_raw_input_is_off_while_we_are_stopped_and_on_again_after(
    children: list[Child],
) -> None:
    # The shell's part: a parent that takes the terminal back and returns it.
    code = """
import signal, time
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
pid = os.fork()
if not pid:
    os.setpgid(0, 0)
    os.tcsetpgrp(terminal.fileno(), os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    with terminal.raw_input():
        terminal.line("ready")
        while True:
            signal.pause()
os.waitpid(pid, os.WUNTRACED)
os.tcsetpgrp(terminal.fileno(), os.getpgrp())
terminal.line("stopped")
sys.stdin.readline()
os.tcsetpgrp(terminal.fileno(), pid)
os.kill(pid, signal.SIGCONT)
os.waitpid(pid, 0)
"""
    child = start(children, code)
    child.until("ready")
    assert not child.echoes()
    child.type(b"\x1a")
    child.until("stopped")
    assert child.echoes()

    child.type(b"\n")
    end = time.monotonic() + 10
    while child.echoes() and time.monotonic() < end:
        time.sleep(0.01)

    assert not child.echoes()
    assert not child.canonical()


def test_open_terminal_is_none_in_a_background_job(children: list[Child]) -> None:
    code = """
pid = os.fork()
if not pid:
    os.setpgid(0, 0)
    os._exit(0 if open_terminal({}) is None else 1)
terminal.line(f"status {os.waitpid(pid, 0)[1]}")
sys.stdin.readline()
"""
    start(children, code).until("status 0")


def test_open_terminal_is_none_without_a_controlling_terminal(
    children: list[Child],
) -> None:
    code = """
pid = os.fork()
if not pid:
    os.setsid()
    os._exit(0 if open_terminal({}) is None else 1)
terminal.line(f"status {os.waitpid(pid, 0)[1]}")
sys.stdin.readline()
"""
    start(children, code).until("status 0")


def test_open_terminal_is_none_for_what_is_no_terminal() -> None:
    assert terminal.open_terminal({}, path=os.devnull) is None
    assert terminal.open_terminal({}, path="/nonexistent") is None


def said(bold: bool, *, say: str = "", show: str = "") -> str:
    read, write = os.pipe()
    try:
        voice = terminal.TerminalWriter(write, bold=bold)
        if say:
            voice.line(say)
        if show:
            voice.value(show)
        return os.read(read, 65_536).decode()
    finally:
        os.close(read)
        os.close(write)


def test_say_keeps_control_characters_from_the_terminal() -> None:
    assert said(True, say="a\x1b[2Jb\u202e\x07c") == "hushkey: a [2Jb c\n"


def test_show_puts_a_value_on_a_line_by_itself() -> None:
    assert said(False, show="ABCD\x1b]0;x") == "\n  ABCD ]0;x\n\n"
    assert said(True, show="ABCD") == "\n  \x1b[1mABCD\x1b[0m\n\n"


def test_say_does_not_cut_a_long_address() -> None:
    assert said(False, show="x" * 9000).strip() == "x" * 9000


def test_warn_writes_one_line_to_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal.warn("one\nhushkey: forged\x1b[31m")

    assert capsys.readouterr() == ("", "hushkey: one hushkey: forged [31m\n")


def test_warn_survives_a_missing_standard_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", None)

    terminal.warn("nobody hears this")


def test_login_command_is_safe_in_a_shell() -> None:
    assert messages.login_command("a.example") == "hushkey login a.example"
    assert messages.login_command("a;rm -r x") == "hushkey login 'a;rm -r x'"


def test_who_asks_names_command_host_identity_and_account() -> None:
    assert (
        messages.who_asks("h.example", "work", "me@x", "git fetch in /repo")
        == "git fetch in /repo needs a sign-in to h.example "
        "(identity work, account me@x)"
    )
