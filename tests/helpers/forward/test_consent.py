"""Whether a host is meant for the machine at the other end: said before, or asked."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from hushkey import origins
from hushkey.errors import Permanent
from hushkey.model import Request
from hushkey_helpers.forward import consent
from hushkey_helpers.forward.consent import Consent


def allows(only: str, url: str) -> bool | None:
    return Consent("me@far", (only,), {}).known(origins.parse_url(url), "")


@pytest.mark.parametrize(
    ("only", "url"),
    [
        ("git.test", "https://git.test/any/path"),
        ("git.test", "https://GIT.test.:443"),
        ("git.test/team/app", "https://git.test/team/app.git"),
        ("git.test/team/app", "https://git.test/Team/App/info/lfs"),
        ("*.example.test", "https://git.example.test/x"),
        ("git.test:8443", "https://git.test:8443"),
    ],
)
def test_only_answers_in_advance(only: str, url: str) -> None:
    assert allows(only, url) is True


@pytest.mark.parametrize(
    ("only", "url"),
    [
        ("git.test", "https://git.test.evil.test"),
        ("git.test", "https://evilgit.test"),
        ("git.test", "https://git.test:8443"),
        ("git.test", "http://git.test"),
        ("git.test/team/app", "https://git.test"),
        ("git.test/team/app", "https://git.test/team"),
        ("git.test/team/app", "https://git.test/team/app2"),
        ("git.test/team/app", "https://git.test/team/app/../other"),
        ("git.test/team/app", "https://git.test/other/%2e%2e/team/app"),
        ("git.test/team/app", "https://git.test/team%2Fapp"),
        ("git.test/team/app", "https://git.test/team/app;x"),
        ("*.example.test", "https://a.b.example.test"),
        ("*.example.test", "https://example.test"),
        ("*.example.test", "https://[::1]"),
    ],
)
def test_only_means_no_other_place(only: str, url: str) -> None:
    assert allows(only, url) is False


def test_nobody_can_be_asked_names_the_option() -> None:
    asking = Consent("me@far", (), {})

    with pytest.raises(Permanent, match=r"forward --only git\.test"):
        asking.ask(Request("https", "git.test"), "git.test", "git on far")


def askpass(folder: Path, code: int) -> dict[str, str]:
    program = folder / "askpass"
    program.write_text(
        f'#!/bin/sh\necho "$SSH_ASKPASS_PROMPT $1" >>{folder}/asked\nexit {code}\n'
    )
    program.chmod(0o700)
    return {**os.environ, "SSH_ASKPASS": str(program)}


@pytest.mark.parametrize(("code", "allowed"), [(0, True), (1, False), (137, False)])
def test_window_asks_once_for_each_host(
    tmp_path: Path, code: int, allowed: bool
) -> None:
    asking = Consent("me@far\x1b[2J", (), askpass(tmp_path, code))
    said: list[bool] = []

    def ask(host: str) -> None:
        said.append(asking.ask(Request("https", host), host, "git\non far"))

    hosts = ["git.test"] * 20 + ["other.test"]
    threads = [threading.Thread(target=ask, args=(host,)) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert said == [allowed] * 21
    lines = (tmp_path / "asked").read_text().splitlines()
    assert len(lines) == 2
    assert all(line.startswith("confirm May me@far") for line in lines)
    assert all("git on far asks" in line and "\x1b" not in line for line in lines)


def test_far_side_s_words_hold_no_markup() -> None:
    asked: list[str] = []

    def ask(question: str) -> bool:
        asked.append(question)
        return True

    asking = Consent("me@far", (), {}, ask)
    who = "<h1>git</h1>&nbsp;<br> on far"

    asking.ask(Request("https", "git.test"), "git.test", who)

    assert asked[0].startswith("May me@far have tokens for git.test until")
    assert not set("<>&") & set(asked[0])


def test_terminal_is_asked_where_there_is_no_window() -> None:
    asked: list[str] = []

    def ask(question: str) -> bool:
        asked.append(question)
        return True

    asking = Consent("me@far", (), {}, ask)
    request = Request("https", "git.test")

    assert asking.known(request, "git.test") is None
    assert asking.ask(request, "git.test", "git on far")
    assert asking.known(request, "git.test") is True
    assert len(asked) == 1


@pytest.mark.parametrize("said", [True, False])
def test_another_terminal_is_asked_where_there_is_no_other_way(said: bool) -> None:
    told: list[str] = []
    asked: list[tuple[str, str]] = []

    def elsewhere(host: str, question: str, gone: object) -> bool:
        asked.append((host, question))
        return said

    asking = Consent("me@far", (), {}, None, elsewhere)
    request = Request("https", "git.test")

    for _ in range(2):
        assert asking.ask(request, "git.test", "git", bool, told.append) is said
    assert told == ["waiting for a consent; run `hushkey forward allow git.test`"]
    ((host, question),) = asked
    assert host == "git.test"
    assert question.startswith("May me@far have tokens for git.test")


@pytest.mark.parametrize("hung_up", [True, False])
def test_who_waited_in_line_is_asked_for_only_if_the_first_hung_up(
    hung_up: bool,
) -> None:
    asked: list[str] = []
    outcomes: list[object] = []

    def elsewhere(host: str, question: str, gone: object) -> bool | None:
        asked.append(host)
        if len(asked) == 1:
            threads[1].start()
            assert queued.wait(20)
            return None
        return True

    asking = Consent("me@far", (), {}, None, elsewhere)
    queued = threading.Event()

    def ask(gone: Callable[[], bool]) -> None:
        try:
            request = Request("https", "git.test")
            outcomes.append(asking.ask(request, "git.test", "git", gone))
        except Permanent as error:
            outcomes.append(error.hint)

    def behind() -> None:
        with mock.patch.object(asking, "_turn", Turn(asking._turn, queued)):
            ask(bool)

    threads = [
        threading.Thread(target=ask, args=(lambda: hung_up,)),
        threading.Thread(target=behind),
    ]
    threads[0].start()
    for thread in threads:
        thread.join(20)

    assert len(asked) == (2 if hung_up else 1)
    assert outcomes.count(True) == (1 if hung_up else 0)
    assert "start it again with `hushkey forward --only git.test`" in outcomes


class Turn:
    """A lock that says when somebody stands in line for it."""

    def __init__(self, lock: threading.Lock, queued: threading.Event) -> None:
        self._lock = lock
        self._queued = queued

    def __enter__(self) -> None:
        self._queued.set()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_dialog_of_the_working_directory_is_never_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("kdialog", "zenity", "askpass"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o700)
    environ = {"DISPLAY": ":0", "PATH": ".:", "SSH_ASKPASS": "./askpass"}

    assert consent.dialog("?", environ) == []
    found = consent.dialog("?", {"DISPLAY": ":0", "PATH": str(tmp_path)})
    assert found[0] == str(tmp_path / "kdialog")
