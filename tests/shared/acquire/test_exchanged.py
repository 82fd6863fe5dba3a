from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hushkey import runtime
from hushkey.acquire.exchanged import ExchangedCredential
from hushkey.errors import (
    HushkeyError,
    InteractionUnavailable,
    Permanent,
    Transient,
    UiRequired,
)
from hushkey.model import HostRule, Token
from hushkey.providers import exchange
from hushkey.providers.exchange.base import Context, Exchange, Refused, Secret
from hushkey_helpers.agent.memory import Memory, Watch
from hushkey_helpers.agent.renewal import RenewalSchedule
from kit.oauth import (
    CORP,
    HEADLESS,
    Desk,
    FakeProvider,
    grant,
    signed,
)

SITE = HostRule("*.reg.test", CORP, scopes=("git",), exchange="swap")
HOST = "one.reg.test"


class Swap:
    """An exchange that gives or raises in turn, the last one again and again."""

    def __init__(self, *outcomes: Secret | HushkeyError) -> None:
        self._outcomes = list(outcomes)
        self.asked: list[Context] = []

    def __call__(self, asked: Context, network: object, now: float) -> Secret:
        self.asked.append(asked)
        last = len(self._outcomes) == 1
        outcome = self._outcomes[0] if last else self._outcomes.pop(0)
        if isinstance(outcome, HushkeyError):
            raise outcome
        return outcome


Swapping = Callable[..., Swap]


