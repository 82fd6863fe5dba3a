"""What the tests of the ladder's last rungs share: a provider, a voice, a clock."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from hushkey.model import Account, CodeFlow, DeviceCode, Grant
from hushkey.signin.terminal import Terminal

GRANT = Grant("access", account=Account("id", "me@example.com"))
AUTHORIZE = "https://id.example.com/authorize"


class FakeProvider:
    """Answers as told; `polls` are raised or returned in turn."""

    issuer = "https://id.example.com"
    client_id = "c"

    def __init__(
        self,
        polls: "list[Exception | Grant] | None" = None,
        *,
        code: DeviceCode | None = None,
        redeems: "Exception | Grant" = GRANT,
        url: str | None = None,
    ) -> None:
        self._url = url
        self.polls = polls or []
        self.code = code
        self.redeems = redeems
        self.redeemed: list[Mapping[str, str]] = []
        self.redirect_uri = ""
        self.login_hint = ""

    def refresh(self, refresh_token: str, scopes: tuple[str, ...]) -> Grant:
        raise AssertionError("a sign-in never refreshes")

    def begin_code(
        self, scopes: tuple[str, ...], redirect_uri: str, login_hint: str
    ) -> CodeFlow:
        self.redirect_uri, self.login_hint = redirect_uri, login_hint
        url = f"{AUTHORIZE}?redirect_uri={redirect_uri}&state=st4te"
        url = url if self._url is None else self._url
        return CodeFlow(url, "st4te", redirect_uri, {})

    def redeem_code(self, flow: CodeFlow, answer: Mapping[str, str]) -> Grant:
        self.redeemed.append(answer)
        return answer_with(self.redeems)

    def begin_device(self, scopes: tuple[str, ...]) -> DeviceCode | None:
        return self.code

    def poll_device(self, code: DeviceCode) -> Grant:
        return answer_with(self.polls.pop(0))

    def revoke(self, refresh_token: str) -> bool:
        return False

    def account(self, access_token: str, scopes: tuple[str, ...] = ()) -> None:
        return None


def answer_with(what: "BaseException | Grant") -> Grant:
    if isinstance(what, BaseException):
        raise what
    return what


class FakeTerminal(Terminal):
    """A pipe to type into, and what was said."""

    def __init__(self) -> None:
        read, self.typing = os.pipe()
        super().__init__(read)
        self.said = ""

    def _write(self, text: str) -> None:
        self.said += text

    def type(self, text: str) -> None:
        os.write(self.typing, text.encode())

    def close(self) -> None:
        if self.typing >= 0:
            os.close(self.typing)
            self.typing = -1
        super().close()

    @contextmanager
    def raw_input(self) -> Iterator[None]:
        yield


class Clock:
    """Goes on only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def device_code(**changes: Any) -> DeviceCode:
    facts: dict[str, Any] = {
        "verification_uri": "https://id.example.com/device",
        "user_code": "WDJB-MJHT",
        "expires_in": 900,
        "interval": 2,
        "data": {},
    }
    return DeviceCode(**(facts | changes))


# -- another user of this machine ------------------------------------------------

NOBODY = 65534
_TALK = """
import socket, sys
address, port, leave = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "leave"
peer = socket.create_connection((address, port), 10)
peer.sendall(sys.stdin.buffer.read())
while not leave and (part := peer.recv(65536)):
    sys.stdout.buffer.write(part)
"""


def _python_of_everybody() -> str:
    """Return a Python that another user may run, if there is one."""
    for path in (os.path.realpath(sys.executable), "/usr/bin/python3"):
        command = [path, "-I", "-S", "-c", ""]
        with suppress(OSError, subprocess.CalledProcessError):
            subprocess.run(command, user=NOBODY, check=True, capture_output=True)
            return path
    return ""


_PYTHON = _python_of_everybody() if os.name == "posix" and os.geteuid() == 0 else ""
needs_another_user = pytest.mark.skipif(not _PYTHON, reason="only root can be another")


def another_user(
    address: str, port: int, request: bytes, *, leave: bool = False
) -> "subprocess.Popen[bytes]":
    """Connect as another user and send *request*; what comes back is its output."""
    process = subprocess.Popen(
        [_PYTHON, "-I", "-S", "-c", _TALK, address, str(port), leave * "leave"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd="/",
    )
    assert process.stdin
    process.stdin.write(request)
    process.stdin.close()
    process.stdin = None
    return process
