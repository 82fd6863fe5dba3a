import http.client
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from hushkey.errors import (
    Cancelled,
    HushkeyError,
    InteractionUnavailable,
    Permanent,
    StoreError,
    Transient,
)
from hushkey.model import Grant
from hushkey.signin import flow
from hushkey.signin.flow import PromptSubject, sign_in
from hushkey.signin.policy import PromptDecision
from kit.signin import (
    GRANT,
    Clock,
    FakeProvider,
    FakeTerminal,
    device_code,
)

WHO = PromptSubject("git.example.com", identity="corp", command="git fetch in /repo")
ALL = ("browser", "paste", "device")


@pytest.fixture
def terminal() -> Iterator[FakeTerminal]:
    with FakeTerminal() as made:
        yield made


@pytest.fixture
def browser(tmp_path: Path) -> str:
    return script(tmp_path, "browser", "exit 0")


def script(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def climb(
    provider: FakeProvider,
    *methods: str,
    browser: str = "",
    terminal: FakeTerminal | None = None,
    finish: Callable[[Grant], None] = lambda _: None,
    timeout: float = 20,
    **more: Any,
) -> Grant:
    environ = {"BROWSER": browser, "PATH": os.defpath} if browser else {}
    return sign_in(
        provider,
        ("openid",),
        who=WHO,
        decision=PromptDecision(methods),
        redirect_uri="http://127.0.0.1/",
        login_hint="me",
        timeout=timeout,
        finish=finish,
        terminal=terminal,
        **{"environ": environ} | more,
    )


def until_said(terminal: FakeTerminal, text: str) -> None:
    end = time.monotonic() + 10
    while text not in terminal.said:
        assert time.monotonic() < end
        time.sleep(0.01)


class Person(threading.Thread):
    """Does *act* with the redirect URI as soon as the sign-in has one."""

    def __init__(self, provider: FakeProvider, act: Callable[[str], Any]) -> None:
        super().__init__()
        self._provider, self._act = provider, act
        self.result: Any = None

    def run(self) -> None:
        end = time.monotonic() + 10
        while not self._provider.redirect_uri:
            assert time.monotonic() < end
            time.sleep(0.005)
        self.result = self._act(self._provider.redirect_uri)

    def __enter__(self) -> "Person":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.join(20)


def visit(redirect_uri: str, query: str = "?code=c&state=st4te&iss=i") -> str:
    """Fetch the redirect as a browser does, until the state is expected."""
    parts = urlsplit(redirect_uri)
    while True:
        connection = http.client.HTTPConnection(
            "127.0.0.1", parts.port or 0, timeout=10
        )
        try:
            connection.request("GET", f"{parts.path}{query}")
            response = connection.getresponse()
            page = response.read().decode()
        finally:
            connection.close()
        if response.status != 400:
            return page


def test_browser_signs_in_and_every_parameter_is_handed_on(browser: str) -> None:
    provider = FakeProvider()
    with Person(provider, visit) as person:
        grant = climb(provider, "browser", browser=browser)

    assert grant is GRANT
    assert provider.redeemed == [{"code": "c", "state": "st4te", "iss": "i"}]
    assert provider.login_hint == "me"
    assert "You are signed in" in person.result
    assert "me@example.com" in person.result


def test_browser_without_terminal_is_announced_in_one_line(
    browser: str, capfd: pytest.CaptureFixture[str]
) -> None:
    provider = FakeProvider()
    with Person(provider, visit):
        climb(provider, "browser", browser=browser)

    out, err = capfd.readouterr()
    assert out == ""
    asks, done = err.splitlines()
    assert asks.startswith("hushkey: git fetch in /repo needs a sign-in to git.example")
    assert "it opens in your browser; if not, open http://127.0.0.1:" in asks
    assert "(to cancel, http://127.0.0.1:" in asks
    assert done == "hushkey: signed in to git.example.com as me@example.com"


def test_caller_who_says_who_signed_in_is_not_doubled(
    browser: str,
    terminal: FakeTerminal,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.isatty", lambda _: True)
    provider = FakeProvider()
    with Person(provider, visit):
        climb(provider, *ALL, browser=browser, terminal=terminal, says_who=True)

    assert "signed in to" not in capfd.readouterr().err + terminal.said


def test_standard_error_that_is_no_terminal_hears_who_signed_in_too(
    browser: str, terminal: FakeTerminal, capfd: pytest.CaptureFixture[str]
) -> None:
    provider = FakeProvider()
    with Person(provider, visit):
        climb(provider, *ALL, browser=browser, terminal=terminal)

    done = "hushkey: signed in to git.example.com as me@example.com\n"
    assert terminal.said.endswith(done[len("hushkey: ") :])
    assert capfd.readouterr().err == done


def test_nothing_of_the_request_is_on_a_command_line(
    tmp_path: Path, terminal: FakeTerminal
) -> None:
    told = tmp_path / "told"
    browser = script(
        tmp_path, "browser", f'printf "%s\\n" "$@" > {told}.new\nmv {told}.new {told}'
    )
    provider = FakeProvider()

    def follow(uri: str) -> tuple[int, str, str]:
        end = time.monotonic() + 10
        while not told.exists():
            assert time.monotonic() < end
            time.sleep(0.01)
        url = told.read_text().strip()
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
        try:
            connection.request("GET", urlsplit(url).path)
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        visit(uri)
        return answer.status, str(answer.headers["Location"]), url

    with Person(provider, follow) as person:
        climb(provider, *ALL, browser=browser, terminal=terminal)

    status, location, url = person.result
    assert status == 302
    assert location.startswith("https://id.example.com/authorize?redirect_uri=http://")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{20,}", url)
    assert url in terminal.said
    assert location not in terminal.said


def test_address_for_another_machine_is_the_whole_request(
    browser: str, terminal: FakeTerminal
) -> None:
    """Over SSH the person's browser is elsewhere, whatever BROWSER starts here."""
    provider = FakeProvider()
    with Person(provider, visit):
        environ = {"BROWSER": browser, "PATH": os.defpath, "SSH_TTY": "/dev/pts/1"}
        climb(provider, *ALL, terminal=terminal, environ=environ)

    assert "https://id.example.com/authorize?redirect_uri=http://" in terminal.said


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "https://h/\r\nSet-Cookie: a=b", "https://h/a b", ""]
)
def test_request_that_is_no_web_address_is_shown_to_nobody(
    url: str, browser: str, terminal: FakeTerminal
) -> None:
    provider = FakeProvider(url=url)
    for methods in (("browser",), ("paste",)):
        with pytest.raises(Permanent, match="sign-in page"):
            climb(provider, *methods, browser=browser, terminal=terminal)
    assert terminal.said == ""


