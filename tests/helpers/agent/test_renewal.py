"""Which tokens are renewed unasked, when, and when no more."""

from pathlib import Path
from typing import Any

import pytest

from hushkey.acquire import acquirer, session
from hushkey.acquire.acquirer import Acquirer
from hushkey.config.identities import compiled
from hushkey.errors import Transient, UiRequired
from hushkey.model import HostRule, Identity, Token
from hushkey.tokenrequest import TokenRequest
from hushkey_helpers.agent import renewal
from hushkey_helpers.agent.memory import Memory
from hushkey_helpers.agent.renewal import (
    FIRST_WAIT,
    IN_USE,
    LEAD,
    LONGEST_WAIT,
    ActiveToken,
    RenewalSchedule,
)
from kit.agent import Told
from kit.oauth import ME
from kit.signin import Clock

NOW = 1_000_000.0


def wanted(
    provider: str = "oidc", host: str = "h", min_lifetime: int = 300
) -> TokenRequest:
    identity = Identity("corp", **compiled({"provider": provider}))
    rule = HostRule(host, identity, scopes=("git",))
    return TokenRequest(rule, host, "", NOW, min_lifetime)


def token(left: int, lifetime: int = 3600, value: str = "at") -> Token:
    ends = int(NOW) + left
    return Token(
        value, expires_at=ends, obtained_at=ends - lifetime, scopes=(), account=ME
    )


@pytest.fixture
def ticks() -> Clock:
    return Clock()


@pytest.fixture
def uses(ticks: Clock) -> RenewalSchedule:
    return RenewalSchedule(ticks)


def due(uses: RenewalSchedule, at: float = NOW) -> int:
    return len(uses.due(at))


def test_token_with_enough_left_is_not_due(uses: RenewalSchedule) -> None:
    uses.note(wanted(), {}, token(300 + LEAD + 1))

    assert due(uses) == 0
    assert due(uses, NOW + 1) == 1


def test_short_token_is_due_at_half_its_life(uses: RenewalSchedule) -> None:
    uses.note(wanted(), {}, token(200, lifetime=300))

    assert due(uses, NOW + 49) == 0
    assert due(uses, NOW + 50) == 1


def test_token_without_an_end_is_never_due(uses: RenewalSchedule) -> None:
    endless = Token("at", expires_at=None, obtained_at=1, scopes=(), account=ME)
    uses.note(wanted(), {}, endless)

    assert due(uses, NOW * 10) == 0


@pytest.mark.parametrize(
    "provider", ["github", "gitlab", "gitea", "bitbucket", "oauth2", "static"]
)
def test_server_that_may_end_the_old_token_is_left_alone(
    uses: RenewalSchedule, provider: str
) -> None:
    uses.note(wanted(provider), {}, token(10))

    assert due(uses) == 0


def test_token_that_nobody_uses_any_more_is_not_due(
    uses: RenewalSchedule, ticks: Clock
) -> None:
    uses.note(wanted(), {}, token(10))
    ticks.now += IN_USE
    assert due(uses) == 1
    ticks.now += 1
    assert due(uses) == 0


def test_same_want_counts_once_another_host_again(uses: RenewalSchedule) -> None:
    for host in ("a", "a", "b"):
        uses.note(wanted(host=host), {}, token(10))

    assert due(uses) == 2


def test_only_so_many_are_kept(uses: RenewalSchedule) -> None:
    for number in range(1000):
        uses.note(wanted(host=str(number)), {}, token(10))

    assert due(uses) == 256


