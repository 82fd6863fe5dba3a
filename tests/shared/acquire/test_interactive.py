import os
import signal
import subprocess
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from hushkey.acquire.interactive import Interaction
from hushkey.errors import (
    Cancelled,
    InteractionUnavailable,
    Permanent,
    StoreError,
    Transient,
    UiRequired,
)
from hushkey.model import Account, DeviceCode, HostRule, Identity
from hushkey.tokenrequest import PromptOptions, Session
from kit.oauth import (
    CORP,
    DEVICE,
    HEADLESS,
    ME,
    SITE,
    Desk,
    FakeProvider,
    Machine,
    OidcServer,
    grant,
)

LOGIN = PromptOptions(login=True)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "data")


def signs_in(desk: Desk, provider: FakeProvider, rule: HostRule = SITE) -> Any:
    acquirer = desk.process(provider, options=LOGIN)
    return acquirer.sign_in(acquirer.wanted(rule, rule.pattern))


# -- may we ask ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "options", "words"),
    [
        (
            {"HUSHKEY_INTERACTIVE": "never"},
            PromptOptions(),
            "HUSHKEY_INTERACTIVE is never",
        ),
        ({"CI": "true", "DISPLAY": ":0"}, PromptOptions(), "CI is set"),
        (
            {"DISPLAY": ":0"},
            PromptOptions(interactive=lambda: "false"),
            "credential.interactive is false",
        ),
        (
            {"DISPLAY": ":0", "HUSHKEY_INTERACTIVE": "browser"},
            PromptOptions(unattended=lambda: "cron started this"),
            "cron started this",
        ),
        (
            DEVICE,
            PromptOptions(tool_may_ask=False),
            "this tool must not wait",
        ),
        (HEADLESS, PromptOptions(), "there is no display"),
    ],
)
def test_where_nobody_may_be_asked_the_command_is_named(
    desk: Desk, environ: dict[str, str], options: PromptOptions, words: str
) -> None:
    provider = FakeProvider(sign_in=grant())

    error = desk.fails(provider, environ=environ, options=options)

    assert type(error) is InteractionUnavailable
    assert words in error.line()
    job = "a job signs in as itself: hushkey help machines"
    run = job if "CI" in environ else "run: hushkey login git.test"
    assert error.line().endswith(f"; {run}")
    assert provider.asked == []


def test_host_may_forbid_questions(desk: Desk) -> None:
    rule = HostRule("git.test", CORP, scopes=("git",), interactive="never")

    error = desk.fails(FakeProvider(), rule, environ={"DISPLAY": ":0"})

    assert 'interactive = "never"' in error.line()


def test_identity_may_lack_the_way_to_ask(desk: Desk) -> None:
    identity = Identity("corp", "oidc", client_id="c", options={"flows": ["browser"]})
    rule = HostRule("git.test", identity, scopes=("git",))

    error = desk.fails(FakeProvider(), rule)

    assert "allows only browser" in error.line()


def test_server_code_of_the_refusal_is_kept(desk: Desk) -> None:
    desk.has(grant())
    desk.clock.now += 9999
    refused = UiRequired("the server wants more", code="interaction_required")

    error = desk.fails(FakeProvider(refused), environ=HEADLESS)

    assert type(error) is InteractionUnavailable
    assert "error interaction_required" in error.line()


def test_explicit_login_that_cannot_ask_says_so(desk: Desk) -> None:
    acquirer = desk.process(options=LOGIN, environ={"HUSHKEY_INTERACTIVE": "never"})

    with pytest.raises(InteractionUnavailable, match="a sign-in was asked for"):
        acquirer.sign_in(acquirer.wanted(SITE, "git.test"))


# -- a failed sign-in ------------------------------------------------------------


