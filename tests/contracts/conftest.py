"""A desk for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import running
from kit.desk import Desk
from servers.apache import Apache
from servers.authority import Authority
from servers.browser import Browser
from servers.issuer import Issuer
from servers.registry import DockerRegistry, seed


@pytest.fixture
def desk(
    tmp_path: Path,
    issuer: Issuer,
    apache: Apache,
    visitor: Browser,
    authority: Authority,
) -> Iterator[Desk]:
    """A configured user; nobody has signed in. No test may end with a leak."""
    folder = tmp_path / "desk"
    folder.mkdir()
    made = Desk(folder, issuer, apache, visitor, authority.ca_file)
    made.configure()
    yield made
    assert made.leaks() == []


@pytest.fixture(scope="module")
def registry(authority: Authority, issuer_process: Issuer) -> Iterator[Apache]:
    """A registry with the image app, behind Apache."""
    for behind in running(DockerRegistry()):
        seed(behind.port, "app")
        basic = ['Basic realm="registry"']
        front = Apache(
            authority, issuer_process, challenges=basic, registry=behind.port
        )
        yield from running(front)
