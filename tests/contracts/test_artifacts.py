"""Azure Artifacts without any config: the organisation's tenant, an Entra token.

Real pip, twine and uv go to the real host name, which a proxy leads to the fake.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import do_without
from contracts.test_entra import AzureDesk
from kit.desk import BIN, Done
from servers.authority import Authority
from servers.entra import ALICE, AZURE_DEVOPS
from servers.packages import client, wheel
from servers.process import Missing

pytestmark = pytest.mark.contract
FEED = "https://pkgs.dev.azure.com/contoso/_packaging/feed/pypi"
IN_ORGANISATION = "https://pkgs.dev.azure.com/{}/_packaging/feed/pypi/simple/"


class Feeds(AzureDesk):
    """A person with feeds in two organisations."""

    def ask(self, *words: str, **extra: str) -> Done:
        return self.run("hushkey-keyring", *words, **extra)

    def tool(self, environment: str, program: str, *words: str) -> Done:
        launchers = self.folder / "launchers"
        if not launchers.is_dir():
            launchers.mkdir()
            (launchers / "keyring").symlink_to(BIN / "hushkey-keyring")
        try:
            path = client(environment, program)
        except Missing as reason:
            do_without(reason)
            raise
        return self.run(
            path,
            *words,
            PATH=f"{launchers}{os.pathsep}/usr/bin",
            HTTPS_PROXY=self.detour.url,
            PIP_CERT=str(self.ca_file),
            PIP_KEYRING_PROVIDER="subprocess",
            REQUESTS_CA_BUNDLE=str(self.ca_file),
            SSL_CERT_FILE=str(self.ca_file),
            UV_NO_CACHE="1",
        )

    def secret(self, done: Done) -> str:
        return done.stdout.decode().splitlines()[-1]


@pytest.fixture
def feeds(tmp_path: Path, authority: Authority) -> Iterator[Feeds]:
    desk = Feeds(tmp_path, authority)
    desk.start()
    try:
        yield desk
    finally:
        desk.stop()


def test_feed_answers_with_an_entra_token_of_its_organisation(feeds: Feeds) -> None:
    first = feeds.ask("--mode=creds", "get", IN_ORGANISATION.format("Contoso"))
    second = feeds.ask("get", IN_ORGANISATION.format("fabrikam"), "me")

    assert first.stdout.decode().splitlines()[0] == "VssSessionToken", first.stderr
    grants = [feeds.grant(done) for done in (first, second)]
    assert [(grant.user, grant.resource) for grant in grants] == [
        (ALICE, AZURE_DEVOPS)
    ] * 2
    assert len({grant.tenant for grant in grants}) == 2
    assert len(feeds.browser.visits()) == 1


def test_repository_and_feed_share_the_sign_in(feeds: Feeds) -> None:
    git = feeds.get("contoso")
    feed = feeds.ask("get", IN_ORGANISATION.format("contoso"), "me")

    assert git.returncode == 0, git.stderr
    assert feed.stdout.decode().strip() in git.stdout.decode()
    assert len(feeds.entra.token_requests()) == 1


def test_bare_host_says_nothing_and_asks_nobody(feeds: Feeds) -> None:
    for user in ("", "VssSessionToken"):
        done = feeds.ask("--mode=creds", "get", "pkgs.dev.azure.com", user)
        assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")

    assert feeds.entra.log() == feeds.devops.log() == []


def test_pip_and_uv_present_the_token_to_the_feed(feeds: Feeds) -> None:
    where = ("--index-url", f"{FEED}/simple/", "--target", str(feeds.folder / "t"))
    feeds.tool("plain", "pip", "install", "-q", *where, "pear")
    uv_where = ("--index-url", f"{FEED}/simple/".replace("//", "//contoso@", 1))
    words = ("pip", "install", "--target", str(feeds.folder / "u"))
    provider = ("--keyring-provider", "subprocess")
    feeds.tool("plain", "uv", *words, *uv_where, *provider, "pear")

    served = [each for each in feeds.devops.log() if each["status"] == 200]
    assert {each["username"] for each in served} == {"VssSessionToken", "contoso"}
    assert {each["user"] for each in served} == {ALICE.name}
    assert len(feeds.browser.visits()) == 1


def test_twine_uploads_with_the_token(feeds: Feeds) -> None:
    file = feeds.folder / "fig-1.0-py3-none-any.whl"
    file.write_bytes(wheel("fig"))

    words = ("upload", "--non-interactive", "--repository-url", f"{FEED}/upload/")
    done = feeds.tool("plugin", "twine", *words, str(file))

    assert done.returncode == 0, done.stdout
    (upload,) = [each for each in feeds.devops.log() if each["method"] == "POST"]
    assert (upload["status"], upload["user"]) == (200, ALICE.name)
    assert upload["username"] == "VssSessionToken"