def test_declined_sign_in_is_remembered_for_a_minute(desk: Desk) -> None:
    desk.fails(FakeProvider(sign_in=Cancelled("the sign-in was declined")))
    desk.clock.now += 59
    later = FakeProvider(sign_in=grant())

    error = desk.fails(later)

    assert type(error) is Cancelled
    assert "declined, 59 s ago" in error.line()
    assert error.line().endswith("run: hushkey login git.test")
    assert later.asked == []


def test_declined_sign_in_is_forgotten_after_a_minute(desk: Desk) -> None:
    desk.fails(FakeProvider(sign_in=Cancelled("declined")))
    desk.clock.now += 61

    assert desk.get(FakeProvider(sign_in=grant())).value == "at-new"


def test_explicit_login_ignores_what_was_declined(desk: Desk) -> None:
    desk.fails(FakeProvider(sign_in=Cancelled("declined")))
    desk.clock.now += 1

    provider = FakeProvider(sign_in=grant())
    assert desk.get(provider, options=LOGIN).value == "at-new"


def test_who_waited_shares_the_refusal(desk: Desk) -> None:
    began = desk.clock.now
    desk.clock.now += 5
    desk.fails(FakeProvider(sign_in=Cancelled("declined")))
    sibling = FakeProvider(sign_in=grant())

    assert type(desk.fails(sibling, began=began)) is Cancelled
    assert sibling.asked == []


class Offline(FakeProvider):
    def begin_device(self, scopes: tuple[str, ...]) -> DeviceCode:
        raise Transient("no network", hint="check the network")


def test_who_waited_is_not_sent_to_sign_in_to_a_server_that_is_away(desk: Desk) -> None:
    began = desk.clock.now
    desk.clock.now += 5
    desk.fails(Offline())

    shared = desk.fails(FakeProvider(sign_in=grant()), began=began)

    assert (type(shared), shared.hint) == (Transient, "check the network")


def test_network_fault_during_a_sign_in_keeps_no_window_closed(desk: Desk) -> None:
    assert type(desk.fails(Offline())) is Transient
    desk.clock.now += 1

    assert desk.get(FakeProvider(sign_in=grant())).value == "at-new"


def test_success_clears_what_was_declined(desk: Desk) -> None:
    desk.fails(FakeProvider(sign_in=Cancelled("declined")))
    desk.clock.now += 1
    signs_in(desk, FakeProvider(sign_in=grant(expires_in=10, refresh_token="")))
    desk.clock.now += 20

    assert desk.get(FakeProvider(sign_in=grant("again"))).value == "again"


def test_failed_sign_in_leads_to_no_second_one(desk: Desk) -> None:
    provider = FakeProvider(sign_in=Permanent("no ID token"))

    desk.fails(provider)

    assert provider.asked == ["sign-in"]


def test_many_at_once_ask_once(desk: Desk) -> None:
    provider = FakeProvider(sign_in=grant())
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
    assert provider.asked == ["sign-in"]


# -- the store is looked at first ------------------------------------------------


def test_store_that_cannot_be_written_asks_nobody(desk: Desk) -> None:
    desk.folder.mkdir()
    (desk.folder / "tokens").write_text("in the way")
    provider = FakeProvider(sign_in=grant())

    error = desk.fails(provider)

    assert type(error) is StoreError
    assert provider.asked == []


def test_lost_key_asks_nobody(desk: Desk) -> None:
    desk.has(grant())
    os.unlink(desk.folder / "key")
    provider = FakeProvider(grant(), grant())

    error = desk.fails(provider)

    assert type(error) is StoreError
    assert error.reason == "no-key"
    assert "hushkey reset" in error.line()
    assert provider.asked == []


def test_another_key_asks_nobody_and_changes_nothing(desk: Desk) -> None:
    desk.has(grant())
    (sealed,) = (desk.folder / "tokens").iterdir()
    before = sealed.read_bytes()
    other = Desk(desk.folder.parent / "other")
    other.has(grant())
    (desk.folder / "key").write_bytes((other.folder / "key").read_bytes())
    provider = FakeProvider(grant(), grant())

    error = desk.fails(provider)

    assert type(error) is StoreError
    assert error.reason == "other-key"
    assert provider.asked == []
    assert sealed.read_bytes() == before


