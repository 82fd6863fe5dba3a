"""Whoever starts the tests does not decide how they end, and nothing is left."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from servers import children
from servers.process import leaks

#: says which signals it ignores and which are blocked
TELL = (
    "import signal; print(sorted(s.name for s in signal.Signals "
    "if s.name != 'SIGPIPE' and s.name != 'SIGXFSZ' "
    "and signal.getsignal(s) is signal.SIG_IGN), "
    "signal.pthread_sigmask(signal.SIG_BLOCK, ()), oct(__import__('os').umask(0)))"
)
#: a run of tests that was started by nohup in the background of a shell
RUN = f"""
import os, signal, subprocess, sys
sys.path.insert(0, sys.argv[1])
for name in ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGTSTP"):
    signal.signal(getattr(signal, name), signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP, signal.SIGTERM])
os.umask(0)
from servers import children
from servers.process import leaks
children.start_as_from_a_shell()
subprocess.run([sys.executable, "-c", {TELL!r}])
os.kill(os.getpid(), signal.SIGHUP)
print("survived", flush=True)
"""
FORK = """
import os, sys, time
if not os.fork():
    os.setsid()
    os.close(1)
    time.sleep(60)
"""

#: a parent with so much memory that to end takes it a moment, and its child
LARGE = """
import subprocess, sys, time
held = b"x" * (200 << 20)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", sys.argv[1]])
print(flush=True)
time.sleep(60)
"""


def test_children_start_as_from_a_shell_and_we_survive_a_hangup() -> None:
    tests = os.path.dirname(os.path.dirname(__file__))
    done = subprocess.run(
        [sys.executable, "-c", RUN, tests], capture_output=True, text=True, check=False
    )

    assert done.stderr == ""
    assert done.stdout.splitlines() == ["[] set() 0o22", "survived"]


@pytest.fixture
def orphan() -> Iterator[int]:
    """A process whose parent has ended, in a session of its own."""
    before = children.alive()
    # Its stdout ends once the child has a session of its own.
    subprocess.run([sys.executable, "-c", FORK], check=True, stdout=subprocess.PIPE)
    (pid,) = children.alive().keys() - before.keys()
    yield pid
    if pid in children.alive():
        os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at in /proc")
def test_process_that_is_left_is_named_and_ended(
    orphan: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "_MAX_SECONDS", 0.2)
    lasting = {children.session(pid) for pid in children.alive() if pid != orphan}

    assert children.left({*lasting, children.session(orphan)}) == []
    (line,) = children.left(lasting)

    assert "time.sleep(60)" in line
    monkeypatch.undo()
    assert children.left(lasting) == []


@pytest.fixture
def parent() -> Iterator[int]:
    """A process with a child, both of which say `browser` at their end."""
    before = children.alive().keys()
    argv = [sys.executable, "-c", LARGE, "browser"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        children.end(lambda pid, line: pid not in before)


def browsers() -> list[str]:
    return [line for line in children.alive().values() if line.endswith(" browser")]


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at in /proc")
def test_child_of_what_is_ended_is_ended_too(parent: int) -> None:
    """It becomes ours only when its parent has ended."""
    children.end(lambda pid, line: line.endswith(" browser"))
    os.waitid(os.P_PID, parent, os.WEXITED | os.WNOWAIT)

    assert browsers() == []


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at in /proc")
def test_child_of_what_ends_while_we_look_is_seen(
    parent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = children._command

    def late(pid: int) -> str:
        if pid == parent:
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return command(pid)

    monkeypatch.setattr(children, "_command", late)

    assert len(browsers()) == 1


@pytest.mark.parametrize(
    "name", ["COLUMNS", "EDITOR", "VISUAL", "FORCE_COLOR", "REGISTRY_AUTH_FILE"]
)
def test_what_a_person_set_for_programs_is_hidden(name: str) -> None:
    assert leaks(name)
    assert name not in os.environ
