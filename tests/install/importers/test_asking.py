import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hushkey_install.cli import main
from hushkey_install.importers import asking
from kit.oauth import CANARY, Machine

LINES = (
    f"https://me:{CANARY}-1@one.test\n"
    f"https://you:{CANARY}-2@one.test/path\n"
    f"https://me:{CANARY}-3@git.test\n"  # an identity serves that host
    "garbage\n"
)


@pytest.fixture
def machine(machine: Machine, home: Path) -> Machine:
    (home / ".git-credentials").write_text(LINES)
    return machine


def take(machine: Machine, *words: str, typed: str = "") -> Result:
    argv = ["import", *words]
    result = CliRunner().invoke(main, argv, env=machine.environ, input=typed)
    assert CANARY not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def test_everything_is_taken_over_on_one_yes(machine: Machine) -> None:
    result = take(machine, "--yes")

    assert result.exit_code == 0
    assert sorted(machine.typed()) == [f"{CANARY}-1", f"{CANARY}-2"]
    assert "git-store: https://one.test as me" in result.stdout
    assert "https://git.test as me: left out, identity corp serves" in result.stderr
    assert f"they are still in {machine.home}/.git-credentials" in result.stderr
    assert (machine.home / ".git-credentials").read_text() == LINES


def test_git_is_given_it_back(machine: Machine) -> None:
    take(machine, "--yes")

    question = b"protocol=https\nhost=one.test\nusername=me\n\n"
    done = machine.run("git-credential-hushkey", "get", stdin=question)

    assert f"password={CANARY}-1".encode() in done.stdout


def test_each_is_asked_for(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_is_person", lambda: True)

    result = take(machine, typed="n\ny\n")

    assert machine.typed() == [f"{CANARY}-2"]
    assert "take over https://one.test/path as you? [y/N]" in result.output


@pytest.mark.parametrize(("words", "code"), [(["--dry-run"], 0), ([], 1)])
def test_nothing_is_taken_unasked(
    machine: Machine, words: list[str], code: int
) -> None:
    result = take(machine, *words)

    assert result.exit_code == code
    assert "https://one.test/path as you" in result.stdout
    assert machine.typed() == []


def test_nothing_to_take_is_no_error(home: Path) -> None:
    machine = Machine(home)

    assert "nothing to take over" in take(machine).stderr
    assert take(machine, "docker").exit_code == 0


def test_source_that_cannot_be_read_is_named_and_the_others_count(
    machine: Machine,
) -> None:
    (machine.home / ".docker").mkdir()
    (machine.home / ".docker" / "config.json").write_text("{")

    result = take(machine, "--yes")

    assert "docker: " in result.stderr
    assert len(machine.typed()) == 2


def test_what_is_not_kept_is_an_error(machine: Machine) -> None:
    """No keyring: the helper says why, and nothing counts as taken over."""
    text = machine.config_file.read_text()
    machine.config_file.write_text(text.replace('"file"', '"keyring"'))

    result = take(machine, "--yes")

    assert result.exit_code == 1
    assert "was not kept: there is no OS keyring here" in result.stderr
    assert "taken over" not in result.stderr


def test_only_the_named_source_is_read(machine: Machine) -> None:
    (machine.home / ".docker").mkdir()
    auths = {"auths": {"r.test": {"auth": "bWU6cHc="}}}
    (machine.home / ".docker" / "config.json").write_text(json.dumps(auths))

    result = take(machine, "--dry-run", "docker")

    assert result.stdout == "docker: https://r.test as me\n"
