from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushkey.acquire.attempts import FailureCache, once
from hushkey.errors import (
    Cancelled,
    ConfigError,
    HushkeyError,
    InteractionUnavailable,
    Permanent,
    StoreError,
    Transient,
    UiRequired,
)
from kit.core import ANY

NOW = 1_700_000_000.5


@pytest.fixture
def failures(tmp_path: Path) -> FailureCache:
    return FailureCache(str(tmp_path), "file")


def test_failure_of_nothing_is_none(failures: FailureCache) -> None:
    assert failures.refresh_failure(0, NOW) is None
    assert failures.sign_in_failure(0, NOW, asked_for=False) is None


def test_refresh_failure_is_shared_by_those_who_waited(failures: FailureCache) -> None:
    failures.record("refresh", Transient("no network", hint="plug in", code="x"), NOW)

    shared = failures.refresh_failure(NOW - 1, NOW)

    assert isinstance(shared, Transient)
    assert (shared.what, shared.hint, shared.code) == ("no network", "plug in", "x")
    assert failures.refresh_failure(NOW, NOW + 3) is not None
    assert failures.refresh_failure(NOW + 0.1, NOW + 3) is None


@pytest.mark.parametrize(
    ("retry_after", "later", "shared"),
    [
        pytest.param(None, 0.1, False, id="none said"),
        pytest.param(30, 29.9, True, id="within"),
        pytest.param(30, 30.1, False, id="over"),
        pytest.param(86400, 599, True, id="too long, within ten minutes"),
        pytest.param(86400, 601, False, id="too long, not believed"),
        pytest.param(-5, 0.1, False, id="negative"),
    ],
)
def test_refresh_failure_with_retry_after_holds_until_then(
    failures: FailureCache, retry_after: float | None, later: float, shared: bool
) -> None:
    failures.record("refresh", Transient("busy", retry_after=retry_after), NOW)

    failure = failures.refresh_failure(began=NOW + later, now=NOW + later)

    assert (failure is not None) is shared


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UiRequired("x"), UiRequired),
        (InteractionUnavailable("x"), UiRequired),
        (Cancelled("x"), Cancelled),
        (Transient("x"), Transient),
        (Permanent("x"), Permanent),
        (ConfigError("x"), Permanent),
        (StoreError("locked", "x"), Permanent),
    ],
)
def test_note_keeps_the_kind_of_error(
    failures: FailureCache, error: HushkeyError, kind: type[HushkeyError]
) -> None:
    failures.record("refresh", error, NOW)

    assert type(failures.refresh_failure(NOW, NOW)) is kind


@pytest.mark.parametrize(
    ("error", "began", "now", "asked_for", "speaks"),
    [
        pytest.param(Cancelled("no"), -1, 0, False, True, id="waited"),
        pytest.param(Cancelled("no"), -1, 0, True, True, id="login that waited"),
        pytest.param(Cancelled("no"), 1, 59, False, True, id="within the minute"),
        pytest.param(Cancelled("no"), 1, 60, False, False, id="a minute later"),
        pytest.param(Cancelled("no"), 1, 2, True, False, id="login does not care"),
        pytest.param(Permanent("no"), 1, 2, False, True, id="permanent"),
        pytest.param(Transient("no"), 1, 2, False, False, id="network: try again"),
        pytest.param(Transient("no"), -1, 2, False, True, id="network, waited"),
        pytest.param(Cancelled("no"), -99, -5.1, False, False, id="clock back"),
        pytest.param(Cancelled("no"), -99, -4.9, False, True, id="clock back a bit"),
    ],
)
def test_sign_in_failure_keeps_windows_closed_for_a_minute(
    failures: FailureCache,
    error: HushkeyError,
    began: float,
    now: float,
    asked_for: bool,
    speaks: bool,
) -> None:
    failures.record("sign-in", error, NOW)

    failure = failures.sign_in_failure(NOW + began, NOW + now, asked_for=asked_for)

    assert (failure is not None) is speaks


def test_sign_in_failure_of_before_says_how_long_ago(failures: FailureCache) -> None:
    failures.record("sign-in", Cancelled("declined"), NOW)

    before = failures.sign_in_failure(NOW + 1, NOW + 42, asked_for=False)
    during = failures.sign_in_failure(NOW - 1, NOW + 42, asked_for=False)

    assert before is not None
    assert before.what == "declined, 42 s ago"
    assert during is not None
    assert during.what == "declined"


def test_refresh_failure_after_the_clock_went_back_is_none(
    failures: FailureCache,
) -> None:
    failures.record("refresh", Transient("busy", retry_after=500), NOW)

    assert failures.refresh_failure(NOW - 900, NOW - 900) is None


