"""A forge as GitLab is one: its sign-in engine itself, and git behind it."""

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kit import canary
from kit.canary import Ear
from kit.desk import Done, Seat
from servers.browser import Browser
from servers.doorkeeper import CLIENT_ID, Doorkeeper
from servers.gits import Git

pytestmark = pytest.mark.contract

GITLAB = """
provider = "gitlab"
base_url = "{url}/"
"""
OIDC = """
provider = "oidc"
issuer = "{url}"
"""
RULE = """
[host."{host}"]
identity = "forge"
{scopes}
"""
OPEN_ID = 'scopes = ["openid", "profile", "read_repository", "write_repository"]'


@dataclass
class ForgeDesk(Seat):
    """A person with a config for the forge; nobody has signed in."""

    folder: Path
    forge: Doorkeeper
    visitor: Browser
    ca_file: Path
    extra: dict[str, str] = field(default_factory=dict)
    #: seconds that a person has
    patience: int = 60
    client: str = CLIENT_ID
    ear: Ear = field(init=False)

    def __post_init__(self) -> None:
        self.ear = Ear(self.folder.with_name("ear"))
        for role in ("AUTHOR", "COMMITTER"):
            self.extra |= {f"GIT_{role}_NAME": "a", f"GIT_{role}_EMAIL": "a@b"}

    def configure(self, provider: str, more: str = "") -> None:
        facts = {
            "url": self.forge.url,
            "host": self.forge.host,
            "scopes": OPEN_ID if provider == OIDC else "",
        }
        text = (
            f'[settings]\nkey_store = "file"\nca_file = "{self.ca_file}"\n'
            f"sign_in_timeout = {self.patience}\n"
            f'[identity.forge]\nclient_id = "{self.client}"{provider}'
        )
        text = (text + (more or RULE)).format(**facts)
        (self.folder / "config.toml").write_text(text)
        done = self.hushkey("install", "git")
        assert done.returncode == 0, done.stderr

    def git(self, git: Git, *words: str, cwd: str = "", **extra: str) -> Done:
        done = git.run(
            *words, environ=self.environ | extra, cwd=self.folder / cwd, seconds=120
        )
        self.ear.hear(f"git {words[0]}", done.stdout, done.stderr)
        return done

    def clone(self, git: Git, into: str, **extra: str) -> Done:
        url = self.forge.url_of("contoso/app")
        return self.git(git, "clone", "-q", url, into, **extra)


@pytest.fixture
def desk(tmp_path: Path, forge: Doorkeeper, visitor: Browser) -> Iterator[ForgeDesk]:
    folder = tmp_path / "desk"
    folder.mkdir()
    made = ForgeDesk(folder, forge, visitor, forge.authority.ca_file)
    yield made
    secrets = canary.of_key_file(folder / "data" / "key")
    files = canary.below(folder, folder / "data" / "key")
    assert canary.leaks(secrets, [*made.ear.places(), *files]) == []


@pytest.mark.parametrize("provider", [GITLAB, OIDC], ids=["gitlab", "oidc"])
def test_clone_and_push_with_one_sign_in(
    desk: ForgeDesk, git: Git, provider: str
) -> None:
    desk.configure(provider)
    done = desk.clone(git, "app")
    assert done.returncode == 0, done.stderr
    (desk.folder / "app" / "new").write_text("x")
    for words in (("add", "new"), ("commit", "-qm", "new"), ("push", "-q")):
        done = desk.git(git, *words, cwd="app")
        assert done.returncode == 0, done.stderr
    assert len(desk.visitor.visits()) == 1
    assert desk.forge.grants("authorization_code") == [200]
    assert desk.forge.grants("refresh_token") == []
    assert desk.forge.people() == {"alice"}


@pytest.mark.parametrize("provider", [GITLAB, OIDC], ids=["gitlab", "oidc"])
def test_twenty_fetches_at_expiry_are_one_refresh(
    desk: ForgeDesk, old_git: Git, provider: str
) -> None:
    desk.configure(provider)
    done = desk.clone(old_git, "c0")
    assert done.returncode == 0, done.stderr
    for number in range(1, 20):
        shutil.copytree(desk.folder / "c0", desk.folder / f"c{number}")
    desk.forge.expire()
    desk.age(3 * 3600, "forge")
    with ThreadPoolExecutor(20) as pool:
        fetched = list(
            pool.map(lambda n: desk.git(old_git, "fetch", "-q", cwd=f"c{n}"), range(20))
        )
    assert [d.stderr for d in fetched if d.returncode] == []
    assert desk.forge.grants("refresh_token") == [200]
    assert len(desk.visitor.visits()) == 1


def test_who_signed_in_is_known_and_signing_out_revokes(
    desk: ForgeDesk, git: Git
) -> None:
    desk.configure(GITLAB)
    assert desk.clone(git, "app").returncode == 0
    (who,) = [
        row["account"]
        for row in json.loads(desk.hushkey("status", "--json").stdout)["hosts"]
    ]
    tokens = [t.value for t in desk.token_file("forge").read().tokens()]
    done = desk.hushkey("logout", "forge")

    assert who == "alice"
    assert b"signed out of forge and revoked" in done.stderr
    assert [r["status"] for r in desk.forge.log() if r["path"] == "/oauth/revoke"] == [
        200
    ]
    # The access token is dead, too, as GitLab has it.
    (token,) = tokens
    url = desk.forge.url_of("contoso/app").replace("://", f"://oauth2:{token}@")
    refused = desk.git(git, "-c", "credential.helper=", "ls-remote", url)
    assert refused.returncode != 0
    assert b"Authentication failed" in refused.stderr


