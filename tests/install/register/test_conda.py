"""conda's base environment: which one is meant, and what of ours is in it."""

import json
import os
import shlex
from importlib.metadata import distributions
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hushkey_install.cli import main
from hushkey_install.common.finding import PROBLEM, Finding
from hushkey_install.register.conda import CONDA
from hushkey_install.tools.installation import Installation
from kit.condabase import CondaBase
from kit.oauth import Machine


class Desk(Machine):
    """A home with conda on PATH."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.base = CondaBase(home / "miniforge3")
        self.condarc = home / ".condarc"
        folder = home / ".local" / "bin"
        folder.mkdir(parents=True)
        (folder / "hushkey-answer").write_text("")
        (folder / "hushkey-answer").chmod(0o755)
        self.environ["PATH"] = f"{folder}:{self.base.program.parent}:/usr/bin"

    def hushkey(self, *words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, words, env=self.environ)
        assert result.exit_code == code, result.output
        return result

    def install(self, code: int = 0) -> Result:
        return self.hushkey("install", "conda", "git.test/team", code=code)

    def problems(self) -> list[Finding]:
        found = CONDA.checks(Installation(self.environ, "/"))
        return [each for each in found if each.level == PROBLEM]


@pytest.fixture
def desk(home: Path) -> Desk:
    made = Desk(home)
    made.configure()
    return made


def test_conda_finds_it_by_its_entry_points(desk: Desk) -> None:
    desk.install()

    (found,) = (
        point
        for distribution in distributions(path=[str(desk.base.packages)])
        for point in distribution.entry_points
        if point.group == "conda"
    )

    assert (found.name, found.value) == ("hushkey", "hushkey_conda")
    assert desk.base.placed() == [
        "hushkey_conda-1+local.dist-info",
        "hushkey_conda.py",
    ]


@pytest.mark.parametrize("by", ["PATH", "CONDA_EXE", "link", "stale CONDA_EXE"])
def test_base_is_the_one_that_conda_runs_in(desk: Desk, by: str, home: Path) -> None:
    program = desk.base.program
    if by == "CONDA_EXE":
        desk.environ["PATH"] = f"{home}/.local/bin:/usr/bin"
        desk.environ["CONDA_EXE"] = str(program)
    elif by == "link":
        folder = home / "condabin"
        folder.mkdir()
        (folder / "conda").symlink_to(program)
        desk.environ["PATH"] = f"{home}/.local/bin:{folder}:/usr/bin"
    elif by != "PATH":
        desk.environ["CONDA_EXE"] = str(home / "gone" / "bin" / "conda")

    desk.install()

    assert desk.base.placed()


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("none", "conda is not on PATH"),
        ("mamba", "is no conda that takes plug-ins; see `hushkey help tools`"),
        ("old", "conda 24.4.1 is too old: 24.5 is needed"),
        ("foreign", "is not yours to change, and conda takes plug-ins from there"),
    ],
)
def test_base_that_will_not_do_is_said_in_one_line(
    desk: Desk, what: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, packages = desk.base.program, desk.base.packages
    if what == "none":
        program.unlink()
    elif what == "mamba":
        program.write_bytes(b"\x7fELF")
    elif what == "old":
        info = packages / "conda-24.5.0.dist-info"
        info.rename(packages / "conda-24.4.1.dist-info")
    else:  # root may write everywhere, and so cannot be refused for real
        access = os.access
        monkeypatch.setattr(
            "os.access",
            lambda path, mode: mode != os.W_OK and access(path, mode),
        )

    said = desk.install(code=1).stderr

    assert says in said
    assert said.count("\n") == 1
    assert desk.base.placed() == []
    assert not desk.condarc.exists()


def test_what_python_made_of_it_goes_too(desk: Desk) -> None:
    desk.install()
    cache = desk.base.packages / "__pycache__"
    cache.mkdir()
    (cache / "hushkey_conda.cpython-312.pyc").touch()
    (cache / "hushkey_conda_of_mine.cpython-312.pyc").touch()

    desk.hushkey("uninstall", "conda")

    assert [path.name for path in cache.iterdir()] == [
        "hushkey_conda_of_mine.cpython-312.pyc"
    ]
    assert not list(desk.base.packages.glob("hushkey*"))


def test_base_that_was_made_again_is_found_and_filled(desk: Desk, home: Path) -> None:
    desk.install()
    desk.base.folder.rename(home / "old")
    desk.base = CondaBase(home / "miniforge3", "26.7.0")

    (found,) = desk.problems()

    assert found.code == "conda-settings"
    assert found.command == "hushkey install conda git.test/team"
    desk.hushkey(*shlex.split(found.command)[1:])
    assert desk.base.placed()
    assert desk.problems() == []


def test_python_that_base_was_upgraded_to_is_followed(desk: Desk) -> None:
    """What the old Python's folder has of ours goes, compiled or not."""
    desk.install()
    old = desk.base.packages
    (old / "__pycache__").mkdir()
    (old / "__pycache__" / "hushkey_conda.cpython-312.pyc").touch()
    new = old.parent.parent / "python3.13" / "site-packages"
    new.mkdir(parents=True)
    info = old / "conda-24.5.0.dist-info"
    info.rename(new / info.name)
    assert [each.code for each in desk.problems()] == ["conda-settings"]

    desk.install()

    assert desk.problems() == []
    assert (new / "hushkey_conda.py").exists()
    assert not [path for path in old.rglob("*hushkey*") if path.is_file()]


def test_uninstall_needs_no_conda(desk: Desk, home: Path) -> None:
    desk.condarc.write_text("channels: [a]\n")
    desk.install()
    desk.base.folder.rename(home / "old")

    desk.hushkey("uninstall", "conda")

    assert desk.condarc.read_text() == "channels: [a]\n"


def test_own_item_for_the_same_channel_comes_back(desk: Desk) -> None:
    own = 'channel_settings:\n- auth: hushkey\n  channel: "https://git.test/team/*"\n'
    desk.condarc.write_text(own)
    desk.install()
    desk.condarc.write_text(desk.condarc.read_text() + "channels:\n- mine\n")

    desk.hushkey("uninstall", "conda")

    left = desk.condarc.read_text()
    assert json.dumps(left) == json.dumps(f"{own}channels:\n- mine\n")


def test_pattern_of_an_address_in_brackets_is_refused(desk: Desk) -> None:
    desk.configure(more='[host."[::1]:8443"]\nidentity = "corp"\n')

    said = desk.hushkey("install", "conda", "https://[::1]:8443/a", code=1).stderr

    assert "take no such host" in said


def test_later_item_is_named_without_what_is_secret_in_it() -> None:
    text = (
        "channel_settings:\n"
        "  - channel: https://c.test/*\n"
        "    auth: hushkey\n"
        "  - channel: https://c.test/t/c4nary/team\n"
        "    auth: other\n"
    )
    said = list(CONDA.overriding(text))
    assert said == ["the later item for https://c.test"]