# -- what a sign-in brings -------------------------------------------------------


def test_sign_in_replaces_even_a_fresh_token(desk: Desk) -> None:
    desk.has(grant("at-old"))

    assert signs_in(desk, FakeProvider(sign_in=grant("at-2"))).value == "at-2"
    assert desk.get(FakeProvider()).value == "at-2"


def test_narrower_grant_of_a_sign_in_is_refused(desk: Desk) -> None:
    error = desk.fails(FakeProvider(sign_in=grant(scopes=("read",))))

    assert type(error) is Permanent
    assert "granted less than the scopes asked for: read" in error.line()
    assert desk.stored().tokens() == []


def test_another_account_than_configured_is_refused(desk: Desk) -> None:
    rule = HostRule("git.test", CORP, scopes=("git",), account="you@example.com")

    error = desk.fails(FakeProvider(sign_in=grant()), rule)

    assert type(error) is Permanent
    assert "me@example.com signed in, but you@example.com was" in error.line()
    assert desk.stored().tokens() == []


@pytest.mark.parametrize("name", ["me@example.com", "ME@Example.com", "user-1", "M. E"])
def test_configured_account_may_be_any_of_its_names(desk: Desk, name: str) -> None:
    rule = HostRule("git.test", CORP, scopes=("git",), account=name)
    granted = grant(claims={"email": "me@example.com", "name": "M. E", "upn": 5})

    assert desk.get(FakeProvider(sign_in=granted), rule).account == ME


def test_server_that_names_nobody_gets_the_configured_name(desk: Desk) -> None:
    rule = HostRule("git.test", CORP, scopes=("git",), account="me")
    granted = grant(account=Account("signed-in", ""), claims={})

    desk.get(FakeProvider(sign_in=granted), rule)

    assert desk.get(FakeProvider(), rule).value == "at-new"


