"""One agent is started, however many find it missing, and none where it may not be."""

import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hushkey_helpers.agent import protocol
from hushkey_helpers.agent import start as starting
from kit.desk import BIN
from kit.oauth import Machine, grant
from servers.agent import Agent
from servers.process import Program, wait_until

MODULE = "hushkey_helpers.agent"
OURS = b"protocol=https\nhost=git.test\n\n"


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    with Agent() as made:
        for name, value in made.environ.items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.fixture
def machine(machine: Machine, agent: Agent) -> Machine:
    machine.settle()
    machine.has(grant("at-kept", expires_in=None, refresh_token=""))
    return machine


def start() -> str:
    return starting.start(dict(os.environ), MODULE)


def test_started_agent_serves_and_holds_the_lock(agent: Agent) -> None:
    assert start() == ""

    pid = agent.wait()
    assert pid > 0
    assert start() == "it is running already"


def test_ended_in_order_it_may_start_at_once(agent: Agent) -> None:
    start()
    agent.wait()
    agent.send(signal.SIGTERM)
    agent.wait_for_end()
    assert not (agent.folder / "agent").exists()

    assert start() == ""
    agent.wait()


def test_killed_one_is_not_started_again_for_a_while(agent: Agent) -> None:
    start()
    agent.wait()
    agent.kill()

    assert start().startswith("it ended out of order")
    assert starting.start(dict(os.environ), MODULE, again=True) == ""
    agent.wait()


def test_agent_that_cannot_start_is_not_started_by_everybody(agent: Agent) -> None:
    environ = dict(os.environ)
    assert starting.start(environ, "no.such.module") == ""
    wait_until(lambda: not agent.pid(), "its end")

    reasons = [starting.start(environ, "no.such.module") for _ in range(3)]
    wait_until(lambda: "out of order" in starting.start(environ, "no"), "the lock")
    assert all(reasons)


def test_path_too_long_for_a_socket_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUSHKEY_RUNTIME_DIR", str(tmp_path / ("x" * 100)))

    assert "too long a path" in start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
@pytest.mark.parametrize("name", ["HUSHKEY_RUNTIME_DIR", "HUSHKEY_DATA_DIR"])
def test_folder_of_another_user_gets_no_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agent: Agent, name: str
) -> None:
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 65534, 65534)
    monkeypatch.setenv(name, str(tmp_path / "theirs"))

    assert "belongs to another user" in start()
    assert list((tmp_path / "theirs").iterdir()) == []


def test_stale_sockets_are_replaced(agent: Agent, machine: Machine) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(agent.folder / "agent"))

    start()
    agent.wait()


@pytest.mark.parametrize("name", starting.KINDS)
@pytest.mark.parametrize("what", ["file", "link", "folder", "listener"])
def test_what_is_not_our_socket_stays_and_there_is_no_agent(
    agent: Agent, machine: Machine, name: str, what: str
) -> None:
    """In a folder that somebody chose; the tool is answered all the same."""
    path = agent.folder / name
    with socket.socket(socket.AF_UNIX) as listener:
        if what == "listener":
            listener.bind(str(path))
            listener.listen()
        elif what == "folder":
            path.mkdir()
        elif what == "link":
            path.symlink_to("/no/such")
        else:
            path.write_text("mine")
        before = path.lstat()

        assert start().startswith(f"{path} is not hushkey's")
        words = [sys.executable, "-I", "-m", MODULE]
        done = subprocess.run(words, capture_output=True, timeout=30, check=False)
        answer = machine.run("git-credential-hushkey", "get", stdin=OURS)

        assert done.returncode != 0
        assert b"at-kept" in answer.stdout
        assert answer.stderr == b""
        assert path.lstat().st_ino == before.st_ino
        assert agent.pid() == 0


def test_removed_sockets_end_it(agent: Agent) -> None:
    start()
    agent.wait()
    (agent.folder / "agent").unlink()

    agent.wait_for_end()


def test_systemd_s_sockets_are_taken_and_left(agent: Agent, machine: Machine) -> None:
    """As sd_listen_fds(3): from descriptor 3 on, LISTEN_PID is the agent's."""
    boot = (
        "import os, socket, sys\n"
        "names = ['agent', 'git']\n"
        "for number, name in enumerate(names, 3):\n"
        "    s = socket.socket(socket.AF_UNIX)\n"
        "    path = os.path.join(sys.argv[1], name)\n"
        "    s.bind(path); os.chmod(path, 0o600); s.listen(16)\n"
        "    fd = s.detach()\n"
        "    os.dup2(fd, 20 + number)\n"
        "for number in (3, 4):\n"
        "    os.dup2(20 + number, number); os.set_inheritable(number, True)\n"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='2')\n"
        "words = [sys.executable, '-P', '-c',\n"
        "    'from hushkey_helpers.agent import main; main()']\n"
        "os.execv(sys.executable, words)\n"
    )
    log = agent.folder / "log"
    program = Program(
        [sys.executable, "-c", boot, str(agent.folder)], log, environ=machine.environ
    )
    try:
        agent.wait()
        assert agent.pid() == program.pid
        for _ in range(2):
            done = machine.run("git-credential-hushkey", "get", stdin=OURS)
            assert b"at-kept" in done.stdout
        assert agent.answered() == 2
        agent.send(signal.SIGTERM)
        wait_until(lambda: not program.running, "its end")
        assert (agent.folder / "agent").exists()  # systemd goes on listening
    finally:
        program.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_its_memory_is_closed_to_others_of_the_same_user() -> None:
    code = (
        "import ctypes, os; from hushkey_helpers.agent import process;"
        "process._detach(set());"
        "libc = ctypes.CDLL(None); name = ctypes.create_string_buffer(16);"
        "libc.prctl(16, name, 0, 0, 0);"
        "os.write(1, b'%d %s' % (libc.prctl(3, 0, 0, 0, 0), name.value))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, timeout=30
    )

    assert done.stdout == b"0 hushkey-agent"


