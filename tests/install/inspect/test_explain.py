import json
import socket
import subprocess
from typing import Any

import pytest
from click.testing import CliRunner

from hushkey_install.cli import main
from hushkey_install.tools import gitfile
from kit.oauth import CANARY, CONFIG, Machine, grant
from servers.process import short_folder


def explain(machine: Machine, url: str = "git.test", code: int = 0) -> dict[str, str]:
    result = CliRunner().invoke(main, ["explain", url], env=machine.environ)
    assert result.exit_code == code, result.output
    assert CANARY not in result.output
    lines = (line.split(":", 1) for line in result.stdout.splitlines())
    return {name: value.strip() for name, value in lines}


def test_rule_and_identity_are_named(machine: Machine) -> None:
    found = explain(machine, "https://me@git.test/app.git")

    assert found["host"] == "git.test"
    assert found["config"] == str(machine.config_file)
    assert found["rule"].startswith('[host."git.test"] (config.toml)')
    assert found["identity"] == "corp (oidc)"
    assert found["issuer"] == "https://id.test"
    assert found["client"] == "c"
    assert found["scopes"] == "git"
    assert "key file" in found["store"]
    assert found["next"].startswith("a sign-in: nobody is signed in; not from here")


@pytest.mark.parametrize(
    ("age", "changes", "words"),
    [
        (0, {}, "the cached token, as me@example.com: no network"),
        (3500, {}, "a silent refresh, as me@example.com: one request"),
        (7200, {}, "a silent refresh, as me@example.com: one request"),
        (7200, {"refresh_token": ""}, "a sign-in: no refresh token covers"),
    ],
)
def test_next_step(
    machine: Machine, age: int, changes: dict[str, str], words: str
) -> None:
    machine.has(grant(f"at-{CANARY}", **changes), age=age)

    assert words in explain(machine)["next"]


def test_forward_is_named_where_it_is_asked(machine: Machine) -> None:
    folder = short_folder("explained")
    path = folder / "upstream"
    with socket.socket(socket.AF_UNIX) as link:
        link.bind(str(path))
    machine.environ["HUSHKEY_UPSTREAM"] = str(path)
    words = f"the machine that you came from is asked by hushkey forward ({path}); else"

    for url in ("git.test", "other.test"):
        assert explain(machine, url)["next"].startswith(words)
    machine.has(grant(f"at-{CANARY}"))
    assert explain(machine)["next"].startswith("the cached token")

    path.unlink()
    folder.rmdir()
    assert "there is no socket at" in explain(machine, "other.test")["next"]


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("other.test", "none covers this URL"),
        ("http://git.test", "none covers this URL"),
        ("git.test:8443", "none covers this URL"),
        ("github.com", "a built-in one that lacks [identity.github] client_id"),
    ],
)
def test_host_that_is_not_ours(machine: Machine, url: str, rule: str) -> None:
    found = explain(machine, url)

    assert found["rule"] == rule
    assert "empty answer" in found["next"]


@pytest.mark.parametrize("url", ["ftp://git.test", "ssh://git@git.test/a", "a b", ""])
def test_what_is_no_url_is_an_error(machine: Machine, url: str) -> None:
    assert explain(machine, url, code=1) == {}


def test_name_that_is_no_host_gets_nothing(machine: Machine) -> None:
    assert "not a host name" in explain(machine, "https://a..b/")["host"]


def test_path_rules_without_a_path_are_an_error_to_come(machine: Machine) -> None:
    machine.configure(
        '[host."dev.test/a"]\nidentity = "corp"\n'
        '[host."dev.test/b"]\nidentity = "corp"\nscopes = ["b"]\n'
    )

    assert "useHttpPath" in explain(machine, "dev.test")["next"]
    assert "dev.test/a" in explain(machine, "https://dev.test/a/x")["rule"]


STATIC = '[identity.s]\nprovider = "static"\n[host."s.test"]\nidentity = "s"\n'


