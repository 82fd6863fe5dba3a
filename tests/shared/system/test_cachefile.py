import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushkey.system import cachefile

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "notes.json"


@given(content=st.dictionaries(st.text(max_size=8), JSON))
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, object]
) -> None:
    path = str(tmp_path_factory.getbasetemp() / "written" / "notes.json")
    cachefile.write(path, content)

    assert cachefile.read(path) == content


def test_file_and_folder_are_private_and_nothing_else_is_left(path: Path) -> None:
    cachefile.write(str(path), {"a": 1})

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["notes.json"]


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"1", b"{", b"\xff\xfe", b"[" * 99999, b'{"a":1}' + b" " * 9**7],
)
def test_garbage_is_empty(path: Path, data: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(data)

    assert cachefile.read(str(path)) == {}


def test_missing_file_and_folder_are_empty(path: Path) -> None:
    assert cachefile.read(str(path)) == {}
    assert cachefile.read(str(path.parent)) == {}


def test_place_that_cannot_be_written_is_no_error(path: Path) -> None:
    path.parent.parent.joinpath("state").write_text("a file, not a folder")

    cachefile.write(str(path), {"a": 1})

    assert cachefile.read(str(path)) == {}
    assert os.listdir(path.parent.parent) == ["state"]


def test_content_that_would_not_be_read_is_not_written(path: Path) -> None:
    cachefile.write(str(path), {"a": 1})

    cachefile.write(str(path), {"a": "x" * cachefile.MAX_BYTES})

    assert cachefile.read(str(path)) == {"a": 1}


def test_write_that_fails_leaves_nothing_behind(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)

    cachefile.write(str(path), {"a": 1})

    assert list(path.parent.iterdir()) == []


def test_trim_keeps_the_newest_and_nothing_old(tmp_path: Path) -> None:
    now = 1_700_000_000
    for age in (1, 5, 9, 50, 500):
        made = tmp_path / f"{age}"
        made.touch()
        os.utime(made, (now - age, now - age))
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")

    cachefile.trim(str(tmp_path), 100, 3, now)

    left = {entry.name for entry in tmp_path.iterdir()}
    assert left == {"1", "5", "9", "folder", "link"}
    cachefile.trim(str(tmp_path), 6, 3, now)
    assert {entry.name for entry in tmp_path.iterdir()} == left - {"9"}
    cachefile.trim(str(tmp_path / "nowhere"), 6, 3, now)
