import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hushkey_install.cli import main
from kit.oauth import BIN, Machine

HELPER = f"{BIN}/git-credential-hushkey"
OURS = f'[credential "https://git.test"]\n\thelper = \n\thelper = {HELPER}\n'
ALIAS = "[alias]\n\tst = status\n"


class Desk(Machine):
    """A machine whose git is told about hushkey, and asked what it makes of it."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.file = home / ".gitconfig"

    def hushkey(self, *words: str, code: int = 0, **environ: str) -> Result:
        result = CliRunner().invoke(main, words, env={**self.environ, **environ})
        assert result.exit_code == code, result.output
        return result

    def git(self, *words: str) -> str:
        return subprocess.run(
            ["git", *words],
            env=self.environ,
            check=True,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            errors="surrogateescape",
        ).stdout

    def helpers(self, url: str) -> list[str]:
        """The helpers that git asks for *url*, after the last empty one."""
        listed = self.git("config", "--get-urlmatch", "credential.helper", url)
        return listed.split("\n")[:-1]


@pytest.fixture
def desk(home: Path) -> Desk:
    made = Desk(home)
    made.configure()
    return made


def test_install_adds_a_pair_of_lines_per_host(desk: Desk) -> None:
    result = desk.hushkey("install", "git")

    assert desk.file.read_text() == OURS
    assert f"+\thelper = {HELPER}" in result.stdout
    assert "git asks hushkey for: https://git.test" in result.stderr
    assert desk.helpers("https://git.test/app") == [HELPER]


def test_dry_run_shows_and_changes_nothing(desk: Desk) -> None:
    desk.file.write_text(ALIAS)

    for verb in ("install", "uninstall"):
        desk.hushkey(verb, "git", "--dry-run")
    shown = desk.hushkey("install", "git", "--dry-run").stdout

    assert f"+\thelper = {HELPER}" in shown
    assert desk.file.read_text() == ALIAS
    assert not (desk.data / "installed").exists()


def test_install_twice_changes_nothing_more(desk: Desk) -> None:
    desk.hushkey("install", "git")

    again = desk.hushkey("install", "git")

    assert "nothing to change" in again.stderr
    assert desk.file.read_text() == OURS


def test_the_file_before_stays_as_a_backup(desk: Desk) -> None:
    desk.file.write_text(ALIAS)
    desk.file.chmod(0o600)

    desk.hushkey("install", "git")

    backup = desk.home / ".gitconfig.hushkey-backup"
    assert backup.read_text() == ALIAS
    assert backup.stat().st_mode & 0o777 == 0o600
    assert desk.file.stat().st_mode & 0o777 == 0o600


# -- exactly undone --------------------------------------------------------------


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(b"", id="empty file"),
        pytest.param(ALIAS.encode(), id="something else"),
        pytest.param(b"# a comment\n\n[user]\n  name=Me # odd\n", id="comments"),
        pytest.param(b"[user]\r\n\tname = Me\r\n", id="CRLF"),
        pytest.param(b"[user]\n\tname = M\xe9\n", id="not UTF-8"),
        pytest.param(b"[user]\n\tname = Me", id="no newline at the end"),
        pytest.param(b"[credential]\n\thelper = cache\n", id="a helper for all"),
        pytest.param(
            b'[credential "https://git.test"]\n\thelper = store\n\tusername = me\n',
            id="a helper in that section",
        ),
        pytest.param(
            b'[credential "https://git.test"]\n\thelper =\n\thelper = store\n'
            b"[credential]\n\thelper = cache\n",
            id="a list in that section",
        ),
    ],
)
def test_uninstall_undoes_exactly(desk: Desk, before: bytes) -> None:
    desk.file.write_bytes(before)

    desk.hushkey("install", "git")
    assert desk.helpers("https://git.test")[-1] == HELPER
    desk.hushkey("uninstall", "git")

    assert desk.file.read_bytes() == before
    assert not (desk.data / "installed" / "git.json").exists()


def test_uninstall_takes_away_a_file_that_install_made(desk: Desk) -> None:
    desk.hushkey("install", "git")
    desk.hushkey("uninstall", "git")

    assert not desk.file.exists()


def test_uninstall_without_install_changes_nothing(desk: Desk) -> None:
    desk.file.write_text(ALIAS)

    result = desk.hushkey("uninstall", "git")

    assert "nothing to change" in result.stderr
    assert desk.file.read_text() == ALIAS


def edit(desk: Desk) -> None:
    desk.git("config", "--global", "alias.st", "status")


@pytest.mark.parametrize(
    "before",
    [
        pytest.param("", id="empty file"),
        pytest.param("[credential]\n\thelper = cache\n", id="a helper for all"),
        pytest.param(
            '[credential "https://git.test"]\n\tusername = me\n', id="a user name"
        ),
        pytest.param(
            '[credential "https://git.test"]\n\thelper = store\n'
            "[credential]\n\thelper = cache\n",
            id="a helper before another",
        ),
        pytest.param(
            '[credential "https://git.test"]\n\thelper = \n\thelper = store\n',
            id="a list",
        ),
        pytest.param(
            '[credential "https://git.test"]\n\tuseHttpPath = true\n',
            id="useHttpPath of their own",
        ),
    ],
)
def test_uninstall_keeps_edits_made_since(desk: Desk, before: str) -> None:
    desk.file.write_text(before)
    desk.hushkey("install", "git")
    edit(desk)

    desk.hushkey("uninstall", "git")

    assert desk.file.read_text() == before + ALIAS


def test_edits_between_two_installs_are_kept(desk: Desk) -> None:
    desk.hushkey("install", "git")
    edit(desk)
    desk.configure('[host."two.test"]\nidentity = "corp"\n')
    desk.hushkey("install", "git")

    desk.hushkey("uninstall", "git")

    assert desk.file.read_text() == ALIAS


def test_two_installs_without_edits_are_undone_exactly(desk: Desk) -> None:
    desk.file.write_text("# mine\n")
    desk.hushkey("install", "git")
    desk.configure('[host."two.test"]\nidentity = "corp"\n')
    desk.hushkey("install", "git")

    desk.hushkey("uninstall", "git")

    assert desk.file.read_text() == "# mine\n"


def test_uninstall_works_without_a_record(desk: Desk) -> None:
    desk.file.write_text(ALIAS)
    desk.hushkey("install", "git")
    (desk.data / "installed" / "git.json").write_text("{}")

    desk.hushkey("uninstall", "git")

    assert desk.file.read_text() == ALIAS


def test_record_of_another_file_is_not_used(desk: Desk, tmp_path: Path) -> None:
    other = tmp_path / "other"
    desk.hushkey("install", "git", GIT_CONFIG_GLOBAL=str(other))
    desk.file.write_text(ALIAS)

    desk.hushkey("uninstall", "git")

    assert desk.file.read_text() == ALIAS
    assert other.read_text() == OURS


def test_helper_for_another_host_is_left_alone(desk: Desk) -> None:
    before = '[credential "https://git.test.evil"]\n\thelper = \n\thelper = store\n'
    desk.file.write_text(before)
    desk.hushkey("install", "git")
    edit(desk)

    desk.hushkey("uninstall", "git")

    assert before in desk.file.read_text()


# -- which sections --------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "url", "asked"),
    [
        ("git.test:8443", "https://git.test:8443", "https://git.test:8443/a"),
        ("*.git.test", "https://*.git.test", "https://x.git.test/a"),
        ("http://git.test", "http://git.test", "http://git.test/a"),
        ("http://localhost:3000", "http://localhost:3000", "http://localhost:3000/a"),
        ("git.test:443", "https://git.test", "https://git.test/a"),
        ("Git.Test", "https://git.test", "https://git.test/a"),
    ],
)
def test_pattern_becomes_a_section_that_git_matches(
    desk: Desk, pattern: str, url: str, asked: str
) -> None:
    config = desk.config_file.read_text().replace("git.test", pattern)
    desk.config_file.write_text(config)

    desk.hushkey("install", "git")

    assert f'[credential "{url}"]' in desk.file.read_text()
    assert desk.helpers(asked) == [HELPER]


def test_path_rules_make_git_send_the_path(desk: Desk) -> None:
    desk.configure(
        '[host."dev.test/a"]\nidentity = "corp"\n'
        '[host."dev.test/b"]\nidentity = "corp"\n'
    )

    desk.hushkey("install", "git")

    section = desk.file.read_text().partition('[credential "https://dev.test"]')[2]
    assert section == f"\n\thelper = \n\thelper = {HELPER}\n\tuseHttpPath = true\n"
    edit(desk)
    desk.hushkey("uninstall", "git")
    assert desk.file.read_text() == ALIAS


def test_static_hosts_have_a_section_and_presets_none(desk: Desk) -> None:
    desk.configure('[identity.s]\nprovider = "static"\n[host."s.test"]\nidentity="s"\n')

    desk.hushkey("install", "git")

    section = f'[credential "https://s.test"]\n\thelper = \n\thelper = {HELPER}\n'
    assert section in desk.file.read_text()
    assert desk.file.read_text().count("[credential ") == 2


def test_host_that_is_not_for_git_has_no_section(desk: Desk) -> None:
    desk.configure(
        '[host."a.test"]\nidentity = "corp"\ntools = ["docker"]\n'
        '[host."b.test"]\nidentity = "corp"\ntools = ["python", "git"]\n'
    )

    desk.hushkey("install", "git")

    assert "a.test" not in desk.file.read_text()
    assert desk.helpers("https://b.test") == [HELPER]


def test_config_without_hosts_has_nothing_to_install(desk: Desk) -> None:
    desk.configure(text="")

    result = desk.hushkey("install", "git", code=1)

    assert "no host has an identity yet" in result.stderr
    assert not desk.file.exists()


# -- which file ------------------------------------------------------------------


def test_symbolic_link_stays_one(desk: Desk, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "gitconfig"
    real.parent.mkdir()
    real.write_text(ALIAS)
    desk.file.symlink_to(real)

    desk.hushkey("install", "git")
    assert real.read_text() == ALIAS + OURS
    desk.hushkey("uninstall", "git")

    assert desk.file.is_symlink()
    assert real.read_text() == ALIAS


def test_file_that_git_is_told_of_is_changed(desk: Desk, tmp_path: Path) -> None:
    named = tmp_path / "gitconfig"

    desk.hushkey("install", "git", GIT_CONFIG_GLOBAL=str(named))

    assert named.read_text() == OURS
    assert not desk.file.exists()


def test_file_below_xdg_is_changed_where_it_is_the_only_one(desk: Desk) -> None:
    below = desk.home / ".config" / "git" / "config"
    below.parent.mkdir(parents=True)
    below.write_text(ALIAS)

    desk.hushkey("install", "git")

    assert below.read_text() == ALIAS + OURS
    assert not desk.file.exists()


def test_broken_file_is_not_touched(desk: Desk) -> None:
    desk.file.write_text("[broken\n")

    result = desk.hushkey("install", "git", code=1)

    assert "git config failed" in result.stderr
    assert desk.file.read_text() == "[broken\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_foreign_data_folder_changes_nothing(desk: Desk) -> None:
    desk.data.mkdir(parents=True)
    os.chown(desk.data, 12345, 12345)

    result = desk.hushkey("install", "git", code=6)

    assert "belongs to another user" in result.stderr
    assert not desk.file.exists()


# -- which helper ----------------------------------------------------------------


def test_helper_that_git_would_not_find_is_named_by_its_path(desk: Desk) -> None:
    desk.hushkey("install", "git", PATH="/usr/bin:/bin")

    assert desk.helpers("https://git.test") == [HELPER]
    desk.hushkey("uninstall", "git")
    assert not desk.file.exists()


def test_path_with_spaces_is_quoted_for_the_shell(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my tools"
    folder.mkdir()
    shutil.copy(BIN / "git-credential-hushkey", folder)
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(folder))

    desk.hushkey("install", "git", PATH="/usr/bin:/bin")
    edit(desk)

    quoted = f"!'{folder}/git-credential-hushkey'"
    assert desk.helpers("https://git.test") == [quoted]
    desk.hushkey("uninstall", "git")
    assert desk.file.read_text() == ALIAS


def test_helper_that_cannot_be_found_is_not_installed(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even one that lies about where we happen to stand."""
    shutil.copy(BIN / "git-credential-hushkey", tmp_path)
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    monkeypatch.setattr("sysconfig.get_path", lambda name: "/nowhere")

    result = desk.hushkey("install", "git", code=1, PATH="/usr/bin:/bin")

    assert "git-credential-hushkey is not on PATH" in result.stderr
    assert not desk.file.exists()