@pytest.mark.parametrize("host", ["s.test", "https://me@S.test:443/app", "other.test"])
def test_host_without_tokens_gets_what_was_typed(machine: Machine, host: str) -> None:
    machine.configure(STATIC)
    assert "asks its next helper" in explain(machine, host)["next"]

    for name in ("s.test", "other.test"):
        machine.types(name, "me", "pw")

    assert "what was typed" in explain(machine, host)["next"]
    assert "next helper" in explain(machine, "https://you@s.test")["next"]


def test_static_identity_is_named_and_so_is_docker(machine: Machine) -> None:
    machine.configure(STATIC)
    request = b'{"ServerURL":"s.test","Username":"me","Secret":"pw"}'
    done = machine.run("docker-credential-hushkey", "store", stdin=request)
    assert done.returncode == 0

    said = explain(machine, "s.test")

    assert said["identity"] == "s (static)"
    assert said["next"] == "docker gets what was typed for this host, git nothing"


def test_sign_in_that_has_ended_is_one_to_come(machine: Machine) -> None:
    machine.has(grant(refresh_token="rt-dead"), age=7200)
    with machine.token_file().change(5) as change:
        change.cache.drop_grant("rt-dead", ended=1)
        change.save()

    said = explain(machine)["next"]

    assert said.startswith("a sign-in: the sign-in has ended at the server")


def test_lost_key_is_an_error_to_come(machine: Machine) -> None:
    machine.has(grant())
    (machine.data / "key").unlink()

    assert "hushkey reset" in explain(machine)["next"]


# -- git's helpers -----------------------------------------------------------------


def test_effective_helpers_are_shown_in_order(machine: Machine) -> None:
    (machine.home / ".gitconfig").write_text(
        '[credential]\n\thelper = store\n[credential "https://git.test"]\n\thelper =\n'
        "\thelper = hushkey\n[credential]\n\thelper = cache\n"
    )

    lines = facts(machine, "https://git.test/app.git")["git"]

    where = f"(global: {machine.home}/.gitconfig"
    assert lines == [
        f'hushkey {where}, [credential "https://git.test"])',
        f"cache {where}, [credential])",
    ]


@pytest.mark.parametrize(
    ("version", "warned"), [("2.39.5", True), ("2.46.0", False)], ids=str
)
def test_repository_with_a_helper_of_its_own(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, version: str, warned: bool
) -> None:
    (machine.home / ".gitconfig").write_text(
        '[credential "https://git.test"]\n\thelper = hushkey\n'
    )
    repository = machine.home / "repository"
    for words in (["init", "-q", "."], ["config", "credential.helper", "store"]):
        repository.mkdir(exist_ok=True)
        subprocess.run(["git", *words], cwd=repository, env=machine.environ, check=True)
    monkeypatch.chdir(repository)
    numbers = tuple(map(int, version.split(".")[:2]))
    monkeypatch.setattr(gitfile.Git, "version", lambda _: numbers)

    found = facts(machine, "git.test")

    assert [line.split(" ")[0] for line in found["git"]] == ["hushkey"]
    here = found["in_repository"]
    assert [line.split(" ")[0] for line in here[:2]] == ["hushkey", "store"]
    assert (len(here) == 3 and "handed our tokens" in here[2]) is warned


def test_git_that_is_not_there_is_said(machine: Machine) -> None:
    machine.environ["PATH"] = str(machine.home)

    assert "git is not on PATH" in facts(machine, "git.test")["git"][0]


def test_snippet_with_a_secret_is_not_shown(machine: Machine) -> None:
    (machine.home / ".gitconfig").write_text(
        f'[credential]\n\thelper = "!f() {{ echo password={CANARY}; }}; f"\n'
    )

    assert "a shell snippet" in facts(machine, "git.test")["git"][0]


# -- the servers, if asked -----------------------------------------------------------


def test_servers_that_do_not_answer_are_named(machine: Machine) -> None:
    machine.configure(text=CONFIG.replace("{issuer}", "http://127.0.0.1:9"))

    asked = facts(machine, "--probe", "git.test")["asked"]

    assert asked[0].startswith("http://127.0.0.1:9: ")
    assert asked[1].startswith("https://git.test/: ")


