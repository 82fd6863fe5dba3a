"""What a warm `get` costs behind `hushkey forward`, beside one on this machine.

    .venv/bin/python tests/bench/forward.py [RUNS]

In turn, in one run: `python -c pass`, git's helper with the agent here, and the same
helper on a far side that has nothing but the socket, which a real sshd forwards. A
round trip is a question of another version over that socket, which is refused unread.
"""

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.__main__ import desk
from bench.agent import DOCKER, GIT, Row, measure, warmed
from kit.desk import BIN, Desk
from servers.agent import Agent
from servers.process import clean_environ, short_folder, wait_until
from servers.ssh import SshServer

#: a far side's warm get may cost so many local ones, beside a round trip
GOAL = 1.5


@contextlib.contextmanager
def forward(made: Desk, sshd: SshServer) -> Iterator[None]:
    """`hushkey forward ssh -N`, for the one host."""
    only = ["--only", made.apache.host]
    process = subprocess.Popen(
        [str(BIN / "hushkey"), "forward", *only, "ssh", "-N", *sshd.words()],
        env=made.environ,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(sshd.socket.exists, "the forwarded socket")
        yield
    finally:
        process.terminate()
        process.wait(30)


def far_environ(socket: Path) -> dict[str, str]:
    """The environment of a far side: an empty home, and the socket."""
    home = short_folder("far")
    return clean_environ(
        HOME=str(home),
        PATH=os.environ["PATH"],
        HUSHKEY_UPSTREAM=str(socket),
        HUSHKEY_CONFIG=str(home / "config.toml"),
        HUSHKEY_SYSTEM_CONFIG="off",
        HUSHKEY_DATA_DIR=str(home / "data"),
        HUSHKEY_RUNTIME_DIR=str(home / "run"),
        HUSHKEY_AGENT="off",
    )


def round_trip(path: Path) -> float:
    """Return the seconds of one refused question."""
    began = time.perf_counter()
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(path))
        link.sendall(b"hushkey-forward 0 get\n\n")
        assert b"version" in link.recv(4096)
    return time.perf_counter() - began


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    for name in set(os.environ) - set(clean_environ()):
        del os.environ[name]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    base = Row("python -c pass", [sys.executable, "-c", "pass"])
    with contextlib.ExitStack() as stack:
        made = stack.enter_context(desk())
        agent = stack.enter_context(Agent())
        sshd = stack.enter_context(SshServer(made.ca_file))
        made.extra |= agent.environ
        made.hushkey("agent", "start")
        warmed(made, agent, 1)
        stack.enter_context(forward(made, sshd))
        far, host = far_environ(sshd.socket), made.apache.host.encode()
        asked = b"protocol=https\nhost=" + host + b"\n\n"
        pairs = [
            [
                Row(f"{tool} get, {where}", [program, "get"], stdin, environ, expected)
                for where, environ in (("here", {}), ("over there", far))
            ]
            for tool, program, stdin, expected in (
                ("git", GIT, asked, b"password="),
                ("docker", DOCKER, host, b"Secret"),
            )
        ]
        measure([row for pair in pairs for row in pair], base, runs, made)
        trips = [round_trip(sshd.socket) for _ in range(runs)]
    trip = statistics.median(trips)
    print(f"python -c pass {base.ms:.1f} ms, a round trip {trip * 1000:.1f} ms")
    for here, there in pairs:
        beside = [
            (far - trip) / near
            for near, far in zip(here.seconds, there.seconds, strict=True)
        ]
        print(
            f"{here.name} {here.ms:.1f} ms, {there.name} {there.ms:.1f} ms: "
            f"{statistics.median(beside):.2f} x and a round trip (goal {GOAL})"
        )


if __name__ == "__main__":
    main()