def test_signed_in_is_shown_only_after_everything_was_stored(browser: str) -> None:
    provider = FakeProvider()
    with Person(provider, visit) as person:
        before: list[bool] = []

        def finish(grant: Grant) -> None:
            assert grant is GRANT
            before.append(person.is_alive())

        climb(provider, "browser", browser=browser, finish=finish)

    assert before == [True]


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (
            Cancelled("access was denied"),
            ("You are not", "Access was denied."),
        ),
        (
            Transient("the server <is> busy", hint="try later"),
            (
                "The sign-in failed",
                "&lt;is&gt; busy",
                f"hushkey {version('hushkey')}, ",
            ),
        ),
    ],
)
def test_failed_redeeming_is_shown_and_raised(
    error: HushkeyError, shown: tuple[str, ...], browser: str
) -> None:
    provider = FakeProvider(redeems=error)
    with Person(provider, visit) as person, pytest.raises(type(error)) as caught:
        climb(provider, "browser", browser=browser)

    assert [text for text in shown if text not in person.result] == []
    assert "git fetch in /repo" in person.result  # who asked
    assert 'class="state bad"' in person.result or isinstance(error, Cancelled)
    assert caught.value.host == "git.example.com"
    assert caught.value.identity == "corp"


def test_failed_storing_is_shown_and_raised(browser: str) -> None:
    def finish(_: Grant) -> None:
        raise StoreError("locked", "the keyring is locked")

    provider = FakeProvider()
    with Person(provider, visit) as person, pytest.raises(StoreError):
        climb(provider, "browser", browser=browser, finish=finish)

    assert "The keyring is locked." in person.result


def test_fault_of_ours_shows_none_of_its_text(browser: str) -> None:
    def finish(_: Grant) -> None:
        raise ValueError("s3cret")

    provider = FakeProvider()
    with Person(provider, visit) as person, pytest.raises(ValueError, match="s3cret"):
        climb(provider, "browser", browser=browser, finish=finish)

    assert "unexpected" in person.result
    assert "s3cret" not in person.result


def test_pasted_redirect_signs_in(terminal: FakeTerminal) -> None:
    provider = FakeProvider()

    def paste(uri: str) -> None:
        terminal.type(f"{uri}?code=x&state=wrong\r")
        until_said(terminal, "that is not the address")
        terminal.type(f"{uri}?code=c&state=st4te\r")

    with Person(provider, paste):
        climb(provider, "paste", terminal=terminal)

    assert provider.redeemed == [{"code": "c", "state": "st4te"}]
    assert "hushkey: git fetch in /repo needs a sign-in to git.example" in terminal.said
    assert "https://id.example.com/authorize?redirect_uri=http://127" in terminal.said
    assert "Ctrl-C cancels" in terminal.said
    assert terminal.said.endswith("signed in to git.example.com as me@example.com\n")