def test_nothing_is_asked_unasked(machine: Machine) -> None:
    assert facts(machine, "git.test")["asked"] == []


# -- whether a person could be asked ---------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"DISPLAY": ":0"}, "here by browser"),
        ({"CI": "1", "DISPLAY": ":0"}, "not from here, since this is a CI job"),
        ({"HUSHKEY_INTERACTIVE": "never"}, "HUSHKEY_INTERACTIVE is never"),
        ({"HUSHKEY_INTERACTIVE": "what"}, "an error: HUSHKEY_INTERACTIVE has the"),
    ],
)
def test_next_says_who_could_be_asked(
    machine: Machine, environ: dict[str, str], words: str
) -> None:
    machine.environ |= environ

    assert words in explain(machine)["next"]


def facts(machine: Machine, *words: str) -> dict[str, Any]:
    argv = ["explain", "--json", *words]
    result = CliRunner().invoke(main, argv, env=machine.environ)
    assert result.exit_code == 0, result.output
    assert CANARY not in result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


# -- hosts without a rule ----------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "typed"),
    [
        ("typed.test", True),
        ("https://me@typed.test/a/b", True),
        ("https://you@typed.test", False),
        ("typed.test:8443", False),
        ("other.test", False),
    ],
)
def test_what_was_typed_is_said_to_be_given_back(
    machine: Machine, url: str, typed: bool
) -> None:
    machine.types("typed.test", "me", CANARY)

    assert ("what was typed" in explain(machine, url)["next"]) is typed


def test_registry_says_what_the_token_is_exchanged_for(machine: Machine) -> None:
    facts = explain(machine, "contoso.azurecr.io")

    assert facts["tenant"] == "the account's own"
    assert facts["exchange"].startswith("acr")
    assert "<token>" in facts["answer"]


def test_what_a_forge_s_person_has_to_know_is_said(machine: Machine) -> None:
    waiting = explain(machine, "github.com")
    shared = explain(machine, "https://codeberg.org/me/app")
    machine.configure(
        '[identity.gh]\nprovider = "github"\nclient_id = "c"\n'
        'base_url = "https://gh.test/x"\n'
        '[host."gh.test"]\nidentity = "gh"\n[host."codeberg.org"]\n'
        'identity = "codeberg"\nscopes = ["read:user"]\n'
    )
    own = explain(machine, "gh.test")

    assert waiting["register"].startswith("at https://github.com/settings/applications")
    assert '"Enable Device Flow"' in waiting["register"]
    assert shared["client"].endswith("which servers know as git-credential-oauth")
    assert explain(machine, "codeberg.org")["scopes"] == "the server's default"
    assert "https://gh.test/x/orgs/ORG/sso" in own["refused"]
    assert own["scopes"] == "repo workflow"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://git.sr.ht/~me/app", "pushes over ssh only"),
        ("https://hg.sr.ht", "pushes over ssh only"),
        ("https://tfs.test/Team/app/_git/app", "https://tfs.test/Team/_usersSettings"),
        ("https://tfs.test/tfs/_git/app", "https://tfs.test/tfs/_usersSettings/tokens"),
    ],
)
def test_server_without_a_sign_in_is_told_from_the_unknown(
    machine: Machine, url: str, words: str
) -> None:
    assert words in explain(machine, url)["note"]


@pytest.mark.parametrize("url", ["notsr.ht", "https://a.test/x", "https://_git.test"])
def test_of_an_unknown_host_nothing_is_said(machine: Machine, url: str) -> None:
    assert "note" not in explain(machine, url)


def test_proxy_of_another_library_is_named_as_one_that_does_not_count(
    machine: Machine,
) -> None:
    machine.configure(
        text='[identity.pod]\nprovider = "workload"\nkind = "federated"\n'
        '[host."git.test"]\nidentity = "pod"\nscopes = ["r/.default"]\n'
    )
    assert "not" not in explain(machine)

    machine.environ["AZURE_KUBERNETES_TOKEN_PROXY"] = "https://proxy.test"

    said = explain(machine)["not"]
    assert said == "AZURE_KUBERNETES_TOKEN_PROXY: hushkey goes to the server itself"
