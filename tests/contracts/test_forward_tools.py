"""pip, docker and skopeo on the far side of `hushkey forward`: one sign-in, here."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import do_without, running
from kit.desk import BIN, Desk, Done
from servers.apache import Apache
from servers.authority import Authority
from servers.browser import Browser
from servers.issuer import Issuer
from servers.packages import SCOPE, PackageIndex, client
from servers.process import Missing, wait_until
from servers.registry import find_client
from servers.ssh import SshServer

pytestmark = pytest.mark.contract


@pytest.fixture(scope="module")
def sshd(authority: Authority) -> Iterator[SshServer]:
    yield from running(SshServer(authority.ca_file))


@pytest.fixture(scope="module")
def index(authority: Authority, issuer_process: Issuer) -> Iterator[PackageIndex]:
    yield from running(PackageIndex(authority, issuer_process))


def desk_of(
    folder: Path, issuer: Issuer, server: Apache, visitor: Browser, ca_file: Path
) -> Desk:
    folder.mkdir()
    server.reset()
    return Desk(folder, issuer, server, visitor, ca_file)


def forwarded(desk: Desk, sshd: SshServer, *lines: str) -> Done:
    """Run *lines* on the far side, which stop at the first that fails."""
    sshd.empty("far")
    script = "set -e\n" + "\n".join(lines)
    only = ("--only", desk.apache.host)
    done = desk.hushkey("forward", *only, "ssh", *sshd.words(), script)
    wait_until(lambda: not sshd.socket.exists(), "the socket to go")
    return done


def of(name: str, program: str = "") -> str:
    try:
        return shlex.quote(client(name, program) if program else find_client(name))
    except Missing as reason:
        do_without(reason)
        raise


def test_pip_installs_there_with_the_sign_in_here(
    tmp_path: Path,
    issuer: Issuer,
    index: PackageIndex,
    visitor: Browser,
    authority: Authority,
    sshd: SshServer,
) -> None:
    desk = desk_of(tmp_path / "desk", issuer, index, visitor, authority.ca_file)
    host = index.host
    desk.configure(hosts=f'[host."{host}"]\nidentity = "corp"\nscopes = ["{SCOPE}"]\n')
    pip = (
        f"{of('plain', 'pip')} install -q --no-cache-dir --keyring-provider subprocess"
    )
    url = f"--index-url https://me@{host}/simple/"

    done = forwarded(
        desk,
        sshd,
        f"mkdir bin && ln -s {BIN}/hushkey-keyring bin/keyring",
        f"export PATH=$HOME/bin:/usr/bin:/bin PIP_CERT={sshd.ca_file}",
        f"{pip} {url} --target one pear",
        f"{pip} {url} --target two plum",
    )

    assert done.returncode == 0, done.stderr
    assert list((sshd.home() / "two").glob("plum*"))
    assert len(visitor.visits()) == 1
    assert b"(forwarded to far@127.0.0.1)" in done.stderr
    assert desk.leaks() == []


def test_registry_is_pulled_from_there_with_the_sign_in_here(
    tmp_path: Path,
    issuer: Issuer,
    registry: Apache,
    visitor: Browser,
    authority: Authority,
    sshd: SshServer,
) -> None:
    desk = desk_of(tmp_path / "desk", issuer, registry, visitor, authority.ca_file)
    desk.configure()
    image = f"{registry.host}/app:1"
    helpers = f'{{"credHelpers": {{"{registry.host}": "hushkey"}}}}'

    done = forwarded(
        desk,
        sshd,
        f"mkdir .docker && printf '%s' '{helpers}' >.docker/config.json",
        f"export SSL_CERT_FILE={sshd.ca_file} DOCKER_HOST=unix:///nowhere",
        f"{of('docker')} manifest inspect {image} >/dev/null",
        # /run/containers is none of this user's: skopeo gets a folder of its own.
        f"mkdir x && export XDG_RUNTIME_DIR=$HOME/x HUSHKEY_UPSTREAM={sshd.socket}",
        f"{of('skopeo')} copy -q docker://{image} dir:copied",
    )

    assert done.returncode == 0, done.stderr
    assert (sshd.home() / "copied" / "manifest.json").exists()
    assert len(visitor.visits()) == 1
    assert b"docker manifest in" in done.stderr
    assert desk.leaks() == []
