"""The client against agents of every kind: right, slow, frozen, mad, or none."""

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hushkey_helpers.agent import protocol
from kit.oauth import BIN, Machine, grant, imported, timed_imports
from servers.process import short_folder

OURS = b"protocol=https\nhost=git.test\n\n"
BY_AGENT = b"username=by\npassword=agent\n"
BY_ITSELF = b"username=oauth2\npassword=at-kept\n"
Talk = Callable[[socket.socket], None]


class Fake:
    """Listens where an agent would, and treats each client as *talk* does."""

    def __init__(self, folder: Path, talk: Talk | None) -> None:
        self.asked: list[list[bytes]] = []
        self._talk = talk
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(folder / "agent"))
        (folder / "agent").chmod(0o600)
        self._socket.listen(1)
        self._thread = threading.Thread(target=self._run)
        if talk:
            self._thread.start()

    def _run(self) -> None:
        try:
            link, _ = self._socket.accept()
        except OSError:
            return
        with link:
            link.settimeout(20)
            try:
                self.asked.append(read_frame(link))
                assert self._talk
                self._talk(link)
            except OSError:
                return

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        if self._talk:
            self._thread.join()
        self._socket.close()


def read_frame(link: socket.socket) -> list[bytes]:
    data = b""
    while len(data) < protocol.HEADER or len(data) < protocol.size(
        data[: protocol.HEADER]
    ):
        piece = link.recv(65536)
        assert piece
        data += piece
    return protocol.fields(data)


def says(*frames: bytes, pause: float = 0) -> Talk:
    def talk(link: socket.socket) -> None:
        for frame in frames:
            link.sendall(frame)
            time.sleep(pause)

    return talk


def hangs(link: socket.socket) -> None:
    link.recv(1)


def reply(out: bytes = BY_AGENT, code: bytes = b"0", lines: bytes = b"") -> bytes:
    return protocol.frame(protocol.ANSWERED, code, out, lines)


@pytest.fixture
def folder() -> Iterator[Path]:
    path = short_folder("run")
    yield path
    subprocess.run(["rm", "-rf", path], check=True)


@pytest.fixture
def machine(machine: Machine, folder: Path) -> Machine:
    machine.settle()
    machine.has(grant("at-kept", expires_in=None, refresh_token=""))
    machine.environ |= {"HUSHKEY_RUNTIME_DIR": str(folder), "HUSHKEY_AGENT": "on"}
    # A CI marker keeps helpers from starting a real agent in place of the fake one.
    machine.environ["CI"] = "true"
    return machine


@pytest.fixture
def fake(folder: Path) -> Iterator[Callable[[Talk | None], Fake]]:
    made: list[Fake] = []

    def make(talk: Talk | None) -> Fake:
        made.append(Fake(folder, talk))
        return made[-1]

    yield make
    for agent in made:
        agent.close()


def get(machine: Machine, *, stdin: bytes = OURS, **environ: str) -> bytes:
    done = machine.run("git-credential-hushkey", "get", stdin=stdin, **environ)
    assert (done.stderr, done.returncode) == (b"", 0)
    return done.stdout


def test_answer_is_printed_as_it_is(
    machine: Machine, fake: Callable[[Talk], Fake]
) -> None:
    agent = fake(says(reply(code=b"3", lines=b"hushkey: a line\n")))

    done = machine.run("git-credential-hushkey", "get", "x", stdin=OURS)

    assert done.stdout == BY_AGENT
    assert (done.stderr, done.returncode) == (b"hushkey: a line\n", 3)
    installation, data, tool, number, *rest = agent.asked[0]
    assert installation == protocol.installation()
    assert (data, tool, number, rest[:2]) == (OURS, b"git", b"2", [b"get", b"x"])


def test_only_the_environment_that_matters_goes_along(
    machine: Machine, fake: Callable[[Talk], Fake]
) -> None:
    agent = fake(says(reply()))

    get(machine, SECRET_OF_MINE="s3cret", HTTPS_PROXY="http://p:1")

    pairs = dict(field.split(b"=", 1) for field in agent.asked[0][5:])
    assert set(pairs) <= {name.encode() for name in protocol.FORWARDED_VARS}
    assert pairs[b"HTTPS_PROXY"] == b"http://p:1"


@pytest.mark.parametrize(
    "talk",
    [
        pytest.param(hangs, id="says nothing"),
        pytest.param(says(), id="hangs up"),
        pytest.param(says(b"what?"), id="garbage"),
        pytest.param(says(reply()[:-3]), id="half a frame"),
        pytest.param(says(b"hk\x02" + reply()[3:]), id="another version"),
        pytest.param(says(b"hk\x01\xff\xff\xff\xff"), id="a frame of 4 GiB"),
        pytest.param(says(protocol.frame()), id="nothing in the frame"),
        pytest.param(says(protocol.frame(protocol.UI)), id="UI required"),
        pytest.param(says(protocol.frame(protocol.NOT_OURS)), id="not ours"),
        pytest.param(says(protocol.frame(protocol.ERROR)), id="error"),
        pytest.param(says(protocol.frame(b"new word", b"x")), id="unknown status"),
        pytest.param(
            says(protocol.frame(protocol.ANSWERED, b"0")), id="too few fields"
        ),
        pytest.param(says(reply(code=b"zero")), id="a code that is none"),
        pytest.param(says(protocol.frame(protocol.WORKING)), id="dies at work"),
    ],
)
def test_whatever_is_wrong_is_answered_in_process(
    machine: Machine, fake: Callable[[Talk], Fake], talk: Talk
) -> None:
    fake(talk)

    assert get(machine) == BY_ITSELF


