"""The real Bazel: what `hushkey install bazel` writes, and what its helper answers."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import do_without
from contracts.test_tools import TOKEN, granted, machine_of, words_of
from kit.oauth import BIN, Machine, OidcServer
from servers import children
from servers.authority import Authority
from servers.bazel import Bazel
from servers.process import Missing, wait_until
from servers.toolserver import ToolServer

pytestmark = [pytest.mark.contract, pytest.mark.long]


@pytest.fixture(scope="module")
def bazel(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bazel]:
    """One Bazel whose server serves every test, and is ended by its own id."""
    try:
        made = Bazel(tmp_path_factory.mktemp("bazel"), authority.ca_file)
    except Missing as reason:
        do_without(reason)
        raise
    with made:
        yield made


@pytest.fixture
def server(authority: Authority) -> Iterator[ToolServer]:
    with ToolServer(authority.server_context(), lambda token: token == TOKEN) as made:
        yield made


def registered(
    home: Path, server: ToolServer, issuer: str = "https://id.test"
) -> Machine:
    """A machine where `hushkey install bazel` named the server, as a person would."""
    machine = machine_of(home, issuer, server.host)
    done = machine.run("hushkey", "install", "bazel", server.host)
    assert done.returncode == 0, done.stderr
    # on a desk with a screen, where a window would open
    browser = home / "browser"
    browser.write_text(f"#!/bin/sh\ntouch {home}/window\n")
    browser.chmod(0o700)
    machine.environ |= {"BROWSER": str(browser), "DISPLAY": ":9"}
    machine.environ["HUSHKEY_LOG"] = str(home / "log")
    return machine


def runs(home: Path) -> int:
    """How often a helper was started."""
    log = (home / "log").read_text()
    return len(set(re.findall(r"pid=\d+ tool=bazel", log)))


def test_archive_and_file_come_with_the_token(
    home: Path, server: ToolServer, bazel: Bazel
) -> None:
    machine = registered(home, server)
    machine.has(granted())

    done, came = bazel.fetch(machine.environ, server, "hello.txt", "one.tar.gz")

    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said + str(server.log)
    assert sorted(server.served) == ["/bazel/hello.txt", "/bazel/one.tar.gz"]
    assert "hello\n" in {path.read_text() for path in came if path.is_file()}
    assert TOKEN not in said
    assert "hushkey" not in said


def test_host_of_nobody_gets_no_token(
    home: Path, server: ToolServer, bazel: Bazel
) -> None:
    machine = registered(home, server)
    text = machine.config_file.read_text().replace("127.0.0.1", "other.test")
    machine.configure(text=text)
    machine.has(granted())

    done, _ = bazel.fetch(machine.environ, server, "hello.txt")

    said = (done.stdout + done.stderr).decode()
    assert done.returncode != 0
    assert "401" in said
    assert "hushkey" not in said
    assert runs(home) == 1
    assert not server.served
    assert TOKEN not in said + str(server.log)


def test_sign_in_that_is_needed_is_said_and_opens_nothing(
    home: Path, server: ToolServer, bazel: Bazel
) -> None:
    with OidcServer() as issuer:
        machine = registered(home, server, issuer.issuer)

        done, _ = bazel.fetch(machine.environ, server, "hello.txt")

        said = words_of(done.stderr.decode())
        assert done.returncode != 0
        assert "WARNING" in said
        assert f"hushkey login {server.host}" in said
        assert not (home / "window").exists()
        assert not issuer.calls_to("/token")
        assert not server.served


def test_identity_server_that_hangs_is_left_before_bazel_gives_up(
    home: Path, server: ToolServer, bazel: Bazel
) -> None:
    """Bazel ends a helper after 10 s, and then says nothing of what it wanted."""
    with OidcServer() as issuer:
        machine = registered(home, server, issuer.issuer)
        machine.has(granted(expires_in=1), age=3600)
        issuer.on("/token", issuer.hang)

        done, _ = bazel.fetch(machine.environ, server, "one.tar.gz", "two.tar.gz")

        said = words_of(done.stderr.decode())
        assert done.returncode != 0
        assert said.count("hushkey: ") == 2
        assert said.count("no answer in time") == 2
        assert "process timed out" not in said
        assert bazel.started() == []
        assert len(issuer.calls_to("/token")) == 1
        assert not (home / "window").exists()


def test_lock_of_a_tool_that_waits_longer_is_left_before_bazel_gives_up(
    home: Path, server: ToolServer, bazel: Bazel
) -> None:
    """Another program waits for the identity server, with 30 s for it."""
    with OidcServer() as issuer:
        machine = registered(home, server, issuer.issuer)
        machine.has(granted(expires_in=1), age=3600)
        issuer.on("/token", issuer.hang)
        with subprocess.Popen(
            (str(BIN / "hushkey"), "token", server.host),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=machine.environ,
        ) as other:
            try:
                wait_until(lambda: bool(issuer.calls_to("/token")), "it", seconds=60)
                done, _ = bazel.fetch(machine.environ, server, "hello.txt")
            finally:
                other.kill()

        said = words_of(done.stderr.decode())
        assert "hushkey: another hushkey process has been busy for " in said
        assert "process timed out" not in said
        assert bazel.started() == []


def test_two_archives_of_one_host_are_one_token_request(
    home: Path, server: ToolServer, bazel: Bazel
) -> None:
    with OidcServer() as issuer:
        machine = registered(home, server, issuer.issuer)
        issuer.grants(access_token=TOKEN)
        machine.has(granted(expires_in=1), age=3600)

        done, _ = bazel.fetch(machine.environ, server, "one.tar.gz", "two.tar.gz")

        assert done.returncode == 0, done.stderr
        assert sorted(server.served) == ["/bazel/one.tar.gz", "/bazel/two.tar.gz"]
        assert runs(home) == 2
        assert len(issuer.calls_to("/token")) == 1


def test_bazel_without_our_program_says_which_until_it_is_uninstalled(
    home: Path, server: ToolServer, bazel: Bazel
) -> None:
    """What asks none of these hosts goes on."""
    machine = registered(home, server)
    (door,) = (machine.data / "programs").iterdir()
    program = door.read_bytes()
    door.unlink()
    other = bazel.run(machine.environ, "info", "release")
    done, _ = bazel.fetch(machine.environ, server, "hello.txt")
    door.write_bytes(program)

    machine.run("hushkey", "uninstall", "bazel")
    after, _ = bazel.fetch(machine.environ, server, "hello.txt")

    assert other.returncode == 0, other.stderr
    assert done.returncode != 0
    assert str(door) in done.stderr.decode()
    assert after.returncode != 0
    assert "helper" not in after.stderr.decode()
    assert "401" in after.stderr.decode()
    assert not server.served


@pytest.mark.parametrize(
    "host",
    ["git.test", "bücher.test", "1.2.3.4", "a--b", "[::1]", "a_b.test", "y-.test"],
)
def test_bazel_takes_each_host_that_is_not_refused(
    host: str, home: Path, bazel: Bazel
) -> None:
    """With a line that it does not understand, Bazel runs no command at all."""
    machine = machine_of(home, "https://id.test", f"{host}:8443")
    done = machine.run("hushkey", "install", "bazel", f"{host}:8443")
    refused = done.returncode != 0
    if refused:
        helper = f"common --credential_helper={host}=/no/helper\n"
        (home / ".bazelrc").write_text(helper)

    other = bazel.run(machine.environ, "info", "release")

    assert (other.returncode != 0) == refused, done.stderr + other.stderr
    assert (b"Credential helper scope" in other.stderr) == refused


def test_shutdown_leaves_no_server(
    home: Path, server: ToolServer, bazel: Bazel
) -> None:
    environ = dict(os.environ)
    bazel.run(environ, "info", "release")
    pid = bazel.pid()
    assert pid in children.alive()

    done = bazel.shutdown(environ)

    assert done.returncode == 0, done.stderr
    assert bazel.pid() is None
    assert pid not in children.alive()
