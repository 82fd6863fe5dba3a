import os
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hushkey_install.cli import main
from hushkey_install.config import editor
from kit.oauth import Machine

GOOD = '# mine\n[settings]\nkey_store = "file"\n'
BETTER = GOOD + "agent = false\n"


@pytest.fixture
def machine(home: Path) -> Machine:
    made = Machine(home)
    made.configure(text=GOOD)
    return made


def script(machine: Machine, body: str) -> str:
    """Make an editor of *body*, a shell script whose $1 is the file."""
    path = machine.home / "my editor"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return shlex.quote(str(path))


def writes(machine: Machine, *texts: str) -> str:
    """Make an editor that writes one text after another, once it is started anew."""
    for number, text in enumerate(texts):
        (machine.home / f"text{number}").write_text(text)
    count = machine.home / "count"
    count.write_text("")
    return script(
        machine,
        f'n=$(wc -c < "{count}"); printf x >> "{count}"; '
        f'cp "{machine.home}/text$((n))" "$1"',
    )


def edit(machine: Machine, command: str, code: int = 0, typed: str = "") -> Result:
    environ = {**machine.environ, "VISUAL": command}
    result = CliRunner().invoke(main, ["config", "edit"], env=environ, input=typed)
    assert result.exit_code == code, result.output
    return result


def left(machine: Machine) -> list[str]:
    return sorted(path.name for path in machine.config_file.parent.iterdir())


def test_a_good_edit_is_put_in_place(machine: Machine) -> None:
    result = edit(machine, writes(machine, BETTER))

    assert machine.config_file.read_text() == BETTER
    assert left(machine) == ["config.toml", "config.toml.hushkey-backup"]
    assert f"saved {machine.config_file}" in result.stderr


def test_no_change_is_no_change(machine: Machine) -> None:
    result = edit(machine, script(machine, ":"))

    assert "nothing was changed" in result.stderr
    assert left(machine) == ["config.toml"]


def test_first_edit_begins_with_an_example_that_does_not_count(home: Path) -> None:
    machine = Machine(home)

    edit(machine, script(machine, 'grep -q "provider" "$1"'))

    assert not machine.config_file.exists()


def test_a_broken_edit_is_not_put_in_place_and_not_lost(machine: Machine) -> None:
    broken = GOOD + "agnt = 1\n"

    result = edit(machine, writes(machine, broken), code=5)

    assert machine.config_file.read_text() == GOOD
    assert "config.edit.toml:4: [settings] agnt: unknown key" in result.stderr
    assert "your edit is kept in" in result.stderr
    kept = machine.config_file.with_name("config.edit.toml")
    assert kept.read_text() == broken


def test_the_next_edit_goes_on_with_what_was_kept(machine: Machine) -> None:
    edit(machine, writes(machine, "[settings\n"), code=5)

    edit(
        machine,
        script(
            machine,
            'grep -q "^.settings$" "$1" && printf "]" > "$1.x" '
            '&& printf "[settings]\\nagent = false\\n" > "$1"; '
            'rm -f "$1.x"',
        ),
    )

    assert machine.config_file.read_text() == "[settings]\nagent = false\n"


def test_person_is_offered_another_try(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editor, "_is_person", lambda: True)

    result = edit(machine, writes(machine, "broken", BETTER), typed="y\n")

    assert "edit again? [Y/n]" in result.output
    assert machine.config_file.read_text() == BETTER


def test_person_may_drop_what_was_kept(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(machine, writes(machine, "broken"), code=5)
    monkeypatch.setattr(editor, "_is_person", lambda: True)

    edit(machine, script(machine, 'echo "agent = true" >> "$1"'), typed="n\n")

    assert machine.config_file.read_text() == GOOD + "agent = true\n"


def test_a_change_made_meanwhile_is_not_overwritten(machine: Machine) -> None:
    theirs = GOOD + "# theirs\n"
    command = script(
        machine,
        f'echo "agent = true" >> "$1"; echo "# theirs" >> "{machine.config_file}"',
    )

    result = edit(machine, command, code=5)

    assert "changed by somebody else" in result.stderr
    assert machine.config_file.read_text() == theirs
    assert "agent" in machine.config_file.with_name("config.edit.toml").read_text()


def test_an_editor_that_fails_changes_nothing(machine: Machine) -> None:
    result = edit(machine, script(machine, 'echo "agent = true" >> "$1"; exit 3'), 1)

    assert "ended with 3" in result.stderr
    assert machine.config_file.read_text() == GOOD


@pytest.mark.parametrize(
    "command", ["no-such-editor", "./editor", "'", "bin/editor -w"], ids=str
)
def test_an_editor_is_found_on_path_only(
    machine: Machine, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = machine.home / "clone"
    (here / "bin").mkdir(parents=True)
    for name in ("editor", "bin/editor", "no-such-editor"):
        planted = here / name
        planted.write_text(f'#!/bin/sh\ntouch "{machine.home}/planted"\n')
        planted.chmod(0o755)
    monkeypatch.chdir(here)
    environ = {**machine.environ, "PATH": f".:{machine.environ['PATH']}"}

    result = CliRunner().invoke(
        main, ["config", "edit"], env={**environ, "EDITOR": command}
    )

    assert result.exit_code == 1
    assert "EDITOR names no program on PATH" in result.stderr
    assert not (machine.home / "planted").exists()


def test_an_editor_does_not_start_in_the_working_directory(machine: Machine) -> None:
    edit(machine, script(machine, f'pwd > "{machine.home}/where"'))

    where = (machine.home / "where").read_text().strip()
    assert where == os.path.realpath(machine.config_file.parent)
