"""Real installers: our programs start isolated however they were installed.

Each installs the wheel of this tree, without a network: what it needs beside is there
as wheels without content, and the modules come from the tests' own environment through
a .pth file, so that `rule` has to do its work as well.
"""

import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import pytest

from conftest import do_without
from helpers.test_isolated import PROGRAMS, TOKEN, Repository
from kit.oauth import Machine, grant
from servers.packages import CLIENTS, client
from servers.process import Missing, clean_environ

pytestmark = pytest.mark.contract
REPOSITORY = Path(__file__).parents[2]
PACKAGES = sysconfig.get_path("purelib")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with our wheel, and one without content for all that it needs."""
    folder = tmp_path_factory.mktemp("wheels")
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    words += ["--no-build-isolation", "--wheel-dir", str(folder), str(REPOSITORY)]
    subprocess.run(words, check=True, timeout=120, capture_output=True)
    for need in distribution("hushkey").requires or ():
        if "extra ==" not in need:
            name = need.partition(";")[0].partition(">")[0].strip()
            empty(folder, name, distribution(name).version)
    return folder


def empty(folder: Path, name: str, version: str) -> None:
    stem = f"{name.replace('-', '_')}-{version}"
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as archive:
        about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        archive.writestr(f"{stem}.dist-info/METADATA", about)
        tag = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{stem}.dist-info/WHEEL", tag)
        archive.writestr(f"{stem}.dist-info/RECORD", "")


@dataclass
class Installer:
    """One user who installs our wheel in *folder*, in one way or another."""

    folder: Path
    wheels: Path

    @property
    def environ(self) -> dict[str, str]:
        return clean_environ(
            HOME=str(self.folder / "home"),
            PATH="/usr/bin:/bin",
            PIP_CONFIG_FILE=os.devnull,
            PIP_DISABLE_PIP_VERSION_CHECK="1",
            PIP_FIND_LINKS=str(self.wheels),
            PIP_NO_CACHE_DIR="1",
            PIP_NO_INDEX="1",
            PIP_BREAK_SYSTEM_PACKAGES="1",
            PIP_ROOT_USER_ACTION="ignore",
            PIPX_HOME=str(self.folder / "pipx"),
            PIPX_BIN_DIR=str(self.folder / "linked"),
            PIPX_DISABLE_SHARED_LIBS_AUTO_UPGRADE="1",
            PIPX_SHARED_LIBS=str(CLIENTS / "pipx-shared"),
            UV_CACHE_DIR=str(self.folder / "cache"),
            UV_FIND_LINKS=str(self.wheels),
            UV_NO_INDEX="1",
            UV_OFFLINE="1",
            UV_PYTHON=sys.executable,
            UV_TOOL_BIN_DIR=str(self.folder / "linked"),
            UV_TOOL_DIR=str(self.folder / "tools"),
        )

    @property
    def wheel(self) -> str:
        (found,) = self.wheels.glob("hushkey-*.whl")
        return str(found)

    def run(self, *words: "str | Path", **extra: str) -> None:
        done = subprocess.run(
            [str(word) for word in words],
            capture_output=True,
            env=self.environ | extra,
            cwd=self.folder,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def venv(self, name: str) -> Path:
        """Make a virtual environment without pip; return its folder."""
        self.run(sys.executable, "-m", "venv", "--without-pip", name)
        return self.folder / name

    def pip(self, *words: "str | Path", name: str = "plain") -> None:
        self.run(tool(name, "pip"), *words)


def tool(environment: str, program: str) -> str:
    try:
        return client(environment, program)
    except Missing as reason:
        do_without(reason)
        raise


def by_pip(own: Installer) -> Path:
    venv = own.venv("venv")
    own.pip("--python", venv / "bin/python", "install", own.wheel)
    return venv / "bin"


def by_older_pip(own: Installer) -> Path:
    venv = own.venv("venv")
    python = venv / "bin/python"
    own.pip("--python", python, "install", own.wheel, name="old-pip")
    return venv / "bin"


def by_pip_in_a_path_with_spaces(own: Installer) -> Path:
    venv = own.venv("Jane's own venv")
    own.pip("--python", venv / "bin/python", "install", own.wheel)
    return venv / "bin"


def by_pip_in_a_path_that_is_long(own: Installer) -> Path:
    venv = own.venv("v" * 150)
    own.pip("--python", venv / "bin/python", "install", own.wheel)
    return venv / "bin"


def by_pip_for_one_user(own: Installer) -> Path:
    base = getattr(sys, "_base_executable", sys.executable)
    own.pip("--python", base, "install", "--user", "--no-deps", own.wheel)
    return own.folder / "home/.local/bin"


def by_pip_into_a_folder(own: Installer) -> Path:
    own.pip("install", "--target", own.folder / "target", own.wheel)
    return own.folder / "target/bin"


def by_pip_under_a_prefix(own: Installer) -> Path:
    own.pip("install", "--prefix", own.folder / "prefix", "--no-deps", own.wheel)
    return own.folder / "prefix/bin"


def by_pip_editable(own: Installer) -> Path:
    """By the wheel that pip has the build backend make for `--editable`."""
    code = "import sys; from hatchling.build import *; build_editable(sys.argv[1])"
    words = [sys.executable, "-c", code, str(own.folder)]
    subprocess.run(words, check=True, cwd=REPOSITORY, capture_output=True, timeout=60)
    (wheel,) = own.folder.glob("hushkey-*.whl")
    venv = own.venv("venv")
    own.pip("--python", venv / "bin/python", "install", wheel)
    return venv / "bin"


def by_pipx(own: Installer) -> Path:
    own.run(tool("pipx", "pipx"), "install", "--python", sys.executable, own.wheel)
    return own.folder / "linked"


def by_uv(own: Installer) -> Path:
    own.run(tool("plain", "uv"), "venv", "venv")
    own.run(tool("plain", "uv"), "pip", "install", "-p", "venv/bin/python", own.wheel)
    return own.folder / "venv/bin"


def by_uv_in_a_path_with_spaces(own: Installer) -> Path:
    venv = own.folder / "a venv"
    own.run(tool("plain", "uv"), "venv", venv)
    own.run(tool("plain", "uv"), "pip", "install", "-p", venv / "bin/python", own.wheel)
    return venv / "bin"


def by_uv_in_an_environment_that_is_moved(own: Installer) -> Path:
    by_uv_in_a_path_with_spaces(own)
    own.run(tool("plain", "uv"), "venv", "--relocatable", "venv")
    own.run(tool("plain", "uv"), "pip", "install", "-p", "venv/bin/python", own.wheel)
    return (own.folder / "venv").rename(own.folder / "moved") / "bin"


def by_uv_tool(own: Installer) -> Path:
    own.run(tool("plain", "uv"), "tool", "install", own.wheel)
    return own.folder / "linked"


def by_uv_tool_in_a_path_with_spaces(own: Installer) -> Path:
    where = str(own.folder / "all tools")
    own.run(tool("plain", "uv"), "tool", "install", own.wheel, UV_TOOL_DIR=where)
    return own.folder / "linked"


WAYS: dict[str, Callable[[Installer], Path]] = {
    name.removeprefix("by_"): way
    for name, way in sorted(globals().items())
    if name.startswith("by_")
}


def through(home: Path) -> None:
    """Let the installation below *home* find the tests' own packages."""
    for folder in (*home.glob("lib/python*/site-packages"), home / "target"):
        if folder.is_dir():
            (folder / "packages.pth").write_text(f"{PACKAGES}\n")


