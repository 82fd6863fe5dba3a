"""A stampede and a minute of chaos: no wrong answer, no hang, nothing lost."""

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hushkey.errors import HushkeyError
from kit.desk import BIN, Desk
from kit.registrydesk import as_pull
from servers.agent import Agent

pytestmark = [pytest.mark.contract, pytest.mark.long]
#: seconds of chaos, callers at once, and what one call may take at most
MINUTE, CALLERS, LONGEST = 60, 6, 60


@pytest.fixture
def agent(desk: Desk) -> Iterator[Agent]:
    with Agent() as made:
        desk.extra |= made.environ
        yield made


class Call:
    """One process of one of our tools, and the token in what it says."""

    def __init__(self, desk: Desk, tool: str) -> None:
        host = desk.apache.host
        argv, stdin, self._mark, self._end = {
            "git": (
                [str(BIN / "git-credential-hushkey"), "get"],
                f"protocol=https\nhost={host}\n\n",
                b"password=",
                b"\n",
            ),
            "docker": (
                as_pull("get"),  # a caller that is known to need it
                host,
                b'"Secret":"',
                b'"',
            ),
            "keyring": (
                [
                    str(BIN / "hushkey-keyring"),
                    *("--mode=creds", "get", f"https://{host}/"),
                ],
                "",
                b"oauth2\n",
                b"\n",
            ),
        }[tool]
        self.process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=desk.environ,
            cwd=desk.folder,
        )
        assert self.process.stdin
        self.process.stdin.write(stdin.encode())
        self.process.stdin.close()
        self.process.stdin = None

    def token(self) -> str:
        """Wait for the answer; nothing for a failure."""
        out, self.err = self.process.communicate(timeout=LONGEST)
        self.code = self.process.returncode
        if self.code:
            return ""
        _, mark, rest = out.partition(self._mark)
        assert mark, out
        return rest.partition(self._end)[0].decode()


TOOLS = ("git", "docker", "keyring")


def tool(number: int) -> str:
    return TOOLS[number % len(TOOLS)]


def issued(desk: Desk) -> set[str]:
    """Every access token that the server has ever given."""
    return {
        str(value)
        for record in desk.issuer.secrets()
        for key, value in record.items()
        if key == "access_token"
    }


def test_two_hundred_of_all_tools_ask_once_and_refresh_once_for_each_expiry(
    desk: Desk, agent: Agent
) -> None:
    desk.issuer.set(delay=1)
    first = [Call(desk, tool(n)) for n in range(100)]
    cold = {call.token() for call in first}

    assert len(cold) == 1
    assert "" not in cold
    assert len(desk.visitor.visits()) == 1
    agent.wait()

    # In the middle of the second half the token gets old, and the server stumbles.
    second = [Call(desk, tool(n)) for n in range(40)]
    desk.age(3400)
    desk.issuer.fail("status", times=1)
    second += [Call(desk, tool(n)) for n in range(60)]
    answers = [call.token() for call in second]
    failed = [call.err for call in second if call.code]

    assert failed == []
    assert desk.issuer.refreshes() <= 2  # one of them was told 503
    desk.age(3601)
    before = desk.issuer.refreshes()
    third = {call.token() for call in [Call(desk, tool(n)) for n in range(60)]}

    assert len(third) == 1
    assert "" not in third
    assert desk.issuer.refreshes() == before + 1
    assert {*answers, *third} <= issued(desk) | cold
    assert len(desk.visitor.visits()) == 1
    assert desk.issuer.sign_ins() == 1


