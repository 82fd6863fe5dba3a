"""Whose token is meant by a user name in a URL, and who may come back for it."""

from pathlib import Path

import pytest

from hushkey.errors import InteractionUnavailable, Permanent, UiRequired
from hushkey.model import Account, HostRule, Identity, Token
from hushkey.tokenrequest import TokenRequest, may_be_person
from kit.oauth import CORP, HEADLESS, ME, SITE, Desk, FakeProvider, grant

BOB = Account("user-2", "bob@example.com")
NAMELESS = Account("f3c1", "f3c1")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "data")


def asks(
    desk: Desk,
    name: str,
    provider: FakeProvider,
    rule: HostRule = SITE,
    *,
    person: bool = True,
    environ: dict[str, str] | None = None,
) -> tuple[TokenRequest, Token]:
    acquirer = desk.process(provider, environ=environ)
    wanted = acquirer.wanted(rule, rule.pattern, name, person=person)
    return wanted, acquirer.acquire(wanted)


def known(desk: Desk, account: Account, token: str, **claims: str) -> None:
    """Let *account* have signed in, and be called what *claims* say."""
    names = claims or {"email": account.label}

    def keep(cache: object) -> None:
        granted = grant(token, account=account, claims=names)
        cache.keep(granted, account, SITE.token_key, int(desk.clock.now))  # type: ignore[attr-defined]
        cache.accounts[account.id]["names"] = list(names.values())  # type: ignore[attr-defined]

    desk.change(keep)


@pytest.mark.parametrize("name", ["bob", "BOB", "bob@example.com", "user-2", "Bob B"])
def test_name_of_a_known_account_picks_it(desk: Desk, name: str) -> None:
    known(desk, ME, "at-me")
    known(desk, BOB, "at-bob", email="bob@example.com", name="Bob B")

    assert asks(desk, name, FakeProvider())[1].value == "at-bob"


def test_name_that_two_go_by_picks_neither(desk: Desk) -> None:
    known(desk, Account("a", "bob@a.test"), "at-a")
    known(desk, Account("b", "bob@b.test"), "at-b")

    assert asks(desk, "bob", FakeProvider())[1].value == "at-a"


def test_unknown_name_is_told_whose_token_it_gets(desk: Desk) -> None:
    known(desk, ME, "at-me")
    acquirer = desk.process(FakeProvider())

    wanted, token = asks(desk, "carol", FakeProvider())

    assert token.value == "at-me"
    assert acquirer.named(wanted, token) == ME.label


def test_unknown_address_is_not_signed_in(desk: Desk) -> None:
    known(desk, ME, "at-me")

    with pytest.raises(InteractionUnavailable) as caught:
        asks(desk, "carol@x.test", FakeProvider(), environ=HEADLESS)

    assert "carol@x.test is not signed in" in caught.value.line()
    assert caught.value.line().endswith("run: hushkey login carol%40x.test@git.test")


def test_where_any_name_will_do_an_unknown_address_is_nobody(desk: Desk) -> None:
    known(desk, ME, "at-me")

    _, token = asks(desk, "carol@x.test", FakeProvider(), person=False)

    assert token.value == "at-me"


def test_who_is_to_sign_in_may_be_called_by_less_than_the_address(desk: Desk) -> None:
    rule = SITE.with_account("bob")
    known(desk, ME, "at-me")
    signed = FakeProvider(
        sign_in=grant("at-bob", account=BOB, claims={"email": BOB.label})
    )

    assert asks(desk, "", signed, rule)[1].value == "at-bob"
    assert asks(desk, "", FakeProvider(), rule)[1].value == "at-bob"


@pytest.mark.parametrize("name", ["bob", "bob@example.com"])
def test_somebody_else_who_comes_back_is_not_stored(desk: Desk, name: str) -> None:
    provider = FakeProvider(sign_in=grant("at-me", account=ME))

    with pytest.raises(Permanent) as caught:
        asks(desk, name, provider)

    line = caught.value.line()
    assert f"me@example.com signed in, but {name} was asked for" in line
    assert "nothing was stored" in line
    assert desk.stored().accounts == {}
    assert desk.stored().tokens() == []