def test_frozen_agent_costs_a_quarter_of_a_second(
    machine: Machine, fake: Callable[[Talk | None], Fake]
) -> None:
    def seconds() -> float:
        began = time.monotonic()
        assert get(machine) == BY_ITSELF
        return time.monotonic() - began

    without = min(seconds() for _ in range(3))
    fake(None)  # listens, and never accepts

    assert min(seconds() for _ in range(3)) < without + 0.25 + 0.15


def test_full_queue_of_a_frozen_agent_costs_nothing(
    machine: Machine, folder: Path, fake: Callable[[Talk | None], Fake]
) -> None:
    fake(None)
    waiting = []
    for _ in range(8):
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(0.05)
        waiting.append(link)
        try:
            link.connect(str(folder / "agent"))
        except OSError:
            break

    assert get(machine) == BY_ITSELF
    for link in waiting:
        link.close()


def test_signs_of_life_buy_time(machine: Machine, fake: Callable[[Talk], Fake]) -> None:
    working = protocol.frame(protocol.WORKING)
    fake(says(working, working, reply(), pause=0.5))

    assert get(machine) == BY_AGENT


@pytest.mark.parametrize("mode", [0o755, 0o770])
def test_folder_that_others_enter_is_not_entered(
    machine: Machine, folder: Path, fake: Callable[[Talk], Fake], mode: int
) -> None:
    agent = fake(says(reply()))
    folder.chmod(mode)

    assert get(machine) == BY_ITSELF
    assert agent.asked == []


@pytest.mark.parametrize("switch", ["off", "0", "False", " OFF "])
def test_switched_off(
    machine: Machine, fake: Callable[[Talk], Fake], switch: str
) -> None:
    agent = fake(says(reply()))

    assert get(machine, HUSHKEY_AGENT=switch) == BY_ITSELF
    assert agent.asked == []


def test_trace_is_written_by_the_process_itself(
    machine: Machine, tmp_path: Path, fake: Callable[[Talk], Fake]
) -> None:
    agent = fake(says(reply()))

    assert get(machine, HUSHKEY_LOG=str(tmp_path / "log")) == BY_ITSELF
    assert agent.asked == []
    assert "step=cached" in (tmp_path / "log").read_text()


def test_request_that_is_too_long_reaches_whoever_judges_it(
    machine: Machine, fake: Callable[[Talk], Fake]
) -> None:
    fake(says(protocol.frame(protocol.ERROR)))
    request = OURS.rstrip() + b"\n" + b"x=y\n" * 300_000

    done = machine.run("git-credential-hushkey", "get", stdin=request)

    assert b"too long" in done.stderr


def test_closed_stdin_is_an_empty_request(
    machine: Machine, fake: Callable[[Talk], Fake]
) -> None:
    fake(says(reply()))
    program = str(BIN / "git-credential-hushkey")

    done = subprocess.run(
        ["/bin/sh", "-c", f"{program} get <&-"],
        capture_output=True,
        env=machine.environ,
        timeout=30,
        check=False,
    )

    assert done.stdout == b""


def test_socket_never_takes_the_place_of_a_closed_stream(
    machine: Machine, fake: Callable[[Talk], Fake]
) -> None:
    agent = fake(says(reply()))
    program = str(BIN / "git-credential-hushkey")

    done = subprocess.run(
        ["/bin/sh", "-c", f"{program} get >&-"],
        input=OURS,
        stderr=subprocess.PIPE,
        env=machine.environ,
        timeout=30,
        check=False,
    )

    assert agent.asked == []
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("git-credential-hushkey", "get"),
        ("hushkey-answer", "kubectl"),
        ("hushkey", "token", "git.test"),
    ],
)
def test_client_loads_next_to_nothing(
    machine: Machine, fake: Callable[[Talk], Fake], words: tuple[str, ...]
) -> None:
    fake(says(reply()))
    done = subprocess.run(
        timed_imports(*words),
        input=OURS,
        capture_output=True,
        env=machine.environ,
        timeout=30,
        check=True,
    )
    assert done.stdout == BY_AGENT
    names = imported(done.stderr)

    # `os` is the last thing of Python's own that our start needs.
    assert names[names.index("os") + 1 :] == [
        "hushkey_helpers",
        "hushkey_helpers.agent",
        "hushkey_helpers.agent.protocol",
        "hushkey_helpers.agent.client",
        "_socket",
    ]
    assert "site" not in names


def test_interrupt_while_waiting_is_an_interrupt(
    machine: Machine, fake: Callable[[Talk], Fake]
) -> None:
    started = threading.Event()

    def work(link: socket.socket) -> None:
        link.sendall(protocol.frame(protocol.WORKING))
        started.set()
        hangs(link)

    fake(work)
    process = subprocess.Popen(
        [str(BIN / "git-credential-hushkey"), "get"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=machine.environ,
    )
    assert process.stdin
    process.stdin.write(OURS)
    process.stdin.flush()
    assert started.wait(10)
    os.kill(process.pid, 2)
    out, err = process.communicate(timeout=10)

    assert (out, err, process.returncode) == (b"", b"", 130)
