"""The machine of the demonstration that is reached by SSH: a real sshd."""

import io
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from hushkey_install.demo import sshserver, story
from hushkey_install.demo.sshserver import Programs, SshServer
from hushkey_install.demo.stage import Stage
from hushkey_install.demo.teller import Teller


@pytest.fixture
def far(tmp_path: Path) -> Iterator[SshServer]:
    found = sshserver.find_programs()
    if isinstance(found, str):
        pytest.skip(f"needs OpenSSH's {found}")
    home = tmp_path / "far" / "home"
    environment = {"HOME": str(home), "PATH": os.defpath, "FAR": "a b"}
    with SshServer(tmp_path / "far", found, environment) as server:
        if why := server.refusal():
            pytest.skip(f"sshd lets nobody in here: {why}")
        yield server


@pytest.mark.contract
def test_session_is_in_the_folder_and_ends_with_the_server(far: SshServer) -> None:
    """A real session; its home is the demonstration's, and nothing stays."""
    words = ["ssh", "-F", str(far.client), "far", "pwd; echo $HOME; echo $FAR; exit 7"]
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )

    assert done.stdout.split("\n") == [str(far.home), str(far.home), "a b", ""]
    assert done.returncode == 7
    port = far.facts["port"]
    far.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)


@pytest.mark.contract
def test_stranger_is_refused_in_one_line(far: SshServer) -> None:
    """Without the key nobody gets in, and the story can say why."""
    (far.folder / "key").unlink()

    assert "denied" in far.refusal().lower()


def test_machine_without_sshd_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The story goes on without that chapter."""
    monkeypatch.setattr(sshserver, "_FOLDERS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "ssh").symlink_to("/bin/true")
    output = io.StringIO()
    teller = Teller(Console(file=output, width=100))
    stage = Stage(Path("/bin/true"), tmp_path, 10)
    try:
        story.Story(teller, stage, browser=False)._over_ssh()
    finally:
        stage.clear()

    assert "left out: this machine has no sshd\n" in output.getvalue()
    assert teller.kept


def test_account_that_gets_no_session_is_told(tmp_path: Path) -> None:
    """A nologin, a locked account: what ssh says, or its exit code."""
    silent = SshServer(tmp_path, Programs("/bin/false", "", ""), {})

    assert silent.refusal() == "it ends with code 1"