def test_machine_without_git_says_so(desk: Desk, tmp_path: Path) -> None:
    result = desk.hushkey("install", "git", code=1, PATH=str(tmp_path))

    assert "git is not on PATH" in result.stderr


@pytest.mark.parametrize("version", ["2.39.5", "2.46.0", "2.55.0.windows.1", "odd"])
def test_older_git_gets_a_note(desk: Desk, tmp_path: Path, version: str) -> None:
    script = tmp_path / "git"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = version ] && echo "git version {version}" && exit\n'
        f'exec {shutil.which("git")} "$@"\n'
    )
    script.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{desk.environ['PATH']}"

    result = desk.hushkey("install", "git", PATH=path)

    assert ("still sees tokens" in result.stderr) is (version in ("2.39.5", "odd"))


@pytest.mark.parametrize("text", ["[settings", '[host."a.b"]\nidentity = "x"\n'])
def test_uninstall_needs_no_valid_config(desk: Desk, text: str) -> None:
    desk.file.write_text(ALIAS)
    desk.hushkey("install", "git")
    desk.configure(text=text)

    desk.hushkey("uninstall", "git")

    assert desk.file.read_text() == ALIAS


# -- one host of several ---------------------------------------------------------

TWO = '[host."two.test"]\nidentity = "corp"\n[host."*.three.test:8443"]\n' + (
    'identity = "corp"\n[host."dev.test/a"]\nidentity = "corp"\n'
)


