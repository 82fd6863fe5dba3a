"""Which of several accounts a silent acquisition takes, and what claims do to it."""

from pathlib import Path
from typing import Any

import pytest

from hushkey.acquire.acquirer import Acquirer
from hushkey.errors import (
    InteractionUnavailable,
    Permanent,
    Transient,
    UiRequired,
)
from hushkey.model import (
    Account,
    Grant,
    HostRule,
    Identity,
    Request,
    Token,
    TokenKey,
)
from hushkey.tokenrequest import PromptOptions, TokenRequest
from kit.oauth import (
    DEVICE,
    HEADLESS,
    Desk,
    FakeProvider,
    Outcome,
    grant,
)

HOME, AWAY = "11111111-aaaa-4aaa-8aaa-000000000001", "other.example.com"
ANN = Account(f"uid-1.{HOME}", "ann@contoso.com")
BEN = Account("uid-2.22222222-aaaa-4aaa-8aaa-000000000002", "ben@fabrikam.com")
AZURE = Identity("azure", "entra", client_id="app", tenants=True)
FEED = HostRule("dev.azure.com", AZURE, scopes=("feed/.default",))
HOST = "dev.azure.com/contoso"
CLAIMS = '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}'
CHALLENGE = (
    'Bearer error="insufficient_claims", claims="'
    "eyJhY2Nlc3NfdG9rZW4iOnsiYWNycyI6eyJlc3NlbnRpYWwiOnRydWUsInZhbHVlIjoiYzEifX19"
    '"',
)


class Directory(FakeProvider):
    """Redeems by refresh token: *says* maps one to what comes of it."""

    def __init__(self, sign_in: Outcome | None = None, **says: Outcome) -> None:
        super().__init__(sign_in=sign_in)
        self.says = says

    def refresh(self, refresh_token: str, scopes: tuple[str, ...]) -> Grant:
        self.asked.append(refresh_token)
        outcome = self.says[refresh_token]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


NOT_HERE = UiRequired("not in this tenant", code="invalid_grant")


class Azure(Desk):
    """ANN signed in last; BEN before her."""

    def sign_in(self, *accounts: Account) -> None:
        with self.process().file_of(AZURE).change(5) as change:
            for account in accounts:
                name = account.label.partition("@")[0]
                granted = grant(
                    f"at-{name}", refresh_token=name, account=account, scopes=("other",)
                )
                change.cache.keep(
                    granted, account, TokenKey(("other",)), int(self.clock.now)
                )
                change.cache.current = account.id
            change.save()

    def wanted(self, acquirer: Acquirer, rule: HostRule, **fields: Any) -> TokenRequest:
        wanted = acquirer.wanted(rule, HOST)
        changed = wanted._fields() | fields
        return TokenRequest(**changed)

    def token(
        self,
        provider: FakeProvider,
        rule: HostRule = FEED,
        *,
        environ: dict[str, str] = HEADLESS,
        options: PromptOptions | None = None,
        **fields: Any,
    ) -> Token:
        acquirer = self.process(provider, environ=environ, options=options)
        return acquirer.acquire(self.wanted(acquirer, rule, **fields))


@pytest.fixture
def desk(tmp_path: Path) -> Azure:
    desk = Azure(tmp_path / "data")
    desk.sign_in(BEN, ANN)
    return desk


def granted(account: Account, value: str = "at-new") -> Grant:
    return grant(value, refresh_token="", account=account, scopes=("feed/x",))


# -- which account ---------------------------------------------------------------


def test_account_of_the_tenant_comes_first(desk: Azure) -> None:
    provider = Directory(ann=granted(ANN), ben=granted(BEN))
    desk.sign_in(ANN, BEN)  # now BEN is the last who signed in

    assert desk.token(provider, FEED.with_tenant(HOME)).account == ANN
    assert provider.asked == ["ann"]


def test_last_who_signed_in_comes_first_where_no_tenant_tells(desk: Azure) -> None:
    provider = Directory(ann=granted(ANN), ben=granted(BEN))

    assert desk.token(provider, FEED.with_tenant(AWAY)).account == ANN


def test_every_account_is_tried_before_a_person_is_asked(desk: Azure) -> None:
    provider = Directory(ann=NOT_HERE, ben=granted(BEN))

    assert desk.token(provider, FEED.with_tenant(AWAY), environ=DEVICE).account == BEN
    assert provider.asked == ["ann", "ben"]