@pytest.fixture
def machine(machine: Machine) -> Machine:
    machine.settle()
    machine.has(grant(TOKEN))
    return machine


def ask(folder: Path, program: str, environ: Mapping[str, str], cwd: Path) -> bytes:
    words, stdin = PROGRAMS[program]
    done = subprocess.run(
        [str(folder / program), *words],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env=dict(environ),
        timeout=60,
        check=False,
    )
    assert (done.stderr, done.returncode) == (b"", 0)
    return done.stdout


@pytest.mark.parametrize("way", WAYS)
def test_installed_programs_run_nothing_of_a_repository(
    machine: Machine, tmp_path: Path, wheels: Path, way: str
) -> None:
    own = Installer(tmp_path / "own", wheels)
    (own.folder / "home").mkdir(parents=True)
    folder = WAYS[way](own)
    # An emptied wheel takes no place of its own: what is imported is the tests'.
    for home in {path.resolve().parent.parent for path in folder.glob("hushkey")}:
        through(home)
    if folder.parent.name == "target":
        (folder.parent / "packages.pth").write_text(f"{PACKAGES}\n")
    repository = Repository(tmp_path / "cloned")
    hostile = repository.variables("absolute") | repository.variables("all others")
    environ = machine.environ | hostile | {"PATH": "/usr/bin:/bin"}

    for program in PROGRAMS:
        for variables in (environ, environ | {"PYTHONPATH": ":"}):
            assert TOKEN.encode() in ask(folder, program, variables, repository.folder)
    page = [str(folder / "hushkey"), "help", "agent"]
    helped = subprocess.run(page, capture_output=True, env=environ, timeout=60)
    assert helped.stdout.startswith(b"The agent"), helped.stderr
    (tmp_path / "keyring").symlink_to(folder / "hushkey-keyring")
    words, _ = PROGRAMS["hushkey-keyring"]
    link = [str(tmp_path / "keyring"), *words]
    done = subprocess.run(link, capture_output=True, env=environ, timeout=60)

    assert done.stdout == f"{TOKEN}\n".encode(), done.stderr
    assert repository.ran() == ""
    subprocess.run([str(folder / "hushkey-git-client")], check=True, timeout=60)


