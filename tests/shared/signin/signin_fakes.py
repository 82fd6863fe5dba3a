"""What the tests of the ladder's last rungs share: a provider, a voice, a clock."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hushkey.model import Account
from hushkey.provider import CodeFlow, DeviceCode, Grant
from hushkey.terminal import Terminal

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
    ) -> None:
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