@pytest.fixture
def swapping(monkeypatch: pytest.MonkeyPatch) -> Swapping:
    def make(*outcomes: Secret | HushkeyError) -> Swap:
        swap = Swap(*(outcomes or (Secret("<token>", "reg-1", 10800),)))
        monkeypatch.setattr(exchange, "KINDS", {"swap": Exchange(swap, "<token>")})
        return swap

    return make


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Somebody has signed in a moment ago."""
    made = Desk(tmp_path)
    made.has(grant("at-1", refresh_token="rt-1"))
    return made


def exchanged_credential(
    desk: Desk,
    provider: FakeProvider | None = None,
    *,
    host: str = HOST,
    rule: HostRule = SITE,
    **process: Any,
) -> ExchangedCredential:
    environ = process.get("environ", HEADLESS)
    acquirer = desk.process(provider, **process | {"environ": environ})
    return ExchangedCredential(acquirer, acquirer.wanted(rule, host))


def get(desk: Desk, provider: FakeProvider | None = None, **more: Any) -> Token:
    return exchanged_credential(desk, provider, **more).token()


def fails(desk: Desk, provider: FakeProvider | None = None, **more: Any) -> Any:
    with pytest.raises(HushkeyError) as caught:
        get(desk, provider, **more)
    return caught.value


def test_host_without_an_exchange_takes_the_token(desk: Desk) -> None:
    plain = HostRule("git.test", CORP, scopes=("git",))

    assert get(desk, rule=plain).value == "at-1"


def test_token_is_exchanged_once_and_kept(desk: Desk, swapping: Swapping) -> None:
    swap = swapping()

    values = [get(desk).value for _ in range(3)]

    assert values == ["reg-1"] * 3
    assert swap.asked == [Context(HOST, "at-1")]


def test_what_is_kept_is_found_without_a_lock_or_network(
    desk: Desk, swapping: Swapping
) -> None:
    swap = swapping()
    get(desk)

    fresh = exchanged_credential(desk).fresh()

    assert fresh is not None
    assert (fresh.value, fresh.source) == ("reg-1", "cache")
    assert len(swap.asked) == 1


def test_agent_that_may_ask_no_server_exchanges_nothing(
    desk: Desk, swapping: Swapping
) -> None:
    swap = swapping()
    memory = Memory(Watch(), RenewalSchedule())

    with (
        runtime.AgentContext(memory, 0, quick=False, renews=False),
        pytest.raises(runtime.WouldRenew),
    ):
        get(desk)

    assert swap.asked == []


def test_each_host_has_a_secret_of_its_own(desk: Desk, swapping: Swapping) -> None:
    swapping(Secret("<token>", "one", 10800), Secret("<token>", "two", 10800))

    values = [get(desk, host=f"{h}.reg.test").value for h in ("a", "b", "a", "b")]

    assert values == ["one", "two", "one", "two"]


def test_access_token_is_never_answered_for_the_host(
    desk: Desk, swapping: Swapping
) -> None:
    swapping(Permanent("no"))

    assert isinstance(fails(desk), Permanent)


@pytest.mark.parametrize(
    ("age", "exchanges"), [(10800 - 301, 1), (10800 - 299, 2), (20000, 2)]
)
def test_it_is_renewed_when_five_minutes_are_left(
    desk: Desk, swapping: Swapping, age: int, exchanges: int
) -> None:
    swap = swapping()
    provider = FakeProvider(refresh=grant("at-2"))
    get(desk)
    desk.clock.now += age

    get(desk, provider)

    assert len(swap.asked) == exchanges


def test_old_access_token_is_refreshed_before_the_exchange(
    desk: Desk, swapping: Swapping
) -> None:
    swap = swapping()
    desk.clock.now += 4000

    get(desk, FakeProvider(refresh=grant("at-2")))

    assert [asked.token for asked in swap.asked] == ["at-2"]


def test_refused_old_token_is_renewed_and_exchanged_again(
    desk: Desk, swapping: Swapping
) -> None:
    swap = swapping(Refused("no (HTTP 401)"), Secret("<token>", "reg-2", 100))
    desk.clock.now += 600

    token = get(desk, FakeProvider(refresh=grant("at-2")))

    assert token.value == "reg-2"
    assert [asked.token for asked in swap.asked] == ["at-1", "at-2"]


def test_refused_young_token_is_an_error_and_no_loop(
    desk: Desk, swapping: Swapping
) -> None:
    swap = swapping(Refused("no (HTTP 401)"))
    provider = FakeProvider(refresh=grant("at-2"))

    errors = [fails(desk, provider) for _ in range(3)]

    assert "HTTP 401" in errors[0].line()
    assert "no (HTTP 401), 0 s ago" in errors[1].line()
    assert len(swap.asked) == 1
    assert provider.asked == []


def test_twice_refused_is_an_error(desk: Desk, swapping: Swapping) -> None:
    swap = swapping(Refused("no (HTTP 401)"))
    desk.clock.now += 600

    error = fails(desk, FakeProvider(refresh=grant("at-2")))

    assert "HTTP 401" in error.line()
    assert error.host == HOST
    assert len(swap.asked) == 2


def test_refused_token_that_cannot_be_renewed_wants_a_sign_in(
    tmp_path: Path, swapping: Swapping
) -> None:
    desk = Desk(tmp_path)
    desk.has(grant("at-1", refresh_token=""))
    desk.clock.now += 600
    swapping(Refused("no (HTTP 401)"))

    assert isinstance(fails(desk), UiRequired)


def test_nobody_signed_in_asks_once_and_then_exchanges(
    tmp_path: Path, swapping: Swapping
) -> None:
    swap = swapping()
    desk = Desk(tmp_path)
    provider = FakeProvider(sign_in=grant("at-new"))

    token = get(desk, provider, environ={"HUSHKEY_INTERACTIVE": "device"})

    assert token.value == "reg-1"
    assert provider.asked == ["sign-in"]
    assert [asked.token for asked in swap.asked] == ["at-new"]


def test_nobody_signed_in_and_nobody_to_ask_is_said(
    tmp_path: Path, swapping: Swapping
) -> None:
    swap = swapping()
    desk = Desk(tmp_path)

    error = fails(desk, environ={"CI": "true"})

    assert isinstance(error, InteractionUnavailable)
    assert f"hushkey login {HOST}" in error.line()
    assert swap.asked == []


# -- when it fails -------------------------------------------------------------------


@pytest.mark.parametrize("error", [Transient("down"), Permanent("no")])
def test_what_is_alive_serves_while_the_exchange_fails(
    desk: Desk, swapping: Swapping, error: HushkeyError
) -> None:
    swapping(Secret("<token>", "reg-1", 10800), error)
    get(desk)
    desk.clock.now += 10800 - 60

    assert get(desk, FakeProvider(refresh=grant("at-2"))).value == "reg-1"


def test_what_is_alive_serves_while_the_issuer_fails(
    desk: Desk, swapping: Swapping
) -> None:
    swapping()
    get(desk)
    desk.clock.now += 10800 - 60

    assert get(desk, FakeProvider(refresh=Transient("down"))).value == "reg-1"


def test_what_has_ended_does_not_serve(desk: Desk, swapping: Swapping) -> None:
    swapping(Secret("<token>", "reg-1", 10800), Transient("down"))
    get(desk)
    desk.clock.now += 10800 - 5

    assert "down" in fails(desk, FakeProvider(refresh=grant("at-2"))).line()


def test_who_began_before_a_failure_shares_it(desk: Desk, swapping: Swapping) -> None:
    swap = swapping(Transient("down"), Secret("<token>", "reg-1", 10800))
    began = desk.clock.now
    fails(desk, began=began)
    desk.clock.now += 1

    assert "down" in fails(desk, began=began).line()
    assert len(swap.asked) == 1
    assert get(desk).value == "reg-1"


def test_server_that_said_when_is_left_alone_until_then(
    desk: Desk, swapping: Swapping
) -> None:
    swap = swapping(
        Transient("busy", retry_after=30), Secret("<token>", "reg-1", 10800)
    )
    fails(desk)
    desk.clock.now += 29
    assert "busy" in fails(desk).line()
    desk.clock.now += 2

    assert get(desk).value == "reg-1"
    assert len(swap.asked) == 2


def test_failure_of_one_registry_is_not_anothers(
    desk: Desk, swapping: Swapping
) -> None:
    swapping(Transient("busy", retry_after=30), Secret("<token>", "reg-1", 10800))
    fails(desk, host="a.reg.test")

    assert get(desk, host="b.reg.test").value == "reg-1"


def test_secret_without_an_end_is_kept_for_a_while_with_a_word(
    desk: Desk, swapping: Swapping
) -> None:
    swap = swapping(Secret("<token>", "reg-1", None))

    first, second = get(desk), get(desk)

    assert first.expires_at == second.expires_at == int(desk.clock.now) + 600
    assert len(desk.warnings) == 1
    assert len(swap.asked) == 1


# -- forgetting ----------------------------------------------------------------------


def test_forgetting_keeps_account_and_access_token(
    desk: Desk, swapping: Swapping
) -> None:
    swapping()
    get(desk)

    assert exchanged_credential(desk).forget()
    assert not exchanged_credential(desk).forget()
    assert [token.value for token in desk.stored().tokens()] == ["at-1"]
    assert desk.refresh_tokens() == ["rt-1"]


def test_sign_out_forgets_what_was_derived(desk: Desk, swapping: Swapping) -> None:
    swapping()
    get(desk)

    desk.process().sign_out(CORP)

    assert desk.stored().tokens() == []
    assert exchanged_credential(desk).usable() is None


def test_sign_out_during_an_exchange_stays_a_sign_out(
    desk: Desk, swapping: Swapping
) -> None:
    swap = swapping()

    def signs_out(asked: Context, network: object, now: float) -> Secret:
        desk.process().sign_out(CORP)
        return swap(asked, network, now)

    exchange.KINDS["swap"] = Exchange(signs_out, "x")  # type: ignore[index]

    assert "signed out" in fails(desk).line()
    assert desk.stored().tokens() == []
    assert not desk.stored().accounts
    assert exchanged_credential(desk).usable() is None


def test_alive_is_what_has_seconds_left_and_no_less(
    desk: Desk, swapping: Swapping
) -> None:
    swapping()
    get(desk)
    desk.clock.now += 10800 - 11
    usable = exchanged_credential(desk).usable()
    desk.clock.now += 2

    assert usable is not None
    assert exchanged_credential(desk).usable() is None


def test_clock_that_went_back_makes_nothing_live_longer(
    desk: Desk, swapping: Swapping
) -> None:
    swapping()
    get(desk)
    desk.clock.now -= 3600

    assert exchanged_credential(desk).usable() is None
    assert exchanged_credential(desk).fresh() is None


def test_key_of_the_exchange_is_never_sent(desk: Desk, swapping: Swapping) -> None:
    swapping()
    provider = FakeProvider(refresh=grant("at-2"))
    get(desk)
    desk.clock.now += 20000
    get(desk, provider)

    assert {scopes for _, scopes in provider.redeemed} == {("git",)}


def test_registries_asked_for_in_vain_leave_one_file_of_notes(
    desk: Desk, swapping: Swapping
) -> None:
    """Anybody's Dockerfile can name any number of registries."""
    swapping(Transient("offline"))
    for number in range(300):
        with pytest.raises(Transient):
            exchanged_credential(desk, host=f"r{number}.reg.test").token()

    assert (
        len([p for p in (desk.folder / "state").iterdir() if "exchange" in p.name]) == 1
    )
    assert (
        len([p for p in (desk.folder / "locks").iterdir() if "exchange" in p.name])
        <= 256
    )