@pytest.mark.parametrize(
    ("word", "section"),
    [
        ("git.test", "https://git.test"),
        ("GIT.test.", "https://git.test"),
        ("https://me@git.test/app.git", "https://git.test"),
        ("*.three.test:8443", "https://*.three.test:8443"),
        ("dev.test/a", "https://dev.test"),
    ],
)
@pytest.mark.parametrize("config", ["valid", "[settings"])
def test_uninstall_of_a_host_takes_out_its_section_only(
    desk: Desk, word: str, section: str, config: str
) -> None:
    before = '[credential "https://dev.test"]\n\thelper = store\n' + ALIAS
    desk.file.write_text(before)
    desk.configure(TWO)
    desk.hushkey("install", "git")
    if config != "valid":
        desk.configure(text=config)

    done = desk.hushkey("uninstall", "git", word)

    sections = ["https://git.test", "https://two.test", "https://*.three.test:8443"]
    asked = {
        url: desk.git("config", "--get-all", f"credential.{url}.helper").split("\n")
        for url in [s for s in [*sections, "https://dev.test"] if s != section]
    }
    assert {values[-2] for values in asked.values()} == {HELPER}
    assert f"no longer asks hushkey for {section}" in done.stderr
    left = desk.git("config", "--get-regexp", r"^credential\..*").splitlines()
    own = [line.partition(" ")[2] for line in left if f".{section}." in line]
    assert own == (["store"] if section == "https://dev.test" else [])
    desk.hushkey("uninstall", "git")
    assert desk.file.read_text() == before


