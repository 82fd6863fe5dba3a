"""Notes that hushkey 0.1.0 left: uninstall takes back what they say, exactly."""

import json
from hashlib import blake2s
from pathlib import Path

import pytest
from click.testing import CliRunner

from hushkey_install.cli import main
from kit.oauth import BIN, Machine

GIT = '[credential "https://git.test"]\n\thelper = \n\thelper = hushkey\n'
PIP = "[global]\nkeyring-provider = subprocess\n"
UV = 'keyring-provider = "subprocess"\n'


def note(machine: Machine, name: str, **notes: object) -> Path:
    """Store *notes* as 0.1.0 did, and return their file."""
    folder = machine.data / "installed"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(notes))
    return path


def uninstall(machine: Machine, tool: str) -> None:
    result = CliRunner().invoke(main, ["uninstall", tool], env=machine.environ)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("before", ["", "[alias]\n\tst = status\n"])
def test_git_s(machine: Machine, home: Path, before: str) -> None:
    file = home / ".gitconfig"
    file.write_text(before + GIT)
    stored = note(
        machine,
        "git",
        path=str(file),
        existed=bool(before),
        paths=[],
        before=before,
        after=before + GIT,
    )

    uninstall(machine, "git")

    assert (file.read_text() if file.exists() else "") == before
    assert file.exists() == bool(before)
    assert not stored.exists()


@pytest.mark.parametrize(
    ("tool", "place", "ours", "theirs"),
    [
        ("pip", ".config/pip/pip.conf", PIP, "[global]\ntimeout = 5\n"),
        ("uv", ".config/uv/uv.toml", UV, "offline = true\n"),
    ],
)
@pytest.mark.parametrize("edited", [False, True])
def test_setting_s(
    machine: Machine,
    home: Path,
    tool: str,
    place: str,
    ours: str,
    theirs: str,
    edited: bool,
) -> None:
    file = home / place
    file.parent.mkdir(parents=True)
    more = "# since\n" if edited else ""
    file.write_text(ours + more)
    stored = note(
        machine,
        tool,
        path=str(file),
        existed=True,
        value="",
        before=theirs,
        after=ours,
    )

    uninstall(machine, tool)

    # Where it was edited since, only our value goes.
    left = file.read_text()
    assert "subprocess" not in left
    assert left == theirs if not edited else left.endswith(more)
    assert not stored.exists()


@pytest.mark.parametrize("neighbour", ["", "theirs.toml"])
def test_folder_of_a_file_that_0_1_0_made(
    machine: Machine, home: Path, neighbour: str
) -> None:
    """It noted no folders: an empty one goes with the file, and the user's stay."""
    file = home / ".config/uv/uv.toml"
    file.parent.mkdir(parents=True)
    file.write_text(UV)
    if neighbour:
        (file.parent / neighbour).touch()
    words = {"path": str(file), "existed": False, "value": "", "before": ""}
    note(machine, "uv", **words, after=UV)

    uninstall(machine, "uv")

    assert not file.exists()
    assert file.parent.exists() == bool(neighbour)
    assert (home / ".config").exists()


@pytest.mark.parametrize(
    ("tool", "place"),
    [
        ("docker", ".docker/config.json"),
        ("podman", ".config/containers/auth.json"),
    ],
)
def test_docker_s(machine: Machine, home: Path, tool: str, place: str) -> None:
    file = home / place
    file.parent.mkdir(parents=True)
    file.write_text('{"credHelpers": {"git.test": "hushkey"}}')
    name = blake2s(str(file).encode(), digest_size=8).hexdigest()
    stored = note(
        machine,
        f"{tool}-{name}",
        path=str(file),
        existed=True,
        made=False,
        previous={"credHelpers\ngit.test": "other"},
        empty={},
    )

    uninstall(machine, tool)

    assert json.loads(file.read_text()) == {"credHelpers": {"git.test": "other"}}
    assert not stored.exists()


def test_launcher_s(machine: Machine, home: Path) -> None:
    folder = home / "bin"
    folder.mkdir()
    (folder / "keyring").symlink_to(BIN / "hushkey-keyring")
    stored = note(
        machine, "keyring-launcher", path=str(folder / "keyring"), tools=["pip", "uv"]
    )

    uninstall(machine, "pip")
    assert (folder / "keyring").is_symlink()
    assert json.loads(stored.read_text())["tools"] == ["uv"]
    uninstall(machine, "uv")

    assert list(folder.iterdir()) == []
    assert not stored.exists()