class TestRenew:
    """One renewal, against an acquirer that does as told."""

    @pytest.fixture
    def memory(self, uses: RenewalSchedule) -> Memory:
        return Memory(Told(), uses)

    @pytest.fixture
    def outcomes(self, monkeypatch: pytest.MonkeyPatch, home: Path) -> list[Any]:
        told: list[Any] = []
        asked: list[TokenRequest] = []

        def silent(_: Acquirer, wanted: TokenRequest) -> Token:
            asked.append(wanted)
            outcome = told.pop(0)
            if isinstance(outcome, BaseException):
                raise outcome
            assert isinstance(outcome, Token)
            return outcome

        monkeypatch.setattr(acquirer.Acquirer, "silent", silent)
        monkeypatch.setattr(session, "leave_no_core", lambda: None)
        self.asked = asked
        return told

    def renew(self, uses: RenewalSchedule, memory: Memory, at: float = NOW) -> None:
        (use,) = uses.due(at)
        uses.renew(use, memory, at)

    def test_asks_for_more_than_a_question_would(
        self, uses: RenewalSchedule, memory: Memory, outcomes: list[Any]
    ) -> None:
        uses.note(wanted(), {}, token(10))
        outcomes.append(token(3600, value="new"))

        self.renew(uses, memory)

        assert self.asked[0].min_lifetime == 300 + LEAD
        assert due(uses) == 0
        assert due(uses, NOW + 3600) == 1

    def test_failure_waits_longer_and_longer(
        self, uses: RenewalSchedule, memory: Memory, outcomes: list[Any], ticks: Clock
    ) -> None:
        uses.note(wanted(), {}, token(10))
        for wait in (FIRST_WAIT, 2 * FIRST_WAIT, 4 * FIRST_WAIT, 8 * FIRST_WAIT):
            outcomes.append(Transient("down"))
            self.renew(uses, memory)
            ticks.now += wait - 1
            assert due(uses) == 0
            ticks.now += 1
            assert due(uses) == 1
            uses.note(wanted(), {}, token(10))  # it is still in use
        outcomes.append(Transient("down"))
        self.renew(uses, memory)
        ticks.now += LONGEST_WAIT
        assert due(uses) == 1

    def test_server_that_names_a_time_is_obeyed(
        self, uses: RenewalSchedule, memory: Memory, outcomes: list[Any], ticks: Clock
    ) -> None:
        uses.note(wanted(), {}, token(10))
        outcomes.append(Transient("busy", retry_after=500))
        self.renew(uses, memory)

        ticks.now += FIRST_WAIT + 499
        assert due(uses) == 0
        ticks.now += 1
        assert due(uses) == 1

    def test_what_needs_a_person_is_not_tried_again(
        self, uses: RenewalSchedule, memory: Memory, outcomes: list[Any], ticks: Clock
    ) -> None:
        uses.note(wanted(), {}, token(10))
        outcomes.append(UiRequired("gone"))
        self.renew(uses, memory)
        ticks.now += IN_USE - 1

        assert due(uses) == 0
        uses.note(wanted(), {}, token(10))
        assert due(uses) == 0
        uses.note(wanted(), {}, token(10, value="of a new sign-in"))
        assert due(uses) == 1

    @pytest.mark.parametrize(
        ("outcome", "seconds"),
        [
            (Transient("down"), 60.0),
            (Transient("busy", retry_after=500), 560.0),
            (UiRequired("gone"), float("inf")),
        ],
    )
    def test_apart_it_says_when_to_try_again(
        self,
        uses: RenewalSchedule,
        memory: Memory,
        outcomes: list[Any],
        ticks: Clock,
        outcome: Any,
        seconds: float,
    ) -> None:
        uses.note(wanted(), {}, token(10))
        (use,) = uses.due(NOW)
        outcomes.append(outcome)
        there = ActiveToken(use.wanted, {}, use.token, 0.0)

        uses.heard(use, renewal.apart(there, memory.copy(), NOW), memory)

        assert use.failures == 1
        # The other process reckons from its own clock, of any size.
        assert use.not_before == pytest.approx(ticks.now + seconds, abs=1e-3)

    def test_apart_it_says_what_is_new(
        self, uses: RenewalSchedule, memory: Memory, outcomes: list[Any]
    ) -> None:
        """And nothing beside: whatever was granted with it stays there."""
        uses.note(wanted(), {}, token(10))
        (use,) = uses.due(NOW)
        use.failures = 2
        new = token(3600, value="new").changed(beside="s3cret")
        outcomes += [new, UiRequired("gone meanwhile")]
        there = ActiveToken(use.wanted, {}, use.token, 0.0)

        said = renewal.apart(there, memory.copy(), NOW)
        uses.heard(use, said, memory)

        assert b"s3cret" not in said
        assert use.token == token(3600, value="new")
        assert (use.failures, use.not_before) == (0, 0.0)
        assert (due(uses), due(uses, NOW + 3600)) == (0, 1)

    def test_process_that_died_is_a_failure(
        self, uses: RenewalSchedule, ticks: Clock, memory: Memory
    ) -> None:
        uses.note(wanted(), {}, token(10))
        (use,) = uses.due(NOW)

        uses.heard(use, b"", memory)

        assert (use.failures, use.not_before) == (1, ticks.now + FIRST_WAIT)

    def test_changed_config_ends_it(
        self, uses: RenewalSchedule, memory: Memory
    ) -> None:
        memory.keep_config("c", 1, {})
        uses.note(wanted(), {}, token(10))

        memory.keep_config("c", 2, {})

        assert due(uses) == 0
