import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hushkey.errors import Permanent
from hushkey_install.cli import main
from hushkey_install.register import plugins
from hushkey_install.tools import pythontools
from kit.oauth import Machine

ROOT = Path(__file__).parents[3]


class Desk(Machine):
    """A home with tools in environments of each kind; managers write down words."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.bin = home / ".local" / "bin"
        self.bin.mkdir(parents=True)
        self.log = home / "log"
        self.environ["PATH"] = f"{self.bin}{os.pathsep}/bin"

    def hushkey(self, *words: str, code: int = 0, typed: str = "") -> Result:
        result = CliRunner().invoke(main, words, env=self.environ, input=typed)
        assert result.exit_code == code, result.output
        return result

    def script(self, path: Path, text: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def environment(self, tool: str, folder: str, *marks: str) -> Path:
        """Make the environment of *tool*, with *marks* as files in it."""
        prefix = self.home / folder
        self.script(prefix / "bin" / tool, f"#!{prefix}/bin/python\n")
        packages = prefix / "lib" / "python3.11" / "site-packages"
        packages.mkdir(parents=True)
        for mark in marks:
            (prefix / mark).touch()
        (self.bin / tool).symlink_to(prefix / "bin" / tool)
        return prefix

    def manager(self, name: str, packages: Path, code: int = 0) -> None:
        """Make a manager that notes its words, and does what it is told."""
        info = packages / "lib/python3.11/site-packages/hushkey-0.1.0.dist-info"
        text = (
            f'#!/bin/sh\necho "$@" >> {self.log}\n'
            f"case $* in *uninject*|*uninstall*|*remove*) rmdir {info};; "
            f"*) [ {code} = 0 ] && mkdir -p {info};; esac\nexit {code}\n"
        )
        self.script(self.bin / name if os.sep not in name else Path(name), text)

    def said(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def desk(home: Path) -> Desk:
    return Desk(home)


KINDS = {
    "pipx": (
        "pipx/venvs/twine",
        ("pyvenv.cfg", "pipx_metadata.json"),
        [f"inject twine {ROOT}", "uninject twine hushkey"],
    ),
    "uv": (
        "uv/tools/twine",
        ("pyvenv.cfg",),
        [
            f"tool install --force twine --with other --with {ROOT}",
            "tool install --force twine --with other",
        ],
    ),
    "python": (
        "env",
        ("pyvenv.cfg",),
        [f"-m pip install {ROOT}", "-m pip uninstall --yes hushkey"],
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_environment_is_changed_by_its_own_manager(desk: Desk, kind: str) -> None:
    folder, marks, words = KINDS[kind]
    prefix = desk.environment("twine", folder, *marks)
    if kind == "uv":
        (prefix / "uv-receipt.toml").write_text(
            '[tool]\nrequirements = [{ name = "twine" }, { name = "other" }]\n'
        )
    name = str(prefix / "bin" / "python") if kind == "python" else kind
    desk.manager(name, prefix)

    shown = desk.hushkey("install", "twine", "--dry-run")
    assert desk.said() == []
    desk.hushkey("install", "twine", "--yes")
    again = desk.hushkey("install", "twine", "--yes")
    assert desk.said() == words[:1]
    if kind == "uv":  # its own way to take something out is to leave it out
        return
    desk.hushkey("uninstall", "twine", "--yes")

    assert words[0] in shown.stdout
    assert "nothing to change" in again.stderr
    assert desk.said() == words


@pytest.mark.parametrize(
    ("origin", "spec"),
    [
        ("", "hushkey"),
        ('{"url": "file:///src/my%20hushkey", "dir_info": {}}', "/src/my hushkey"),
        (
            '{"url": "https://git.test/h.git", "vcs_info": {"vcs": "git", '
            '"requested_revision": "main", "commit_id": "0a1b"}}',
            "hushkey @ git+https://git.test/h.git@0a1b",
        ),
        (
            '{"url": "https://x.test/h.zip", "archive_info": {}, "subdirectory": "h"}',
            "hushkey @ https://x.test/h.zip#subdirectory=h",
        ),
    ],
)
def test_backend_comes_from_where_this_hushkey_came(
    monkeypatch: pytest.MonkeyPatch, origin: str, spec: str
) -> None:
    """The origins as PEP 610 has them."""

    class Installed:
        def read_text(self, name: str) -> str:
            assert name == "direct_url.json"
            return origin

    monkeypatch.setattr(plugins, "distribution", lambda _: Installed())

    assert plugins.package() == spec


def uv_tool(desk: Desk, receipt: str) -> None:
    prefix = desk.environment("poetry", "uv/tools/poetry", "pyvenv.cfg")
    (prefix / "uv-receipt.toml").write_text(f"[tool]\n{receipt}\n")
    desk.manager("uv", prefix)


def test_uv_s_pinned_tool_stays_pinned(desk: Desk) -> None:
    """The receipt that uv 0.13 wrote for these words, with `--python 3.12`."""
    uv_tool(
        desk,
        'requirements = [{ name = "poetry", extras = ["x", "y"], specifier = "==1.8" },'
        '{ name = "other", specifier = ">=1,<2" }, { name = "hushkey", '
        'directory = "/gone" }]\npython = "3.12"',
    )

    desk.hushkey("install", "poetry", "--yes")

    asked = "--force --python 3.12 poetry[x,y]==1.8 --with other>=1,<2"
    assert desk.said() == [f"tool install {asked} --with {ROOT}"]


@pytest.mark.parametrize(
    "receipt",
    [
        'requirements = [{ name = "poetry", git = "https://git.test/poetry" }]',
        'requirements = [{ name = "poetry" }, { name = "o", editable = "/src/o" }]',
        'requirements = [{ name = "poetry" }]\nconstraints = [{ name = "o" }]',
        'requirements = [{ name = "other" }]',
        "requirements = 5",
    ],
)
def test_uv_tool_that_cannot_be_asked_for_anew_is_left_alone(
    desk: Desk, receipt: str
) -> None:
    uv_tool(desk, receipt)

    result = desk.hushkey("install", "poetry", "--yes", code=1)

    assert "--with hushkey" in result.stderr
    assert desk.said() == []


def test_poetry_adds_plugins_by_itself(desk: Desk) -> None:
    prefix = desk.environment("poetry", "share/pypoetry/venv", "pyvenv.cfg")
    (desk.bin / "poetry").unlink()
    desk.manager("poetry", prefix)
    client = pythontools.Client("poetry", str(desk.bin / "poetry"), str(prefix))

    words = plugins.adding(client, "hushkey", desk.environ)

    assert words[1:] == ["self", "add", "hushkey"]


def test_nothing_is_run_without_consent(desk: Desk) -> None:
    prefix = desk.environment("twine", "env", "pyvenv.cfg")
    desk.manager(str(prefix / "bin" / "python"), prefix)

    desk.hushkey("install", "twine", code=1, typed="n\n")
    assert desk.said() == []
    desk.hushkey("install", "twine", typed="y\n")
    assert len(desk.said()) == 1


def test_failure_of_the_manager_is_ours(desk: Desk) -> None:
    prefix = desk.environment("twine", "env", "pyvenv.cfg")
    desk.manager(str(prefix / "bin" / "python"), prefix, code=3)

    result = desk.hushkey("install", "twine", "--yes", code=1)

    assert "failed" in result.stderr
    assert "nothing to change" in desk.hushkey("uninstall", "twine").stderr


def test_what_the_user_put_in_stays(desk: Desk) -> None:
    prefix = desk.environment("twine", "env", "pyvenv.cfg")
    desk.manager(str(prefix / "bin" / "python"), prefix)
    info = "lib/python3.11/site-packages/hushkey-0.1.0.dist-info"
    (prefix / info).mkdir()

    for verb in ("install", "uninstall"):
        assert "nothing to change" in desk.hushkey(verb, "twine", "--yes").stderr

    assert desk.said() == []


def test_tool_that_is_not_there_is_an_error(desk: Desk) -> None:
    result = desk.hushkey("install", "twine", code=1)

    assert "twine is not on PATH" in result.stderr


def test_environment_of_the_system_is_not_ours_to_change(desk: Desk) -> None:
    desk.environment("twine", "usr")

    result = desk.hushkey("install", "twine", "--yes", code=1)

    assert "pipx install twine" in result.stderr


def test_manager_that_is_not_there_is_an_error(desk: Desk) -> None:
    desk.environment("twine", "x/venvs/twine", "pyvenv.cfg", "pipx_metadata.json")
    client = pythontools.find("twine", desk.environ)
    assert client is not None

    with pytest.raises(Permanent, match="made by pipx"):
        plugins.adding(client, "hushkey", desk.environ)


# -- reading environments --------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "prefix"),
    [
        ("#!/x/env/bin/python\n", "/x/env"),
        ("#!/x/env/bin/python3.11\n", "/x/env"),
        ('#!/bin/sh\n\'\'\'exec\' "/x/my env/bin/python" "$0" "$@"\n', "/x/my env"),
        ("#!/bin/sh\n'''exec' /x/env/bin/python3 \"$0\" \"$@\"\n", "/x/env"),
        ("#!/usr/bin/env python3\n", ""),
        ("#!/bin/sh\n", ""),
        ("#!python\n", ""),
        ("\x7fELF", ""),
        ("", ""),
    ],
)
def test_prefix_is_read_from_the_first_lines(
    tmp_path: Path, head: str, prefix: str
) -> None:
    program = tmp_path / "program"
    program.write_text(head)

    assert pythontools.prefix_of(str(program)) == prefix


def test_versions_are_read_from_the_environment(desk: Desk) -> None:
    prefix = desk.environment("pip", "env")
    for name in ("pip-26.1.2", "Pip_Tools-7.5", "keyring-25.7.0"):
        (prefix / f"lib/python3.11/site-packages/{name}.dist-info").mkdir()
    client = pythontools.find("pip", desk.environ)
    assert client is not None

    assert client.version("pip") == "26.1.2"
    assert client.has("keyring")
    assert not client.has("hushkey")
