"""A program as an identity, asked by git's helper in processes of their own."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kit.oauth import Machine

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sh scripts")
ASKED = b"protocol=https\nhost=robot.test\n\n"


class Robot:
    """A machine whose one identity is a program that a test writes."""

    def __init__(self, home: Path) -> None:
        self.machine = Machine(home)
        self.program = home / "robot"
        self.runs = home / "runs"
        self.runs.touch()

    def set_up(self, *lines: str, store: str = "file", more: str = "") -> None:
        """Let the program run *lines*; each run is noted."""
        text = "\n".join(("#!/bin/sh", f"echo x >> '{self.runs}'", *lines, ""))
        self.program.write_text(text)
        self.program.chmod(0o700)
        self.machine.configure(
            text=f'[settings]\nkey_store = "{store}"\nagent = false\n'
            f'[identity.robot]\nprovider = "command"\ncommand = ["{self.program}"]\n'
            f'{more}\n[host."robot.test"]\nidentity = "robot"\n'
        )

    def count(self) -> int:
        return len(self.runs.read_text().splitlines())

    def get(
        self, verb: str = "get", more: str = ""
    ) -> "subprocess.CompletedProcess[bytes]":
        stdin = ASKED[:-1] + more.encode() + b"\n"
        return self.machine.run("git-credential-hushkey", verb, stdin=stdin)

    def password(self) -> str:
        lines = dict(x.split("=", 1) for x in self.get().stdout.decode().splitlines())
        return lines.get("password", "")


@pytest.fixture
def robot(home: Path) -> Robot:
    return Robot(home)


def test_one_run_serves_many_processes_and_the_next_ones(robot: Robot) -> None:
    robot.set_up("sleep 0.3", "echo token-$$")

    with ThreadPoolExecutor(8) as pool:
        first = {*pool.map(lambda _: robot.password(), range(8))}

    assert len(first) == 1
    assert robot.password() in first
    assert robot.count() == 1


def test_token_is_sealed(robot: Robot) -> None:
    robot.set_up("echo c4nary-token")

    assert robot.password() == "c4nary-token"
    kept = [p for p in robot.machine.data.rglob("*") if p.is_file()]
    assert kept
    assert not [p for p in kept if b"c4nary-token" in p.read_bytes()]


def test_changed_command_is_asked_anew(robot: Robot) -> None:
    robot.set_up("echo one")
    assert robot.password() == "one"

    robot.set_up("echo two", more="lifetime = 500")

    assert robot.password() == "two"


def test_ended_token_is_got_anew(robot: Robot) -> None:
    robot.set_up("echo token-$$", more="lifetime = 1")
    first = robot.password()
    time.sleep(1.2)  # the token's own life

    assert robot.password() not in ("", first)


def test_refused_token_is_replaced_once_a_minute(robot: Robot) -> None:
    robot.set_up("echo token-$$")
    for _ in range(5):
        robot.get("erase", f"username=x\npassword={robot.password()}\n")

    failed = robot.get()

    assert robot.count() == 1
    assert b"quit=1" in failed.stdout
    assert b"robot.test refuses" in failed.stderr


def test_failing_program_is_run_once_for_many(robot: Robot) -> None:
    robot.set_up("sleep 0.5", "echo 'log in first' >&2", "exit 3")

    with ThreadPoolExecutor(6) as pool:
        done = [*pool.map(lambda _: robot.get(), range(6))]

    assert {run.stdout for run in done} == {b"quit=1\n"}
    assert all(b"robot exited with 3: log in first" in run.stderr for run in done)
    assert robot.count() < 6


def test_without_a_key_nothing_is_written_and_the_token_is_got(robot: Robot) -> None:
    robot.set_up("echo token-1", store="keyring")

    assert robot.password() == "token-1"
    assert not [*robot.machine.data.rglob("*.sealed")]


def test_person_is_never_asked(robot: Robot) -> None:
    robot.set_up("exit 1")

    done = robot.machine.run(
        "git-credential-hushkey", "get", stdin=ASKED, HUSHKEY_INTERACTIVE="device"
    )

    assert b"hushkey login" not in done.stderr
    assert b"run it yourself" in done.stderr


def test_docker_gets_the_user_name_that_was_printed(robot: Robot) -> None:
    robot.set_up(
        'echo \'{"t": "token-1", "u": "me"}\'',
        more='format = "json"\ntoken = "t"\nuser = "u"',
    )

    done = robot.machine.run("docker-credential-hushkey", "get", stdin=b"robot.test")

    assert b'"Username":"me","Secret":"token-1"' in done.stdout.replace(b" ", b"")
    assert b"username=me\n" in robot.get().stdout


def test_explain_and_status_say_where_it_comes_from(robot: Robot) -> None:
    robot.set_up("echo token-1")

    said = robot.machine.run("hushkey", "explain", "https://robot.test/").stdout
    assert b"what robot prints" in said
    assert robot.count() == 0
    robot.password()
    said = robot.machine.run("hushkey", "status").stdout
    assert b"robot.test" in said
    assert b"renewed silently" in said
