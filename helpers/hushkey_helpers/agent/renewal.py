"""Which tokens the agent renews before anybody has to wait for it.

Those that were asked for in the last half hour, at the moment from which the next
question would have to renew them anyway, or a little earlier. Only of servers whose
old token stays good beside the new one: GitHub Apps and GitLab end the old token with
the refresh (docs.github.com "Refreshing user access tokens"; docs.gitlab.com, OAuth
2.0 API), while a clone may be under way with it, and of a plain OAuth 2.0 server it
is not known. What failed is tried again later and later; what needs a person, never.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress

from hushkey import runtime
from hushkey.errors import HushkeyError, NeedsCaller, UiRequired
from hushkey.tokenrequest import PromptOptions, TokenRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from hushkey.model import Token

    class Memory(runtime.Memory, Protocol):
        """What is remembered, in the agent and in a process of its own."""

        def settle(self) -> None:
            """Wait until a file that was saved just now counts."""

        def learned(self) -> bytes:
            """Return for `learn` what was learned in this process."""

        def learn(self, said: bytes) -> None:
            """Remember what another process has `learned`."""


#: seconds after the last question in which a token counts as in use
IN_USE = 30 * 60
#: seconds that a token is renewed earlier than a question would do it
LEAD = 60
#: seconds until a failed renewal is tried again: doubled each time, up to the end
FIRST_WAIT, LONGEST_WAIT = 60, 15 * 60
_MOST = 256


class ActiveToken:
    """A request that was answered, and the token that it was answered with."""

    __slots__ = ("asked", "environ", "failures", "not_before", "token", "wanted")

    def __init__(
        self, wanted: TokenRequest, environ: Mapping[str, str], token: Token, now: float
    ) -> None:
        self.wanted = wanted
        self.environ = environ
        self.token = token
        self.asked = now
        self.failures = 0
        self.not_before = 0.0

    def due(self) -> float:
        """Return when to renew (epoch seconds); never earlier than half its life."""
        end, begun = self.token.expires_at, self.token.obtained_at
        if end is None:
            return float("inf")
        return end - min(self.wanted.min_lifetime + LEAD, (end - begun) / 2)


class RenewalSchedule:
    """What is in use; noted by answers in any thread, looked at by the loop."""

    def __init__(self, ticks: Callable[[], float] = time.monotonic) -> None:
        self._ticks = ticks
        self._lock = threading.Lock()
        self._uses: dict[object, ActiveToken] = {}

    def note(
        self, wanted: TokenRequest, environ: Mapping[str, str], token: Token
    ) -> None:
        """Take note that *wanted* was answered with *token*."""
        if not wanted.rule.identity.keeps_old:
            return
        rule = wanted.rule
        key = (
            rule.identity.name,
            rule.token_key,
            wanted.host,
            wanted.username,
            wanted.claims,
        )
        with self._lock:
            before = self._uses.pop(key, None)
            use = ActiveToken(wanted, environ, token, self._ticks())
            if before and before.token.value == token.value:
                use.failures, use.not_before = before.failures, before.not_before
            self._uses[key] = use
            while len(self._uses) > _MOST:
                del self._uses[next(iter(self._uses))]

    def forget(self) -> None:
        """Forget what was in use."""
        with self._lock:
            self._uses.clear()

    def due(self, now: float) -> list[ActiveToken]:
        """Return what is to be renewed at *now* (epoch seconds)."""
        ticks = self._ticks()
        with self._lock:
            gone = [k for k, u in self._uses.items() if ticks - u.asked > IN_USE]
            for key in gone:
                del self._uses[key]
            return [
                use
                for use in self._uses.values()
                if use.due() <= now and use.not_before <= ticks
            ]

    def renew(self, use: ActiveToken, memory: runtime.Memory, now: float) -> None:
        """Renew the token of *use* silently, or say when to try again."""
        old = use.wanted
        # Asked for more than the usual rest, so that this is a renewal.
        lifetime = old.min_lifetime + LEAD
        wanted = old.changed(began=now, min_lifetime=lifetime)
        wait = min(FIRST_WAIT * 2**use.failures, LONGEST_WAIT)
        use.not_before = self._ticks() + wait
        use.failures += 1
        try:
            token = _silent(use, wanted, memory, now)
        except (UiRequired, NeedsCaller):
            use.not_before = float("inf")  # until it is asked for with another token
            return
        except HushkeyError as error:
            use.not_before += error.retry_after or 0
            return
        if token.value != use.token.value:
            use.token, use.failures, use.not_before = token, 0, 0.0

    def heard(self, use: ActiveToken, said: bytes, memory: Memory) -> None:
        """Take note of what `apart` said: a new token, or when to try again."""
        wait = min(FIRST_WAIT * 2**use.failures, LONGEST_WAIT)
        found = json.loads(said or b"{}")
        if "value" in found:
            memory.learn(found.pop("learned").encode())
            use.token, use.failures, use.not_before = use.token.changed(**found), 0, 0.0
        else:
            use.not_before = self._ticks() + float(found.get("seconds", wait))
            use.failures += 1


def _silent(
    use: ActiveToken,
    wanted: TokenRequest,
    memory: runtime.Memory,
    now: float,
    *,
    renews: bool = True,
) -> Token:
    from hushkey.acquire import session

    with runtime.AgentContext(memory, now, quick=False, renews=renews, counts=False):
        acquirer = session.acquirer(use.environ, now, options=PromptOptions())
        return acquirer.silent(wanted)


def apart(use: ActiveToken, memory: Memory, now: float) -> bytes:
    """Renew *use* in a process that ends with it; return what `heard` takes note of.

    *memory* is this process's own, and knows the new token in the end.
    """
    ticks = time.monotonic()
    schedule = RenewalSchedule(lambda: ticks)
    schedule.renew(use, memory, now)
    new = use.token
    if use.failures:
        return json.dumps({"seconds": str(use.not_before - ticks)}).encode()
    memory.settle()
    with suppress(HushkeyError, NeedsCaller, runtime.WouldBlock):
        _silent(use, use.wanted, memory, time.time(), renews=False)
    ends = {"obtained_at": new.obtained_at, "expires_at": new.expires_at}
    learned = memory.learned().decode()
    return json.dumps({"value": new.value, **ends, "learned": learned}).encode()
