import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hushkey.system import locks
from hushkey_install.cli import main
from kit.oauth import CANARY, Machine, grant


def reset(machine: Machine, *words: str, typed: str = "") -> Result:
    return CliRunner().invoke(main, ["reset", *words], input=typed, env=machine.environ)


def moved(machine: Machine) -> list[Path]:
    return sorted(machine.data.glob("before-reset-*"))


def test_reset_moves_everything_sealed_aside(machine: Machine) -> None:
    machine.has(grant(f"at-{CANARY}"))
    machine.types("typed.test", "me", CANARY)
    key = (machine.data / "key").read_bytes()

    result = reset(machine, "--yes")

    (aside,) = moved(machine)
    assert result.exit_code == 0
    count = "1 stored sign-in and 1 typed credential"
    assert f"{count} in {machine.data} will be moved" in result.stderr
    assert (aside / "key").read_bytes() == key
    assert len(list((aside / "tokens").iterdir())) == 1
    assert aside.stat().st_mode & 0o777 == 0o700
    assert not (machine.data / "key").exists()
    assert len(list((aside / "stash").rglob("*.sealed"))) == 1
    assert not (machine.data / "tokens").exists()
    assert not (machine.data / "stash").exists()


def test_reset_starts_anew(machine: Machine) -> None:
    machine.has(grant("at-old"))
    machine.types("typed.test", "me", "old")
    os.unlink(machine.data / "key")

    reset(machine, "--yes")

    machine.has(grant("at-new"))
    machine.types("typed.test", "me", "new")
    assert machine.stored() == ["at-new"]
    assert machine.typed() == ["new"]


@pytest.mark.parametrize(
    ("typed", "code", "gone"), [("y\n", 0, True), ("n\n", 1, False), ("", 1, False)]
)
def test_reset_asks(machine: Machine, typed: str, code: int, gone: bool) -> None:
    machine.has(grant("at-old"))

    result = reset(machine, typed=typed)

    assert result.exit_code == code
    assert "every identity is signed out" in result.stderr
    assert bool(moved(machine)) is gone
    assert (machine.stored() == []) is gone


def test_reset_of_nothing_asks_nothing(machine: Machine) -> None:
    result = reset(machine)

    assert result.exit_code == 0
    assert "there is nothing stored" in result.stderr
    assert moved(machine) == []


def test_reset_keeps_the_config_and_what_was_installed(machine: Machine) -> None:
    machine.has(grant())
    record = machine.data / "installed" / "git.json"
    record.parent.mkdir()
    record.write_text("{}")
    before = machine.config_file.read_text()

    reset(machine, "--yes")

    assert record.exists()
    assert machine.config_file.read_text() == before


# -- with others about -------------------------------------------------------------


@pytest.mark.parametrize("text", ["[settings", '[host."a.b"]\nidentity = "x"\n'])
def test_reset_needs_no_valid_config(machine: Machine, text: str) -> None:
    machine.has(grant("at-old"))
    machine.configure(text=text)

    assert reset(machine, "--yes").exit_code == 0
    assert len(moved(machine)) == 1


@pytest.mark.parametrize("kind", ["change", "sign-in", "key", "stash"])
def test_reset_waits_for_who_is_writing(
    machine: Machine, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.has(grant("at-old"))
    path = machine.token_file().lock_path(kind)
    if kind in ("key", "stash"):
        path = str(machine.data / "locks" / f"{kind}.lock")
    monkeypatch.setattr("hushkey_install.commands.reset._PATIENCE", 0.2)

    with locks.held(path, 5):
        result = reset(machine, "--yes")

    assert result.exit_code == 4
    assert "another hushkey process has been busy" in result.stderr
    assert machine.stored() == ["at-old"]