def test_uninstall_of_every_host_by_name_undoes_exactly(desk: Desk) -> None:
    desk.configure(TWO)
    desk.hushkey("install", "git")

    desk.hushkey("uninstall", "git", "two.test", "dev.test")
    edit(desk)
    desk.hushkey("uninstall", "git", "git.test", "*.three.test:8443")

    assert desk.file.read_text() == ALIAS
    assert not (desk.data / "installed" / "git.json").exists()


def test_uninstall_of_a_host_that_was_not_registered_changes_nothing(
    desk: Desk,
) -> None:
    desk.hushkey("install", "git")
    before = desk.file.read_text()

    done = desk.hushkey("uninstall", "git", "other.test")
    assert "git was not told to ask hushkey for https://other.test" in done.stderr
    assert "nothing to change" in done.stderr
    desk.hushkey("uninstall", "git", "not a host", code=1)

    assert desk.file.read_text() == before
    desk.hushkey("uninstall", "git")
    assert not desk.file.exists()


def test_uninstall_of_a_host_without_a_record_is_kept_in_mind(desk: Desk) -> None:
    desk.configure(TWO)
    desk.file.write_text(ALIAS)
    desk.hushkey("install", "git")
    (desk.data / "installed" / "git.json").write_text("{}")

    desk.hushkey("uninstall", "git", "two.test")
    desk.hushkey("uninstall", "git")

    assert desk.file.read_text().startswith(ALIAS)
    assert "hushkey" not in desk.file.read_text()


