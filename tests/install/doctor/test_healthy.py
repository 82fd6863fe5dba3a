"""Machines where all is well: doctor finds nothing, whatever they are for."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from hushkey_install.cli import main
from kit.oauth import BIN, CANARY, grant
from kit.toolbox import Toolbox

SETTINGS = '[settings]\nkey_store = "file"\n'
IDENTITY = (
    '[identity.corp]\nprovider = "oidc"\nissuer = "https://id.test"\nclient_id = "c"\n'
)
PROGRAMS = ("hushkey", "git-credential-hushkey", "docker-credential-hushkey")


class Healthy(Toolbox):
    """A home with only the programs that its purpose needs."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.environ = {**os.environ, "PATH": str(self.bin)}
        for name in (*PROGRAMS, "hushkey-keyring", "hushkey-answer"):
            (self.bin / name).symlink_to(BIN / name)

    def program(self, name: str) -> None:
        (self.bin / name).write_text("#!/bin/sh\n")
        (self.bin / name).chmod(0o755)

    def git(self) -> None:
        (self.bin / "git").symlink_to("/usr/bin/git")

    def host(self, pattern: str, more: str = "", identity: str = IDENTITY) -> None:
        rule = f'[host."{pattern}"]\nidentity = "corp"\nscopes = ["git"]\n{more}\n'
        self.configure(text=f"{SETTINGS}{identity}{rule}")
        if identity == IDENTITY:
            self.has(grant(f"at-{CANARY}", refresh_token=f"rt-{CANARY}"))

    def does(self, *words: str) -> None:
        done = CliRunner().invoke(main, words, env=self.environ)
        assert done.exit_code == 0, done.output


def git_host(machine: Healthy) -> None:
    machine.git()
    machine.host("git.test")
    machine.does("install", "git", "git.test")


def git_host_beside_other_tools(machine: Healthy) -> None:
    """Somebody who has docker, podman and pip, and uses git alone with us."""
    git_host(machine)
    for name in ("docker", "podman", "cargo", "kubectl"):
        machine.program(name)
    for name in ("pip", "uv", "twine", "poetry", "keyring"):
        machine.tool(name, f"{name}-20.0")


def git_behind_a_proxy(machine: Healthy) -> None:
    git_host(machine)
    with (machine.home / ".gitconfig").open("a") as file:
        file.write("[http]\n\tproxy = http://proxy.test:3128\n")
    machine.environ["HTTPS_PROXY"] = "http://me:pw@proxy.test:3128"


def git_in_an_editors_terminal(machine: Healthy) -> None:
    git_host(machine)
    machine.program("askpass.sh")
    machine.environ |= {
        "GIT_ASKPASS": str(machine.bin / "askpass.sh"),
        "TERM_PROGRAM": "vscode",
    }


def git_by_path(machine: Healthy) -> None:
    machine.git()
    machine.host("git.test/contoso")
    machine.does("install", "git", "git.test")


def registry_without_git(machine: Healthy) -> None:
    machine.program("docker")
    machine.host("images.test")  # nothing in its name says what it is for
    machine.does("install", "docker", "images.test")


def registry_of_podman(machine: Healthy) -> None:
    machine.program("podman")
    machine.program("docker")
    machine.git()
    machine.host("reg.test:5000")
    machine.does("install", "podman", "reg.test:5000")


def registry_beside_dockers_own_store(machine: Healthy) -> None:
    machine.program("docker")
    machine.host("contoso.azurecr.io", 'exchange = "acr"')
    file = machine.home / ".docker" / "config.json"
    file.parent.mkdir()
    hub: dict[str, object] = {"https://index.docker.io/v1/": {}}
    file.write_text(json.dumps({"auths": hub, "credsStore": "desktop"}))
    machine.does("install", "docker", "contoso.azurecr.io")


def index_of_pip(machine: Healthy) -> None:
    machine.tool("pip", "pip-25.0")
    machine.host("packages.test", 'tools = ["python"]')
    machine.does("install", "pip", "--launcher", str(machine.bin))


def index_of_uv_beside_pip(machine: Healthy) -> None:
    machine.tool("pip", "pip-26.3")
    machine.program("uv")
    machine.git()
    machine.host("pypi.corp.test/simple")
    machine.does("install", "uv", "--launcher", str(machine.bin))


def typed_token(machine: Healthy) -> None:
    machine.git()
    machine.host("git.test", "", '[identity.corp]\nprovider = "static"\n')
    machine.types("git.test", "me", f"pw-{CANARY}")
    machine.does("install", "git", "git.test")


def token_of_the_job(machine: Healthy) -> None:
    """In CI: the workload's own token, and nobody who could sign in."""
    machine.git()
    machine.environ |= {"CI": "true", "HUSHKEY_INTERACTIVE": "never"}
    machine.environ["ID_TOKEN"] = "a.b.c"
    machine.host(
        "git.test",
        "",
        '[identity.corp]\nprovider = "workload"\nkind = "federated"\n'
        'tenant = "contoso.onmicrosoft.com"\nassertion = "env:ID_TOKEN"\n'
        'client_id = "7c1e0d6a-2b3c-4d5e-8f90-a1b2c3d4e5f6"\n',
    )
    machine.does("install", "git", "git.test")


def two_hosts_of_two_purposes(machine: Healthy) -> None:
    machine.git()
    machine.program("docker")
    machine.host("git.test", '[host."registry.git.test"]\nidentity = "corp"')
    machine.does("install", "git", "git.test")
    machine.does("install", "docker", "registry.git.test")


WELL: list[Callable[[Healthy], None]] = [
    git_host,
    git_host_beside_other_tools,
    git_behind_a_proxy,
    git_in_an_editors_terminal,
    git_by_path,
    registry_without_git,
    registry_of_podman,
    registry_beside_dockers_own_store,
    index_of_pip,
    index_of_uv_beside_pip,
    typed_token,
    token_of_the_job,
    two_hosts_of_two_purposes,
]


@pytest.mark.parametrize("make", WELL, ids=lambda make: str(make.__name__))
def test_nothing_is_found_where_all_is_well(
    home: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Healthy], None]
) -> None:
    monkeypatch.chdir(home)
    machine = Healthy(home)
    make(machine)

    done = CliRunner().invoke(main, ["doctor", "--json"], env=machine.environ)

    assert json.loads(done.stdout)["findings"] == []
    assert done.exit_code == 0


def test_what_is_fine_is_shown_when_asked(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    machine = Healthy(home)
    git_host(machine)

    quiet = CliRunner().invoke(main, ["doctor"], env=machine.environ)
    told = CliRunner().invoke(main, ["doctor", "-v"], env=machine.environ)

    assert quiet.stdout == "nothing to fix\n"
    assert "\u2713 git asks hushkey for git.test\n" in told.stdout
    assert f"\u2713 config: {machine.config_file}\n" in told.stdout
    assert told.stdout.endswith("\nnothing to fix\n")
