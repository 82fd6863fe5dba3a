"""What ends a process while it renews: a real helper, and a server that takes time."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kit.oauth import BIN, ME, Machine, OidcServer, Reply, grant

GRANTED = {
    "access_token": "at-new",
    "token_type": "Bearer",
    "expires_in": 3600,
    "refresh_token": "rt-new",
    "scope": "git",
}
REFUSED = Reply({"error": "unauthorized_client"}, 400)


class Slow:
    """A token endpoint that answers when it is told to."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.may_answer = threading.Event()

    def __call__(self, handler: Any) -> None:
        self.asked.set()
        assert self.may_answer.wait(30)
        Reply(GRANTED)(handler)


@contextmanager
def renewing(home: Path) -> Iterator[tuple[Machine, Slow, "subprocess.Popen[bytes]"]]:
    """A git helper that waits for its server, and nobody who could be asked."""
    slow = Slow()
    with OidcServer() as server:
        machine = Machine(home, server.issuer)
        machine.environ |= {"HUSHKEY_AGENT": "off", "HUSHKEY_INTERACTIVE": "never"}
        machine.configure()
        machine.has(grant("at-old", refresh_token="rt-old"), age=7200)
        server.on("/token", slow, REFUSED)
        process = subprocess.Popen(
            [str(BIN / "git-credential-hushkey"), "get"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=machine.environ,
            start_new_session=True,
        )
        assert process.stdin
        process.stdin.write(b"protocol=https\nhost=git.test\n\n")
        process.stdin.close()
        process.stdin = None
        try:
            assert slow.asked.wait(30)
            yield machine, slow, process
        finally:
            slow.may_answer.set()
            process.kill()
            process.communicate(timeout=30)


@pytest.mark.parametrize(
    ("numbers", "apart"),
    [
        pytest.param([signal.SIGINT], 0.0, id="Ctrl-C"),
        pytest.param([signal.SIGINT] * 2, 1.2, id="Ctrl-C of who insists"),
        pytest.param([signal.SIGQUIT], 0.0, id="Ctrl-backslash"),
        pytest.param([signal.SIGHUP, signal.SIGTERM], 0.0, id="closing terminal"),
    ],
)
def test_signal_to_the_group_loses_no_rotated_grant(
    home: Path, numbers: list[signal.Signals], apart: float
) -> None:
    with renewing(home) as (machine, slow, process):
        for number in numbers:
            os.killpg(process.pid, number)
            time.sleep(apart)  # after a second, a second Ctrl-C means more elsewhere
        assert process.stderr is not None
        while b"a renewal is under way" not in (said := process.stderr.readline()):
            assert said, "the process ended without a word"
        slow.may_answer.set()
        process.communicate(timeout=30)

        assert process.returncode != 0
        assert machine.token_file().read().refresh_tokens(ME.id) == ["rt-new"]
        assert machine.stored() == ["at-new"]


def test_kill_costs_one_sign_in_and_one_plain_line(home: Path) -> None:
    with renewing(home) as (machine, slow, process):
        process.kill()
        process.communicate(timeout=30)
        slow.may_answer.set()

        request = b"protocol=https\nhost=git.test\n\n"
        lines, later = (
            machine.run(
                "git-credential-hushkey", "get", stdin=request
            ).stderr.splitlines()
            for _ in range(2)
        )

        assert len([line for line in lines if b"hushkey was killed" in line]) == 1
        assert b"the sign-in has ended at the server" in lines[-1]
        assert b"killed" not in b"".join(later)
        assert b"the sign-in has ended at the server" in later[-1]
