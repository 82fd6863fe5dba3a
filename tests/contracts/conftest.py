"""A desk for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.desk import Desk
from servers.apache import Apache
from servers.authority import Authority
from servers.browser import Browser
from servers.issuer import Issuer


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
