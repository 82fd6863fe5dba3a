"""Which questions are asked, and what comes of the answers; no server is needed."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hushkey.config import rules
from hushkey.errors import Permanent, Transient, Unheard
from hushkey.origins import parse_url
from hushkey_install.cli import main
from hushkey_install.common import output, probe
from hushkey_install.config import addhost, clientcheck
from hushkey_install.setup import recognise
from kit.oauth import Machine

KEY = '[settings]\nkey_store = "file"\n'


class Person(Machine):
    """Somebody who types, with a count of the questions."""

    asked = 0

    def setup(self, *words: str, typed: str = "", code: int = 0) -> Result:
        argv = ["setup", *words]
        result = CliRunner().invoke(main, argv, env=self.environ, input=typed)
        assert result.exit_code == code, result.output
        return result

    def program(self, name: str, script: str) -> None:
        path = self.home / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        self.environ["PATH"] = f"{path.parent}:{self.environ['PATH']}"

    def text(self) -> str:
        return self.config_file.read_text().removeprefix(KEY).strip()


@pytest.fixture
def person(home: Path, monkeypatch: pytest.MonkeyPatch) -> Person:
    made = Person(home)
    made.configure(text=KEY)
    monkeypatch.setattr(addhost, "is_person", lambda: True)
    # Real servers are not asked for what is typed here.
    monkeypatch.setattr(clientcheck, "fault", lambda *_: None)

    def counted(ask: Callable[..., object]) -> Callable[..., object]:
        def asking(*args: object, **more: object) -> object:
            made.asked += 1
            return ask(*args, **more)

        return asking

    for name in ("prompt", "confirm", "secret"):
        monkeypatch.setattr(output, name, counted(getattr(output, name)))
    return made


def test_sign_in_of_the_forge_s_own_program(person: Person) -> None:
    person.program(
        "gh", '[ "$*" = "auth token --hostname github.com" ] && echo gho_secretsecret'
    )

    said = person.setup("github.com", "--tool", "git", typed="1\n\n")

    assert person.asked == 2
    assert "take the sign-in of gh" in said.output
    assert "gho_" not in said.output
    rule = rules.load(person.environ).rule_for(parse_url("github.com"))
    assert rule
    assert rule.identity.option("command") == "gh"
    question = b"protocol=https\nhost=github.com\n\n"
    told = person.run("git-credential-hushkey", "get", stdin=question)
    assert b"password=gho_secretsecret" in told.stdout
    before = person.text()
    again = person.setup("github.com", "--tool", "git")
    assert "nothing to change" in again.output
    assert (person.asked, person.text()) == (2, before)


@pytest.mark.parametrize("script", ["exit 1", "sleep 60", ":"])
def test_program_that_is_not_signed_in_is_no_way(
    person: Person, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hushkey_install.setup.programs._PATIENCE", 1)
    person.program("gh", f"exec {script}" if "sleep" in script else script)

    said = person.setup("github.com", "--no-login", typed="1\nIv1.x\n\n")

    assert "gh, which is here" not in said.output
    assert 'client_id = "Iv1.x"' in person.text()


@pytest.mark.parametrize(
    ("host", "typed", "questions", "page", "keys"),
    [
        (
            "github.com",
            "1\nx\n\n",
            3,
            "https://github.com/settings/applications/new",
            2,
        ),
        (
            "gitlab.com",
            "1\nx\n\n",
            3,
            "https://gitlab.com/-/user_settings/applications",
            2,
        ),
        (
            "bitbucket.org",
            "1\nx\nSECRET\n\n",
            4,
            "https://bitbucket.org/account/settings/",
            4,
        ),
    ],
)
def test_client_of_one_s_own_at_each_forge(
    person: Person, host: str, typed: str, questions: int, page: str, keys: int
) -> None:
    said = person.setup(host, "--no-login", typed=typed)

    assert person.asked == questions
    assert page in said.output
    assert "SECRET" not in said.output
    assert len(person.text().splitlines()) == keys + 1
    assert rules.load(person.environ).rule_for(parse_url(host))


@pytest.mark.parametrize(
    ("host", "wrong", "right"),
    [
        ("github.com", "bad\n", "good\n"),
        ("bitbucket.org", "bad\nSECRET\n", "good\nSECRET\n"),
    ],
)
def test_client_that_its_server_refuses_is_asked_for_again(
    person: Person,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    wrong: str,
    right: str,
) -> None:
    tried = []

    def fault(provider: str, table: dict[str, str]) -> Permanent | None:
        tried.append((provider, table["client_id"]))
        return Permanent("no such app") if table["client_id"] == "bad" else None

    monkeypatch.setattr(clientcheck, "fault", fault)
    said = person.setup(host, typed=f"1\n{wrong}{right}n\n", code=1)

    assert "Error: no such app" in said.output
    assert [client for _, client in tried] == ["bad", "good"]
    person.setup(host, "--no-probe", typed=f"1\n{wrong}n\n", code=1)
    assert len(tried) == 2
    assert "SECRET" not in said.output
    assert person.config_file.read_text() == KEY


def test_ghe_com_server_is_asked_at_its_own_address_alone(person: Person) -> None:
    said = person.setup("octo.ghe.com", "--no-login", typed="1\nIv1.x\n\n")
    rule = rules.load(person.environ).rule_for(parse_url("octo.ghe.com"))
    explained = person.run("hushkey", "explain", "https://other.ghe.com/a/b").stdout

    assert "https://octo.ghe.com/settings/applications/new" in said.output
    assert rule
    assert {v for k, v in rule.identity.options.items() if k.endswith("endpoint")} == {
        "https://octo.ghe.com/login/oauth/authorize",
        "https://octo.ghe.com/login/oauth/access_token",
        "https://octo.ghe.com/login/device/code",
    }
    assert b"`hushkey setup other.ghe.com` signs in there" in explained
    assert rules.load(person.environ).rule_for(parse_url("other.ghe.com")) is None


@pytest.mark.parametrize("host", ["github.com", "gitlab.com", "bitbucket.org"])
def test_token_that_is_typed_at_each_forge(person: Person, host: str) -> None:
    said = person.setup(host, "--tool", "none", typed="2\nPATSECRET\n\n")

    assert person.asked == 3
    assert "PATSECRET" not in said.output
    assert person.typed() == ["PATSECRET"]
    again = person.setup(host, "--tool", "none")
    assert "nothing to change" in again.output
    assert person.asked == 3


@pytest.mark.parametrize(
    "typed", ["", "1\n", "1\nx\n", "2\n", "2\nPAT\n", "2\nPAT\nn\n"]
)
def test_who_stops_at_a_question_has_changed_nothing(
    person: Person, typed: str
) -> None:
    person.setup("github.com", typed=typed, code=1)

    assert person.config_file.read_text() == KEY
    assert not (person.home / ".gitconfig").exists()
    assert person.typed() == []


def test_where_nobody_answers_flags_are_named(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addhost, "is_person", lambda: False)
    for words, flag in (
        (["github.com"], "--client-id or --with-token is needed"),
        (["other.test", "--no-probe"], "--issuer or --with-token is needed"),
        (["other.test", "--issuer", "https://a.test"], "--client-id is needed"),
        (["https://a.test/.well-known/openid-configuration"], "--host git.example.com"),
        (["other.test", "--with-token", "--no-probe"], "no token came"),
    ):
        said = person.setup(*words, "--yes", code=1)
        assert flag in said.output
        assert person.config_file.read_text() == KEY


def test_dry_run_changes_nothing_and_shows_every_line(person: Person) -> None:
    said = person.setup("codeberg.org", "--yes", "--dry-run")

    assert "git-credential-hushkey" in said.output
    assert not (person.home / ".gitconfig").exists()
    assert person.config_file.read_text() == KEY


def test_tools_that_are_here_and_fit_are_offered(person: Person) -> None:
    for name in ("docker", "podman"):
        person.program(name, ":")
    said = person.setup("contoso.azurecr.io", "--no-login", "--dry-run", "--yes")
    assert "docker will ask hushkey" not in said.output  # nobody is signed in
    chosen = person.setup("contoso.azurecr.io", "--dry-run", typed="podman\n")

    assert person.asked == 1
    assert "podman will ask hushkey" in chosen.output
    assert "docker will ask hushkey" not in chosen.output


def test_index_is_not_expected_to_be_git_s(person: Person) -> None:
    """Else doctor finds that git does not ask for it, right after the set-up."""
    words = ("--issuer", "https://id.test", "--client-id", "c", "--scope", "s")
    offline = ("--no-login", "--no-probe", "--yes")

    person.setup("https://files.test/simple/", *words, *offline, "--tool", "pip")
    person.setup("https://files.test", *offline)  # says nothing new

    assert person.text().endswith('scopes = ["s"]\ntools = ["python"]')
    rows = CliRunner().invoke(main, ["doctor", "--json"], env=person.environ).stdout
    assert "git-not-registered" not in rows
    person.program("docker", ":")
    as_well = person.setup("docker://files.test/app", "--yes", "--dry-run")
    assert "docker will ask hushkey" in as_well.output


#: an OpenID Connect server that is never asked; what would change is only shown
ISSUER = ("--issuer", "https://id.test", "--client-id", "c", "--no-probe", "--yes")


def test_address_of_a_registry_keeps_its_path(person: Person) -> None:
    """Yarn asks us for the very registry: without its path, it asked nobody."""
    names = ("yarn", "pnpm", "claude")
    tools = [word for name in names for word in ("--tool", name)]

    url = "https://files.test:8443/team/npm/"
    said = person.setup(url, *ISSUER, *tools, "--dry-run").output
    cloned = f"{url}app.git"
    of_git = person.setup(cloned, *ISSUER, "--tool", "yarn", "--dry-run").output

    assert '+  "https://files.test:8443/team/npm":\n' in said
    assert "+//files.test:8443/team/npm/:tokenHelper=" in said
    # What serves the whole host has no use for the path.
    assert 'hushkey-answer token files.test:8443"' in said
    assert '+  "https://files.test:8443":\n' in of_git


def test_remotes_of_rclone_are_found_by_their_host(person: Person) -> None:
    config = person.home / ".config/rclone/rclone.conf"
    config.parent.mkdir(parents=True)
    urls = {"a b": "https://files.test/dav", "other": "https://files.test.evil"}
    made = [f"[{n}]\ntype = webdav\nurl = {u}\n" for n, u in urls.items()]
    config.write_text("".join((*made, "[last]\ntype = local\n")))

    said = person.setup("files.test", *ISSUER, "--tool", "rclone", "--dry-run")

    (line,) = (row for row in said.output.splitlines() if "bearer_token" in row)
    assert line.endswith("hushkey-answer token files.test/dav")
    command = ["install", "rclone", "files.test"]
    wrong = CliRunner().invoke(main, command, env=person.environ)
    assert "no remote files.test with a url; name one of a b, other" in wrong.output


@pytest.mark.parametrize(
    ("said", "asking"),
    [("y", "docker podman"), ("all", "docker podman"), ("No", ""), ("none", "")],
)
def test_yes_and_no_answer_which_tools_too(
    person: Person, said: str, asking: str
) -> None:
    for name in ("docker", "podman"):
        person.program(name, ":")

    shown = person.setup("contoso.azurecr.io", "--dry-run", typed=f"{said}\n")

    assert "dry run: nothing was changed" in shown.output
    for name in ("docker", "podman"):
        assert (f"{name} will ask hushkey" in shown.output) == (name in asking)


def test_dry_run_speaks_of_nothing_as_done(person: Person) -> None:
    person.program("docker", ":")
    before = person.text()

    named = ("--tenant", "fabrikam.test", "--no-probe", "--yes", "--dry-run")
    said = person.setup("fabrikam.azurecr.io", *named).stderr

    assert person.text() == before
    assert "built in" not in said  # another identity was named
    assert said.splitlines()[-1] == "dry run: nothing was changed"
    assert "will sign you in to fabrikam.azurecr.io" in said
    assert " asks hushkey" not in said


@pytest.mark.parametrize(
    ("here", "keyring", "questions"),
    [
        (("docker",), True, 1),
        (("docker", "podman"), True, 2),
        (("docker", "podman"), False, 3),
    ],
)
def test_questions_of_azure_are_those_that_the_guide_promises(
    person: Person, here: tuple[str, ...], keyring: bool, questions: int
) -> None:
    """Go ahead; with which of several tools; the key in a file."""
    person.environ["PATH"] = str(person.home / "bin")
    for name in (*here, "docker-credential-hushkey"):
        person.program(name, ":")
    if not keyring:
        person.config_file.unlink()

    said = person.setup(
        "contoso.azurecr.io", typed="\n" * (questions - 1) + "n\n", code=1
    )

    assert person.asked == questions, said.output


@pytest.mark.parametrize("said", ["docker y", "maybe", "all y"])
def test_yes_is_no_tool_s_name(person: Person, said: str) -> None:
    for name in ("docker", "podman"):
        person.program(name, ":")

    shown = person.setup("contoso.azurecr.io", "--dry-run", typed=f"{said}\ndocker\n")

    assert "no such tool here" in shown.output
    assert "podman will ask" not in shown.output


def test_who_is_named_is_not_called_unknown(person: Person) -> None:
    words = ["git.test", "--no-probe", "--no-login"]
    named = ["--issuer", "https://id.test", "--client-id", "c", "--scope", "git"]

    said = person.setup(*words, *named, "--yes")

    assert "not known" not in said.output


def test_address_that_is_no_issuer_is_asked_for_again(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def issuer(address: str, *_: object) -> None:
        if "wrong" in address:
            raise Unheard(f"{address}: its TLS certificate is not trusted here")
        if "gone" in address:
            raise Transient(f"{address}: cannot be reached", hint="do x in config.toml")

    monkeypatch.setattr(probe, "issuer", issuer)
    monkeypatch.setattr(recognise, "_seen", lambda *_: probe.Server())
    wrong = "https://wrong.example\nhttps://gone.example\n"
    typed = f"1\n{wrong}https://id.example\nhushkey\n\nn\n"

    said = person.setup("git.example.com", "--tool", "none", typed=typed, code=1)

    assert "Error: https://wrong.example: its TLS certificate" in said.output
    assert "Error: https://gone.example: cannot be reached; do x\n" in said.output
    assert '+issuer = "https://id.example"' in said.output


def test_program_that_fails_at_the_sign_in_is_one_line(person: Person) -> None:
    person.program("gh", "exit 1")

    words = ("--set", "command=gh", "--yes", "--tool", "none")
    said = person.setup("github.com", *words, code=1)

    assert "gh exited with 1 (host github.com, identity gh); run: gh" in said.output
    assert person.config_file.read_text() == KEY


def test_host_of_another_identity_is_not_taken_from_it(person: Person) -> None:
    person.configure(
        text=f'{KEY}[identity.a]\nprovider = "oidc"\nissuer = "https://a.test"\n'
        'client_id = "c"\n[host."git.test"]\nidentity = "a"\n'
    )
    before = person.config_file.read_text()
    words = ("--host", "git.test", "--client-id", "c", "--yes", "--dry-run")
    well_known = "/.well-known/openid-configuration"

    said = person.setup(f"https://b.test{well_known}", *words, code=1)
    same = person.setup(f"https://a.test{well_known}", *words)

    assert "its tokens are not https://b.test's" in said.output
    assert "git.test: identity a (your config)" in same.output
    assert person.config_file.read_text() == before


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (("codeberg.org", "--client-id", "mine"), 'client_id = "mine"'),
        (("codeberg.org", "--account", "bob"), 'account = "bob"'),
        (("dev.azure.com", "--tenant", "contoso.com"), 'tenant = "contoso.com"'),
    ],
)
def test_what_is_built_in_gives_way_to_the_command_line(
    person: Person, words: tuple[str, ...], key: str
) -> None:
    for _ in range(2):
        said = person.setup(*words, "--no-login", "--yes")
        assert key in person.text()

    assert "nothing to change" in said.output


def test_token_for_a_built_in_host_is_kept(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("codeberg.org", "--with-token", "--yes", "--tool", "none")
    person.setup(*words, typed="PATSECRET\n")

    assert person.typed() == ["PATSECRET"]
    assert 'provider = "static"' in person.text()


def test_other_client_than_the_config_s_is_not_passed_over(person: Person) -> None:
    person.setup("codeberg.org", "--client-id", "mine", "--no-login", "--yes")
    before = person.text()
    for flag, typed in (
        (("--client-id", "other"), ""),
        (("--set", "base_url=https://a.test"), ""),
        (("--identity", "other"), ""),
        (("--with-token",), "PATSECRET\n"),
    ):
        said = person.setup("codeberg.org", *flag, "--yes", typed=typed, code=1)
        assert "is set up already: identity codeberg has another" in said.output

    assert person.text() == before
    assert person.typed() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_company_s_config_of_another_user_is_refused(person: Person) -> None:
    company = person.home / "company.toml"
    company.write_text(
        '[identity.corp]\nprovider = "gitea"\nbase_url = "https://evil.test"\n'
        '[host."evil.test"]\nidentity = "corp"\n'
    )
    os.chown(company, 65534, 65534)
    person.environ["HUSHKEY_SYSTEM_CONFIG"] = str(company)

    said = person.setup("evil.test", "--yes", code=5)

    assert "belongs to another user" in said.output
    assert person.config_file.read_text() == KEY
