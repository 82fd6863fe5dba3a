"""From nothing to a private host of one's own in five commands.

An empty home, a real identity server, a real git host; each command is what the
one before it, or `hushkey --help`, told the person to run.
"""

from pathlib import Path

import pytest

from kit.desk import Desk
from servers.apache import Apache
from servers.authority import Authority
from servers.browser import Browser
from servers.gits import Git
from servers.issuer import Issuer

pytestmark = pytest.mark.contract


@pytest.fixture
def newcomer(
    tmp_path: Path,
    issuer: Issuer,
    apache: Apache,
    visitor: Browser,
    authority: Authority,
) -> Desk:
    """Somebody who has just installed hushkey: no config, no registration."""
    folder = tmp_path / "desk"
    folder.mkdir()
    # The servers' authority is a private one, which this machine trusts.
    trust = {"SSL_CERT_FILE": str(authority.ca_file)}
    return Desk(folder, issuer, apache, visitor, authority.ca_file, extra=trust)


def test_five_commands(newcomer: Desk, old_git: Git) -> None:
    host = newcomer.apache.host
    issuer = ["--issuer", newcomer.issuer.url, "--client-id", "hushkey"]

    added = newcomer.hushkey(
        "config", "add-host", host, *issuer, "--scope", "git", "--probe"
    )
    assert added.returncode == 0, added.stderr
    assert b"run `hushkey config set key_store file`" in added.stderr
    kept = newcomer.hushkey("config", "set", "key_store", "file")
    assert kept.returncode == 0, kept.stderr
    registered = newcomer.hushkey("install", "git")
    assert registered.returncode == 0, registered.stderr
    signed_in = newcomer.hushkey("login", host)
    assert signed_in.returncode == 0, signed_in.stderr
    cloned = newcomer.clone(old_git, "contoso/app", "app")
    assert cloned.returncode == 0, cloned.stderr

    # And afterwards nothing is left to be wished for.
    doctor = newcomer.hushkey("doctor")
    assert doctor.returncode == 0, doctor.stdout
    status = newcomer.hushkey("status").stdout.decode()
    assert "sign-in at" in status
    assert "then renewed silently" in status


def test_doctor_alone_leads_there(newcomer: Desk, old_git: Git) -> None:
    """Who follows nothing but doctor's commands gets there, too."""
    before = newcomer.hushkey("doctor")
    assert before.returncode == 1
    assert b"hushkey setup HOST" in before.stdout
    host = newcomer.apache.host
    words = ["--issuer", newcomer.issuer.url, "--client-id", "hushkey"]
    added = newcomer.hushkey("config", "add-host", host, *words, "--scope", "git")
    assert added.returncode == 0, added.stderr

    mended = newcomer.hushkey("doctor", "--fix", "--yes")
    assert mended.returncode == 0, mended.stdout + mended.stderr
    cloned = newcomer.clone(old_git, "contoso/app", "app")

    assert cloned.returncode == 0, cloned.stderr
