"""`hushkey setup` on a real terminal, at real servers and at forges made of data."""

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hushkey.config import rules
from hushkey.origins import parse_url
from kit.canary import Ear
from kit.desk import BIN, Seat
from kit.terminal import END, INTERRUPT, Talk, talk
from servers.apache import Apache
from servers.authority import Authority
from servers.browser import Browser
from servers.doorkeeper import CLIENT_ID, Doorkeeper
from servers.forge import GITEA_CLIENT, Forge
from servers.gits import Git
from servers.issuer import Issuer

pytestmark = pytest.mark.contract

TRANSCRIPTS = Path(__file__).parents[1] / "transcripts" / "setup"

GO = ("go ahead? [Y/n]", "")
KEY = ("keep the key in a file only you can read? [Y/n]", "")


@dataclass
class Newcomer(Seat):
    """A person with nothing: no config, no keyring, no settings of git's."""

    folder: Path
    visitor: Browser
    ca_file: Path
    extra: dict[str, str] = field(default_factory=dict)
    ear: Ear = field(init=False)

    def __post_init__(self) -> None:
        self.ear = Ear(self.folder.with_name("ear"))
        # The servers' authority is a private one, which this machine trusts.
        self.extra |= {"SSL_CERT_FILE": str(self.ca_file)}

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def gitconfig(self) -> Path:
        return Path(self.environ["GIT_CONFIG_GLOBAL"])

    def setup(self, *words: str, answers: list[tuple[str, str]]) -> Talk:
        argv = [BIN / "hushkey", "setup", *words]
        went = talk(argv, answers, self.environ, self.folder)
        self.ear.hear("setup", went.screen.encode(), b"")
        return went

    def left(self) -> dict[str, bytes]:
        """What is written anywhere, but for logs and locks."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path.suffix in ("", ".toml")
        }

    def signed_in(self, url: str) -> bool:
        words = parse_url(url)
        asked = f"protocol={words.protocol}\nhost={words.host}\npath={words.path}\n\n"
        told = self.helper("get", asked, HUSHKEY_INTERACTIVE="never")
        return b"password=" in told.stdout or b"credential=" in told.stdout


@pytest.fixture
def newcomer(tmp_path: Path, visitor: Browser, authority: Authority) -> Newcomer:
    folder = tmp_path / "desk"
    folder.mkdir()
    return Newcomer(folder, visitor, authority.ca_file)


def check_transcript(newcomer: Newcomer, name: str, went: Talk, **names: str) -> None:
    """Compare what was said with tests/transcripts/setup; *names* stand for addresses.

    REWRITE_TRANSCRIPTS=1 in the environment writes it as it is now, and the seconds
    that it took to standard error.
    """
    text = went.screen.replace(str(newcomer.folder), "HOME").replace(str(BIN), "BIN")
    for word, address in names.items():
        text = text.replace(urlsplit(address).netloc, f"{word}.test")
    for pattern, word in (
        (r"until \d\d:\d\d:\d\d", "until HH:MM:SS"),
        (r"http://127\.0\.0\.1:\d+/\S*", "http://127.0.0.1:PORT/..."),
        (r"note: a repository's own .*\n", ""),  # by git's version
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\)", "UUID)"),
    ):
        text = re.sub(pattern, word, text)
    text = f"# questions: {went.questions}\n\n$ hushkey setup\n{text}"
    path = TRANSCRIPTS / f"{name}.txt"
    if os.environ.get("REWRITE_TRANSCRIPTS"):
        path.write_text(text)
        print(f"{name}: {went.seconds:.1f} s", file=sys.stderr)
    assert text == path.read_text()


def asks_us(newcomer: Newcomer, origin: str) -> bool:
    text = newcomer.gitconfig.read_text() if newcomer.gitconfig.exists() else ""
    return f'[credential "{origin}"]' in text


def test_gitea_of_one_s_own(newcomer: Newcomer) -> None:
    with Forge("gitea") as forge:
        url = f"{forge.origin}/team/app"
        went = newcomer.setup(url, answers=[KEY, GO])
        served = newcomer.signed_in(url)
        before = newcomer.left()
        again = newcomer.setup(url, answers=[])

    assert went.code == 0, went.screen
    assert went.questions == 2
    assert f"client {GITEA_CLIENT}" in went.screen
    assert f"try: git clone {url}" in went.screen
    assert "to leave: hushkey uninstall git" in went.screen
    assert served
    assert asks_us(newcomer, forge.origin)
    assert len(newcomer.visitor.visits()) == 1
    assert again.code == 0
    assert "nothing to change" in again.screen
    assert newcomer.left() == before
    check_transcript(newcomer, "gitea", went, git=forge.origin)


def test_gitea_below_a_path(newcomer: Newcomer) -> None:
    with Forge("gitea", "/git") as forge:
        went = newcomer.setup(f"{forge.url}/team/app", answers=[KEY, GO])

    assert went.code == 0, went.screen
    assert f'base_url = "{forge.url}"' in newcomer.config.read_text()


def test_github_with_a_client_of_one_s_own(newcomer: Newcomer) -> None:
    with Forge("github", expires_in=None, gives_refresh_token=False) as forge:
        answers = [("number [1]", ""), ("client id", "client"), KEY, GO]
        went = newcomer.setup(forge.origin, answers=answers)
        served = newcomer.signed_in(forge.origin)

    assert went.code == 0, went.screen
    assert went.questions == 4
    assert f"{forge.url}/settings/applications/new" in went.screen
    assert "ABCD-1234" in went.screen
    assert served
    assert asks_us(newcomer, forge.origin)
    check_transcript(newcomer, "github-client", went, github=forge.origin)


def test_github_with_the_sign_in_of_its_program(newcomer: Newcomer) -> None:
    programs = newcomer.folder / "bin"
    programs.mkdir()
    gh = programs / "gh"
    gh.write_text("#!/bin/sh\n[ \"$1 $2\" = 'auth token' ] && echo gho_0123456789\n")
    gh.chmod(0o755)
    newcomer.extra["PATH"] = f"{programs}:{newcomer.environ['PATH']}"
    with Forge("github") as forge:
        went = newcomer.setup(forge.origin, answers=[("number [1]", "1"), KEY, GO])
        assert went.code == 0, went.screen
        before = newcomer.left()
        again = newcomer.setup(forge.origin, answers=[])
        served = newcomer.signed_in(forge.origin)

    assert served
    assert "gho_" not in went.screen
    assert "nothing to change" in again.screen
    assert newcomer.left() == before
    check_transcript(newcomer, "github-program", went, github=forge.origin)


def test_github_client_that_is_refused_is_asked_for_again_in_place(
    newcomer: Newcomer,
) -> None:
    with Forge("github", expires_in=None, gives_refresh_token=False) as forge:
        answers = [
            *(("number [1]", "1"), ("client id", "wrong"), ("client id", "client")),
            *(KEY, GO),
        ]
        went = newcomer.setup(forge.origin, answers=answers)
        before = newcomer.left()
        again = newcomer.setup(forge.origin, answers=[])

    assert went.code == 0, went.screen
    assert "Error: " in went.screen
    assert "each GitHub server has its own apps" in went.screen
    assert went.screen.index("each GitHub server") < went.screen.index("go ahead?")
    assert 'client_id = "client"' in newcomer.config.read_text()
    assert again.code == 0
    assert "nothing to change" in again.screen
    assert newcomer.left() == before


def test_github_refuses_the_client_and_nothing_is_left(newcomer: Newcomer) -> None:
    with Forge("github") as forge:
        before = newcomer.left()
        forge.device_answers = ["device_flow_disabled"]
        answers = [("number [1]", "1"), ("client id", "client")]
        went = newcomer.setup(forge.origin, answers=[*answers, ("client id", END)])
        flags = newcomer.hushkey(
            "setup", forge.origin, "--client-id", "client", "--yes"
        )

    assert went.code == 1
    assert "Enable Device Flow" in went.screen
    assert flags.returncode == 1
    assert b"Enable Device Flow" in flags.stderr
    assert newcomer.left() == before
    assert newcomer.visitor.visits() == []


def test_github_with_a_personal_access_token(newcomer: Newcomer) -> None:
    secret = "ghp_0123456789abcdef"
    with Forge("github") as forge:
        answers = [("number [1]", "2"), ("token", secret), KEY, GO]
        went = newcomer.setup(forge.origin, answers=answers)
        asked = f"protocol=http\nhost={forge.origin.removeprefix('http://')}\n\n"
        told = newcomer.helper("get", asked).stdout.decode()
        page = f"{forge.url}/settings/tokens/new"
        before = newcomer.left()
        again = newcomer.setup(forge.origin, answers=[])

    assert went.code == 0, went.screen
    assert went.questions == 4
    assert page in went.screen
    assert f"password={secret}\n" in told
    assert secret not in went.screen
    assert secret.encode() not in newcomer.files()
    assert "nothing to change" in again.screen
    assert newcomer.left() == before
    check_transcript(newcomer, "github-token", went, github=forge.origin)


def test_issuer_and_the_host_that_its_tokens_are_for(
    newcomer: Newcomer, apache: Apache, issuer: Issuer, git: Git
) -> None:
    url = apache.url_of("contoso/app")
    answers = [
        ("for which host", url),
        KEY,
        ("client id", "hushkey"),
        ("scopes", "git"),
        GO,
    ]
    answers[2:2] = [("client id", "nobody")]
    address = f"{issuer.url}/.well-known/openid-configuration"
    went = newcomer.setup(address, answers=answers)
    before = newcomer.left()
    again = newcomer.setup(address, answers=[("for which host", url)])
    by_host = newcomer.setup(url, answers=[])
    after = newcomer.left()
    cloned = git.run(
        "clone", "-q", url, "app", environ=newcomer.environ, cwd=newcomer.folder
    )

    assert went.code == 0, went.screen
    assert went.questions == 6  # one of them twice
    assert "Error: " in went.screen
    assert cloned.returncode == 0, cloned.stderr
    assert len(newcomer.visitor.visits()) == 1
    for talked in (again, by_host):
        assert talked.code == 0, talked.screen
        assert "nothing to change" in talked.screen
    assert after == before
    places = {"git": apache.url, "id": issuer.url}
    check_transcript(newcomer, "issuer", went, **places)


def test_company_with_a_system_config(
    newcomer: Newcomer, apache: Apache, issuer: Issuer, git: Git
) -> None:
    company = newcomer.folder / "company.toml"
    company.write_text(
        '[settings]\nkey_store = "file"\n[identity.corp]\nprovider = "oidc"\n'
        f'issuer = "{issuer.url}"\nclient_id = "hushkey"\n'
        f'[host."{apache.host}"]\nidentity = "corp"\nscopes = ["git"]\n'
    )
    newcomer.extra["HUSHKEY_SYSTEM_CONFIG"] = str(company)
    url = apache.url_of("contoso/app")
    project = newcomer.folder / "project"
    for words in (
        ("init", "-q", "project"),
        ("-C", "project", "remote", "add", "o", url),
    ):
        git.run(*words, environ=newcomer.environ, cwd=newcomer.folder)
    newcomer_there = newcomer.environ
    went = talk([BIN / "hushkey", "setup"], [GO], newcomer_there, project)
    again = talk([BIN / "hushkey", "setup"], [], newcomer_there, project)

    assert went.code == 0, went.screen
    assert went.questions == 1
    assert "administrator's config" in went.screen
    assert not newcomer.config.exists()
    assert newcomer.signed_in(url)
    assert again.code == 0
    assert "nothing to change" in again.screen
    places = {"git": apache.url, "id": issuer.url}
    check_transcript(newcomer, "company", went, **places)


def test_gitlab_is_recognised_and_serves_git(
    newcomer: Newcomer, forge: Doorkeeper, git: Git
) -> None:
    url = forge.url_of("contoso/app")
    answers = [
        *(("number [1]", "1"), ("client id", "nobody"), ("client id", CLIENT_ID)),
        *(KEY, GO),
    ]
    went = newcomer.setup(url, answers=answers)
    before = newcomer.left()
    again = newcomer.setup(url, answers=[])
    after = newcomer.left()
    cloned = git.run(
        "clone", "-q", url, "app", environ=newcomer.environ, cwd=newcomer.folder
    )

    assert went.code == 0, went.screen
    assert went.questions == 5
    assert "a gitlab server" in went.screen
    assert "the server rejects the client" in went.screen
    assert "nothing to change" in again.screen
    assert after == before
    check_transcript(newcomer, "gitlab", went, gitlab=forge.url)
    assert cloned.returncode == 0, cloned.stderr
    assert len(newcomer.visitor.visits()) == 1


#: ways of `setup` with all their questions, each question at least once
WAYS = {
    "github client": ("github", [("number [1]", "1"), ("client id", "client")]),
    "github token": ("github", [("number [1]", "2"), ("token", "ghp_secretsecret")]),
    "bitbucket-dc": (
        "bitbucket-dc",
        [("number [1]", "1"), ("client id", "client"), ("client_secret", "hush")],
    ),
}
STOPS = [
    (way, number)
    for way, (_, answers) in WAYS.items()
    for number in range(len(answers) + 2)
]


@pytest.mark.parametrize(("way", "number"), STOPS)
def test_interrupted_at_a_question_nothing_is_left(
    newcomer: Newcomer, way: str, number: int
) -> None:
    kind, answers = WAYS[way]
    answers = [*answers, KEY, GO]
    with Forge(kind) as forge:
        before = newcomer.left()
        for key in (INTERRUPT, END):
            said = [*answers[:number], (answers[number][0], key)]
            went = newcomer.setup(forge.origin, answers=said)

            assert went.questions == number + 1, went.screen
            assert went.code != 0
            assert "Traceback" not in went.screen
            assert newcomer.left() == before
    assert newcomer.visitor.visits() == []
    assert forge.live == {}


def test_wrong_person_or_a_no_leaves_the_config(newcomer: Newcomer) -> None:
    newcomer.config.write_text('# mine\n[settings]\nkey_store = "file"\n')
    before = newcomer.config.read_text()
    with Forge("gitea") as forge:
        forge.off = True
        refused = newcomer.setup(forge.origin, "--provider", "gitea", answers=[GO])
        no = newcomer.setup(forge.origin, "--provider", "gitea", answers=[(GO[0], "n")])

    assert refused.code == 1, refused.screen
    assert no.code == 1, no.screen
    assert newcomer.config.read_text() == before
    assert not newcomer.gitconfig.exists()


def test_without_a_terminal(newcomer: Newcomer) -> None:
    with Forge("gitea") as forge:
        looked = newcomer.hushkey("setup", forge.origin, "--yes", "--dry-run")
        before = newcomer.left()
        unsure = newcomer.hushkey("setup", forge.origin)
        done = newcomer.hushkey("setup", forge.origin, "--yes")
        served = newcomer.signed_in(forge.origin)

    assert looked.returncode == 0, looked.stderr
    assert b"git-credential-hushkey" in looked.stdout
    assert before == {}
    assert unsure.returncode == 1
    assert b"run it with --yes" in unsure.stderr
    assert done.returncode == 0, done.stderr
    assert served


def test_login_at_a_built_in_host_without_a_client_is_the_same_talk(
    newcomer: Newcomer,
) -> None:
    newcomer.config.write_text('[settings]\nkey_store = "file"\n')
    answers = [("number [1]", "2"), ("token", "ghp_secretsecret"), GO]
    argv = [BIN / "hushkey", "login", "github.com"]
    went = talk(argv, answers, newcomer.environ, newcomer.folder)
    told = newcomer.helper("get", "protocol=https\nhost=github.com\n\n").stdout

    assert went.code == 0, went.screen
    assert "https://github.com/settings/applications/new" not in went.screen
    assert "https://github.com/settings/tokens/new" in went.screen
    assert b"password=ghp_secretsecret\n" in told
    assert not newcomer.gitconfig.exists()
    rule = rules.load(newcomer.environ).rule_for(parse_url("github.com"))
    assert rule
    assert rule.scopes == ()
    assert re.search("ghp_", went.screen) is None
