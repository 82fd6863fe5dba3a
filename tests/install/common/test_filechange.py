import os
import tempfile
from pathlib import Path

import pytest

from hushkey.errors import StoreError
from hushkey_install.common.filechange import (
    Change,
    holds_secret,
    read_text,
    temporary_folder,
)


def change(path: Path, before: str = "old\n", after: str = "new\n") -> Change:
    return Change(str(path), before, after)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()
    path.write_text("old\n")
    path.chmod(0o640)
    return path


def test_apply_replaces_the_file_and_keeps_the_one_before(file: Path) -> None:
    inode = file.stat().st_ino

    change(file).apply()

    backup = file.with_name("file.hushkey-backup")
    assert file.read_text() == "new\n"
    assert backup.read_text() == "old\n"
    assert {p.stat().st_mode & 0o777 for p in (file, backup)} == {0o640}
    assert file.stat().st_ino != inode  # replaced, never half-written
    assert sorted(p.name for p in file.parent.iterdir()) == [file.name, backup.name]


def test_apply_makes_a_private_file_and_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"

    change(path, before="").apply()

    assert path.read_text() == "new\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_apply_can_do_without_a_backup(file: Path) -> None:
    change(file).apply(backup=False)

    assert list(file.parent.iterdir()) == [file]


SECRETS = {
    "url": "[url]\n\tx = https://me:pw@h.test/\n",
    "user only": "index-url = https://t0ken@h.test/simple\n",
    "extra header": "[http]\n\textraHeader = X: y\n",
    "smtp": "smtpPass = x\n",
    "docker": '{"auths": {"a.test": {"auth": "eDp5"}}}\n',
    "identity token": '{"auths": {"a.test": {"identitytoken": "x"}}}\n',
    "unknown name": "github = ghq1aB2cD3eF4gH5iJ6kL7mN\n",
    "commented out": "# password was: x\n",
}


@pytest.mark.parametrize("what", SECRETS)
def test_file_that_may_hold_a_secret_leaves_no_copy_and_an_old_one_goes(
    file: Path, what: str
) -> None:
    backup = file.with_name("file.hushkey-backup")
    backup.write_text("of an earlier change")

    change(file, before=SECRETS[what]).apply()

    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    "text",
    [
        "[alias]\n\tst = status\n",
        "[user]\n\tname = Me\n\temail = me@example.com\n",
        '{"auths": {"a.test": {}}, "credsStore": "desktop"}',
        "[global]\nindex-url = https://h.test/simple\n",
        'keyring-provider = "disabled"\n',
    ],
)
def test_ordinary_settings_hold_no_secret(text: str) -> None:
    assert not holds_secret(text)


def test_folders_are_closed_whatever_the_umask_is(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        change(tmp_path / "a" / "b" / "file", before="").apply()
    finally:
        os.umask(before)

    made = (tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "file")
    assert [path.stat().st_mode & 0o777 for path in made] == [0o700, 0o700, 0o600]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", ["TMPDIR", "TEMP", "TMP"])
def test_temporary_folder_is_not_made_where_another_user_could_swap_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    forget_temporary_folders(monkeypatch)
    monkeypatch.setenv(name, str(tmp_path))
    os.chown(tmp_path, 12345, 12345)
    os.utime(tmp_path, (1, 1))

    with pytest.raises(StoreError) as caught, temporary_folder():
        pass

    assert caught.value.reason == "foreign"
    assert tmp_path.stat().st_mtime == 1  # nothing was made there, if only to try


def test_temporary_folder_is_made_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_temporary_folders(monkeypatch)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    monkeypatch.setenv("TMP", str(tmp_path))

    with temporary_folder() as folder:
        assert Path(folder).parent == tmp_path
        assert Path(folder).stat().st_mode & 0o777 == 0o700

    assert list(tmp_path.iterdir()) == []


def forget_temporary_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `tempfile` look for its place anew, as in a new process."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)


def test_apply_follows_a_link_and_keeps_it(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file)

    change(link).apply()

    assert link.is_symlink()
    assert file.read_text() == "new\n"


@pytest.mark.parametrize("text", ["a\r\nb\n", "M\udce9\n", "no end", ""])
def test_text_is_written_as_it_is(file: Path, text: str) -> None:
    change(file, after=text).apply()

    assert file.read_bytes() == text.encode("utf-8", "surrogateescape")


def test_folder_in_the_way_is_an_error_and_nothing_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.mkdir()

    with pytest.raises(StoreError, match="cannot write") as caught:
        change(path).apply(backup=False)
    assert caught.value.reason == "unwritable"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("foreign", ["file", "folder"])
def test_foreign_place_is_not_written(file: Path, foreign: str) -> None:
    if foreign == "file":
        os.chown(file, 12345, 12345)
    else:
        os.chown(file.parent, 12345, 12345)
        file.unlink()

    with pytest.raises(StoreError) as caught:
        change(file).apply()
    assert caught.value.reason == "foreign"
    assert [p.read_text() for p in file.parent.iterdir()] in (["old\n"], [])


def test_diff_shows_the_change_and_no_line_of_the_users_own() -> None:
    assert Change("f", "a\nb\n", "a\nc\n").diff() == (
        "--- f\n+++ f\n@@ -2 +2 @@\n-b\n+c\n"
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [("a", "a\nb", "+b"), ("", "M\udce9\n", r"+M\udce9"), ("x\n", "", "-x")],
)
def test_diff_can_always_be_printed(before: str, after: str, expected: str) -> None:
    lines = Change("f", before, after).diff()

    assert expected in lines.encode().decode().splitlines()


def test_no_change_is_none() -> None:
    assert not Change("f", "a", "a")
    assert Change("f", "a", "b")


def test_pipe_in_place_of_a_file_is_no_endless_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")

    with pytest.raises(OSError, match="not a plain file"):
        read_text(str(tmp_path / "config.json"))