class Chaos:
    """Does one bad thing after another, until the time is over."""

    def __init__(self, desk: Desk, agent: Agent) -> None:
        self.desk, self.agent = desk, agent
        self.chance = random.Random(5)
        self.over = threading.Event()
        self.calls: list[Call] = []
        self.deeds: dict[str, int] = {}
        self.answers: list[str] = []
        self.longest = 0.0
        self.errors: list[bytes] = []

    def deed(self) -> None:
        deeds: list[Callable[[], None]] = [
            self.kill_agent,
            self.freeze_agent,
            self.kill_callers,
            self.expire,
            self.clock_goes_back,
        ]
        act = self.chance.choice(deeds)
        self.deeds[act.__name__] = self.deeds.get(act.__name__, 0) + 1
        act()

    def kill_agent(self) -> None:
        self.agent.send(signal.SIGKILL)
        # Nobody waits for the usual time until another one.
        (self.agent.folder / "agent.lock").write_bytes(b"")

    def freeze_agent(self) -> None:
        pid = self.agent.pid()
        self.agent.send(signal.SIGSTOP)
        time.sleep(self.chance.uniform(0.1, 1))
        if pid > 0:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                return

    def kill_callers(self) -> None:
        for call in list(self.calls):
            if self.chance.random() < 0.3:
                call.process.kill()

    def expire(self) -> None:
        self.shift(3601)

    def clock_goes_back(self) -> None:
        self.shift(-7200)

    def shift(self, seconds: int) -> None:
        try:
            self.desk.age(seconds)
        except HushkeyError:
            return  # a frozen agent has the lock: later

    def work(self, number: int) -> None:
        while not self.over.is_set():
            began = time.monotonic()
            call = Call(self.desk, tool(number))
            self.calls.append(call)
            token = call.token()
            self.calls.remove(call)
            if call.code == -signal.SIGKILL:
                continue
            self.longest = max(self.longest, time.monotonic() - began)
            self.answers.append(token)
            if call.code:
                self.errors.append(call.err)

    def run(self) -> None:
        with ThreadPoolExecutor(CALLERS) as pool:
            work = [pool.submit(self.work, n) for n in range(CALLERS)]
            end = time.monotonic() + MINUTE
            try:
                while time.monotonic() < end:
                    time.sleep(self.chance.uniform(0, 0.6))
                    self.deed()
            finally:
                self.over.set()
            for one in work:
                one.result(LONGEST * 2)


def test_minute_of_chaos_brings_no_wrong_answer_and_no_hang(
    desk: Desk, agent: Agent
) -> None:
    assert desk.get().returncode == 0
    chaos = Chaos(desk, agent)

    chaos.run()

    print(len(chaos.answers), "answers,", chaos.deeds, f"longest {chaos.longest:.1f} s")
    assert len(chaos.deeds) == 5
    assert len(chaos.answers) > 100
    assert set(chaos.answers) - {""} <= issued(desk)
    assert chaos.longest < 45
    # A refresh whose answer was killed costs its grant, and then one sign-in.
    kills = chaos.deeds["kill_agent"] + chaos.deeds["kill_callers"]
    assert len(desk.visitor.visits()) <= 2 + kills // 3
    assert len(chaos.errors) <= len(chaos.answers) // 10, chaos.errors[:3]
    assert desk.get().returncode == 0
    data = Path(desk.environ["HUSHKEY_DATA_DIR"])
    assert [p.name for p in data.rglob("*") if ".damaged" in p.name] == []


def test_full_disk_is_said_and_nothing_is_lost(desk: Desk, agent: Agent) -> None:
    """The data folder on a file system of its own, without a byte to spare."""
    data = Path(desk.environ["HUSHKEY_DATA_DIR"])
    data.mkdir(mode=0o700, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "none", str(data)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root mounts file systems, and not in every container")
    try:
        first = desk.get()
        assert first.returncode == 0, first.stderr
        agent.wait()
        desk.age(3400)
        filler = data / "filler"
        with filler.open("wb") as file:
            try:
                while True:
                    file.write(b"x" * 65536)
                    file.flush()
            except OSError:
                pass
        calls = [Call(desk, tool(n)) for n in range(6)]
        answers = {call.token() for call in calls}
        refreshes = desk.issuer.refreshes()
        filler.unlink()

        assert refreshes == 0  # no refresh token is spent whose answer has no room
        assert len(answers) == 1
        assert desk.get().returncode == 0
        assert desk.issuer.refreshes() == 1
        assert len(desk.visitor.visits()) == 1
    finally:
        agent.kill()
        subprocess.run(["umount", "-l", str(data)], check=True)