def test_browser_and_paste_wait_at_the_same_time(
    browser: str, terminal: FakeTerminal
) -> None:
    for act in (visit, lambda uri: terminal.type(f"{uri}?code=c&state=st4te\r")):
        provider = FakeProvider()
        with Person(provider, act):
            climb(provider, *ALL, browser=browser, terminal=terminal)

        assert provider.redeemed[0]["code"] == "c"


def test_forwarded_port_answers_the_printed_address(terminal: FakeTerminal) -> None:
    provider = FakeProvider()
    with Person(provider, visit) as person:
        climb(provider, "paste", "device", terminal=terminal)

    assert "You are signed in" in person.result


def test_failing_browser_leaves_the_printed_address(
    tmp_path: Path, terminal: FakeTerminal
) -> None:
    provider = FakeProvider()

    def wait_and_paste(uri: str) -> None:
        until_said(terminal, "could not be started")
        terminal.type(f"{uri}?code=c&state=st4te\r")

    with Person(provider, wait_and_paste):
        bad = script(tmp_path, "bad", "exit 3")
        climb(provider, "browser", "paste", browser=bad, terminal=terminal)

    assert provider.redeemed
    _, _, then = terminal.said.partition("could not be started")
    assert "https://id.example.com/authorize?redirect_uri=http://127" in then


def test_failing_browser_alone_ends_at_once(tmp_path: Path) -> None:
    bad = script(tmp_path, "bad", "exit 3")
    began = time.monotonic()

    with pytest.raises(InteractionUnavailable, match="browser could not") as caught:
        climb(FakeProvider(), "browser", browser=bad)
    assert time.monotonic() - began < 5
    assert caught.value.hint == "run: hushkey login git.example.com"


def test_missing_browser_falls_to_the_device_code(terminal: FakeTerminal) -> None:
    provider = FakeProvider([GRANT], code=device_code())
    clock = Clock()
    stored: list[Grant] = []

    grant = climb(
        provider,
        "browser",
        "device",
        terminal=terminal,
        finish=stored.append,
        clock=clock,
        sleep=clock.sleep,
    )
    assert grant is GRANT
    assert stored == [GRANT]
    assert "WDJB-MJHT" in terminal.said
    assert "git fetch in /repo needs" in terminal.said


def test_enter_alone_asks_for_a_device_code(terminal: FakeTerminal) -> None:
    provider = FakeProvider([GRANT], code=device_code(interval=0.01))
    with Person(provider, lambda _: terminal.type("\r")):
        climb(provider, "paste", "device", terminal=terminal)

    assert "WDJB-MJHT" in terminal.said


def test_enter_alone_changes_nothing_where_there_is_no_device_code(
    terminal: FakeTerminal,
) -> None:
    provider = FakeProvider()

    def enter_and_paste(uri: str) -> None:
        terminal.type("\r")
        until_said(terminal, "offers no device code")
        terminal.type(f"{uri}?code=c&state=st4te\r")

    with Person(provider, enter_and_paste):
        climb(provider, "paste", "device", terminal=terminal)

    assert provider.redeemed