def test_caller_is_looked_at_only_when_somebody_is_asked(
    desk: Desk, capfd: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def command() -> str:
        asked.append("git fetch")
        return "git fetch"

    options = PromptOptions(command=command)

    desk.get(FakeProvider(sign_in=grant()), options=options)
    desk.get(FakeProvider(), options=options)

    out, err = capfd.readouterr()
    assert asked == ["git fetch"]
    assert "at-new" not in err
    assert out == ""


def test_server_without_any_way_to_ask_says_so(desk: Desk) -> None:
    class Mute(FakeProvider):
        def begin_device(self, scopes: tuple[str, ...]) -> DeviceCode:
            return None  # type: ignore[return-value]

    error = desk.fails(Mute())

    assert type(error) is InteractionUnavailable
    assert "offers no device code" in error.line()


# -- unlocking -------------------------------------------------------------------


class LockedVault:
    """A keyring that is locked until somebody unlocks it."""

    def __init__(self) -> None:
        self.unlocked = 0

    def key(self) -> bytes:
        if not self.unlocked:
            raise StoreError("locked", "the keyring is locked")
        return b"k" * 32

    def unlock(self, timeout: float) -> None:
        self.unlocked += 1


def unlock(desk: Desk, data_key: LockedVault, environ: dict[str, str]) -> None:
    acquirer = desk.process(environ=environ)
    interaction = Interaction(
        acquirer.file_of(CORP), lambda claims: FakeProvider(), acquirer.session
    )
    locked = StoreError("locked", "the keyring is locked")
    interaction.unlock(acquirer.wanted(SITE, "git.test"), locked, data_key)  # type: ignore[arg-type]


def test_keyring_is_unlocked_where_a_window_can_open(desk: Desk) -> None:
    data_key = LockedVault()

    unlock(desk, data_key, {"DISPLAY": ":0"})
    unlock(desk, data_key, {"DISPLAY": ":0"})

    assert data_key.unlocked == 1


@pytest.mark.parametrize("environ", [HEADLESS, DEVICE, {"DISPLAY": ":0", "CI": "1"}])
def test_keyring_stays_locked_where_none_can(
    desk: Desk, environ: dict[str, str]
) -> None:
    data_key = LockedVault()

    with pytest.raises(StoreError, match="locked"):
        unlock(desk, data_key, environ)
    assert data_key.unlocked == 0


# -- a fault that has been mended ---------------------------------------------------


@pytest.mark.parametrize("mends", ["config", "setting", "environment", "file", ""])
def test_fault_that_was_mended_is_not_repeated(
    desk: Desk, tmp_path: Path, mends: str
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("old")
    environ = DEVICE | {"SSL_CERT_FILE": str(ca)}
    wrong = FakeProvider(sign_in=Permanent("the server does not know the client"))
    desk.fails(wrong, environ=environ)
    desk.clock.now += 5
    rule, good = SITE, FakeProvider(sign_in=grant())
    if mends == "config":
        options = {**CORP.options, "redirect_uri": "http://127.0.0.1/x"}
        corp = Identity("corp", "oidc", client_id="c", options=options)
        rule = HostRule("git.test", corp, scopes=("git",))
    elif mends == "environment":
        environ |= {"HTTPS_PROXY": "http://p:1"}
    elif mends == "file":
        os.utime(ca, (1, 1))
    acquirer = desk.process(good, environ=environ)
    if mends == "setting":
        fields = acquirer.session._fields()
        settings = {**fields["settings"], "proxy": "http://p:1"}
        acquirer.session = Session(**fields | {"settings": settings})
    wanted = acquirer.wanted(rule, "git.test")

    if mends:
        assert acquirer.acquire(wanted).value == "at-new"
    else:
        with pytest.raises(Permanent, match="does not know the client, 5 s ago"):
            acquirer.acquire(wanted)


# -- whoever waits -----------------------------------------------------------------


def fetches(machine: Machine, folder: Path) -> "subprocess.Popen[str]":
    """Start a `git fetch` whose helper opens a browser that shows nothing."""
    folder.mkdir()
    browser = folder / "browser"
    browser.write_text("#!/bin/sh\nexit 0\n")
    browser.chmod(0o755)
    process = subprocess.Popen(
        ["git", "-c", "git-credential-hushkey get; true", "git", "fetch"],
        executable="/bin/sh",
        cwd=folder,
        env=machine.environ | {"BROWSER": str(browser), "HUSHKEY_AGENT": "off"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    assert process.stdin
    process.stdin.write("protocol=https\nhost=git.test\n\n")
    process.stdin.flush()
    return process


def said(process: "subprocess.Popen[str]", words: str) -> str:
    """Return the first line on its standard error that holds *words*."""
    assert process.stderr
    return next(line for line in process.stderr if words in line)


def test_who_waits_hears_for_whom_and_goes_on_when_that_one_is_killed(
    home: Path, tmp_path: Path
) -> None:
    with OidcServer() as server, ExitStack() as stack:
        machine = Machine(home, server.issuer)
        machine.configure()
        first = fetches(machine, tmp_path / "one")
        stack.callback(first.communicate)
        stack.callback(os.killpg, first.pid, signal.SIGKILL)
        shown = said(first, "it opens in your browser")
        second = fetches(machine, tmp_path / "two")
        stack.callback(second.communicate)
        stack.callback(os.killpg, second.pid, signal.SIGKILL)

        told = said(second, "waiting for")
        first.kill()  # git alone: its helper lives on
        asked = said(second, "it opens in your browser")

    cancel = shown.rpartition("to cancel, ")[2].rstrip(")\n")
    assert told == (
        f"hushkey: waiting for the sign-in that `git fetch` in {tmp_path}/one began; "
        f"to end it open {cancel}\n"
    )
    assert f"git fetch in {tmp_path}/two" in asked
