"""What programs read: each command with `--json` keeps to one shape."""

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hushkey.system import audit
from hushkey_install.cli import main
from hushkey_install.common import guide, output
from hushkey_install.inspect import status
from hushkey_install.register.table import REGISTRATIONS as TOOLS
from kit.oauth import Machine, grant

#: what a command needs to be told, beside `--json`
WORDS = {"explain": ["https://git.test/a"]}


def commands(group: click.Command, *above: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command that takes `--json`."""
    if any("--json" in option.opts for option in group.params):
        yield above
    if isinstance(group, click.Group):
        for name, command in group.commands.items():
            yield from commands(command, *above, name)


JSON = [" ".join(words) for words in commands(main)]


@pytest.fixture
def signed_in(machine: Machine) -> Machine:
    machine.has(grant())
    audit.record(machine.environ, forward="f", host="git.test", outcome="given")
    return machine


def test_the_commands_are_those_that_programs_read() -> None:
    asked = ["status", "doctor", "accounts", "explain", "log", "version"]

    assert {*asked, "config show", "forward status", "agent status"} <= set(JSON)


@pytest.mark.parametrize("words", JSON)
def test_json_names_its_schema_and_holds_no_sentence(
    signed_in: Machine, words: str
) -> None:
    argv = [*words.split(), *WORDS.get(words, []), "--json"]

    done = CliRunner().invoke(main, argv, env=signed_in.environ)

    found = json.loads(done.stdout)
    assert next(iter(found)) == "schema"
    assert found["schema"] == output.SCHEMA
    assert done.stdout.isascii()


def test_report_names_its_schema(signed_in: Machine) -> None:
    done = CliRunner().invoke(main, ["report"], env=signed_in.environ)

    assert json.loads(done.stdout)["schema"] == output.SCHEMA


@pytest.mark.parametrize("words", JSON)
def test_the_guide_has_every_command_that_writes_json(words: str) -> None:
    page = guide.page("exit-codes")

    assert f"`hushkey {words}" in page


def test_the_guide_has_every_state() -> None:
    page = guide.page("exit-codes")

    assert [state for state in status.STATES if f"`{state}`" not in page] == []


#: what may change something, and would show a person first what
ASKING = (
    "setup",
    "import",
    "reset",
    "report",
    "doctor",
    "uninstall",
    "config add-host",
    *(f"{verb} {tool.name}" for verb in ("install", "uninstall") for tool in TOOLS),
)


@pytest.mark.parametrize("words", ASKING)
def test_every_command_that_asks_can_be_told_yes(words: str) -> None:
    command: click.Command = main
    for word in words.split():
        assert isinstance(command, click.Group)
        command = command.commands[word]

    assert any("--yes" in option.opts for option in command.params)


def test_nothing_else_asks_before_it_changes_something() -> None:
    """`config edit` is an editor with a person before it; the rest takes `--yes`."""
    room = Path(output.__file__).parents[1]
    asking = {p.name for p in room.rglob("*.py") if "output.confirm(" in p.read_text()}

    assert asking == {
        "run.py",  # doctor
        "keystore.py",  # config add-host
        "editor.py",
        "plugins.py",
        "asking.py",  # import
        "questions.py",  # setup
        "setup.py",
        "reset.py",
        "leaving.py",  # uninstall
    }