def test_account_that_worked_is_the_one_from_then_on(desk: Azure) -> None:
    desk.token(Directory(ann=NOT_HERE, ben=granted(BEN)))
    desk.clock.now += 9999
    provider = Directory(ann=granted(ANN), ben=granted(BEN, "at-again"))

    assert desk.token(provider).value == "at-again"
    assert provider.asked == ["ben"]


def test_reason_of_the_first_account_is_the_reason(desk: Azure) -> None:
    provider = Directory(ann=NOT_HERE, ben=UiRequired("password expired"))

    with pytest.raises(InteractionUnavailable, match="sign-in for these scopes"):
        desk.token(provider)


@pytest.mark.parametrize("error", [Transient("no network"), Permanent("no client")])
def test_other_failures_lead_to_nobody_else(desk: Azure, error: Exception) -> None:
    provider = Directory(ann=error, ben=granted(BEN))

    with pytest.raises(type(error)):
        desk.token(provider, FEED.with_tenant(HOME))
    assert provider.asked == ["ann"]


def test_named_account_is_the_only_one(desk: Azure) -> None:
    provider = Directory(ann=NOT_HERE, ben=granted(BEN))
    rule = HostRule("dev.azure.com", AZURE, scopes=FEED.scopes, account=ANN.label)

    with pytest.raises(InteractionUnavailable):
        desk.token(provider, rule)
    assert provider.asked == ["ann"]


def test_account_that_the_host_refused_makes_room_for_the_next(desk: Azure) -> None:
    provider = Directory(ann=granted(ANN), ben=granted(BEN, "at-ben"))
    first = desk.token(provider)
    desk.process().refuse(FEED, HOST, first.value)

    assert desk.token(provider).account == BEN
    desk.process().refuse(FEED, HOST, "at-ben")
    assert desk.token(provider).account == ANN
    assert "refuses ann@contoso.com" in desk.warnings[-1]


def test_place_that_refused_an_account_changes_nobody_elsewhere(desk: Azure) -> None:
    provider = Directory(ann=granted(ANN), ben=granted(BEN, "at-ben"))
    first = desk.token(provider)
    repository = Request("https", "dev.azure.com", "contoso/p/_git/secret")
    desk.process().refuse(FEED, HOST, first.value, request=repository)

    assert desk.token(provider, place=repository.path).account == BEN
    assert desk.token(provider, place="contoso/p/_git/app").account == ANN
    assert desk.token(provider, place=repository.path).account == BEN
    assert provider.asked == ["ann", "ben"]


def test_refusal_of_one_host_leaves_the_choice_for_the_others(desk: Azure) -> None:
    sign_in = Directory(granted(BEN, "at-ben"))
    acquirer = desk.process(sign_in, environ=DEVICE, options=PromptOptions(login=True))
    value = acquirer.sign_in(desk.wanted(acquirer, FEED)).value
    with desk.process().file_of(AZURE).change(5) as change:
        change.cache.current = ANN.id
        change.save()
    desk.process().refuse(FEED, HOST, value)
    provider = Directory(ann=granted(ANN), ben=granted(BEN, "at-ben"))

    assert desk.token(provider).account == ANN
    assert desk.token(provider, host="dev.azure.com/fabrikam").account == BEN


def test_accounts_of_other_servers_are_not_mixed(tmp_path: Path) -> None:
    desk = Azure(tmp_path / "data")
    corp = Identity("corp", "oidc", client_id="app", options=AZURE.options)
    with desk.process().file_of(corp).change(5) as change:
        for account in (BEN, ANN):
            name = account.label.partition("@")[0]
            kept = grant(refresh_token=name, account=account, scopes=("other",))
            change.cache.keep(kept, account, TokenKey(("other",)), int(desk.clock.now))
        change.save()
    provider = Directory(ben=NOT_HERE, ann=granted(ANN))

    with pytest.raises(UiRequired):
        desk.token(provider, HostRule("git.test", corp, scopes=("git",)))
    assert provider.asked == ["ben"]


# -- claims ----------------------------------------------------------------------


def test_token_with_the_claims_is_asked_for_once(desk: Azure) -> None:
    provider = Directory(ann=granted(ANN))
    desk.token(provider)

    for _ in range(2):
        desk.token(provider, claims=CLAIMS)

    assert provider.claims == ["", CLAIMS]


def test_refusal_with_claims_makes_the_next_refresh_ask_for_them(desk: Azure) -> None:
    provider = Directory(ann=granted(ANN))
    value = desk.token(provider).value

    desk.process().refuse(FEED, HOST, value, CHALLENGE)
    desk.token(provider)

    assert provider.claims == ["", CLAIMS]


