"""Every verb, wherever it is run: no traceback, at most one line of complaint.

Conditions of the machine are rows, verbs are columns; a verb that needs a person
or an editor is given one that declines.
"""

import os
import subprocess
from collections.abc import Callable
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from hushkey_install.cli import main
from kit.oauth import BIN, CONFIG, Machine, grant

VERBS = {
    "login": ["login", "git.test"],
    "logout": ["logout", "--local", "git.test"],
    "token": ["token", "git.test"],
    "forward status": ["forward", "status"],
    "log": ["log"],
    "setup": ["setup", "git.test", "--yes", "--no-login", "--no-probe", "--dry-run"],
    "accounts": ["accounts"],
    "accounts --json": ["accounts", "--json"],
    "switch": ["switch", "git.test", "me"],
    "status": ["status"],
    "status --json": ["status", "--json"],
    "explain": ["explain", "https://git.test/a/b"],
    "explain --json": ["explain", "--json", "git.test"],
    "doctor": ["doctor"],
    "doctor --json": ["doctor", "--json"],
    "doctor --fix": ["doctor", "--fix"],
    "report": ["report"],
    "import": ["import"],
    "reset": ["reset"],
    "completion": ["completion", "bash"],
    "help": ["help"],
    "help machines": ["help", "machines"],
    "version": ["version"],
    "config path": ["config", "path"],
    "config show": ["config", "show"],
    "config show --json": ["config", "show", "--json"],
    "config check": ["config", "check"],
    "config set": ["config", "set", "agent", "false"],
    "config unset": ["config", "unset", "agent"],
    "config edit": ["config", "edit"],
    "config add-host": ["config", "add-host", "new.test", "--identity", "corp"],
    "install git": ["install", "git"],
    "uninstall git": ["uninstall", "git"],
    "install go": ["install", "go"],
    "uninstall go": ["uninstall", "go"],
    "agent status": ["agent", "status"],
    "agent stop": ["agent", "stop"],
}
every_verb = pytest.mark.parametrize("verb", VERBS)
FAR = CONFIG.replace('"corp"', '"zoë-日本"').replace(".corp", '."zoë-日本"')
#: what complains of several things at once, each on a line
LISTS = ("doctor", "doctor --json", "doctor --fix", "config check", "config edit")


@pytest.fixture
def machine(machine: Machine) -> Machine:
    machine.has(grant())
    machine.environ |= {"HUSHKEY_INTERACTIVE": "never", "EDITOR": "/bin/true"}
    return machine


def run(machine: Machine, verb: str, charset: str = "utf-8", **environ: str) -> Result:
    runner = CliRunner(charset=charset)
    environ = {**machine.environ, **environ}
    result = runner.invoke(main, VERBS[verb], env=environ)
    check(verb, result.exit_code, result.stderr, result.exception)
    return result


def check(verb: str, code: int, stderr: str, exception: object = None) -> None:
    """Fail unless the verb ended as the guide says that verbs end."""
    assert exception is None or isinstance(exception, SystemExit), exception
    assert "Traceback" not in stderr
    assert code in range(7)
    complaints = [line for line in stderr.splitlines() if line.startswith("hushkey: ")]
    assert len(complaints) <= 1 or verb in LISTS, stderr
    if code > 2 and verb not in LISTS:
        assert complaints, stderr


def test_table_names_every_verb() -> None:
    named = {words[0] for words in VERBS.values()}

    # `run` becomes another program: tests/install/running
    assert named == set(main.commands) - {"demo", "run"}
    for group in ("config", "install", "uninstall"):
        command = main.commands[group]
        assert isinstance(command, click.Group)
        tools = {words[1] for words in VERBS.values() if words[0] == group}
        assert tools <= set(command.commands)
        assert group != "config" or tools == set(command.commands)


@every_verb
def test_no_keyring(machine: Machine, verb: str) -> None:
    machine.configure(text=CONFIG.replace('"file"', '"keyring"'))
    (machine.data / "key").unlink()

    result = run(machine, verb)

    if verb in ("login", "token", "logout"):
        assert result.exit_code == 6
        assert "there is no OS keyring here" in result.stderr
        # What is stored needs the key that it was sealed with, not another one.
        assert "hushkey config set key_store file" not in result.stderr
        assert "the stored sign-ins need its key" in result.stderr


@pytest.mark.contract
def test_locked_keyring(
    machine: Machine, make_secret_service: Callable[..., Any]
) -> None:
    machine.configure(text=CONFIG.replace('"file"', '"keyring"'))
    (machine.data / "key").unlink()
    server = make_secret_service("locked")

    for verb in VERBS:
        result = run(machine, verb, DBUS_SESSION_BUS_ADDRESS=server.bus_address)

        if verb in ("login", "token", "logout"):
            assert result.exit_code == 6, verb
            assert "is locked" in result.stderr, verb


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@every_verb
def test_config_and_data_of_another_user(machine: Machine, verb: str) -> None:
    """As after `sudo` with HOME kept."""
    for path in (machine.home, *machine.home.rglob("*")):
        os.chown(path, 12345, 12345, follow_symlinks=False)
    before = sorted(machine.home.rglob("*"))

    run(machine, verb)

    assert sorted(machine.home.rglob("*")) == before


@every_verb
def test_config_that_cannot_be_read(machine: Machine, verb: str) -> None:
    machine.config_file.unlink()
    machine.config_file.mkdir()

    result = run(machine, verb)

    needs_none = (
        "reset",
        "completion",
        "config path",
        "uninstall git",
        "uninstall go",
        "report",
    )
    more = ("agent status", "agent stop", "help", "help machines", "version")
    log = ("forward status", "log")
    assert (result.exit_code == 0) is (
        verb in (*needs_none, *more, *log)
    ) or verb == "reset"


@every_verb
def test_narrow_terminal(machine: Machine, verb: str) -> None:
    run(machine, verb, COLUMNS="40")


@every_verb
def test_home_and_names_in_another_encoding(machine: Machine, verb: str) -> None:
    machine.configure(text=FAR)

    run(machine, verb, charset="iso-8859-1")


@every_verb
def test_in_a_pipe_and_a_plain_c_locale(machine: Machine, verb: str) -> None:
    """Really run: Python itself decides here what the streams can take."""
    machine.configure(text=FAR)
    environ = {
        **machine.environ,
        "LC_ALL": "C",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONUTF8": "0",
    }
    done = subprocess.run(
        [BIN / "hushkey", *VERBS[verb]],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
        start_new_session=True,
    )

    check(verb, done.returncode, done.stderr.decode())
    assert b"\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("verb", ["status", "doctor", "report", "config show --json"])
def test_reader_that_has_gone(machine: Machine, verb: str) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [BIN / "hushkey", *VERBS[verb]],
            env=machine.environ,
            stdout=write,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(write)

    assert done.stderr == b""
