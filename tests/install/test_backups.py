"""No copy of another tool's secrets outlives install, uninstall or a sign-out."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from hushkey_install.cli import main
from kit.oauth import Machine

SECRET = "s3cr3t"
#: tool -> its file, and content with a password in it
FILES = {
    "git": (
        ".gitconfig",
        f"[http]\n\textraHeader = Authorization: Basic {SECRET}\n"
        f'[url "https://me:{SECRET}@a.test/"]\n\tinsteadOf = a:\n',
    ),
    "pip": (
        ".config/pip/pip.conf",
        f"[global]\nindex-url = https://me:{SECRET}@a.test/\n",
    ),
    "uv": (".config/uv/uv.toml", f'index-url = "https://me:{SECRET}@a.test/"\n'),
    "docker": (
        ".docker/config.json",
        f'{{"auths": {{"a.test": {{"auth": "{SECRET}"}}}}}}',
    ),
    "podman": (
        ".config/containers/auth.json",
        f'{{"auths": {{"a.test": {{"auth": "{SECRET}"}}}}}}',
    ),
}


@pytest.fixture
def machine(machine: Machine, home: Path) -> Machine:
    (home / "bin").mkdir()
    machine.environ["PATH"] = f"{home}/bin:{machine.environ['PATH']}"
    return machine


def hushkey(machine: Machine, *argv: str) -> None:
    result = CliRunner().invoke(main, argv, env=machine.environ)
    assert result.exit_code == 0, result.output


def holding(machine: Machine) -> list[str]:
    """The files in which the secret is."""
    plain = (p for p in machine.home.rglob("*") if p.is_file())
    found = [p for p in plain if SECRET.encode() in p.read_bytes()]
    return sorted(str(p.relative_to(machine.home)) for p in found)


@pytest.mark.parametrize("tool", FILES)
def test_secret_is_nowhere_but_in_the_tool_s_own_file(
    machine: Machine, tool: str
) -> None:
    name, text = FILES[tool]
    path = machine.home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    hosts = ["a.test"] if tool in ("docker", "podman") else []
    more = ["b.test"] if hosts else []

    hushkey(machine, "install", tool, *hosts)
    assert holding(machine) == [name]
    hushkey(machine, "install", tool, *more)
    assert holding(machine) == [name]
    hushkey(machine, "uninstall", tool)

    assert holding(machine) == [name]
    assert path.read_text() == text
    assert list(machine.home.rglob("*.hushkey-backup")) == []


@pytest.mark.parametrize("tool", FILES)
@pytest.mark.parametrize("again", [False, True])
def test_uninstall_takes_the_backup_of_an_earlier_version_along(
    machine: Machine, tool: str, again: bool
) -> None:
    """Also where nothing else is left to be taken out."""
    name, text = FILES[tool]
    path = machine.home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    hosts = ["a.test"] if tool in ("docker", "podman") else []
    if again:
        hushkey(machine, "install", tool, *hosts)
    path.with_name(path.name + ".hushkey-backup").write_text(text)

    dry = CliRunner().invoke(main, ["uninstall", tool, "--dry-run"])
    assert dry.exit_code == 0
    assert len(holding(machine)) == 2
    hushkey(machine, "uninstall", tool)

    assert holding(machine) == [name]


@pytest.mark.parametrize("tool", ["git", "pip", "uv"])
def test_plain_file_has_a_backup_until_uninstall(machine: Machine, tool: str) -> None:
    name = FILES[tool][0]
    path = machine.home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = {"git": "[alias]\n\tst = status\n"}.get(tool, "# mine\n")
    path.write_text(text)
    backup = path.with_name(path.name + ".hushkey-backup")

    hushkey(machine, "install", tool)
    assert backup.read_text() == text
    hushkey(machine, "uninstall", tool)

    assert not backup.exists()
    assert path.read_text() == text


def test_config_with_a_secret_leaves_no_copy(machine: Machine) -> None:
    hushkey(machine, "config", "set", "proxy", f"http://me:{SECRET}@proxy.test")
    hushkey(machine, "config", "set", "agent", "false")
    hushkey(machine, "config", "unset", "proxy")

    assert holding(machine) == []
    hushkey(machine, "config", "set", "agent", "true")
    assert os.path.exists(f"{machine.config_file}.hushkey-backup")


def test_backup_of_a_config_without_secrets_is_no_finding(machine: Machine) -> None:
    """An id in its scopes is long and has digits, and is no password."""
    machine.configure(
        '[host."b.test"]\nidentity = "corp"\nscopes = ["499b84ac-13cb"]\n'
    )
    scope = "499b84ac-1321-427f-aa17-267ca6975798/.default"
    hushkey(machine, "config", "set", 'host."b.test".scopes', f'["{scope}"]')
    hushkey(machine, "config", "set", "agent", "true")
    backup = Path(f"{machine.config_file}.hushkey-backup")
    assert scope in backup.read_text()

    environ = machine.environ
    quiet = CliRunner().invoke(main, ["doctor"], env=environ).output
    backup.write_text(
        backup.read_text() + f'[identity.x]\nclient_secret = "{SECRET}"\n'
    )
    loud = CliRunner().invoke(main, ["doctor"], env=environ).output

    assert str(backup) not in quiet
    assert f"{backup} is an old copy" in loud