def test_claims_of_another_provider_are_ignored(desk: Azure) -> None:
    desk.has(grant("at-old"))
    corp = HostRule(
        "git.test", Identity("corp", "oidc", client_id="c"), scopes=("git",)
    )

    assert desk.process().wanted(corp, "git.test", challenges=CHALLENGE).claims == ""


def test_sign_in_that_claims_require_carries_them(desk: Azure) -> None:
    wanted = UiRequired("a step is missing", code="interaction_required", claims=CLAIMS)
    provider = Directory(granted(ANN), ann=wanted, ben=wanted)

    token = desk.token(provider, environ=DEVICE)

    assert token.source == "sign-in"
    assert provider.claims[-1] == CLAIMS


def test_claims_ask_a_person_once_in_ten_minutes(desk: Azure) -> None:
    wanted = UiRequired("a step is missing", code="interaction_required", claims=CLAIMS)
    provider = Directory(granted(ANN), ann=wanted, ben=wanted)
    desk.token(provider, environ=DEVICE)
    asked = provider.asked.count("sign-in")
    desk.clock.now += 599
    desk.process().refuse(FEED, HOST, "at-new", CHALLENGE)

    with pytest.raises(InteractionUnavailable, match="again"):
        desk.token(provider, environ=DEVICE)
    assert provider.asked.count("sign-in") == asked
    desk.clock.now += 2
    assert desk.token(provider, environ=DEVICE).source == "sign-in"


def test_explicit_login_is_not_kept_from_asking_again(desk: Azure) -> None:
    wanted = UiRequired("a step is missing", claims=CLAIMS)
    provider = Directory(granted(ANN), ann=wanted, ben=wanted)
    desk.token(provider, environ=DEVICE)
    desk.clock.now += 90
    desk.process().refuse(FEED, HOST, "at-new", CHALLENGE)

    token = desk.token(provider, environ=DEVICE, options=PromptOptions(login=True))

    assert token.source == "sign-in"


def test_additional_step_asks_nobody_unasked(desk: Azure) -> None:
    wanted = UiRequired("enrol the device", suberror="additional_action")
    provider = Directory(granted(ANN), ann=wanted, ben=wanted)

    with pytest.raises(InteractionUnavailable, match="more than a sign-in"):
        desk.token(provider, environ=DEVICE)
    assert (
        desk.token(provider, environ=DEVICE, options=PromptOptions(login=True)).source
        == "sign-in"
    )


def test_token_without_the_claims_is_no_last_resort(desk: Azure) -> None:
    desk.token(Directory(ann=granted(ANN)))

    with pytest.raises(Transient):
        desk.token(Directory(ann=Transient("no network")), claims=CLAIMS)


def test_claims_that_take_a_person_leave_the_rest_silent(desk: Azure) -> None:
    desk.token(Directory(ann=granted(ANN)))
    wanted = UiRequired("a step is missing", code="interaction_required", claims=CLAIMS)
    with pytest.raises(InteractionUnavailable):
        desk.token(Directory(ann=wanted, ben=wanted), claims=CLAIMS)
    desk.clock.now += 9999

    token = desk.token(Directory(ann=granted(ANN, "at-again")))

    assert token.value == "at-again"


def test_claims_that_the_server_rejects_are_demanded_once(desk: Azure) -> None:
    value = desk.token(Directory(ann=granted(ANN))).value
    desk.process().refuse(FEED, HOST, value, CHALLENGE)
    provider = Directory(ann=Permanent("claims?", code="invalid_request"))

    with pytest.raises(Permanent):
        desk.token(provider)
    desk.clock.now += 1
    token = desk.token(Directory(ann=granted(ANN, "at-again")))

    assert provider.claims == [CLAIMS]
    assert token.value == "at-again"


def test_claims_of_a_host_ask_once_whatever_tenant_it_names(desk: Azure) -> None:
    wanted = UiRequired("a step is missing", code="interaction_required", claims=CLAIMS)
    provider = Directory(granted(ANN), ann=wanted, ben=wanted)
    desk.token(provider, FEED.with_tenant(HOME), environ=DEVICE)

    with pytest.raises(InteractionUnavailable, match="again"):
        desk.token(provider, FEED.with_tenant("evil.example.com"), environ=DEVICE)
    assert provider.asked.count("sign-in") == 1


