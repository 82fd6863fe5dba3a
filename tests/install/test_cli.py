import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

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
from hushkey_install.cli import main
from hushkey_install.commands.exitcodes import Group
from kit.oauth import BIN, CANARY, Machine, grant

NEVER = {"HUSHKEY_INTERACTIVE": "never"}
#: every verb that looks at the config, with what it needs
VERBS = {
    "login": ["login", "git.test"],
    "logout": ["logout", "git.test"],
    "logout --all": ["logout", "--all", "--local"],
    "status": ["status"],
    "status --json": ["status", "--json"],
    "token": ["token", "git.test"],
    "explain": ["explain", "git.test"],
    "config check": ["config", "check"],
    "config show --json": ["config", "show", "--json"],
    "config add-host": ["config", "add-host", "new.test", "--identity", "corp"],
    "doctor": ["doctor"],
    "doctor --json": ["doctor", "--json"],
    "report": ["report"],
    "reset": ["reset", "--yes"],
    "install git": ["install", "git"],
    "uninstall git": ["uninstall", "git"],
    "install pip": ["install", "pip"],
    "uninstall uv": ["uninstall", "uv"],
    "install twine": ["install", "twine"],
}


@pytest.fixture
def machine(home: Path) -> Machine:
    return Machine(home)


def hushkey(machine: Machine, *words: str, **environ: str) -> Result:
    return CliRunner().invoke(main, words, env={**machine.environ, **NEVER, **environ})


def test_no_word_shows_how_to_begin(machine: Machine) -> None:
    result = hushkey(machine)

    assert "hushkey setup git.example.com" in result.output
    assert "Exit codes" in result.output


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["login", "-h"]])
def test_help_is_no_error(machine: Machine, words: list[str]) -> None:
    result = hushkey(machine, *words)

    assert result.exit_code == 0
    assert "Usage:" in result.stdout


def test_no_line_of_help_is_cut_short() -> None:
    def groups(command: click.Command, words: tuple[str, ...]) -> list[tuple[str, ...]]:
        if not isinstance(command, click.Group):
            return []
        below = command.commands.items()
        return [words, *(g for n, c in below for g in groups(c, (*words, n)))]

    for words in groups(main, ()):
        said = CliRunner().invoke(main, [*words, "--help"]).output
        assert "...\n" not in said.partition("Options:")[2], words


def test_version_is_shown(machine: Machine) -> None:
    assert hushkey(machine, "--version").stdout.startswith("hushkey")


@pytest.mark.parametrize(
    "words", [["nonsense"], ["token"], ["login", "--method", "sms"], ["config", "set"]]
)
def test_wrong_usage_is_2(machine: Machine, words: list[str]) -> None:
    assert hushkey(machine, *words).exit_code == 2


# -- what an error ends in -------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UiRequired("x"), 3),
        (InteractionUnavailable("x"), 3),
        (Cancelled("x"), 3),
        (Transient("x"), 4),
        (ConfigError("x"), 5),
        (StoreError("locked", "x"), 6),
        (Permanent("x"), 1),
        (HushkeyError("x"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_error_is_one_line_and_a_code(error: HushkeyError, code: int) -> None:
    @click.group(cls=Group)
    def group() -> None: ...

    @group.command()
    def fail() -> None:
        raise error

    result = CliRunner().invoke(group, ["fail"])

    assert result.exit_code == code
    assert (result.stdout, result.stderr) == ("", "hushkey: x\n")


def test_reader_that_has_gone_is_no_error(machine: Machine) -> None:
    machine.configure()
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [BIN / "hushkey", "status"],
            env=machine.environ,
            stdout=write,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(write)

    assert done.stderr == b""
    assert done.returncode == 0


# -- every verb, whatever the machine looks like ---------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_verb_without_config_ends_in_a_line(machine: Machine, verb: str) -> None:
    result = hushkey(machine, *VERBS[verb])

    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.exit_code in (0, 1)
    if result.exit_code and not verb.startswith("doctor"):
        (line,) = result.stderr.splitlines()
        assert line.startswith("hushkey: ")
    assert not machine.config_file.exists()


#: what must work when the config is the trouble
NEED_NO_CONFIG = {"reset", "doctor", "doctor --json", "report"}
NEED_NO_CONFIG |= {verb for verb in VERBS if verb.startswith("uninstall ")}


@pytest.mark.parametrize("verb", [v for v in VERBS if v not in NEED_NO_CONFIG])
@pytest.mark.parametrize(
    "text",
    ["[settings\n", "[settings]\nagnt = 1\n", '[host."git.test"]\nidentity = "x"\n'],
    ids=["no TOML", "unknown key", "no identity"],
)
def test_verb_with_a_wrong_config_names_the_place(
    machine: Machine, verb: str, text: str
) -> None:
    machine.configure(text=text)

    result = hushkey(machine, *VERBS[verb])

    assert result.exit_code == 5
    assert str(machine.config_file) in result.stderr
    assert result.stdout == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("verb", VERBS)
def test_verb_writes_nothing_into_a_foreign_folder(machine: Machine, verb: str) -> None:
    machine.configure()
    machine.data.mkdir(parents=True)
    os.chown(machine.data, 12345, 12345)

    result = hushkey(machine, *VERBS[verb])

    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert list(machine.data.iterdir()) == []
    if verb in ("logout", "logout --all", "install git", "reset"):
        assert result.exit_code == 6
        assert "belongs to another user" in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_foreign_config_is_not_changed(machine: Machine) -> None:
    machine.configure()
    before = machine.config_file.read_text()
    os.chown(machine.config_file, 12345, 12345)

    result = hushkey(machine, "config", "set", "agent", "false")

    assert result.exit_code == 6
    assert machine.config_file.read_text() == before


@pytest.mark.parametrize("verb", [v for v in VERBS if v != "token"])
def test_no_verb_shows_a_secret(machine: Machine, verb: str) -> None:
    machine.configure()
    text = machine.config_file.read_text()
    secret = f'client_secret = "cs-{CANARY}"\n[host.'
    machine.config_file.write_text(text.replace("[host.", secret, 1))
    machine.has(grant(f"at-{CANARY}", refresh_token=f"rt-{CANARY}"))
    key = (machine.data / "key").read_text()

    result = hushkey(machine, *VERBS[verb], NO_COLOR="1", COLUMNS="200")

    shown = result.stdout + result.stderr + str(result.exception)
    assert shown.strip()
    assert CANARY not in shown
    assert key not in shown


def test_failing_token_shows_no_other_secret(machine: Machine) -> None:
    machine.configure()
    machine.has(grant(f"at-{CANARY}", refresh_token=f"rt-{CANARY}"), age=7200)

    result = hushkey(machine, "token", "git.test")

    assert result.exit_code == 4
    assert CANARY not in result.stdout + result.stderr


def test_verbs_that_ask_no_server_load_no_network() -> None:
    """Completion asks at every Tab."""
    ask = "import sys, hushkey_install.cli; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, check=True
    )

    heavy = {"requests", "authlib", "joserfc", "msal", "keyring", "rich", "psutil"}
    assert heavy & set(done.stdout.split()) == set()