def test_steps_are_noted_and_cleared_apart(failures: FailureCache) -> None:
    failures.record("refresh", Transient("busy"), NOW)
    failures.record("sign-in", Cancelled("no"), NOW)

    failures.clear("refresh")
    failures.clear("another")

    assert failures.refresh_failure(NOW, NOW) is None
    assert failures.sign_in_failure(NOW, NOW, asked_for=False) is not None


def test_files_do_not_share_notes(tmp_path: Path, failures: FailureCache) -> None:
    failures.record("refresh", Transient("busy"), NOW)

    assert FailureCache(str(tmp_path), "other").refresh_failure(NOW, NOW) is None


def test_note_is_private_and_leaves_nothing_else(
    tmp_path: Path, failures: FailureCache
) -> None:
    failures.record("refresh", Transient("busy"), NOW)

    state = tmp_path / "state"
    assert [path.name for path in state.iterdir()] == ["file.json"]
    assert (state / "file.json").stat().st_mode & 0o777 == 0o600
    assert state.stat().st_mode & 0o777 == 0o700


def test_note_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    failures = FailureCache(str(tmp_path), "file")

    failures.record("refresh", Transient("busy"), NOW)

    assert failures.refresh_failure(NOW, NOW) is None


GARBAGE = [b"", b"{", b"[]", b"\xff", b"null", b"[" * 60_000, b'{"refresh": 3}']


@pytest.mark.parametrize("data", GARBAGE)
def test_garbage_is_as_good_as_nothing(
    tmp_path: Path, failures: FailureCache, data: bytes
) -> None:
    failures.record("refresh", Transient("busy"), NOW)
    (tmp_path / "state" / "file.json").write_bytes(data)

    assert failures.refresh_failure(NOW, NOW) is None
    failures.clear("refresh")
    failures.record("refresh", Transient("busy"), NOW)
    assert failures.refresh_failure(NOW, NOW) is not None


VALUES: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | ANY | st.just([{}])
)
FIELDS = ("kind", "what", "hint", "code", "correlation", "retry_after", "account")
NOTES = st.fixed_dictionaries(
    {"at": st.just(NOW) | VALUES}, optional=dict.fromkeys(FIELDS, VALUES)
)


@given(NOTES)
def test_any_note_is_an_error_with_a_line_or_none(
    tmp_path_factory: pytest.TempPathFactory, note: dict[str, Any]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "flight" / "state"
    os.makedirs(folder, exist_ok=True)
    (folder / "file.json").write_text(json.dumps({"refresh": note, "sign-in": note}))
    failures = FailureCache(str(folder.parent), "file")

    for failure in (
        failures.refresh_failure(0, NOW),
        failures.sign_in_failure(NOW + 1, NOW + 2, asked_for=False),
    ):
        assert failure is None or isinstance(failure.line(), str)


class Turn:
    """A lock that says whether it is held."""

    held = False

    def __enter__(self) -> Turn:
        self.held = True
        return self

    def __exit__(self, *_: object) -> None:
        self.held = False


def test_once_acts_under_the_lock_after_a_second_look() -> None:
    turn, steps = Turn(), []

    def look(held: Turn) -> None:
        steps.append(("look", held.held))

    def act(held: Turn) -> str:
        steps.append(("act", held.held))
        return "made"

    assert once(turn, look, act) == "made"
    assert steps == [("look", True), ("act", True)]
    assert not turn.held


@pytest.mark.parametrize("found", ["", False, "brought"])
def test_once_takes_what_a_sibling_brought(found: object) -> None:
    def act(_: Turn) -> object:
        raise AssertionError("nobody acts")

    assert once(Turn(), lambda _: found, act) is found


def test_once_shares_a_failure_and_gives_the_lock_back() -> None:
    turn = Turn()

    def look(_: Turn) -> None:
        raise Transient("a sibling's")

    with pytest.raises(Transient, match="a sibling's"):
        once(turn, look, lambda _: None)

    assert not turn.held


def test_failure_in_a_recorded_block_is_shared(failures: FailureCache) -> None:
    with (
        pytest.raises(Transient),
        failures.recorded("refresh", lambda: NOW, (Transient,), "key"),
    ):
        raise Transient("no network")

    assert failures.refresh_failure(NOW, NOW, "key") is not None


def test_failure_of_another_kind_is_not_recorded(failures: FailureCache) -> None:
    with (
        pytest.raises(Cancelled),
        failures.recorded("refresh", lambda: NOW, (Transient, Permanent), "key"),
    ):
        raise Cancelled("no")

    assert failures.refresh_failure(NOW, NOW, "key") is None


def test_recorded_block_that_works_ends_the_failure(failures: FailureCache) -> None:
    failures.record("refresh", Transient("busy", retry_after=60), NOW)
    failures.record("sign-in", Cancelled("no"), NOW)

    with failures.recorded("refresh", lambda: NOW, (Transient,)):
        pass

    assert failures.refresh_failure(NOW, NOW) is None
    assert failures.sign_in_failure(NOW, NOW) is not None
