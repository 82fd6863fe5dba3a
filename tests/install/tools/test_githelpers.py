"""The chain that we work out is the one that git itself goes through."""

import os
import subprocess
from pathlib import Path

import pytest

from hushkey.origins import parse_url
from hushkey_install.tools import githelpers
from hushkey_install.tools.gitfile import Git

SPY = '!f() { echo "NAME $1" >> "$SPY"; }; f'


class Desk:
    """A home with a git config, and a repository in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.repository = home / "repository"
        self.environ = dict(os.environ)
        self.git("init", "-q", str(self.repository), folder=home)

    def git(self, *words: str, folder: Path | None = None, stdin: str = "") -> str:
        return subprocess.run(
            ["git", *words],
            cwd=folder or self.repository,
            env=self.environ | {"GIT_TERMINAL_PROMPT": "0", "SPY": str(self.spied)},
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=False,
        ).stdout

    @property
    def spied(self) -> Path:
        return self.home / "spied"

    def write(self, text: str) -> None:
        (self.home / ".gitconfig").write_text(text)

    def write_local(self, text: str) -> None:
        with (self.repository / ".git" / "config").open("a") as file:
            file.write(text)

    def chain(self, url: str, folder: str | None = None) -> githelpers.Chain:
        return githelpers.chain(Git(self.environ), parse_url(url), folder)

    def asked(self, url: str) -> list[str]:
        """The helpers that git really runs for *url*, in the repository."""
        self.spied.write_text("")
        self.git("credential", "fill", stdin=f"url={url}\n\n")
        return [line.split(" ")[0] for line in self.spied.read_text().splitlines()]


@pytest.fixture
def desk(home: Path) -> Desk:
    return Desk(home)


def section(name: str, *helpers: str) -> str:
    """A section of a gitconfig whose helpers note that they were asked."""
    head = f'[credential "{name}"]' if name else "[credential]"
    lines = (
        '\thelper = "' + SPY.replace("NAME", h).replace('"', '\\"') + '"'
        if h
        else "\thelper ="
        for h in helpers
    )
    return "\n".join([head, *lines]) + "\n"


def named(chain: githelpers.Chain) -> list[str]:
    """Which spy each helper of the chain is."""
    return [h.value.split('echo "')[1].split(" ")[0] for h in chain.helpers]


URLS = [
    "https://git.test/contoso/app.git",
    "https://me@git.test/contoso/app.git",
    "https://you@git.test/fabrikam/app.git",
    "https://sub.git.test/x",
    "https://git.test:8443/contoso/app.git",
    "http://git.test/contoso",
    "https://other.test/",
]
CONFIGS = {
    "one for all": section("", "a", "b"),
    "a host after all": section("", "a") + section("https://git.test", "b"),
    "all after a host": section("https://git.test", "b") + section("", "a"),
    "a reset for a host": section("", "a") + section("https://git.test", "", "b"),
    "a reset for all at the end": section("https://git.test", "b") + section("", ""),
    "a user": section("https://me@git.test", "me") + section("https://git.test", "x"),
    "a path": section("https://git.test/contoso", "p")
    + section("https://git.test", "h"),
    "a wildcard": section("https://*.git.test", "w") + section("", "a"),
    "a port": section("https://git.test:8443", "port"),
    "a partial host": section("git.test", "partial") + section("", "a"),
    "a partial user": section("me@git.test", "partial"),
    "a partial scheme": section("https://", "scheme"),
    "upper case": section("https://GIT.test", "upper"),
}


@pytest.mark.parametrize("config", CONFIGS)
def test_chain_is_what_git_runs(desk: Desk, config: str) -> None:
    desk.write(CONFIGS[config])

    for url in URLS:
        assert named(desk.chain(url, str(desk.repository))) == desk.asked(url), url


def test_repository_helpers_are_told_apart(desk: Desk) -> None:
    desk.write(section("https://git.test", "", "mine"))
    desk.write_local(section("", "theirs"))

    outside = desk.chain("git.test")
    inside = desk.chain("git.test", str(desk.repository))

    assert named(outside) == ["mine"]
    assert named(inside) == desk.asked("https://git.test") == ["mine", "theirs"]
    assert [h.of_repository for h in inside.helpers] == [False, True]


def test_variables_of_another_repository_change_nothing_outside(desk: Desk) -> None:
    desk.write_local(section("", "theirs"))
    desk.environ["GIT_DIR"] = str(desk.repository / ".git")

    assert desk.chain("git.test").helpers == ()


def test_path_is_sent_where_the_last_setting_says_so(desk: Desk) -> None:
    desk.write(
        '[credential]\n\tuseHttpPath = false\n[credential "https://git.test"]\n'
        '\tuseHttpPath\n[credential "https://no.test"]\n\tuseHttpPath = no\n'
    )

    assert desk.chain("git.test").sends_path
    assert not desk.chain("no.test").sends_path
    assert not desk.chain("other.test").sends_path


def test_where_a_line_stands_is_shown(desk: Desk) -> None:
    desk.write('[credential "https://git.test"]\n\thelper = store --file x\n')

    (helper,) = desk.chain("git.test").helpers

    assert helper.line() == (
        f'store (global: {desk.home}/.gitconfig, [credential "https://git.test"])'
    )


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("store --file /x", "store"),
        ("/usr/lib/git-core/git-credential-libsecret", "git-credential-libsecret"),
        ("!/usr/bin/gh auth git-credential", "gh"),
        ('!f() { echo "password=s3cret"; }; f', "a shell snippet"),
        ("!echo", "echo"),
        ("!'", "a shell snippet"),
        ("", "a shell snippet"),
    ],
)
def test_name_shows_no_more_than_a_word(value: str, name: str) -> None:
    assert githelpers.Helper(value, "global", "", "").name == name


RIGHT_DOOR = (
    '!f() { test "$1" = get && exec timeout 1 git credential-cache --socket '
    "/run/user/1/hushkey/git get; :; }; f"
)


def test_our_agent_s_door_has_a_name() -> None:
    assert githelpers.Helper(RIGHT_DOOR, "global", "", "").name == "hushkey's agent"


@pytest.mark.parametrize(
    ("value", "ours", "wrong"),
    [
        ("hushkey", True, False),
        ("!'/home/a b/bin/git-credential-hushkey'", True, False),
        (RIGHT_DOOR, True, False),
        ("cache --socket /run/user/1/hushkey/git", False, True),
        ("cache --socket=/run/user/1/hushkey/git", False, True),
        ("!git credential-cache --socket /run/user/1/hushkey/git", False, True),
        ("cache --socket /run/mine", False, False),
        ("cache", False, False),
        ("hushkey-not", False, False),
    ],
)
def test_what_is_ours_and_what_only_looks_so(
    value: str, ours: bool, wrong: bool
) -> None:
    helper = githelpers.Helper(value, "global", "", "")

    assert (helper.is_ours, helper.is_wrong_socket) == (ours, wrong)


@pytest.mark.parametrize(
    ("pattern", "url"),
    [
        ("git.test", "https://git.test/"),
        ("git.test:8443/a/b", "https://git.test:8443/a/b"),
        ("http://*.git.test", "http://any.git.test/"),
    ],
)
def test_a_pattern_stands_for_a_request(pattern: str, url: str) -> None:
    request = githelpers.request_of(pattern)

    assert f"{request.protocol}://{request.host}/{request.path}" == url


def test_password_in_a_section_is_not_shown() -> None:
    section = "https://me:s3cret@git.test/a"

    line = githelpers.Helper("store", "global", "file:/x", section).line()

    assert line == 'store (global: /x, [credential "https://me@git.test/a"])'
