"""What install notes: enough to take its change back, and no secret of the file."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushkey_install.common.installrecord import (
    InstallRecord,
    replaced,
    restored,
    whole,
)

LINES = st.lists(st.sampled_from(["a\n", "b\n", "c\r\n", "\n", "M\udce9\n"])).map(
    "".join
)


@given(before=LINES, after=LINES, end=st.sampled_from(["", "no end"]))
def test_restored_is_what_was_before(before: str, after: str, end: str) -> None:
    assert restored(replaced(before, after + end), after + end) == before


@given(before=LINES, after=LINES, other=LINES)
def test_another_text_is_not_restored(before: str, after: str, other: str) -> None:
    if other != after:
        assert restored(replaced(before, after), other) is None


def test_note_holds_no_line_that_stayed() -> None:
    secret = "extraHeader = s3cret\n"

    note = replaced(f"a\n{secret}b\n", f"x\n{secret}y\n")

    assert "s3cret" not in repr(note)


def test_note_of_an_earlier_version_is_still_good() -> None:
    note = {"before": "a", "after": "b"}

    assert restored(note, "b") == "a"
    assert restored(note, "c") is None


@pytest.mark.parametrize(
    "wrong", [{"hash": None}, {"hunks": 1}, {"hunks": [1]}, {"hunks": [["a", 0, 0]]}]
)
def test_what_is_no_note_restores_nothing(wrong: dict[str, object]) -> None:
    assert restored({}, "") is None
    assert restored({**replaced("a", "b"), **wrong}, "b") is None


@pytest.mark.parametrize("text", ["[]", "nonsense", "", "null"])
def test_ledger_that_is_none_is_empty(home: Path, text: str) -> None:
    environ = {"HOME": str(home)}
    path = home / ".local" / "share" / "hushkey" / "installed" / "git.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)

    assert InstallRecord(environ, "git").read() == {}


SHAPE = {"existed": bool, "previous": dict}


def test_notes_about_another_file_or_without_what_they_need_are_none() -> None:
    notes = {"path": "/a", "existed": True, "previous": {}, "more": 1}

    assert whole(notes, "/a", SHAPE) == notes
    assert whole(notes, "/b", SHAPE) == {}
    wrongs: list[dict[str, object]] = [
        {"existed": "yes"},
        {"previous": []},
        {"previous": None},
    ]
    for wrong in wrongs:
        assert whole({**notes, **wrong}, "/a", SHAPE) == {}
    assert whole({}, "/a", SHAPE) == {}
