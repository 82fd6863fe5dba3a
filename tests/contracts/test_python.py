"""Real pip, uv, twine, poetry and pdm against a real index that checks our tokens.

What was asked is read in the issuer's and Apache's own logs.
"""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import do_without, running
from contracts.desk import BIN, Desk, Done
from servers.authority import Authority
from servers.browser import Browser
from servers.issuer import Issuer
from servers.packages import CLIENTS, SCOPE, PackageIndex, client, sdist, wheel
from servers.process import Missing

pytestmark = pytest.mark.contract


@pytest.fixture(scope="session")
def index_process(
    authority: Authority, issuer_process: Issuer
) -> Iterator[PackageIndex]:
    yield from running(PackageIndex(authority, issuer_process))


class PackageDesk(Desk):
    """A desk whose host is a package index, and whose PATH has a `keyring` of ours."""

    apache: PackageIndex

    @property
    def environ(self) -> dict[str, str]:
        launchers = self.folder / "launchers"
        return (
            super().environ
            | {
                # Not our own environment, whose `keyring` is the real one.
                "PATH": f"{launchers}{os.pathsep}/usr/bin{os.pathsep}/bin",
                "PIP_CERT": str(self.ca_file),
                "PIP_DISABLE_PIP_VERSION_CHECK": "1",
                "PIP_NO_CACHE_DIR": "1",
                "REQUESTS_CA_BUNDLE": str(self.ca_file),
                "SSL_CERT_FILE": str(self.ca_file),
                "UV_NO_CACHE": "1",
                "UV_NO_PROGRESS": "1",
            }
            | self.extra
        )

    def ready(self) -> None:
        host = f'[host."{self.apache.host}"]\nidentity = "corp"\n'
        self.configure(hosts=f'{host}scopes = ["{SCOPE}"]\n')
        launchers = self.folder / "launchers"
        launchers.mkdir(exist_ok=True)
        (launchers / "keyring").symlink_to(BIN / "hushkey-keyring")

    def user_url(self, name: str, path: str = "simple/") -> str:
        return f"https://{name}@{self.apache.host}/{path}"

    def run(self, environment: str, program: str, *words: str, **extra: str) -> Done:
        try:
            return self.start(client(environment, program), *words, **extra)
        except Missing as reason:
            do_without(reason)
            raise

    def install(
        self, environment: str, *words: str, url: str = "", **extra: str
    ) -> Done:
        """Install with pip, its `keyring-provider` as `hushkey install pip` sets it."""
        target = str(self.folder / f"target-{len(list(self.folder.iterdir()))}")
        return self.run(
            environment,
            "pip",
            *("install", "-q", "--target", target),
            *("--index-url", url or self.apache.simple, *words),
            **{"PIP_KEYRING_PROVIDER": "subprocess", **extra},
        )


@pytest.fixture
def desk(
    tmp_path: Path,
    issuer: Issuer,
    index_process: PackageIndex,
    visitor: Browser,
    authority: Authority,
) -> PackageDesk:
    """A configured user; nobody has signed in."""
    folder = tmp_path / "desk"
    folder.mkdir()
    index_process.reset()
    made = PackageDesk(folder, issuer, index_process, visitor, authority.ca_file)
    made.ready()
    return made


def assert_one_sign_in(desk: PackageDesk, *done: Done) -> None:
    assert [d.returncode for d in done] == [0] * len(done), done[0].stderr.decode()
    assert desk.visitor.troubles() == ""
    assert len(desk.visitor.visits()) == 1
    assert desk.issuer.sign_ins() == 1
    assert len(desk.issuer.token_requests()) == 1


def test_pip_with_the_executable(desk: PackageDesk) -> None:
    first = desk.install("plain", "pear")
    second = desk.install("plain", "plum")

    assert_one_sign_in(desk, first, second)
    assert {a.status for a in desk.apache.log()} == {200, 401}


def test_old_pip_with_the_executable_and_a_user_name(desk: PackageDesk) -> None:
    done = desk.install("old-pip", "pear", url=desk.user_url("me"))

    assert_one_sign_in(desk, done)
    assert {a.presented_user for a in desk.apache.log() if a.status == 200} == {"me"}
