"""Our programs, from nothing to git's answer, at forges that are made of data."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kit.canary import Ear
from kit.desk import Seat
from servers.authority import Authority
from servers.browser import Browser
from servers.forge import GITEA_CLIENT, Forge

pytestmark = pytest.mark.contract


@dataclass
class ForgesDesk(Seat):
    """A person with a config of a few lines; nobody has signed in."""

    folder: Path
    visitor: Browser
    ca_file: Path
    extra: dict[str, str] = field(default_factory=dict)
    ear: Ear = field(init=False)

    def __post_init__(self) -> None:
        self.ear = Ear(self.folder.with_name("ear"))

    def configure(self, forge: Forge, identity: str) -> None:
        text = f'[settings]\nkey_store = "file"\n[identity.me]\n{identity}'
        text += f'base_url = "{forge.url}"\n'
        text += f'[host."{forge.origin}"]\nidentity = "me"\n'
        (self.folder / "config.toml").write_text(text)

    def asks(self, forge: Forge) -> dict[str, str]:
        """What git is told."""
        host = forge.origin.removeprefix("http://")
        done = self.helper("get", f"protocol=http\nhost={host}\npath=acme/app\n\n")
        lines = done.stdout.decode().splitlines()
        return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def desk(tmp_path: Path, visitor: Browser, authority: Authority) -> ForgesDesk:
    folder = tmp_path / "desk"
    folder.mkdir()
    return ForgesDesk(folder, visitor, authority.ca_file)


@pytest.mark.parametrize("provider", ["gitea", "forgejo"])
@pytest.mark.parametrize("path", ["", "/git"])
def test_gitea_with_no_client_id_from_nothing(
    desk: ForgesDesk, provider: str, path: str
) -> None:
    with Forge("gitea", path) as forge:
        desk.configure(forge, f'provider = "{provider}"\n')
        told = desk.asks(forge)
        login = desk.hushkey("login", forge.origin)
        status = desk.hushkey("status")
        out = desk.hushkey("logout", "me")

    assert told["username"] == "oauth2"
    assert told["password"] in forge.live
    assert len(desk.visitor.visits()) == 1
    assert b"already signed in" in login.stderr
    assert b" as alice " in login.stderr
    for text in (login.stderr, status.stdout):
        assert GITEA_CLIENT.encode() in text
        assert b"git-credential-oauth" in text
    assert b"offers no revocation" in out.stderr
    asked = [form for _, where, form in forge.log if where.startswith("/login/oauth")]
    assert {form.get("client_id", GITEA_CLIENT) for form in asked} == {GITEA_CLIENT}
    assert [form for form in asked if "scope" in form] == []


def test_gitea_sign_in_that_ended_while_away_asks_again(desk: ForgesDesk) -> None:
    with Forge("gitea") as forge:
        desk.configure(forge, 'provider = "gitea"\n')
        desk.asks(forge)
        forge.refresh.clear()  # 30 days later
        desk.age(2 * 3600, "me")
        told = desk.asks(forge)

    assert told["password"] in forge.live
    assert len(desk.visitor.visits()) == 2
    assert "quit" not in told


def test_github_without_a_secret_opens_no_browser(desk: ForgesDesk) -> None:
    with Forge("github", expires_in=None, gives_refresh_token=False) as forge:
        desk.configure(forge, 'provider = "github"\nclient_id = "client"\n')
        told = desk.asks(forge)
        login = desk.hushkey("login", forge.origin, "--method", "device")
        again = desk.asks(forge)

    assert told == {"quit": "1"}
    assert desk.visitor.visits() == []
    assert b"ABCD-1234" in login.stderr
    assert b"signed in to" in login.stderr
    assert b" as alice " in login.stderr
    assert again["password"] in forge.live


def test_wrong_person_at_github_is_refused_and_nothing_is_stored(
    desk: ForgesDesk,
) -> None:
    with Forge("github") as forge:
        desk.configure(
            forge, 'provider = "github"\nclient_id = "client"\naccount = "bob"\n'
        )
        login = desk.hushkey("login", forge.origin, "--method", "device")
        status = json.loads(desk.hushkey("status", "--json").stdout)

    assert login.returncode == 1
    assert b"alice signed in, but bob was asked for" in login.stderr
    assert [row["account"] for row in status["hosts"]] == [None]
