import itertools
import threading
from pathlib import Path
from typing import Any

import pytest

from hushkey.errors import (
    Cancelled,
    HushkeyError,
    InteractionUnavailable,
    Permanent,
    StoreError,
    Transient,
    UiRequired,
)
from hushkey.model import Account, HostRule, Request, Token, TokenKey
from hushkey.store.tokencache import TokenCache
from hushkey.tokenrequest import PromptOptions
from kit.oauth import CORP, HEADLESS, ME, SITE, Desk, FakeProvider, grant

WIDE = HostRule("hub.test", CORP, scopes=("hub",))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "data")


OLD = grant("at-old", refresh_token="rt-old")


# -- the promise -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "refresh", "sign_in", "asked", "value", "source"),
    [
        pytest.param(0, None, None, [], "at-old", "cache", id="fresh: nobody"),
        pytest.param(3299, None, None, [], "at-old", "cache", id="301 s left: nobody"),
        pytest.param(
            3301, grant(), None, ["refresh"], "at-new", "refresh", id="299 s: silent"
        ),
        pytest.param(
            9999, grant(), None, ["refresh"], "at-new", "refresh", id="expired: silent"
        ),
        pytest.param(
            9999,
            UiRequired("gone", code="invalid_grant"),
            grant("at-signed-in"),
            ["refresh", "sign-in"],
            "at-signed-in",
            "sign-in",
            id="silence refused: one sign-in",
        ),
        pytest.param(
            None, None, grant(), ["sign-in"], "at-new", "sign-in", id="nothing: sign-in"
        ),
    ],
)
def test_a_person_is_asked_last(
    desk: Desk,
    age: int | None,
    refresh: Any,
    sign_in: Any,
    asked: list[str],
    value: str,
    source: str,
) -> None:
    if age is not None:
        desk.has(OLD)
        desk.clock.now += age
    provider = FakeProvider(refresh, sign_in)

    token = desk.get(provider)

    assert provider.asked == asked
    assert (token.value, token.source) == (value, source)


def test_what_was_acquired_is_cached_for_the_next_process(desk: Desk) -> None:
    desk.get(FakeProvider(sign_in=grant()))
    nobody = FakeProvider()

    assert desk.get(nobody).value == "at-new"
    assert nobody.asked == []


