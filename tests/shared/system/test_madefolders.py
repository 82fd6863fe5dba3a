"""The note of hushkey's own folders."""

import os
from pathlib import Path

import pytest

from hushkey.system import madefolders


@pytest.mark.parametrize(
    ("kept", "noted"),
    [
        ("locks/a.change.lock", False),
        ("config-00000000.compiled", False),
        ("sign-in.log", False),
        ("tokens/a.sealed", True),
        ("installed/git.json", True),
        ("key", True),
    ],
)
def test_own_folder_is_noted_once_something_is_kept_in_it(
    tmp_path: Path, kept: str, noted: bool
) -> None:
    data = tmp_path / "chosen" / "data"
    environ = {"HOME": str(tmp_path / "home"), "HUSHKEY_DATA_DIR": str(data)}
    lacked = madefolders.before_own(environ)
    file = data / kept
    file.parent.mkdir(parents=True)
    data.chmod(0o700)
    file.touch(0o600)

    madefolders.note_own(environ, lacked)

    assert (data / madefolders.NOTES).exists() == noted
    found = [str(data), str(data.parent)] if noted else []
    assert madefolders.noted(environ) == found


def test_folder_that_was_there_is_not_noted(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    environ = {"HOME": str(tmp_path / "home"), "HUSHKEY_DATA_DIR": str(data)}
    lacked = madefolders.before_own(environ)
    (data / "key").touch(0o600)

    madefolders.note_own(environ, lacked)

    assert os.fspath(data) not in madefolders.noted(environ)