def test_who_was_asked_for_is_stored_and_no_choice_for_others(desk: Desk) -> None:
    known(desk, ME, "at-me")
    desk.change(lambda cache: cache.bind(SITE.token_key, "git.test", ME, here=False))
    signed = grant("at-bob", account=BOB, claims={"email": BOB.label})

    _, token = asks(desk, "bob@example.com", FakeProvider(sign_in=signed))

    assert token.account == BOB
    assert asks(desk, "", FakeProvider())[1].value == "at-me"


def test_account_that_was_here_is_not_renamed(desk: Desk) -> None:
    """A server that tells ids alone: the one of before is not somebody else now."""
    provider = FakeProvider(sign_in=grant("at-1", account=NAMELESS, claims={}))
    asks(desk, "", provider)

    with pytest.raises(Permanent, match=r"but bob@x\.test was asked for"):
        asks(desk, "bob@x.test", provider)

    assert desk.stored().accounts["f3c1"]["names"] == []


def test_convention_never_names_an_account_without_names(desk: Desk) -> None:
    provider = FakeProvider(sign_in=grant("at-1", account=NAMELESS, claims={}))

    wanted, token = asks(desk, "bob", provider)

    assert token.value == "at-1"
    assert desk.stored().accounts["f3c1"]["names"] == []
    assert desk.process(provider).named(wanted, token) == "f3c1"


def test_server_that_names_nobody_serves_every_name(desk: Desk) -> None:
    provider = FakeProvider(sign_in=grant("at-1", account=None, claims={}))

    wanted, token = asks(desk, "bob", provider)

    assert desk.process(provider).named(wanted, token) == "bob"
    assert asks(desk, "carol", FakeProvider())[1].value == "at-1"


def test_account_that_no_server_names_is_not_shown_by_our_own_id(desk: Desk) -> None:
    provider = FakeProvider(sign_in=grant("at-1", account=None, claims={}))

    _, token = asks(desk, "", provider)

    assert token.account.label == ""
    assert token.account.shown == "unnamed"
    assert (BOB.shown, NAMELESS.shown) == ("bob@example.com", "f3c1")
    assert Account("f3c1", "").shown == "f3c1"


AZURE = HostRule("dev.azure.com", Identity("a", "entra", tenants=True))
GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.mark.parametrize(
    ("name", "rule", "may"),
    [
        ("bob", SITE, True),
        ("bob@example.com", SITE, True),
        ("bob@example.com", AZURE, True),
        ("contoso", AZURE, False),
        ("team", HostRule("git.test/team", CORP), False),
        ("bob", HostRule("git.test/team", CORP), True),
        ("svc", HostRule("git.test", CORP, username="svc"), False),
        ("own", HostRule("git.test", Identity("x", "oidc", git_user="own")), False),
        *[
            (name, SITE, False)
            for name in ("", "git", "GIT", "oauth2", "x-access-token", "<token>", GUID)
        ],
        ("\udcff", SITE, False),
        ("token2", SITE, True),
    ],
)
def test_names_that_may_be_a_persons(name: str, rule: HostRule, may: bool) -> None:
    assert may_be_person(name, rule) is may


def test_config_s_account_is_before_the_url(desk: Desk) -> None:
    known(desk, ME, "at-me")
    known(desk, BOB, "at-bob")
    rule = SITE.with_account(ME.label)
    acquirer = desk.process(FakeProvider())

    wanted, token = asks(desk, "bob", FakeProvider(), rule)

    assert token.value == "at-me"
    assert acquirer.named(wanted, token) == ME.label
    with pytest.raises(UiRequired, match=r"carol@x\.test is not signed in"):
        unknown = SITE.with_account("carol@x.test")
        acquirer.silent(acquirer.wanted(unknown, "git.test"))


def test_account_that_the_server_does_not_name_again_stays_one(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "data")
    rule = SITE.with_account("me@example.com")
    desk.has(grant("at-old", refresh_token="", account=ME, expires_in=1))
    desk.clock.now += 60
    unnamed = grant("at-new", account=None, claims={})

    token = desk.get(FakeProvider(sign_in=unnamed), rule)

    assert token.account == ME
    assert list(desk.stored().accounts) == [ME.id]
    assert desk.get(FakeProvider(), rule).value == "at-new"
