"""The git server serves bearers of a good token, and nobody else."""

import base64
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from hushkey_install.demo.gitprocess import presented
from hushkey_install.demo.gitserver import GitServer
from hushkey_install.demo.idserver import IdentityServer

if TYPE_CHECKING:
    from .conftest import Person

pytestmark = pytest.mark.contract


def git(
    program: Path, server: GitServer, header: str, *words: str
) -> "subprocess.CompletedProcess[str]":
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_SSL_CAINFO": str(server.authority),
        "GIT_TERMINAL_PROMPT": "0",
        **{f"GIT_{role}_NAME": "T" for role in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{role}_EMAIL": "t@e.test" for role in ("AUTHOR", "COMMITTER")},
    }
    return subprocess.run(
        [program, "-c", f"http.extraHeader=Authorization: {header}", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def basic(token: str) -> str:
    return "Basic " + base64.b64encode(f"oauth2:{token}".encode()).decode()


def test_challenge_offers_basic_and_bearer(git_server: GitServer) -> None:
    """Without a token the answer is 401 with both challenges."""
    answer = requests.get(
        git_server.url("hello.git/info/refs"),
        verify=str(git_server.authority),
        timeout=20,
    )

    assert answer.status_code == 401
    assert "Basic" in answer.headers["WWW-Authenticate"]
    assert "Bearer" in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_clone(
    scheme: str,
    git_program: Path,
    git_server: GitServer,
    person: "Person",
    tmp_path: Path,
) -> None:
    """A good token clones, under either scheme."""
    token = person.sign_in()["access_token"]
    header = basic(token) if scheme == "basic" else f"Bearer {token}"
    url = git_server.url("hello.git")
    done = git(git_program, git_server, header, "clone", url, str(tmp_path / "c"))

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "c" / "quiet.txt").exists()
    assert git_server.log()[-1]["scheme"] == scheme
    assert git_server.log()[-1]["user"] == "demo"


def test_big_push_is_chunked(
    git_program: Path, git_server: GitServer, person: "Person", tmp_path: Path
) -> None:
    """Three megabytes, which git sends in chunks, arrive whole."""
    header = f"Bearer {person.sign_in()['access_token']}"
    clone = tmp_path / "clone"

    def run(*words: str) -> str:
        done = git(git_program, git_server, header, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("clone", git_server.url("hello.git"), str(clone))
    (clone / "big").write_bytes(os.urandom(3_000_000))
    run("-C", str(clone), "add", "big")
    run("-C", str(clone), "commit", "--quiet", "-m", "big")
    run("-C", str(clone), "push", "origin", "HEAD:refs/heads/big")
    refs = run("ls-remote", git_server.url("hello.git"), "refs/heads/big")

    assert refs.split()[0] == run("-C", str(clone), "rev-parse", "HEAD").strip()


def test_revoked_token_is_refused(
    identity: IdentityServer,
    git_program: Path,
    git_server: GitServer,
    person: "Person",
) -> None:
    """A token that was good a moment ago is refused once it is revoked."""
    token = person.sign_in()["access_token"]
    header = basic(token)
    url = git_server.url("hello.git")
    before = git_server.refusals()
    good = git(git_program, git_server, header, "ls-remote", url)
    form = {"token": token, "client_id": identity.client_id}
    requests.post(f"{identity.issuer}/revoke_token/", form, timeout=20)
    bad = git(git_program, git_server, header, "ls-remote", url)

    assert good.returncode == 0, good.stderr
    assert bad.returncode != 0
    assert git_server.refusals() > before


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param("", ("none", ""), id="nothing"),
        pytest.param("Bearer abc", ("bearer", "abc"), id="bearer"),
        pytest.param(basic("abc"), ("basic", "abc"), id="basic: the password"),
        pytest.param("Basic !", ("basic", ""), id="not base64"),
        pytest.param("Negotiate abc", ("none", ""), id="another scheme"),
    ],
)
def test_presented(header: str, expected: tuple[str, str]) -> None:
    """The token is found in either scheme, and nonsense is no token."""
    assert presented(header) == expected