def test_failure_at_one_registry_is_none_of_another_s(
    desk: Desk, swapping: Swapping
) -> None:
    swap = swapping(
        Transient("busy", retry_after=300), Secret("<token>", "reg-2", 10800)
    )
    with pytest.raises(Transient, match="busy"):
        exchanged_credential(desk).token()

    assert exchanged_credential(desk, host="two.reg.test").token().value == "reg-2"
    with pytest.raises(Transient, match="busy"):
        exchanged_credential(desk).token()
    assert len(swap.asked) == 2


# -- kinds that take an ID token, and keys of their own ----------------------------


@pytest.fixture
def id_swapping(monkeypatch: pytest.MonkeyPatch) -> Swap:
    swap = Swap(Secret("AWS", "reg-1", 10800), Secret("AWS", "reg-2", 10800))
    kind = Exchange(swap, "AWS", takes_proof=True)
    monkeypatch.setattr(exchange, "KINDS", {"swap": kind})
    return swap


def id_token(desk: Desk, seconds: float) -> str:
    return signed({"sub": "me", "exp": int(desk.clock.now + seconds)})


def test_id_token_of_the_sign_in_is_exchanged(desk: Desk, id_swapping: Swap) -> None:
    living = id_token(desk, 300)
    desk.has(grant("at-1", refresh_token="rt-1", beside=living))

    assert get(desk).value == "reg-1"
    (asked,) = id_swapping.asked
    assert (asked.token, asked.beside) == ("at-1", living)


