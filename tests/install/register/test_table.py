"""Every tool that hushkey registers with is reached by the commands, and documented."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hushkey_install import cli
from hushkey_install.common import output
from hushkey_install.common.finding import NOTE, Finding
from hushkey_install.doctor import run
from hushkey_install.register import table
from hushkey_install.register.registration import Plan, Registration
from hushkey_install.tools.installation import Installation

GUIDE = Path(__file__).parents[3] / "install" / "guide"
each_tool = pytest.mark.parametrize(
    "tool", table.REGISTRATIONS, ids=lambda tool: tool.name
)


class Toy(Registration):
    """A tool that notes what is done to it."""

    takes_hosts = False

    def __init__(self, *, changes: bool) -> None:
        super().__init__("toy")
        self.done: list[str] = []
        self._changes = changes

    def _planned(self, name: str) -> Plan:
        def shown() -> bool:
            output.say(f"{name}?")
            return self._changes

        return Plan(
            shown,
            lambda: self.done.append(name),
            lambda: self.done.append(f"tidy {name}"),
        )

    def plan(
        self, environ: dict[str, str], hosts: tuple[str, ...], **more: object
    ) -> Plan:
        return self._planned("plan")

    def undo(
        self, environ: dict[str, str], hosts: tuple[str, ...], **more: object
    ) -> Plan:
        return self._planned("undo")

    def checks(self, installation: Installation) -> Iterator[Finding]:
        yield Finding("toy-broken", NOTE, "the toy is broken")


@each_tool
@pytest.mark.parametrize("verb", ["install", "uninstall"])
def test_tool_is_a_command(tool: Registration, verb: str) -> None:
    group = cli.main.commands[verb]
    assert isinstance(group, click.Group)

    result = CliRunner().invoke(cli.main, [verb, tool.name, "--help"])

    assert list(group.commands) == [each.name for each in table.REGISTRATIONS]
    assert result.exit_code == 0
    assert f"{verb} {tool.name} [OPTIONS]" in result.stdout


def test_names_are_completed() -> None:
    environ = {
        "COMP_WORDS": "hushkey install ",
        "COMP_CWORD": "2",
        "_HUSHKEY_COMPLETE": "bash_complete",
    }
    result = CliRunner().invoke(cli.main, prog_name="hushkey", env=environ)

    offered = {line.partition(",")[2] for line in result.stdout.splitlines()}
    assert offered == {each.name for each in table.REGISTRATIONS}


@each_tool
def test_tool_is_in_the_guide(tool: Registration) -> None:
    text = "\n".join((GUIDE / f"{p}.md").read_text() for p in ("commands", "tools"))
    rows = [line for line in text.splitlines() if line[:1] == "|"]

    assert any(
        re.search(rf"hushkey install [\w\\|`, ]*\b{tool.name}\b", row) for row in rows
    )


@pytest.mark.parametrize("changes", [True, False])
def test_plan_is_shown_then_made(home: Path, changes: bool) -> None:
    toy = Toy(changes=changes)

    toy.install((), dry_run=True)
    assert toy.done == []
    toy.install((), dry_run=False)
    toy.uninstall((), dry_run=False)

    assert toy.done == (["plan", "undo"] if changes else ["tidy plan", "tidy undo"])


def test_nothing_to_change_is_said(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Toy(changes=False).install((), dry_run=True)

    assert capsys.readouterr().err == "nothing to change\n"


def test_hosts_are_refused_where_none_are_taken(home: Path) -> None:
    with pytest.raises(click.UsageError, match="name none"):
        Toy(changes=True).install(("git.test",), dry_run=True)


def test_doctor_says_what_a_registration_finds(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "CHECKED", (Toy(changes=True),))

    assert "toy-broken" in {found.code for found in run.findings()}


class Broken(Toy):
    """A tool whose file cannot be read."""

    def checks(self, installation: Installation) -> Iterator[Finding]:
        raise PermissionError(13, "Permission denied", "/toy")


def test_tool_that_cannot_be_looked_at_silences_no_other(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toys = (Broken(changes=True), Toy(changes=True))
    monkeypatch.setattr(table, "CHECKED", toys)

    found = {each.code: each.text for each in run.findings()}

    assert found["topic-fails"] == "/toy: Permission denied"
    assert "toy-broken" in found


def test_doctor_knows_no_tool_but_by_the_table() -> None:
    """But for the agent's unit, which is ours."""
    modules = Path(run.__file__).parent.glob("*.py")
    imported = {
        name
        for path in modules
        for line in path.read_text().splitlines()
        if (found := re.match(r"from hushkey_install\.register(\S*) import (.*)", line))
        for name in (found[1] + found[2]).replace(" ", "").split(",")
    }

    assert imported == {"table", "systemd"}