@pytest.mark.parametrize(
    ("compiler", "system"),
    [("", "any"), ("exit 1", "any"), ('exec /usr/bin/cc "$@"', "linux_")],
)
def test_wheel_goes_without_the_client_where_nothing_compiles_it(
    tmp_path: Path, compiler: str, system: str
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    if compiler:
        (programs / "cc").write_text(f"#!/bin/sh\n{compiler}\n")
        (programs / "cc").chmod(0o755)
    code = "import sys; from hatchling.build import *; build_wheel(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        check=True,
        cwd=REPOSITORY,
        env=os.environ | {"PATH": f"{programs}:/usr/bin:/bin" if compiler else ""},
        capture_output=True,
        timeout=60,
    )
    (wheel,) = tmp_path.glob("hushkey-*.whl")
    assert f"-py3-none-{system}" in wheel.name
    scripts = "/scripts/hushkey-git-client"
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.endswith(scripts) for name in names) is (system != "any")


def test_link_leads_to_its_own_hushkey_and_not_to_the_one_beside_it(
    machine: Machine, tmp_path: Path, wheels: Path
) -> None:
    folders = []
    for name in ("first", "second"):
        own = Installer(tmp_path / name, wheels)
        (own.folder / "home").mkdir(parents=True)
        folders.append(by_uv(own))
        (packages,) = (own.folder / "venv").glob("lib/python*/site-packages")
        (packages / "packages.pth").write_text(f"{PACKAGES}\n")
        log = tmp_path / "names"
        text = f"import sys; open({str(log)!r}, 'a').write({name!r} + ' ')\n"
        (packages / "name.pth").write_text(text)
    first, second = folders
    (tmp_path / "hushkey").symlink_to(first / "hushkey")
    (tmp_path / "hushkey-python").symlink_to(second / "hushkey-python")

    said = ask(tmp_path, "hushkey", machine.environ, tmp_path)

    # Python runs a virtual environment's .pth files once or twice.
    assert set(log.read_text().split()) == {"first"}
    assert said == f"{TOKEN}\n".encode()
