import json
from pathlib import Path

import pytest

from hushkey_install.common.finding import Finding
from hushkey_install.register.docker import DOCKER, PODMAN
from hushkey_install.tools.installation import Installation
from kit.oauth import Machine

MORE = """
[host."reg.test"]
identity = "corp"
scopes = ["reg"]
exchange = "acr"
"""


@pytest.fixture
def machine(home: Path, tmp_path: Path) -> Machine:
    """A machine with our helper and docker on PATH, and no podman."""
    made = Machine(home)
    made.configure(MORE)
    for name in ("docker", "docker-credential-hushkey"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    made.environ["PATH"] = str(tmp_path / "bin")
    return made


def docker_says(machine: Machine, **content: object) -> None:
    file = machine.home / ".docker" / "config.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content))


def check(machine: Machine) -> list[Finding]:
    installation = Installation(machine.environ, "/")
    return [f for client in (DOCKER, PODMAN) for f in client.checks(installation)]


def found(machine: Machine) -> dict[str, Finding]:
    return {finding.code: finding for finding in check(machine)}


def test_all_is_well(machine: Machine) -> None:
    docker_says(machine, credHelpers={"reg.test": "hushkey"})

    assert found(machine) == {}


def test_registry_without_a_key(machine: Machine) -> None:
    docker_says(machine, auths={"contoso.azurecr.io": {}, "other.test": {}})

    findings = check(machine)

    assert [f.command for f in findings] == [
        "hushkey install docker reg.test",
        "hushkey install docker contoso.azurecr.io",
    ]
    assert {f.code for f in findings} == {"docker-unregistered"}


@pytest.mark.parametrize(("own_file", "is_missing"), [("", False), ("auth", True)])
def test_podman_reads_dockers_keys_unless_it_has_a_file_of_its_own(
    machine: Machine, tmp_path: Path, own_file: str, is_missing: bool
) -> None:
    docker_says(machine, credHelpers={"reg.test": "hushkey"})
    (tmp_path / "bin" / "podman").symlink_to(tmp_path / "bin" / "docker")
    if own_file:
        machine.environ["REGISTRY_AUTH_FILE"] = str(tmp_path / own_file)

    assert ("podman-unregistered" in found(machine)) is is_missing


def test_store_for_all_needs_no_key(machine: Machine) -> None:
    docker_says(machine, credsStore="hushkey")

    assert found(machine) == {}


def test_another_helper_for_our_registry(machine: Machine) -> None:
    docker_says(machine, credHelpers={"reg.test": "acr-env"})

    finding = found(machine)["docker-other-helper"]

    assert "docker-credential-acr-env" in finding.text
    assert finding.command == "hushkey install docker reg.test"


def test_helper_that_is_not_on_path(machine: Machine, tmp_path: Path) -> None:
    docker_says(machine, credHelpers={"reg.test": "hushkey"})
    (tmp_path / "bin" / "docker-credential-hushkey").unlink()

    assert "reg.test" in found(machine)["docker-helper-missing"].text


def test_broken_file(machine: Machine) -> None:
    docker_says(machine)
    (machine.home / ".docker" / "config.json").write_text("{")

    assert "docker-file" in found(machine)


def test_client_that_is_not_there_misses_nothing(
    machine: Machine, tmp_path: Path
) -> None:
    (tmp_path / "bin" / "docker").unlink()

    assert found(machine) == {}


def test_variable_that_goes_before_helpers(machine: Machine) -> None:
    docker_says(machine, credHelpers={"reg.test": "hushkey"})
    machine.environ["DOCKER_AUTH_CONFIG"] = "{}"

    assert list(found(machine)) == ["docker-auth-config"]


def test_login_of_a_session_that_podman_reads_first(machine: Machine) -> None:
    docker_says(machine, credHelpers={"reg.test": "hushkey"})
    file = Path(machine.environ["XDG_RUNTIME_DIR"]) / "containers" / "auth.json"
    file.parent.mkdir()
    file.write_text('{"auths": {"reg.test": {"auth": "x"}, "other.test": {}}}')

    finding = found(machine)["podman-shadowed"]

    assert finding.command == "podman logout reg.test"
    machine.environ["REGISTRY_AUTH_FILE"] = "/elsewhere"
    assert "podman-shadowed" not in found(machine)


def test_registry_that_left_the_config_is_found(machine: Machine) -> None:
    machine.configure(
        MORE + '[identity.s]\nprovider = "static"\n[host."s.test"]\nidentity = "s"\n'
    )
    names = ("reg.test", "gone.test:5000", "kept.test", "s.test")
    docker_says(
        machine, credHelpers=dict.fromkeys(names, "hushkey"), credsStore="hushkey"
    )
    login = {"ServerURL": "kept.test", "Username": "me", "Secret": "pw"}
    store = ("docker-credential-hushkey", "store")
    assert machine.run(*store, stdin=json.dumps(login).encode()).returncode == 0

    stale = [f for f in check(machine) if f.code == "docker-stale"]

    assert [f.command for f in stale] == ["hushkey uninstall docker gone.test:5000"]


def test_login_that_docker_no_longer_finds(machine: Machine) -> None:
    login = {"auth": "bWU6cHc="}
    docker_says(
        machine,
        credHelpers={"typed.test": "hushkey", "reg.test": "hushkey"},
        auths={"https://typed.test/v1/": login, "reg.test": login, "other.test": login},
    )

    said = {f.command: f.text for f in check(machine) if "hidden" in f.code}

    assert set(said) == {"hushkey import docker", "docker logout reg.test"}
    assert "login to https://typed.test/v1/" in said["hushkey import docker"]
    assert "identity corp" in said["docker logout reg.test"]


def test_login_of_another_store_is_missed_until_it_is_taken_over(
    machine: Machine,
) -> None:
    helpers = {"typed.test": "hushkey"}
    marks: dict[str, dict[str, str]] = {"typed.test": {}, "other.test": {}}
    docker_says(machine, credHelpers=helpers, credsStore="desktop", auths=marks)
    finding = found(machine)["docker-hidden-login"]
    assert "typed.test in docker-credential-desktop" in finding.text

    request = b'{"ServerURL":"typed.test","Username":"me","Secret":"pw"}'
    del machine.environ["PATH"]
    assert (
        machine.run("docker-credential-hushkey", "store", stdin=request).returncode == 0
    )

    assert "docker-hidden-login" not in found(machine)


def test_dockers_key_of_the_hub_is_none_of_podmans(
    machine: Machine, tmp_path: Path
) -> None:
    machine.configure('[host."docker.io"]\nidentity = "corp"\nexchange = "acr"')
    docker_says(machine, credHelpers={"https://index.docker.io/v1/": "hushkey"})
    (tmp_path / "bin" / "podman").symlink_to(tmp_path / "bin" / "docker")

    assert found(machine)["podman-unregistered"].command == (
        "hushkey install podman docker.io"
    )
    docker_says(
        machine,
        credHelpers={"https://index.docker.io/v1/": "hushkey", "docker.io": "hushkey"},
    )
    assert "podman-unregistered" not in found(machine)

    machine.configure()
    docker_says(machine, credHelpers={"https://index.docker.io/v1/": "hushkey"})
    assert found(machine)["podman-hub"].command == "hushkey install podman docker.io"