def test_device_code_asked_for_by_name_goes_to_standard_error(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = FakeProvider([GRANT], code=device_code())
    clock = Clock()
    monkeypatch.setattr("hushkey.signin.flow.open_terminal", lambda _: None)
    climb(provider, "device", clock=clock, sleep=clock.sleep)

    out, err = capfd.readouterr()
    assert out == ""
    assert "WDJB-MJHT" in err


def test_device_rung_without_an_offer_is_unavailable(terminal: FakeTerminal) -> None:
    with pytest.raises(InteractionUnavailable, match="no device code"):
        climb(FakeProvider(), "device", terminal=terminal)


def test_no_rung_raises_with_reason_and_command() -> None:
    decision = PromptDecision((), "this is a CI job (CI is set)")
    with pytest.raises(InteractionUnavailable) as caught:
        sign_in(
            FakeProvider(),
            (),
            who=WHO,
            decision=decision,
            redirect_uri="http://127.0.0.1/",
            environ={},
            timeout=1,
            finish=lambda _: None,
        )

    assert caught.value.line() == (
        "a sign-in is needed, but this is a CI job (CI is set) "
        "(host git.example.com, identity corp); run: hushkey login git.example.com"
    )


def test_timeout_is_cancelled_with_its_length(browser: str) -> None:
    with pytest.raises(Cancelled, match=r"no answer within \d s"):
        climb(FakeProvider(), "browser", browser=browser, timeout=0.3)


def test_cancel_link_is_cancelled(
    browser: str, capfd: pytest.CaptureFixture[str]
) -> None:
    provider = FakeProvider()

    def cancel(uri: str) -> str:
        end, err = time.monotonic() + 10, ""
        # The whole line: what was written may arrive in pieces.
        while "\n" not in err.partition("cancel-")[2]:
            assert time.monotonic() < end
            time.sleep(0.01)
            err += capfd.readouterr().err
        found = re.search(r"/(cancel-[\w-]+)", err)
        assert found
        return visit(uri, found[1])

    with Person(provider, cancel) as person, pytest.raises(Cancelled):
        climb(provider, "browser", browser=browser)

    assert "cancelled" in person.result


def test_ctrl_c_is_cancelled() -> None:
    class Interrupted(FakeTerminal):
        def line(self, text: str) -> None:
            raise KeyboardInterrupt

    with Interrupted() as one, pytest.raises(Cancelled, match="Ctrl-C"):
        climb(FakeProvider(), "paste", terminal=one)


def test_blocking_browser_does_not_delay_the_answer(tmp_path: Path) -> None:
    slow = script(tmp_path, "slow", f"echo $$ > {tmp_path}/pid; exec sleep 30")
    provider = FakeProvider()
    began = time.monotonic()
    with Person(provider, visit):
        climb(provider, "browser", browser=slow)
    took = time.monotonic() - began
    pid = tmp_path / "pid"
    while not (pid.exists() and pid.read_text()):
        time.sleep(0.01)
    os.kill(int(pid.read_text()), 15)

    assert took < 10


@pytest.mark.parametrize("where", ["browser", "paste"])
def test_what_may_be_wrong_is_said_once_after_a_while(
    browser: str,
    terminal: FakeTerminal,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(flow, "_QUIET", 0.3)
    provider = FakeProvider()
    here = terminal if where == "paste" else None

    with pytest.raises(Cancelled, match="no answer within 2 s"):
        climb(provider, "browser", where, browser=browser, terminal=here, timeout=2)

    said = terminal.said if where == "paste" else capfd.readouterr().err
    assert said.count("no answer from the browser yet") == 1
    assert f"{provider.redirect_uri} is not registered" in said
    assert f"client {provider.client_id};" in said
    assert re.search(r"Ctrl-C or open http://127\.0\.0\.1:\d+/cancel-\S+", said)


def test_over_ssh_a_page_that_cannot_be_reached_is_no_fault(
    terminal: FakeTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "_QUIET", 0.3)
    monkeypatch.setattr(flow, "over_ssh", lambda _: True)

    with pytest.raises(Cancelled, match="no answer within 2 s"):
        climb(FakeProvider(), "paste", terminal=terminal, timeout=2)

    said = terminal.said.partition("no answer from the browser yet")[2]
    assert "paste that page's address; else its page shows" in said
    assert "press Ctrl-C" in said
    assert "/cancel-" not in said


def test_who_answers_in_time_is_told_of_nothing_wrong(
    browser: str, capfd: pytest.CaptureFixture[str]
) -> None:
    provider = FakeProvider()
    with Person(provider, visit):
        climb(provider, "browser", browser=browser)

    assert "no answer from the browser" not in capfd.readouterr().err


def test_browser_that_only_prints_hides_no_address(
    browser: str, capsys: pytest.CaptureFixture[str]
) -> None:
    provider = FakeProvider()

    def act(redirect_uri: str) -> None:
        end = time.monotonic() + 10
        while "has ended" not in told():
            assert time.monotonic() < end
            time.sleep(0.01)
        visit(redirect_uri)

    said: list[str] = []

    def told() -> str:
        said.append(capsys.readouterr().err)
        return "".join(said)

    with Person(provider, act):
        climb(provider, "browser", browser=browser)

    assert "if no page opened, open https://" in told()


def test_sign_in_ends_with_the_command_that_asked(browser: str) -> None:
    looks = iter([False, False, True])
    opened: list[str] = []

    with pytest.raises(InteractionUnavailable, match="has ended"):
        climb(
            FakeProvider(),
            "browser",
            browser=browser,
            ended=lambda: next(looks),
            opened=opened.append,
        )

    assert len(opened) == 1
    assert opened[0].startswith("http://127.0.0.1:")


def test_device_code_ends_with_the_command_that_asked(terminal: FakeTerminal) -> None:
    provider = FakeProvider(code=device_code())

    with pytest.raises(InteractionUnavailable, match="has ended"):
        climb(
            provider,
            "device",
            terminal=terminal,
            ended=lambda: True,
            sleep=lambda _: None,
        )
