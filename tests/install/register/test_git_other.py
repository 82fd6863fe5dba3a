"""Registering with git where another helper answers, or nobody signs in."""

import os
import stat
from pathlib import Path

import pytest

from hushkey_install.tools.gitfile import Git
from kit.oauth import BIN, Machine, grant

HELPER = str(BIN / "git-credential-hushkey")


class Desk(Machine):
    """A home with a git that has another helper, which notes its questions."""

    @property
    def file(self) -> Path:
        return self.home / ".gitconfig"

    def other(self, *, password: str) -> None:
        """Let another helper be git's, with *password* for every host, or none."""
        script = self.home / "git-credential-other"
        answer = f"echo username=me; echo password={password}" if password else ":"
        script.write_text(f"#!/bin/sh\n{answer}\n")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        self.file.write_text(f"[credential]\n\thelper = {script}\n")

    def install(self, *hosts: str) -> str:
        done = self.run("hushkey", "install", "git", *hosts)
        assert done.returncode == 0, done.stderr
        return done.stderr.decode()

    def ask(self, host: str) -> str:
        question = f"protocol=https\nhost={host}\n\n".encode()
        told = self.run("git-credential-hushkey", "get", stdin=question)
        return told.stdout.decode() + told.stderr.decode()


@pytest.fixture
def desk(home: Path) -> Desk:
    made = Desk(home)
    made.configure()
    return made


def test_working_password_is_not_silenced_before_a_sign_in(desk: Desk) -> None:
    desk.other(password="x")
    before = desk.file.read_text()

    told = desk.install()

    assert desk.file.read_text() == before
    assert "https://git.test is left out: git-credential-other has a password" in told
    assert "`hushkey login git.test` first" in told


def test_after_the_sign_in_it_is_registered(desk: Desk) -> None:
    desk.other(password="x")
    desk.has(grant("at", expires_in=None, refresh_token="rt"))

    desk.install()

    assert HELPER in desk.file.read_text()


def test_helper_that_has_nothing_is_no_set_up(desk: Desk) -> None:
    desk.other(password="")

    desk.install()

    assert HELPER in desk.file.read_text()


def test_registered_host_stays_registered(desk: Desk) -> None:
    desk.install()
    text = desk.file.read_text()
    desk.other(password="x")
    desk.file.write_text(desk.file.read_text() + text)
    before = desk.file.read_text()

    desk.install()

    assert desk.file.read_text() == before


def test_host_without_identity_keeps_what_is_typed(desk: Desk) -> None:
    told = desk.install("code.example.com")
    secret = b"protocol=https\nhost=code.example.com\nusername=me\npassword=pw\n\n"
    desk.run("git-credential-hushkey", "store", stdin=secret)

    assert "https://code.example.com has no identity: hushkey keeps what you" in told
    assert '[credential "https://code.example.com"]' in desk.file.read_text()
    assert "password=pw\n" in desk.ask("code.example.com")
    assert desk.typed() == ["pw"]
    undone = desk.run("hushkey", "uninstall", "git", "code.example.com")
    assert undone.returncode == 0
    assert "code.example.com" not in desk.file.read_text()


def test_host_without_identity_does_not_lose_its_password(desk: Desk) -> None:
    desk.other(password="x")
    before = desk.file.read_text()

    told = desk.install("code.example.com")
    left = desk.file.read_text()
    desk.types("code.example.com", "me", "pw")
    desk.install("code.example.com")

    assert left == before
    assert "`hushkey import` takes it over" in told
    assert "code.example.com" in desk.file.read_text()


def test_built_in_host_without_a_client_is_still_refused(desk: Desk) -> None:
    done = desk.run("hushkey", "install", "git", "github.com")

    assert done.returncode == 1
    assert b"hushkey setup github.com" in done.stderr
    assert not desk.file.exists()


@pytest.mark.parametrize("script", ["sleep 60", "exit 1", "echo password="])
def test_who_asks_a_helper_never_waits_for_long(
    desk: Desk, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hushkey_install.tools.gitfile._HELPERS_PATIENCE", 1)
    desk.file.write_text(f'[credential]\n\thelper = "!{script};:"\n')

    assert not Git(dict(os.environ)).has_password("https", "a.test")


def test_unknown_forge_says_so_where_a_person_would_have_to_type(desk: Desk) -> None:
    def told(realm: str, host: str = "code.example.com:8443") -> str:
        question = (
            f"capability[]=authtype\nprotocol=https\nhost={host}\nwwwauth[]={realm}\n\n"
        )
        done = desk.run("git-credential-hushkey", "get", stdin=question.encode())
        assert done.stdout == b""
        return done.stderr.decode()

    assert "run `hushkey setup code.example.com:8443`" in told('Basic realm="Gitea"')
    assert "run `hushkey setup github.com`" in told(
        'Basic realm="GitHub"', "github.com"
    )
    for hostile in (
        'Basic realm="Gitea at evil.test"',
        'Basic realm="https://evil.test"',
        'Bearer realm="Gitea"',
        'Basic realm="\x1b[2JGitea"',
    ):
        assert told(hostile) == ""
    desk.types("code.example.com", "me", "pw")
    question = (
        b'protocol=https\nhost=code.example.com\nwwwauth[]=Basic realm="Gitea"\n\n'
    )
    kept = desk.run("git-credential-hushkey", "get", stdin=question)
    assert b"password=pw" in kept.stdout
    assert kept.stderr == b""
