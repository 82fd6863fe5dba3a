"""`hushkey forward` through a real sshd: sign in here, for another user over there."""

from collections.abc import Iterator

import pytest

from conftest import running
from kit.desk import Desk, Done
from servers.authority import Authority
from servers.ssh import SshServer

pytestmark = pytest.mark.contract

CLONE = "git -c credential.helper= -c credential.helper=hushkey clone -q"


@pytest.fixture(scope="module")
def sshd_process(authority: Authority) -> Iterator[SshServer]:
    yield from running(SshServer(authority.ca_file))


@pytest.fixture
def sshd(sshd_process: SshServer) -> SshServer:
    return sshd_process


def forwarded(desk: Desk, sshd: SshServer, command: str, *options: str) -> Done:
    """Run *command* on the far side of `hushkey forward` with *options*."""
    only = options or ("--only", desk.apache.host)
    return desk.hushkey("forward", *only, "ssh", *sshd.words(), command)


def test_clone_over_there_signs_in_here_once(desk: Desk, sshd: SshServer) -> None:
    url = desk.apache.url_of("contoso/app")

    done = forwarded(desk, sshd, f"{CLONE} {url} one && {CLONE} {url} two")

    assert done.returncode == 0, done.stderr
    assert (sshd.home() / "two" / "README").exists()
    assert len(desk.visitor.visits()) == 1
    assert b"127.0.0.1" in done.stderr