def test_confidential_application_says_what_to_untick(
    desk: ForgeDesk,
) -> None:
    desk.client = "confidential"
    desk.configure(GITLAB)
    done = desk.hushkey("login", desk.forge.host)

    assert done.returncode == 1
    assert b'untick "Confidential"' in done.stderr
    assert f"{desk.forge.url}/-/user_settings/applications".encode() in done.stderr
    assert desk.forge.grants("authorization_code") == [401]


def test_scope_that_is_not_ticked_ends_on_a_page_and_in_words(desk: ForgeDesk) -> None:
    desk.patience = 5
    desk.configure(GITLAB, RULE.replace("{scopes}", 'scopes = ["sudo"]'))
    done = desk.hushkey("login", desk.forge.host)

    assert done.returncode == 3
    assert b"no answer within 5 s" in done.stderr
    assert b"if GitLab's page showed an error" in done.stderr
    assert desk.forge.grants("authorization_code") == []


def test_two_people_have_a_token_each_by_path(desk: ForgeDesk, git: Git) -> None:
    second = """
[identity.second]
provider = "gitlab"
base_url = "{url}"
client_id = "hushkey-client"
account = "bob"
[host."{host}/contoso/app"]
identity = "second"
"""
    desk.configure(GITLAB + 'account = "alice"\n', RULE + second)
    done = desk.hushkey("login", desk.forge.host)
    assert done.returncode == 0, done.stderr
    wrong = desk.hushkey("login", f"{desk.forge.url}/contoso/app.git")
    desk.visitor.user = "bob"
    right = desk.hushkey("login", f"{desk.forge.url}/contoso/app.git")
    done = desk.clone(git, "app")

    assert wrong.returncode == 1
    assert b"alice signed in, but bob was asked for" in wrong.stderr
    assert right.returncode == 0, right.stderr
    assert done.returncode == 0, done.stderr
    assert desk.forge.people() == {"bob"}


BOTH = """
[[host."{host}"]]
identity = "forge"
user = "alice"
{scopes}
[[host."{host}"]]
identity = "forge"
user = "bob"
{scopes}
"""


def _both_signed_in(desk: ForgeDesk, more: str = "") -> None:
    """Let alice and bob sign in, each by name."""
    desk.configure(GITLAB, more)
    for user in ("alice", "bob"):
        desk.visitor.user = user
        done = desk.hushkey("login", "--account", user, f"{user}@{desk.forge.host}")
        assert done.returncode == 0, done.stderr
    desk.visitor.user = "nobody"  # no window is needed any more


def _lets_in(desk: ForgeDesk, git: Git, *words: str, url: str = "") -> set[str]:
    """Return who git was let in as."""
    before = len(desk.forge.log())
    url = url or desk.forge.url_of("contoso/app")
    done = desk.git(git, *words, "ls-remote", url)
    assert done.returncode == 0, done.stderr
    return {r["user"] for r in desk.forge.log()[before:] if r["user"]}


def test_two_people_by_user_name_by_repository_and_by_choice(
    desk: ForgeDesk, old_git: Git
) -> None:
    _both_signed_in(desk)
    url, host = desk.forge.url_of("contoso/app"), desk.forge.host

    for user in ("bob", "alice"):
        named = url.replace("://", f"://{user}@")
        assert _lets_in(desk, old_git, url=named) == {user}
        by_setting = ("-c", f"credential.username={user}")
        assert _lets_in(desk, old_git, *by_setting) == {user}
        assert desk.hushkey("switch", host, user).returncode == 0
        assert _lets_in(desk, old_git) == {user}
    done = desk.git(old_git, "config", "--global", "credential.useHttpPath", "true")
    assert done.returncode == 0
    assert desk.hushkey("switch", f"{desk.forge.url}/contoso", "bob").returncode == 0
    assert _lets_in(desk, old_git) == {"bob"}
    listed = json.loads(desk.hushkey("accounts", "--json").stdout)["accounts"]
    assert [(r["host"], r["account"], r["default"]) for r in listed] == [
        (host, "alice", True),
        (host, "bob", False),
        (f"{host}/contoso", "bob", True),
    ]
    assert len(desk.visitor.visits()) == 2


def test_two_people_by_a_rule_for_each_user_name(desk: ForgeDesk, old_git: Git) -> None:
    _both_signed_in(desk, BOTH)
    url = desk.forge.url_of("contoso/app")

    for user in ("bob", "alice"):
        named = url.replace("://", f"://{user}@")
        assert _lets_in(desk, old_git, url=named) == {user}
    # Nobody is named: no rule counts, and git may only ask the terminal.
    done = desk.git(old_git, "ls-remote", url)
    assert done.returncode != 0
    assert b"could not read Username" in done.stderr
    assert len(desk.visitor.visits()) == 2


@pytest.mark.parametrize("more", ["", BOTH], ids=["one rule", "a rule each"])
def test_wrong_person_is_refused_before_anything_is_stored(
    desk: ForgeDesk, old_git: Git, more: str
) -> None:
    desk.configure(GITLAB, more)
    named = desk.forge.url_of("contoso/app").replace("://", "://bob@")

    clone = desk.git(old_git, "clone", "-q", named, "app")
    login = desk.hushkey("login", "--account", "bob", f"bob@{desk.forge.host}")

    for done in (clone, login):
        assert done.returncode != 0
        assert b"alice signed in, but bob was asked for" in done.stderr
    assert desk.token_file("forge").read().accounts == {}
    assert desk.forge.people() == set()


def test_one_of_two_people_signs_out(desk: ForgeDesk, old_git: Git) -> None:
    _both_signed_in(desk)
    done = desk.hushkey("logout", "--account", "alice", desk.forge.host)

    assert b"signed out of forge as alice and revoked" in done.stderr
    assert _lets_in(desk, old_git) == {"bob"}
