"""Kinds of machines: what their keys mean, where their assertions come from."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from hushkey.config import schema
from hushkey.config.compile import compile_config
from hushkey.config.identities import compiled
from hushkey.config.rules import Config
from hushkey.errors import ConfigError, HushkeyError, Permanent, Transient
from hushkey.model import Grant, HostRule, Identity, Request
from hushkey.providers import registry
from hushkey.providers.workload import assertions, claims, jobtoken
from hushkey.providers.workload.kinds import KINDS
from hushkey.system import proofs
from kit.oauth import Reply, Scripted, signed

GUIDE = Path(__file__).parents[3] / "install" / "guide"
SCOPE = "499b84ac-1321-427f-aa17-267ca6975798/.default"


def mint(
    environ: dict[str, str],
    host: str = "dev.azure.com",
    exchange: str = "",
    **keys: Any,
) -> Grant:
    identity = Identity("ci", **compiled({"provider": "workload", **keys}))
    rule = HostRule(host, identity, scopes=(SCOPE,), exchange=exchange)
    minter = registry.open_minter(identity, schema.DEFAULTS, "/nowhere", environ)
    return minter.mint(rule, host)


def fails(environ: dict[str, str], **keys: Any) -> HushkeyError:
    with pytest.raises(HushkeyError) as caught:
        mint(environ, **keys)
    assert "hushkey login" not in caught.value.line()
    return caught.value


# -- documents ------------------------------------------------------------------------


def test_guide_lists_every_kind_and_every_source() -> None:
    section = (GUIDE / "machines.md").read_text("utf-8")

    for kind in KINDS.values():
        row = next(
            r for r in section.splitlines() if r.startswith(f"| `{kind.name}` |")
        )
        assert {key for key in kind.keys if f"`{key}" not in row} == set()
    for word in assertions.SOURCES:
        assert f'`"{word}' in section


# -- a server that wants JSON ---------------------------------------------------------


def test_exchange_at_hugging_face_is_written_as_its_own_client_does() -> None:
    with Scripted() as hub:
        answer = {"access_token": "hf_jwt_x", "token_type": "bearer"}
        hub.on("/oauth/token", Reply(answer | {"expires_in": 3600}))
        keys = {
            "kind": "exchange",
            "token_endpoint": f"{hub.url}/oauth/token",
            "assertion": "env:ID_TOKEN",
            "audience": "https://huggingface.co",
            "subject_token_type": "id_token",
            "resource": "datasets/me/data",
            "body": "json",
        }
        identity = Identity("hf", **compiled({"provider": "workload", **keys}))
        environ = {"ID_TOKEN": "aaa.bbb.ccc"}
        minter = registry.open_minter(identity, schema.DEFAULTS, "/nowhere", environ)
        granted = minter.mint(HostRule("huggingface.co", identity), "huggingface.co")

        (call,) = hub.calls
    assert (granted.access_token, granted.expires_in) == ("hf_jwt_x", 3600)
    assert call.headers["Content-Type"] == "application/json"
    assert json.loads(call.body) == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        "subject_token": "aaa.bbb.ccc",
        "resource": "datasets/me/data",
    }


# -- a token that is exchanged by the host's own rule ---------------------------------


@pytest.mark.parametrize(
    ("assertion", "faults"),
    [
        ("github", ["audience"]),
        ("forgejo:git.test", ["audience"]),
        ("gitlab:ID_TOKEN", []),
        ("azure-pipelines:1-2", []),
        (["vault", "read"], []),
        ("nonsense", []),  # the key's own check says it
    ],
)
def test_audience_is_needed_where_a_token_is_asked_for(
    assertion: object, faults: list[str]
) -> None:
    table = {"kind": "id-token", "assertion": assertion}

    assert [key for key, _ in KINDS["id-token"].faults(table)] == faults
    named = {**table, "audience": "sts.amazonaws.com"}
    assert list(KINDS["id-token"].faults(named)) == []


@pytest.mark.parametrize("exchange", ["", "acr"])
def test_id_token_goes_to_no_host_itself(exchange: str) -> None:
    environ = {"ID_TOKEN": "aaa.bbb.ccc"}
    keys = {"kind": "id-token", "assertion": "env:ID_TOKEN"}

    error = fails(environ, exchange=exchange, **keys)

    assert mint(environ, exchange="gar", **keys).access_token == "aaa.bbb.ccc"

    assert "dev.azure.com has none" in error.what
    assert "aaa.bbb" not in error.line()


MAY = {"ACTIONS_ID_TOKEN_REQUEST_URL": "u", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t"}


def to_paste() -> str:
    section = (GUIDE / "machines.md").read_text("utf-8")
    return section.partition("## What to paste")[2].partition("### The job's own")[0]


PASTED = {
    "github": MAY,
    "gitlab": {"GITLAB_CI": "true", "HUSHKEY_TOKEN": "t"},
    "azure": {
        "TF_BUILD": "True",
        "SYSTEM_OIDCREQUESTURI": "u",
        "SYSTEM_ACCESSTOKEN": "t",
    },
    "pod": {"AZURE_FEDERATED_TOKEN_FILE": "/etc/hosts"},
    "jenkins": {"JENKINS_URL": "u", "ID_TOKEN": "t"},
    "work": {},
}


@pytest.mark.parametrize("name", PASTED)
@pytest.mark.parametrize(
    "url",
    ["dev.azure.com/contoso/x", "pkgs.dev.azure.com/contoso/x", "contoso.azurecr.io"],
)
def test_guide_s_config_to_paste_serves_every_pipeline_it_names(
    name: str, url: str
) -> None:
    section = to_paste()
    text = section.partition("```toml\n")[2].partition("```")[0]
    made = Config(compile_config(text, "c.toml"), "", "", PASTED[name])
    host, _, path = url.partition("/")

    rule = made.rule_for(Request("https", host, path))

    assert rule
    assert rule.identity.name == name


def test_guide_s_blocks_to_paste_are_short_and_have_all_three_tools() -> None:
    blocks = re.findall(r"```(?:yaml|groovy)\n(.*?)```", to_paste(), re.DOTALL)

    assert len(blocks) == 5
    for block in blocks:
        assert len(block.splitlines()) <= 6
        assert all(
            f"hushkey install {tool}" in block for tool in ("git", "docker", "pip")
        )
        assert "HUSHKEY_CONFIG" in block


# -- lists of identities --------------------------------------------------------------

LIST = """
[identity.github]
provider = "workload"
kind = "exchange"
issuer = "https://id.test"
assertion = "github"
[identity.gitlab]
provider = "workload"
kind = "exchange"
issuer = "https://id.test"
assertion = "gitlab:T"
[identity.sp]
provider = "workload"
kind = "service-principal"
secret_from = "env:SECRET"
[identity.work]
provider = "oidc"
issuer = "https://id.test"
client_id = "c"
[host."git.test"]
identity = [{names}]
"""


def config(names: str, environ: dict[str, str]) -> Config:
    text = LIST.replace("{names}", ", ".join(f'"{n}"' for n in names.split()))
    return Config(compile_config(text, "c.toml"), "", "", environ)


@pytest.mark.parametrize(
    ("environ", "names", "chosen"),
    [
        ({}, "github gitlab sp work", "work"),
        (MAY, "github gitlab sp work", "github"),
        ({**MAY, "SECRET": "s"}, "sp github work", "sp"),
        ({"GITLAB_CI": "true", "T": "t"}, "github gitlab work", "gitlab"),
        # the pipeline, but not the permission: no person can be asked there
        ({"GITHUB_ACTIONS": "true"}, "github work", "github"),
        ({"GITLAB_CI": "true"}, "github gitlab work", "gitlab"),
        # ... though another identity of the list may do
        ({"GITHUB_ACTIONS": "true", "SECRET": "s"}, "github sp work", "sp"),
        ({"GITHUB_ACTIONS": "", "T": "t"}, "github gitlab work", "work"),
        ({"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t"}, "github work", "work"),
    ],
)
def test_first_identity_that_the_environment_proves_answers(
    environ: dict[str, str], names: str, chosen: str
) -> None:
    rule = config(names, environ).rule_for(Request("https", "git.test"))

    assert rule
    assert rule.identity.name == chosen
    assert {name for name, _ in rule.passed} == {*names.split()} - {chosen}
    assert all(why for _, why in rule.passed)


def test_nobody_at_home_names_what_each_lacks() -> None:
    found = config("github sp", {})

    with pytest.raises(Permanent) as caught:
        found.rule_for(Request("https", "git.test"))

    line = caught.value.line()
    assert "github (ACTIONS_ID_TOKEN_REQUEST_URL is not set)" in line
    assert "sp (SECRET is not set)" in line
    assert [rule.identity.name for rule in found.rules() if rule.origin == "user"] == [
        "github"
    ]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("work github", "work can always answer: github is never reached"),
        ("github githab", "there is no [identity.githab]; did you mean git"),
        ("github github", "names the same identity twice"),
        ("", "a list of identities"),
    ],
)
def test_list_that_says_nothing_or_too_much_is_refused(names: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(names, {})

    assert any(words in problem for problem in caught.value.problems)


def test_token_of_a_forge_stays_with_it_in_a_list_too() -> None:
    text = LIST.replace("{names}", '"github", "forge"')
    text += '[identity.forge]\nprovider = "github"\nclient_id = "c"\n'

    with pytest.raises(ConfigError, match=r"is signed in at github\.com"):
        compile_config(text, "c.toml")


# -- what is asked, and of whom -------------------------------------------------------


@pytest.mark.parametrize(
    ("assertion", "url", "good"),
    [
        ("github", "https://pipelines.actions.githubusercontent.com/a?b=c", True),
        ("github", "https://actions.githubusercontent.com.evil.example/", False),
        ("github", "https://evilactions.githubusercontent.com/", False),
        ("github", "https://ghes.example/_services/token", False),
        ("github:ghes.example", "https://ghes.example/_services/token", True),
        ("github:ghes.example", "https://ghes.example:8443/", False),
        ("github:ghes.example", "https://x.ghes.example/", False),
        ("github", "http://127.0.0.1:9/", True),
        ("github", "http://127.0.0.1.evil.example/", False),
        ("github", "https://pipelines.actions.githubusercontent.com:8443/", False),
        ("github", "https://u@pipelines.actions.githubusercontent.com/", False),
        ("github", "https://pipelines.actions.githubusercontent.com\\@evil/", False),
        ("github", "file:///etc/passwd", False),
        ("forgejo:code.example", "https://code.example/api/actions", True),
        ("forgejo:code.example", "https://x.actions.githubusercontent.com/", False),
    ],
)
def test_request_token_goes_to_the_pipeline_s_own_server_alone(
    assertion: str, url: str, good: bool
) -> None:
    source, rest = assertions.source_of(assertion)
    assert isinstance(source, assertions.Actions)

    if good:
        assertions._check_url(url, "V", source._hosts(rest))
        return
    with pytest.raises(Permanent):
        assertions._check_url(url, "V", source._hosts(rest))


@pytest.mark.parametrize(
    "environ",
    [
        {"SYSTEM_OIDCREQUESTURI": "https://evil.example/"},
        {
            "SYSTEM_OIDCREQUESTURI": "https://dev.azure.com/x",
            "SYSTEM_COLLECTIONURI": "https://other.visualstudio.com/",
        },
    ],
)
def test_azure_pipelines_token_goes_to_the_collection_s_own_host(
    environ: dict[str, str],
) -> None:
    environ |= {"TF_BUILD": "True", "SYSTEM_ACCESSTOKEN": "secret"}

    error = fails(
        environ,
        kind="federated",
        tenant="t.example",
        client_id="c",
        assertion="azure-pipelines",
    )

    assert "not the pipeline's own server" in error.what


@pytest.mark.parametrize(
    ("environ", "assertion", "words"),
    [
        ({}, "azure-pipelines", "this is not a job of Azure Pipelines"),
        ({"TF_BUILD": "True"}, "azure-pipelines", "env: SYSTEM_ACCESSTOKEN:"),
        ({"GITLAB_CI": "true"}, "gitlab:T", "add `id_tokens: T: aud: AUDIENCE`"),
        ({}, "file", "AZURE_FEDERATED_TOKEN_FILE is not set"),
        ({"AZURE_FEDERATED_TOKEN_FILE": "rel"}, "file", "not an absolute path"),
        ({}, "file:/nowhere/token", "No such file"),
        ({}, "file:/dev/null", "not a regular file"),
        ({"T": "not a token"}, "env:T", "not one signed token"),
        ({}, ["no-such-program"], "there is no program no-such-program on PATH"),
    ],
)
def test_what_is_missing_is_named_with_the_line_to_add(
    environ: dict[str, str], assertion: object, words: str
) -> None:
    error = fails(
        environ,
        kind="federated",
        tenant="t.example",
        client_id="c",
        assertion=assertion,
    )

    assert words in error.line()


def test_token_file_of_the_repository_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "token").write_text("a.b.c")
    (tmp_path / "link").symlink_to(repository / "token")
    monkeypatch.chdir(repository)
    for named in (repository / "token", tmp_path / "link"):
        error = fails(
            {"AZURE_FEDERATED_TOKEN_FILE": str(named)},
            kind="federated",
            tenant="t.example",
            client_id="c",
        )
        assert "below the working folder" in error.what


# -- job tokens -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "hosts"),
    [
        ({}, []),
        (
            {"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com"},
            ["github.com", "ghcr.io", "npm.pkg.github.com"],
        ),
        (
            {
                "GITHUB_ACTIONS": "true",
                "GITHUB_SERVER_URL": "https://code.example:8443",
            },
            ["code.example:8443"],
        ),
        (
            {
                "GITLAB_CI": "true",
                "CI_SERVER_URL": "https://gitlab.example/git",
                "CI_REGISTRY": "registry.example:5050",
            },
            ["gitlab.example", "registry.example:5050"],
        ),
        (
            {"TF_BUILD": "True", "SYSTEM_COLLECTIONURI": "https://dev.azure.com/org/"},
            ["dev.azure.com", "pkgs.dev.azure.com"],
        ),
        ({"GITLAB_CI": "true", "CI_SERVER_URL": "http://gitlab.example"}, []),
        ({"GITLAB_CI": "true", "CI_SERVER_URL": "https://u:p@gitlab.example"}, []),
    ],
)
def test_job_token_s_hosts_are_those_that_the_pipeline_names(
    environ: dict[str, str], hosts: list[str]
) -> None:
    found = [host for host, _ in jobtoken.hosts(environ)]

    assert found[: len(hosts)] == hosts
    assert bool(found) == bool(hosts)


@pytest.mark.parametrize(
    "host", ["github.com.evil.example", "evil.example", "http://github.com", "github"]
)
def test_job_token_goes_nowhere_else(host: str) -> None:
    environ = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_TOKEN": "gh-secret",
    }

    error = fails(environ, kind="job-token", host=host)

    assert "for the pipeline's own server alone" in error.what
    assert "gh-secret" not in error.line()
    assert mint(environ, kind="job-token", host="ghcr.io").username == "x-access-token"


# -- az -------------------------------------------------------------------------------


def az(folder: Path, script: str) -> dict[str, str]:
    program = folder / "az"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def test_az_is_asked_for_the_resource_and_believed_by_its_epoch(tmp_path: Path) -> None:
    answer = {
        "accessToken": "az-token",
        "expires_on": int(time.time()) + 4000,
        "expiresOn": "2020-01-01 00:00:00.000000",
    }
    (tmp_path / "answer").write_text(json.dumps(answer))
    environ = az(tmp_path, f'echo "$@" > {tmp_path}/words; cat {tmp_path}/answer')

    granted = mint(environ, kind="azure-cli", tenant="t.example")

    assert granted.access_token == "az-token"
    assert 3900 < (granted.expires_in or 0) <= 4000
    assert (tmp_path / "words").read_text().split() == [
        *("account", "get-access-token", "--output", "json"),
        *("--resource", SCOPE.removesuffix("/.default"), "--tenant", "t.example"),
    ]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            "echo Please run \\'az login\\' to setup account. >&2; exit 1",
            "run `az login`",
        ),
        ("echo AADSTS50020: no >&2; exit 1", "az ended with 1: AADSTS50020"),
        ("echo hello", "az printed no token"),
        ('echo "{}"', "az printed no token"),
    ],
)
def test_az_without_a_token_is_told_by_its_own_words(
    script: str, words: str, tmp_path: Path
) -> None:
    error = fails(az(tmp_path, script), kind="azure-cli")

    assert isinstance(error, Permanent)
    assert words in error.line()


def test_az_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hushkey.providers.workload.azurecli._PATIENCE", 0.3)

    error = fails(az(tmp_path, "exec sleep 30"), kind="azure-cli")

    assert isinstance(error, Transient)


def test_az_of_the_working_folder_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    az(tmp_path, "touch started")
    monkeypatch.chdir(tmp_path)

    error = fails({"PATH": ".::/usr/bin:/bin"}, kind="azure-cli")

    assert "there is no program az" in error.what
    assert not (tmp_path / "started").exists()


# -- proofs ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requirement", "holds"),
    [
        ("SET", True),
        ("EMPTY", False),
        ("ABSENT", False),
        ("WORD=true", True),
        ("WORD=false", False),
        ("file:/", True),
        ("file:/nowhere/at/all", False),
        ("file:relative", False),
        ("program:sh", True),
        ("program:no-such-program", False),
        ("text:/proc/self/comm=nothing", False),
    ],
)
def test_requirement_is_looked_up_and_nobody_is_asked(
    requirement: str, holds: bool
) -> None:
    environ = {"SET": "x", "EMPTY": "", "WORD": "True", "PATH": "/usr/bin:/bin"}

    found = proofs.check(((), ((requirement,),)), environ)

    assert found.proven is holds
    assert bool(found.lacks) is not holds


@pytest.mark.parametrize("exp", [-1e308, 1e308, True, "soon", None, [1]])
def test_refused_assertion_without_a_moment_is_a_sentence(exp: object) -> None:
    refused = Permanent("id.test: no", code="invalid_grant")

    told = claims.refused(refused, signed({"sub": "me", "exp": exp}), again=False)

    assert "the assertion says sub me" in told.line()
