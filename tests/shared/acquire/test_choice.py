"""Which of several accounts, where nothing says it: one question on the terminal."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hushkey.acquire.acquirer import Acquirer
from hushkey.model import Account, Request, TokenKey
from hushkey.signin import terminal
from hushkey.store.tokencache import TokenCache
from hushkey.tokenrequest import PromptOptions
from kit.oauth import SITE, Desk, FakeProvider, grant
from kit.signin import FakeTerminal

ALICE, BOB, CAROL = (Account(f"id-{n}", f"{n}@x.test") for n in ("al", "bob", "carol"))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path / "data")

    def signed_in(cache: TokenCache) -> None:
        for account in (ALICE, BOB):
            granted = grant(f"at-{account.id}", account=account)
            cache.keep(granted, account, TokenKey(SITE.scopes), int(made.clock.now))

    made.change(signed_in)
    return made


@pytest.fixture
def tty(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTerminal]:
    """A terminal that each process opens."""
    with FakeTerminal() as made:
        monkeypatch.setattr(FakeTerminal, "__exit__", lambda *_: None)
        monkeypatch.setattr(terminal, "has_terminal", lambda *_: True)
        monkeypatch.setattr(terminal, "open_terminal", lambda *_: made)
        yield made
        made.close()


def get(
    desk: Desk,
    path: str = "",
    *,
    user: str = "",
    environ: dict[str, str] | None = None,
    options: PromptOptions | None = None,
) -> str:
    """Return whose token git gets for *path*."""
    acquirer: Acquirer = desk.process(
        FakeProvider(), environ={} if environ is None else environ, options=options
    )
    request = Request("https", SITE.pattern, path, user)
    wanted = acquirer.wanted(SITE, SITE.pattern, user, request=request, person=True)
    return acquirer.acquire(wanted).account.label


def test_person_is_asked_once_and_the_answer_is_remembered(
    desk: Desk, tty: FakeTerminal
) -> None:
    tty.type("2\n")

    assert [get(desk), get(desk), get(desk, "other/app")] == [BOB.label] * 3

    assert tty.said.count("whose token") == 1
    assert f"1: {ALICE.label}" in tty.said
    assert f"hushkey switch {SITE.pattern}" in tty.said


def test_answer_counts_for_the_organisation(desk: Desk, tty: FakeTerminal) -> None:
    tty.type("2\n")
    assert get(desk, "Contoso/app.git") == BOB.label
    tty.type("1\n")
    assert get(desk, "fabrikam/app") == ALICE.label

    assert get(desk, "contoso/other") == BOB.label
    assert tty.said.count("whose token") == 2
    assert f"for {SITE.pattern}/contoso" in tty.said


def test_anything_but_a_number_is_asked_again(desk: Desk, tty: FakeTerminal) -> None:
    tty.type("bob\n0\n3\n\n2\n")

    assert get(desk) == BOB.label
    assert tty.said.count("type a number from 1 to 2") == 4


@pytest.mark.parametrize(
    "environ",
    [
        {"HUSHKEY_INTERACTIVE": "never"},
        {"HUSHKEY_INTERACTIVE": "browser"},
        {"CI": "true"},
    ],
)
def test_nobody_is_asked_where_nobody_may_be(
    desk: Desk, tty: FakeTerminal, environ: dict[str, str]
) -> None:
    assert get(desk, environ=environ) == ALICE.label
    assert tty.said == ""


@pytest.mark.parametrize(
    "options",
    [
        PromptOptions(tool_may_ask=False),
        PromptOptions(unattended=lambda: "cron started it"),
        PromptOptions(interactive=lambda: "false"),
        PromptOptions(no_terminal=lambda: "GIT_TERMINAL_PROMPT=0"),
        PromptOptions(login=True),
    ],
)
def test_nobody_is_asked_for_callers_nobody_waits_for(
    desk: Desk, tty: FakeTerminal, options: PromptOptions
) -> None:
    assert get(desk, options=options) == ALICE.label
    assert tty.said == ""


def test_nobody_is_asked_without_a_terminal(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "open_terminal", lambda *_: None)

    assert get(desk, environ={"HUSHKEY_INTERACTIVE": "device"}) == ALICE.label


def test_nobody_is_asked_where_something_says_which(
    desk: Desk, tty: FakeTerminal
) -> None:
    assert get(desk, user="bob") == BOB.label
    desk.change(lambda c: c.bind(TokenKey(SITE.scopes), SITE.pattern, BOB, here=True))
    assert get(desk) == BOB.label
    assert tty.said == ""


def test_account_that_has_nothing_for_the_host_does_not_count(
    desk: Desk, tty: FakeTerminal
) -> None:
    desk.change(lambda c: c.sign_out(BOB.id))
    other = grant("at-other", account=CAROL, refresh_token="")
    desk.change(lambda c: c.keep(other, CAROL, TokenKey(("other",)), 1))

    assert get(desk) == ALICE.label
    assert tty.said == ""


def test_who_does_not_answer_is_not_asked_again_at_once(
    desk: Desk, tty: FakeTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = PromptOptions(watch=lambda: lambda: True)

    assert get(desk, options=ended) == ALICE.label
    assert get(desk) == ALICE.label
    assert tty.said.count("whose token") == 1

    desk.clock.now += 601
    tty.type("2\n")
    assert get(desk) == BOB.label
