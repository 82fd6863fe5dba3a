"""What the config verbs do where a pattern has a table for each user name."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from hushkey_install.cli import main
from kit.oauth import Machine

USERS = """
[[host."hub.test"]]
identity = "corp"
user = "alice"
[[host."hub.test"]]
identity = "corp"
user = "bob"
"""


@pytest.fixture
def machine(home: Path) -> Machine:
    made = Machine(home)
    made.configure(USERS)
    return made


@pytest.mark.parametrize(
    "words",
    [["set", 'host."hub.test".account', "x"], ["unset", 'host."hub.test".user']],
)
def test_one_of_several_tables_is_changed_by_hand(
    machine: Machine, words: list[str]
) -> None:
    before = machine.config_file.read_bytes()

    done = CliRunner().invoke(main, ["config", *words], env=machine.environ)

    assert done.exit_code == 1
    assert "there are several tables for hub.test; run `hushkey config edit`" in (
        done.stderr
    )
    assert machine.config_file.read_bytes() == before


def test_all_of_them_are_taken_out_at_once(machine: Machine) -> None:
    words = ["config", "unset", 'host."hub.test"']
    done = CliRunner().invoke(main, words, env=machine.environ)

    assert done.exit_code == 0, done.stderr
    assert "hub.test" not in machine.config_file.read_text()
    assert "git.test" in machine.config_file.read_text()


def test_config_is_shown_with_all_that_is_no_secret(machine: Machine) -> None:
    done = CliRunner().invoke(main, ["config", "show"], env=machine.environ)

    assert USERS in done.stdout


def test_doctor_names_the_host_once(machine: Machine) -> None:
    text = machine.config_file.read_text().replace("hub.test", "git.hub.test")
    machine.config_file.write_text(text)

    done = CliRunner().invoke(main, ["doctor"], env=machine.environ)

    assert "git does not ask hushkey for git.test, git.hub.test\n" in done.output