#: what a runner gives its steps, and what other CI does
MARKS = {
    "ends": {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "1", "GITHUB_JOB": "build"},
    "killed": {"GITLAB_CI": "true", "CI_JOB_ID": "7", "CI": "true"},
    "killed in other CI": {"CI": "1"},
    # as tox has it: the command does not see what its step has
    "stripped": {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "2"},
}


@pytest.mark.parametrize(("way", "marks"), MARKS.items(), ids=list(MARKS))
def test_started_in_a_job_it_ends_with_the_step(
    machine: Machine, agent: Agent, way: str, marks: dict[str, str]
) -> None:
    # the runner's step, a script in it, and in that the command; both shells wait
    strip = "env -u GITHUB_ACTIONS -u CI " if way == "stripped" else ""
    script = f"{strip}{BIN}/hushkey agent start 2>&1; echo started; read line"
    with subprocess.Popen(
        ["/bin/bash", "-c", f"/bin/bash -c {shlex.quote(script)}; echo on; read line"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **machine.environ, **agent.environ, **marks},
        start_new_session=True,
    ) as step:
        assert step.stdin is not None
        assert step.stdout is not None
        lines = [step.stdout.readline() for _ in range(2)]
        assert lines == [b"the agent is running\n", b"started\n"]
        pid = agent.wait()
        step.stdin.write(b"\n")
        step.stdin.flush()
        assert step.stdout.readline() == b"on\n"
        os.kill(agent.pid(), 0)
        assert agent.pid() == pid  # the script has ended, the step has not

        if way != "ends":
            step.kill()
        step.stdin.close()
        wait_until(lambda: not agent.pid(), "its end", seconds=4)
        assert list(agent.folder.iterdir()) == [agent.folder / "agent.lock"]


def test_started_after_the_step_was_killed_it_ends_at_once(agent: Agent) -> None:
    with subprocess.Popen(["/bin/true"]) as gone:
        pass
    descriptor = starting.take_lock(str(agent.folder))
    words = [sys.executable, "-m", MODULE, str(descriptor), str(gone.pid)]
    with subprocess.Popen(words, pass_fds=[descriptor]) as process:
        os.close(descriptor)
        assert process.wait(10) == 0


class TestWish:
    """Where helpers may start one."""

    @pytest.mark.parametrize("switch", ["off", "OFF", "0", "no", "false"])
    def test_switched_off(self, home: Path, switch: str) -> None:
        assert "HUSHKEY_AGENT" in starting.refusal({"HUSHKEY_AGENT": switch})

    @pytest.mark.parametrize("name", ["CI", "TF_BUILD", "GITHUB_ACTIONS"])
    def test_never_by_itself_in_ci(self, name: str) -> None:
        environ = {"HUSHKEY_AGENT": "on", name: "true"}
        assert name in starting.refusal(environ)
        assert starting.refusal(environ, asked=True) == ""

    def test_config_says_no_and_the_switch_counts_more(self, home: Path) -> None:
        machine = Machine(home)
        machine.configure(text="[settings]\nagent = false\n")
        environ = {**machine.environ, "HUSHKEY_AGENT": ""}

        assert "agent is false" in starting.refusal(environ)
        assert starting.refusal({**environ, "HUSHKEY_AGENT": "on"}) == ""

    def test_wrong_config_starts_none(self, home: Path) -> None:
        machine = Machine(home)
        machine.configure(text="[settings]\nagnet = false\n")

        assert "agnet" in starting.refusal({**machine.environ, "HUSHKEY_AGENT": ""})

    def test_else_it_may(self, home: Path) -> None:
        environ = {**Machine(home).environ, "HUSHKEY_AGENT": ""}

        assert starting.refusal(environ) == ""


def test_everything_that_answers_silently_depends_on_goes_along() -> None:
    assert {"HOME", "HUSHKEY_CONFIG", "HUSHKEY_DATA_DIR"} <= set(
        protocol.FORWARDED_VARS
    )
    assert not {"HUSHKEY_LOG", "HUSHKEY_INTERACTIVE", "DISPLAY"} & set(
        protocol.FORWARDED_VARS
    )
