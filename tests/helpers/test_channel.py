"""Where an error is read when the client drops what a keyring program says."""

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

ASK = (
    "import os; from hushkey_helpers.channel import tell;"
    "from hushkey_helpers.keyring.tool import TOOL;"
    "tell('the line', os.environ, TOOL)"
)
SHOWN = "hushkey: the line"
#: a client that captures and drops both streams, as pip from 26.2 on does
DROPS = (
    "import subprocess, sys;"
    f"subprocess.run([sys.executable, '-c', {ASK!r}], capture_output=True)"
)
#: one that starts it through a shell which waits, as pnpm 10 does
BY_SHELL = (
    "import shlex, subprocess, sys;"
    f"line = shlex.join([sys.executable, '-c', {ASK!r}]) + '; exit';"
    "subprocess.run(line, shell=True, capture_output=True)"
)
#: one that lets them through, as older pips do
PASSES = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {ASK!r}])"

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


def client(code: str, **options: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-c", code],
        text=True,
        timeout=30,
        check=True,
        start_new_session=True,  # no terminal
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


@linux
def test_line_reaches_the_stderr_of_a_client_that_drops_ours() -> None:
    done = client(DROPS)

    assert (done.stdout, done.stderr) == ("", f"{SHOWN}\n")


@linux
def test_shell_between_the_client_and_us_is_not_the_client() -> None:
    done = client(BY_SHELL)

    assert (done.stdout, done.stderr) == ("", f"{SHOWN}\n")


def test_stderr_that_the_client_shares_gets_nothing_more() -> None:
    done = client(PASSES)

    assert (done.stdout, done.stderr) == ("", "")  # serve() writes it there


@linux
def test_file_of_the_client_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w") as log:
        client(DROPS, stderr=log)

    assert path.read_text() == ""


@linux
def test_full_pipe_of_the_client_is_not_waited_for() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    try:
        while True:
            os.write(write, b"x" * 65536)
    except BlockingIOError:
        pass
    os.set_blocking(write, True)
    began = time.monotonic()
    try:
        client(DROPS, stderr=write)
    finally:
        os.close(read)
        os.close(write)

    assert time.monotonic() - began < 10


@linux
def test_uv_shows_what_it_captured_by_itself(tmp_path: Path) -> None:
    name = "import ctypes; ctypes.CDLL(None).prctl(15, b'uv');"

    assert client(name + DROPS).stderr == ""


def test_terminal_is_told_when_there_is_one() -> None:
    child, terminal = pty.fork()
    if not child:
        os.execv(sys.executable, [sys.executable, "-c", DROPS])
    shown = b""
    try:
        while piece := os.read(terminal, 1024):
            shown += piece
    except OSError:  # the end of a terminal, on Linux
        pass
    os.waitpid(child, 0)
    os.close(terminal)

    assert shown.decode().splitlines() == [SHOWN]