def test_sign_in_for_the_server_s_claims_serves_who_wanted_the_host_s(
    desk: Azure,
) -> None:
    more = '{"access_token":{"capolids":{"essential":true,"values":["p"]}}}'
    both = (
        '{"access_token":{"acrs":{"essential":true,"value":"c1"},'
        '"capolids":{"essential":true,"values":["p"]}}}'
    )
    wanted = UiRequired("a step is missing", code="interaction_required", claims=more)
    provider = Directory(granted(ANN), ann=wanted, ben=wanted)
    first = desk.token(provider, environ=DEVICE, claims=CLAIMS)

    second = desk.token(provider, environ=DEVICE, claims=CLAIMS)

    assert provider.claims[-1] == both
    assert second.value == first.value
    assert provider.asked.count("sign-in") == 1


def test_forced_sign_in_carries_the_claims_that_were_demanded(desk: Azure) -> None:
    provider = Directory(granted(ANN), ann=granted(ANN))
    value = desk.token(provider).value
    desk.process().refuse(FEED, HOST, value, CHALLENGE)
    acquirer = desk.process(provider, environ=DEVICE, options=PromptOptions(login=True))

    acquirer.sign_in(desk.wanted(acquirer, FEED))

    assert provider.claims[-1] == CLAIMS


# -- who shares a failure --------------------------------------------------------


def test_failure_of_one_account_is_not_the_other_s(desk: Azure) -> None:
    began = desk.clock.now
    with pytest.raises(InteractionUnavailable):
        desk.token(
            Directory(ann=NOT_HERE),
            HostRule("dev.azure.com", AZURE, scopes=FEED.scopes, account=ANN.label),
        )
    rule = HostRule("dev.azure.com", AZURE, scopes=FEED.scopes, account=BEN.label)

    token = desk.token(Directory(ben=granted(BEN)), rule, began=began)

    assert token.account == BEN


def test_refusal_of_one_host_is_not_the_other_s(desk: Azure) -> None:
    began = desk.clock.now
    provider = Directory(ann=granted(ANN))
    rule = HostRule("dev.azure.com", AZURE, scopes=FEED.scopes, account=ANN.label)
    value = desk.token(provider, rule).value
    desk.process().refuse(FEED, HOST, value)
    desk.token(provider, rule)
    assert len(desk.warnings) == 1

    token = desk.token(provider, rule, host="dev.azure.com/fabrikam", began=began)

    assert token.account == ANN
    assert len(desk.warnings) == 1


def test_failure_is_shared_by_whoever_waited_for_it(desk: Azure) -> None:
    began = desk.clock.now
    provider = Directory(ann=NOT_HERE, ben=NOT_HERE)
    for host in (HOST, "dev.azure.com/fabrikam"):
        with pytest.raises(InteractionUnavailable):
            desk.token(provider, began=began, host=host)

    assert provider.asked == ["ann", "ben"]


def test_user_name_of_one_url_chooses_nobody_for_the_others(desk: Azure) -> None:
    with desk.process().file_of(AZURE).change(5) as change:
        change.cache.accounts[BEN.id]["names"] = ["Ben"]
        change.save()
    provider = Directory(ann=granted(ANN), ben=granted(BEN))

    desk.token(provider, username="Ben")

    assert desk.token(provider).account == ANN


# -- what accounts are called ----------------------------------------------------


def test_tenant_of_a_guest_gives_no_account_another_s_name(tmp_path: Path) -> None:
    desk = Azure(tmp_path / "data")
    desk.sign_in(ANN, BEN)
    says = {"tid": BEN.id.rpartition(".")[2], "preferred_username": BEN.label}
    lie = grant(account=Account(ANN.id, BEN.label), scopes=FEED.scopes, claims=says)
    acquirer = desk.process(Directory(lie), environ=DEVICE)

    token = acquirer.sign_in(desk.wanted(acquirer, FEED))

    cache = acquirer.file_of(AZURE).read()
    assert token.account == ANN
    assert cache.account(ANN.label) == ANN
    assert cache.account(BEN.label) == BEN


def test_tenant_in_capitals_is_the_same_home(desk: Azure) -> None:
    desk.sign_in(ANN, BEN)
    options = {"tenant": HOME.upper()}
    rule = HostRule(
        "dev.azure.com",
        Identity("azure", "entra", client_id="app", options=options, tenants=True),
        scopes=FEED.scopes,
    )

    assert desk.token(Directory(ann=granted(ANN)), rule).account == ANN