# -- the helper's path -----------------------------------------------------------

DOOR = (
    '!f() { test \\"$1\\" = get && exec timeout 1 git credential-cache --socket '
    "/run/user/1000/hushkey/git get; :; }; f"
)


@pytest.mark.parametrize(
    ("before", "asked"),
    [
        pytest.param("\thelper =\n\thelper = hushkey\n", ["", HELPER], id="short"),
        pytest.param("\thelper = hushkey\n", ["", HELPER], id="short alone"),
        pytest.param(
            f'\thelper =\n\thelper = "{DOOR}"\n\thelper = hushkey\n',
            ["", DOOR.replace("\\", ""), HELPER],
            id="the door in front",
        ),
        pytest.param(
            f'\thelper = "{DOOR}"\n', ["", DOOR.replace("\\", ""), HELPER], id="a door"
        ),
        pytest.param(
            "\thelper = store\n\thelper =\n\thelper = hushkey\n",
            ["store", "", HELPER],
            id="behind another",
        ),
        pytest.param(
            "\thelper =\n\thelper = hushkey\n\thelper = store\n",
            ["store", "", HELPER],
            id="before another",
        ),
        pytest.param(
            "\thelper =\n\thelper = hushkey\n\thelper =\n\thelper = store\n",
            ["", "store", "", HELPER],
            id="put out",
        ),
        pytest.param(
            "\thelper =\n\thelper = !/gone/git-credential-hushkey\n",
            ["", HELPER],
            id="a path",
        ),
    ],
)
def test_install_names_the_helper_by_its_path(
    desk: Desk, before: str, asked: list[str]
) -> None:
    text = f'[credential "https://git.test"]\n{before}'
    desk.file.write_text(text)

    desk.hushkey("install", "git")
    key = "credential.https://git.test.helper"
    written = desk.git("config", "-z", "--get-all", key).split("\0")[:-1]
    again = desk.hushkey("install", "git")
    desk.hushkey("uninstall", "git")

    assert written == asked
    assert "nothing to change" in again.stderr
    assert desk.file.read_text() == text


@pytest.mark.parametrize("name", ["plain", "two words", "it's", "a~b", "50% $HOME;x#"])
def test_git_with_a_shorter_path_reaches_the_helper(
    desk: Desk, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    helper = folder / "git-credential-hushkey"
    helper.write_text('#!/bin/sh\necho "password=$1"\n')
    helper.chmod(0o755)
    desk.hushkey("install", "git", PATH=f"{folder}{os.pathsep}/usr/bin:/bin")

    filled = subprocess.run(
        ["git", "credential", "fill"],
        input="url=https://me@git.test/app\n\n",
        env=desk.environ | {"PATH": "/usr/bin:/bin", "GIT_TERMINAL_PROMPT": "0"},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        timeout=30,
    ).stdout

    assert "password=get" in filled
    desk.hushkey("uninstall", "git")
    assert not desk.file.exists()