@pytest.mark.parametrize("old", ["ended", "none"])
def test_id_token_that_has_ended_or_is_missing_is_renewed(
    desk: Desk, id_swapping: Swap, old: str
) -> None:
    living = id_token(desk, 300)
    gone = id_token(desk, -1) if old == "ended" else ""
    desk.has(grant("at-1", refresh_token="rt-1", beside=gone))
    provider = FakeProvider(grant("at-2", beside=living))

    assert get(desk, provider).value == "reg-1"
    assert provider.asked == ["refresh"]
    assert id_swapping.asked[0].beside == living


def test_server_that_renews_no_id_token_is_named(desk: Desk, id_swapping: Swap) -> None:
    desk.has(grant("at-1", refresh_token="rt-1"))

    error = fails(desk, FakeProvider(grant("at-2")))

    assert isinstance(error, Permanent)
    assert "https://id.test" in error.what
    assert "login --force corp" in error.hint
    assert id_swapping.asked == []


def test_other_options_are_another_secret(desk: Desk, id_swapping: Swap) -> None:
    desk.has(grant("at-1", refresh_token="rt-1", beside=id_token(desk, 300)))
    one, two = (
        HostRule(
            "*.reg.test",
            CORP,
            scopes=("git",),
            exchange="swap",
            options={"role": role},
        )
        for role in ("one", "two")
    )

    assert [get(desk, rule=rule).value for rule in (one, two, one)] == [
        "reg-1",
        "reg-2",
        "reg-1",
    ]
    assert [asked.options["role"] for asked in id_swapping.asked] == ["one", "two"]


def test_agent_remembers_no_id_token(desk: Desk) -> None:
    desk.has(grant("at-1", refresh_token="rt-1", beside="id-canary"))
    memory = Memory(Watch(), RenewalSchedule())

    memory.keep_tokens("f", (1, 2), 1, desk.stored())

    found = memory.tokens("f", (1, 2), 1)
    assert found
    assert b"at-1" in found.dumps()
    assert b"id-canary" not in found.dumps()