@pytest.mark.parametrize(
    "error",
    [
        Transient("no network"),
        Permanent("client rejected", code="invalid_client"),
        StoreError("denied", "the keyring said no"),
        Cancelled("declined"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_other_failures_of_silence_never_sign_in(desk: Desk, error: Exception) -> None:
    desk.has(OLD)
    desk.clock.now += 9999
    provider = FakeProvider(error, grant())

    assert type(desk.fails(provider)) is type(error)
    assert provider.asked == ["refresh"]


def test_token_of_other_scopes_is_not_handed_out(desk: Desk) -> None:
    desk.has(grant("broad", scopes=("git", "hub")), asked=("git", "hub"))
    provider = FakeProvider(grant("exact"))

    assert desk.get(provider).value == "exact"


def test_host_lifetime_beats_the_settings(desk: Desk) -> None:
    desk.has(OLD)
    desk.clock.now += 3301
    rule = HostRule("git.test", CORP, scopes=("git",), min_lifetime=60)

    assert desk.get(FakeProvider(), rule).value == "at-old"


def test_error_says_for_whom(desk: Desk) -> None:
    rule = HostRule("git.test", CORP, scopes=("git",), account="me@example.com")

    error = desk.fails(FakeProvider(sign_in=Cancelled("declined")), rule)

    assert (error.host, error.identity, error.account) == (
        "git.test",
        "corp",
        "me@example.com",
    )


# -- refresh ---------------------------------------------------------------------


def test_rotated_refresh_token_replaces_the_old_one(desk: Desk) -> None:
    desk.has(OLD)
    desk.clock.now += 9999

    desk.get(FakeProvider(grant(refresh_token="rt-2")))

    assert desk.refresh_tokens() == ["rt-2"]


def test_refresh_token_that_is_not_rotated_lives_on(desk: Desk) -> None:
    desk.has(OLD)
    desk.clock.now += 9999

    desk.get(FakeProvider(grant(refresh_token="")))

    assert desk.refresh_tokens() == ["rt-old"]


def test_dead_grant_is_dropped(desk: Desk) -> None:
    desk.has(OLD)
    desk.clock.now += 9999
    dead = UiRequired("the sign-in has ended", code="invalid_grant")

    desk.fails(FakeProvider(dead, Cancelled("declined")))

    assert desk.refresh_tokens() == []


def test_grant_that_died_under_another_name_is_dropped_and_said(desk: Desk) -> None:
    desk.has(OLD)
    desk.clock.now += 9999
    dead = UiRequired("it is gone", code="bad_refresh_token", ended=True)

    desk.fails(FakeProvider(dead, Cancelled("declined")))

    assert desk.refresh_tokens() == []
    assert desk.stored().ended(ME) == int(desk.clock.now)
    unasked = desk.fails(FakeProvider(), environ=HEADLESS)
    assert "the sign-in has ended at the server" in unasked.line()
    desk.clock.now += 120
    desk.get(FakeProvider(sign_in=grant(refresh_token="")))
    assert desk.stored().ended(ME) is None


@pytest.mark.parametrize(
    "state",
    [
        Permanent("client rejected", code="invalid_client"),
        Permanent("odd"),
        UiRequired("gone", code="invalid_grant"),
    ],
    ids=["rejected", "odd", "dead"],
)
def test_login_signs_in_whatever_is_stored(desk: Desk, state: HushkeyError) -> None:
    desk.has(OLD)
    desk.clock.now += 9999
    provider = FakeProvider(state, grant("at-signed-in"))

    token = desk.get(provider, options=PromptOptions(login=True))

    assert token.value == "at-signed-in"
    assert provider.asked == ["refresh", "sign-in"]


def test_login_asks_nobody_while_the_network_is_down(desk: Desk) -> None:
    desk.has(OLD)
    desk.clock.now += 9999
    provider = FakeProvider(Transient("no network"), grant())

    error = desk.fails(provider, options=PromptOptions(login=True))

    assert type(error) is Transient
    assert provider.asked == ["refresh"]


def test_grant_that_wants_more_is_kept(desk: Desk) -> None:
    desk.has(OLD)
    desk.clock.now += 9999
    more = UiRequired("MFA", code="interaction_required")

    desk.fails(FakeProvider(more, Cancelled("declined")))

    assert desk.refresh_tokens() == ["rt-old"]


@pytest.mark.parametrize("code", ["invalid_scope", "invalid_target", "invalid_grant"])
def test_grant_that_cannot_be_widened_is_not_tried_again(desk: Desk, code: str) -> None:
    """One refresh token for one audience: that is no fault of the grant."""
    desk.has(OLD)
    kind = UiRequired if code == "invalid_grant" else Permanent
    provider = FakeProvider(kind("no", code=code), Cancelled("declined"))

    desk.fails(provider, WIDE)
    assert provider.asked == ["refresh", "sign-in"]
    assert desk.refresh_tokens() == ["rt-old"]

    desk.clock.now += 120
    provider = FakeProvider(sign_in=grant("at-hub", scopes=("hub",)))
    assert desk.get(provider, WIDE).value == "at-hub"
    assert provider.asked == ["sign-in"]
    assert len(desk.refresh_tokens()) == 2


def test_one_grant_may_serve_several_resources(desk: Desk) -> None:
    desk.has(OLD)
    provider = FakeProvider(grant("at-hub", scopes=("hub",)))

    assert desk.get(provider, WIDE).value == "at-hub"
    assert provider.redeemed == [("rt-old", ("hub",))]


def test_narrower_answer_keeps_the_grant_and_not_the_token(desk: Desk) -> None:
    desk.has(OLD)
    desk.clock.now += 9999
    narrow = grant("narrow", scopes=("read",), refresh_token="rt-2")

    error = desk.fails(FakeProvider(narrow, Cancelled("declined")))

    assert type(error) is Cancelled
    assert desk.stored().token(ME, TokenKey(("git",))) is None or (
        desk.stored().token(ME, TokenKey(("git",))).value != "narrow"
    )
    assert desk.refresh_tokens() == ["rt-2"]


def test_fault_of_an_answer_loses_no_refresh_token(desk: Desk) -> None:
    desk.has(OLD)
    desk.clock.now += 9999
    fault = Permanent("the server's ID token is not valid")
    faulty = grant("at-odd", refresh_token="rt-2", fault=fault)

    assert desk.fails(FakeProvider(faulty)).line().startswith(fault.what)
    assert desk.refresh_tokens() == ["rt-2"]
    assert "at-odd" not in {t.value for t in desk.stored().tokens()}


def test_another_account_in_a_refresh_is_refused(desk: Desk) -> None:
    desk.has(OLD)
    desk.clock.now += 9999
    provider = FakeProvider(grant("at-other", account=Account("user-2", "you")))

    error = desk.fails(provider)

    assert type(error) is Permanent
    assert "at-other" not in {t.value for t in desk.stored().tokens()}


def test_refresh_that_names_nobody_is_ours(desk: Desk) -> None:
    desk.has(OLD)
    desk.clock.now += 9999

    assert desk.get(FakeProvider(grant(account=None))).account == ME


# -- while the server is down ----------------------------------------------------


@pytest.mark.parametrize(
    ("left", "served"), [(299, True), (11, True), (9, False), (-1, False)]
)
def test_last_resort_is_a_token_that_still_lives(
    desk: Desk, left: int, served: bool
) -> None:
    desk.has(OLD)
    desk.clock.now += 3600 - left
    provider = FakeProvider(Transient("no network"))

    if served:
        assert desk.get(provider).value == "at-old"
    else:
        assert type(desk.fails(provider)) is Transient


def test_last_resort_serves_whatever_the_fault(desk: Desk) -> None:
    desk.has(OLD)
    desk.clock.now += 3600 - 299

    assert desk.get(FakeProvider(Permanent("client rejected"))).value == "at-old"


def test_last_resort_is_no_token_that_the_host_refused(desk: Desk) -> None:
    desk.has(grant("at-refused"))
    desk.process().refuse(SITE, "git.test", "at-refused")
    desk.has(grant("at-old", expires_in=100))
    desk.clock.now += 55
    provider = FakeProvider(Transient("no network"))

    assert "refuses me@example.com" in desk.fails(provider).line()


def test_who_waited_shares_the_failure(desk: Desk) -> None:
    desk.has(OLD)
    desk.clock.now += 9999
    began = desk.clock.now - 1
    desk.fails(FakeProvider(Transient("no network")))
    sibling = FakeProvider(grant())

    assert type(desk.fails(sibling, began=began)) is Transient
    assert sibling.asked == []


def test_who_comes_later_tries_again(desk: Desk) -> None:
    desk.has(OLD)
    desk.clock.now += 9999
    desk.fails(FakeProvider(Transient("no network")))
    desk.clock.now += 1

    assert desk.get(FakeProvider(grant())).value == "at-new"


def test_retry_after_is_honoured(desk: Desk) -> None:
    desk.has(OLD)
    desk.clock.now += 9999
    desk.fails(FakeProvider(Transient("too many requests", retry_after=30)))
    desk.clock.now += 29
    early = FakeProvider(grant())

    assert type(desk.fails(early)) is Transient
    assert early.asked == []
    desk.clock.now += 2
    assert desk.get(FakeProvider(grant())).value == "at-new"


def test_who_waited_takes_what_the_sibling_got(desk: Desk) -> None:
    desk.has(OLD)
    desk.clock.now += 9999
    began = desk.clock.now - 1
    short = grant("at-short", expires_in=100)
    desk.get(FakeProvider(short))
    desk.clock.now += 60  # more than half of its life is over
    sibling = FakeProvider()

    assert desk.get(sibling, began=began).value == "at-short"
    assert sibling.asked == []


def test_many_at_once_refresh_once(desk: Desk) -> None:
    desk.has(OLD)
    desk.clock.now += 9999
    provider = FakeProvider(grant())
    start = threading.Barrier(6)
    values: list[str] = []

    def run() -> None:
        start.wait()
        values.append(desk.get(provider).value)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert values == ["at-new"] * 6
    assert provider.asked == ["refresh"]


# -- a token that a host refuses -------------------------------------------------


def test_refused_token_is_refreshed(desk: Desk) -> None:
    desk.has(OLD)
    desk.clock.now += 61
    assert desk.process().refuse(SITE, "git.test", "at-old") is True

    assert desk.get(FakeProvider(grant())).value == "at-new"


def test_refused_young_token_is_not_refreshed_again(desk: Desk) -> None:
    desk.has(OLD)
    desk.clock.now += 59
    desk.process().refuse(SITE, "git.test", "at-old")
    provider = FakeProvider(grant(), grant())

    assert [desk.get(provider).value for _ in range(3)] == ["at-old"] * 3

    assert len(desk.warnings) == 3
    assert "but git.test refuses me@example.com" in desk.warnings[0]
    assert provider.asked == []


ONE, TWO = (Request("https", "git.test", f"team/{name}.git") for name in "ab")


def asks(
    desk: Desk, provider: FakeProvider, request: Request, rule: HostRule = SITE
) -> Token:
    acquirer = desk.process(provider)
    return acquirer.acquire(acquirer.wanted(rule, "git.test", request=request))


@pytest.mark.parametrize("scopes", [("git",), ()], ids=["scopes", "no scopes"])
def test_refusal_of_one_place_is_not_the_other_s(
    desk: Desk, scopes: tuple[str, ...]
) -> None:
    desk.has(grant("at-old", refresh_token="rt-old", scopes=scopes), scopes)
    rule = HostRule("git.test", CORP, scopes=scopes)
    desk.process().refuse(rule, "git.test", "at-old", request=ONE)
    provider = FakeProvider()

    assert asks(desk, provider, TWO, rule).value == "at-old"
    assert desk.warnings == []
    assert asks(desk, provider, ONE, rule).value == "at-old"
    assert "git.test/team/a.git refuses me@example.com" in desk.warnings[0]
    assert provider.asked == []


def test_refusals_lead_to_one_refresh_in_a_minute(desk: Desk) -> None:
    desk.has(OLD)
    provider = FakeProvider([grant(f"at-{n}") for n in range(9)])
    for _ in range(30):
        desk.clock.now += 10
        token = asks(desk, provider, ONE)
        desk.process().refuse(SITE, "git.test", token.value, request=ONE)

    # In 300 s: after the first 60, and then at most once in as many.
    assert 2 <= len(provider.asked) <= 5
    assert set(provider.asked) == {"refresh"}


@pytest.mark.parametrize("scopes", [("git",), ()], ids=["scopes", "no scopes"])
@pytest.mark.parametrize("declined", [False, True], ids=["signs in", "declines"])
def test_refusals_open_one_window_in_ten_minutes(
    desk: Desk, scopes: tuple[str, ...], declined: bool
) -> None:
    """Of a host whose tokens nothing can renew."""
    desk.has(grant("at-old", refresh_token="", expires_in=None, scopes=scopes), scopes)
    rule = HostRule("git.test", CORP, scopes=scopes)
    given = grant("at-new", refresh_token="", expires_in=None, scopes=scopes)
    provider = FakeProvider(sign_in=Cancelled("declined") if declined else given)
    desk.clock.now += 3600
    windows: list[float] = []
    for _ in range(120):
        desk.clock.now += 20
        before, token = len(provider.asked), None
        try:
            token = asks(desk, provider, ONE, rule)
        except Cancelled:
            assert declined
        windows += [desk.clock.now] * (len(provider.asked) - before)
        if token:
            desk.process().refuse(rule, "git.test", token.value, request=ONE)

    assert len(windows) in (3, 4)  # in 2400 s
    assert all(b - a >= 600 for a, b in itertools.pairwise(windows))


def test_login_takes_no_refused_token_for_an_answer(desk: Desk) -> None:
    desk.has(OLD)
    desk.process().refuse(SITE, "git.test", "at-old")
    provider = FakeProvider(sign_in=grant())

    assert desk.get(provider, options=PromptOptions(login=True)).value == "at-new"


def test_refused_token_that_has_ended_is_not_given_again(desk: Desk) -> None:
    desk.has(grant("at-short", refresh_token="rt", expires_in=20))
    desk.process().refuse(SITE, "git.test", "at-short")
    desk.clock.now += 30
    provider = FakeProvider()

    assert "refuses me@example.com" in desk.fails(provider).line()


def test_young_refusal_is_forgotten_after_a_minute(desk: Desk) -> None:
    desk.has(OLD)
    desk.process().refuse(SITE, "git.test", "at-old")
    desk.clock.now += 61

    assert desk.get(FakeProvider(grant())).value == "at-new"


def test_refusal_of_another_secret_changes_nothing(desk: Desk) -> None:
    desk.has(OLD)

    assert desk.process().refuse(SITE, "git.test", "typed by hand") is False
    assert desk.get(FakeProvider()).value == "at-old"


def test_refusal_without_a_secret_means_the_current_token(desk: Desk) -> None:
    desk.has(OLD)

    assert desk.process().refuse(SITE, "git.test", "") is True
    assert desk.stored().tokens() == []
    assert desk.refresh_tokens() == ["rt-old"]


def test_hashed_token_can_be_refused(desk: Desk) -> None:
    desk.has(OLD)
    desk.clock.now += 61
    process = desk.process()
    name = process.hashed(desk.get(FakeProvider()))

    process.refuse_hashed(SITE, "git.test", "of another token")
    assert len(desk.stored().tokens()) == 1
    process.refuse_hashed(SITE, "git.test", name)
    assert desk.stored().tokens() == []
    assert "at-old" not in name


# -- sign-out --------------------------------------------------------------------


def test_sign_out_forgets_everything_and_names_what_to_revoke(desk: Desk) -> None:
    desk.has(OLD)

    assert desk.process().sign_out(CORP) == ["rt-old"]
    assert desk.stored().tokens() == []
    assert desk.stored().account("") is None


def test_revoke_tells_the_server_of_each(desk: Desk) -> None:
    provider = FakeProvider()

    assert desk.process(provider).revoke(CORP, ["one", "two"]) is True
    assert provider.revoked == ["one", "two"]


# -- accounts --------------------------------------------------------------------


def test_configured_account_is_the_one_that_is_used(desk: Desk) -> None:
    you = Account("user-2", "you@example.com")
    granted = grant("at-you", refresh_token="rt-you", account=you)
    desk.has(OLD)

    def sign_in(cache: TokenCache) -> None:
        cache.keep(granted, you, TokenKey(("git",)), int(desk.clock.now))
        cache.current = you.id

    desk.change(sign_in)
    rule = HostRule("git.test", CORP, scopes=("git",), account="ME@example.com")

    assert desk.get(FakeProvider(), rule).value == "at-old"
    assert desk.get(FakeProvider()).value == "at-you"  # who signed in last


def test_user_name_of_the_url_chooses_an_account_it_names(desk: Desk) -> None:
    desk.has(OLD)
    acquirer = desk.process()

    for name in ("me@example.com", "contoso"):
        assert acquirer.acquire(acquirer.wanted(SITE, "git.test", name)).account == ME


def test_nobody_here_may_be_asked(desk: Desk) -> None:
    error = desk.fails(FakeProvider(), environ=HEADLESS)

    assert type(error) is InteractionUnavailable
    assert "nobody is signed in" in error.line()
    assert error.line().endswith("run: hushkey login git.test")
