"""Jobs without a person, a terminal or a keyring: real git, and a real OpenID server.

The pipelines' own endpoints are played, as their documents have them.
"""

import base64
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import running
from kit import canary
from kit.canary import Ear, Secret
from kit.desk import BIN, Desk, Done
from kit.oauth import Reply, Scripted
from servers.gits import Git
from servers.judged import JudgedServer, judged
from servers.packages import client, wheel
from servers.process import clean_environ
from servers.tokenexchange import REQUEST_TOKEN, TokenExchange

pytestmark = pytest.mark.contract


@pytest.fixture(scope="session")
def exchange_process() -> Iterator[TokenExchange]:
    yield from running(TokenExchange())


@pytest.fixture
def server(exchange_process: TokenExchange) -> TokenExchange:
    """The server, with an empty log."""
    exchange_process.forget_log()
    return exchange_process


@pytest.fixture
def forge(
    tmp_path: Path, server: TokenExchange, old_git: Git
) -> Iterator[JudgedServer]:
    """A forge with one repository, for who has a token of the server."""
    folder = tmp_path / "forge"
    work = tmp_path / "work"
    steps: list[list[str | Path]] = [
        ["init", "-q", "-b", "main", work],
        [
            *("-C", work, "-c", "user.name=t", "-c", "user.email=t@t"),
            *("commit", "-q", "--allow-empty", "-m", "first"),
        ],
        ["clone", "-q", "--bare", work, folder / "app.git"],
        ["-C", folder / "app.git", "update-server-info"],
    ]
    for words in steps:
        done = old_git.run(*words)
        assert done.returncode == 0, done.stderr
    with judged(folder, lambda user, password: server.knows(password)) as made:
        yield made


class Job:
    """One job of a pipeline: its folders end with it, and so does what is in them."""

    def __init__(self, folder: Path, config: Path, **environ: str) -> None:
        self.folder = folder
        self.temp = folder / "temp"
        self.temp.mkdir(parents=True)
        self.ear = Ear(folder / "ear")
        self._environ = environ
        self._config = config

    @property
    def environ(self) -> dict[str, str]:
        return clean_environ(
            HOME=str(self.folder / "home"),
            PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}",
            HUSHKEY_CONFIG=str(self._config),
            HUSHKEY_DATA_DIR=str(self.folder / "data"),
            HUSHKEY_RUNTIME_DIR=str(self.folder / "run"),
            GIT_CONFIG_GLOBAL=str(self.folder / "gitconfig"),
            GIT_CONFIG_NOSYSTEM="1",
            CI="true",
            RUNNER_TEMP=str(self.temp),
            **self.ear.environ,
        ) | {"GIT_TERMINAL_PROMPT": "0", **self._environ}

    def run(self, *argv: str, stdin: str = "") -> Done:
        (self.folder / "home").mkdir(exist_ok=True)
        done = subprocess.run(
            [str(BIN / argv[0]) if (BIN / argv[0]).exists() else argv[0], *argv[1:]],
            input=stdin.encode(),
            capture_output=True,
            env=self.environ,
            cwd=self.folder,
            timeout=60,
            check=False,
            start_new_session=True,
        )
        self.ear.hear(" ".join(argv), done.stdout, done.stderr)
        return done

    def get(self, url: str) -> Done:
        scheme, _, host = url.partition("://")
        text = f"protocol={scheme}\nhost={host}\n\n"
        return self.run("git-credential-hushkey", "get", stdin=text)

    def leaks(self, *secrets: str) -> list[canary.Leak]:
        found = {Secret("secret", value.encode()) for value in secrets if value}
        # What the pipeline hands over is in the environment, and in no other place.
        files = [p for p in self.ear.places() if p.kind != "environment"]
        for name in ("data", "home", "run"):
            files += canary.below(self.folder / name, self.folder / "no key")
        return canary.leaks(found, files)


CI = """
[settings]
silent_timeout = 8

[identity.ci]
provider = "workload"
kind = "exchange"
issuer = "{issuer}"
client_id = "robot"
assertion = "{assertion}"

[host."{host}"]
identity = "ci"
scopes = ["git"]
"""


def configured(folder: Path, text: str = CI, **values: str) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / "config.toml"
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    file.write_text(text)
    then = time.time() - 60
    os.utime(file, (then, then))
    return file


def password(done: Done) -> str:
    lines = done.stdout.decode().splitlines()
    found = [line.partition("=")[2] for line in lines if line.startswith("password=")]
    assert found, done.stderr.decode()
    return found[0]


def test_a_job_clones_by_its_pipeline_s_token_and_leaves_nothing_on_disk(
    tmp_path: Path, server: TokenExchange, forge: JudgedServer, git: Git
) -> None:
    config = configured(
        tmp_path / "c", issuer=server.url, assertion="github", host=forge.url
    )
    job = Job(tmp_path / "job", config, **server.github)
    assert job.run("hushkey", "install", "git").returncode == 0

    done = git.run(
        "clone",
        "-q",
        f"{forge.url}/app.git",
        job.folder / "clone",
        environ=job.environ,
        cwd=job.folder,
    )

    assert done.returncode == 0, done.stderr
    tokens = {password for _, password, status in forge.seen if status == 200}
    assert len(tokens) == 1
    assert len(server.log("/github")) == len(server.log("/exchange")) == 1
    # the URL's own query is kept, and the audience is the server
    assert server.log("/github")[0]["query"] == {
        "api-version": "2.0",
        "audience": server.url,
    }
    assert job.leaks(*tokens, REQUEST_TOKEN) == []
    assert list((job.folder / "data").glob("tokens/*")) == []
    # what there is is below the folder that ends with the job, for this user alone
    kept = [path for path in job.temp.rglob("*") if path.is_file()]
    assert kept
    assert {path.stat().st_mode & 0o077 for path in job.temp.rglob("*")} == {0}


def test_two_hundred_callers_of_one_job_mint_once(
    tmp_path: Path, server: TokenExchange
) -> None:
    config = configured(
        tmp_path / "c", issuer=server.url, assertion="github", host="git.test"
    )
    job = Job(tmp_path / "job", config, **server.github)
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(job.get, ["https://git.test"] * 200))

    assert len({password(done) for done in found}) == 1
    assert len(server.log("/github")) == len(server.log("/exchange")) == 1


def test_another_job_never_gets_the_token_of_the_one_before(
    tmp_path: Path, server: TokenExchange
) -> None:
    config = configured(
        tmp_path / "c", issuer=server.url, assertion="github", host="git.test"
    )
    # the same runner, whose temporary folder somebody forgot to empty
    tokens = {
        password(
            Job(
                tmp_path / f"job{number}",
                config,
                **server.github,
                GITHUB_RUN_ID=str(number),
                RUNNER_TEMP=str(tmp_path),
            ).get("https://git.test")
        )
        for number in (1, 2)
    }

    assert len(tokens) == 2


@pytest.mark.parametrize("grant", ["token-exchange", "jwt-bearer"])
@pytest.mark.parametrize("source", ["gitlab", "env", "file", "command"])
def test_assertion_of_every_source_is_exchanged_by_each_grant(
    source: str, grant: str, tmp_path: Path, server: TokenExchange
) -> None:
    assertion = server.assertion()
    (tmp_path / "token").write_text(assertion + "\n")
    program = tmp_path / "print-token"
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/token\n")
    program.chmod(0o755)
    written, environ = {
        "gitlab": ('"gitlab:ID_TOKEN"', {"GITLAB_CI": "true", "ID_TOKEN": assertion}),
        "env": ('"env:ID_TOKEN"', {"ID_TOKEN": assertion}),
        "file": (f'"file:{tmp_path}/token"', {}),
        "command": (f'["{program}"]\ngrant = "{grant}"', {}),
    }[source]
    if "grant" not in written:
        written += f'\ngrant = "{grant}"'
    config = configured(
        tmp_path / "c",
        CI.replace('"{assertion}"', written),
        issuer=server.url,
        host="git.test",
    )

    job = Job(tmp_path / "job", config, **environ)

    token = password(job.get("https://git.test"))
    assert server.knows(token)
    assert [row["query"] for row in server.log("/exchange")] == [{"grant": grant}]
    assert job.leaks(assertion) == []


def said(done: Done) -> str:
    """What a helper says that has no token: never how a person would sign in."""
    line = done.stderr.decode()
    assert b"password" not in done.stdout
    assert "hushkey login" not in line
    assert "Traceback" not in line
    return line


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"GITHUB_ACTIONS": "true"}, "`permissions: id-token: write`"),
        ({}, "ACTIONS_ID_TOKEN_REQUEST_URL is not set: this is not a job of GitHub"),
        (
            {"ACTIONS_ID_TOKEN_REQUEST_URL": "https://evil.example/t?a=b"},
            "evil.example, which is not the pipeline's own server",
        ),
        (
            {
                "ACTIONS_ID_TOKEN_REQUEST_URL": "https://evil.example/t?a=b",
                "GITHUB_SERVER_URL": "https://evil.example",
            },
            "evil.example, which is not the pipeline's own server",
        ),
        (
            {"ACTIONS_ID_TOKEN_REQUEST_URL": "http://x.actions.githubusercontent.com"},
            "not https",
        ),
        (
            {
                "ACTIONS_ID_TOKEN_REQUEST_URL": (
                    "https://a@x.actions.githubusercontent.com/"
                )
            },
            "holds no URL",
        ),
    ],
)
def test_wrong_environment_is_one_sentence_at_once(
    environ: dict[str, str], words: str, tmp_path: Path, server: TokenExchange
) -> None:
    config = configured(
        tmp_path / "c", issuer=server.url, assertion="github", host="git.test"
    )
    if "ACTIONS_ID_TOKEN_REQUEST_URL" in environ:
        environ = {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "job-secret"} | environ
    job = Job(tmp_path / "job", config, **environ)

    done = job.get("https://git.test")

    assert words in said(done)
    assert done.stdout == b"quit=1\n"
    assert server.log() == []


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("page", "a web page instead of an answer"),
        ("redirect", "a redirect instead of an answer"),
        ("github", "HTTP 403: no"),
    ],
)
def test_pipeline_that_gives_no_token_is_told_by_what_it_said(
    path: str, words: str, tmp_path: Path, server: TokenExchange
) -> None:
    config = configured(
        tmp_path / "c", issuer=server.url, assertion="github", host="git.test"
    )
    token = "another-secret" if path == "github" else REQUEST_TOKEN
    environ = server.github | {
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{server.pipeline}/{path}",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": token,
    }
    job = Job(tmp_path / "job", config, **environ)

    assert words in said(job.get("https://git.test"))
    assert len(server.log(f"/{path}")) == 1  # no redirect was followed
    assert job.leaks(token) == []


@pytest.mark.parametrize(
    ("claims", "shown"),
    [
        ({"audience": "https://other.example"}, "aud https://other.example"),
        ({"sub": "repo:o/fork:pull_request"}, "sub repo:o/fork:pull_request"),
        ({"exp": 1_700_000_000, "iat": 1_600_000_000}, "ended at 22:13:20 UTC"),
    ],
)
def test_refused_assertion_is_shown_by_its_claims_and_never_itself(
    claims: dict[str, object], shown: str, tmp_path: Path, server: TokenExchange
) -> None:
    assertion = server.assertion(**claims)
    config = configured(
        tmp_path / "c", issuer=server.url, assertion="env:ID_TOKEN", host="git.test"
    )
    job = Job(tmp_path / "job", config, ID_TOKEN=assertion)

    line = said(job.get("https://git.test"))

    assert shown in line
    assert f"iss {server.pipeline}" in line or "ended at" in line
    assert job.leaks(assertion) == []
    # it cannot be had anew, so it is not sent again
    assert len(server.log("/exchange")) == 1


# -- one config for a laptop and for pipelines -------------------------------------

BOTH = """
[identity.github]
provider = "workload"
kind = "exchange"
issuer = "{exchange}"
client_id = "robot"
assertion = "github"

[identity.gitlab]
provider = "workload"
kind = "exchange"
issuer = "{exchange}"
client_id = "robot"
assertion = "gitlab:ID_TOKEN"

[identity.pod]
provider = "workload"
kind = "exchange"
issuer = "{exchange}"
client_id = "robot"
assertion = "file"
"""


def test_one_config_serves_a_laptop_and_three_pipelines(
    desk: Desk, tmp_path: Path, server: TokenExchange
) -> None:
    host = desk.apache.host
    desk.configure(
        identity=BOTH.replace("{exchange}", server.url),
        hosts=f'[host."{host}"]\nidentity = ["github", "gitlab", "pod", "corp"]\n'
        'scopes = ["git"]\n',
    )
    config = desk.folder / "config.toml"
    token_file = tmp_path / "token"
    token_file.write_text(server.assertion())
    jobs = {
        "github": server.github,
        "gitlab": {"GITLAB_CI": "true", "ID_TOKEN": server.assertion()},
        "pod": {"AZURE_FEDERATED_TOKEN_FILE": str(token_file)},
    }

    laptop = desk.get()
    assert password(laptop)
    assert desk.issuer.sign_ins() == 1
    assert server.log() == []
    for name, environ in jobs.items():
        job = Job(tmp_path / name, config, **environ)
        assert server.knows(password(job.get(f"https://{host}"))), name
        shown = job.run("hushkey", "explain", f"https://{host}/x").stdout.decode()
        assert re.search(rf"identity: +{name} \(workload\)", shown)
        assert re.search(r"corp: comes after", shown)
        listed = job.run("hushkey", "status").stdout.decode()
        assert f"not corp, comes after {name}" in listed
    shown = desk.hushkey("explain", f"https://{host}/x").stdout.decode()
    assert re.search(r"identity: +corp \(oidc\)", shown)
    assert re.search(r"not: +github: ACTIONS_ID_TOKEN_REQUEST_URL is not set", shown)
    assert re.search(r" gitlab: GITLAB_CI is not true", shown)
    assert desk.issuer.sign_ins() == 1


def test_pipeline_without_its_permission_is_not_taken_for_a_laptop(
    desk: Desk, tmp_path: Path, server: TokenExchange
) -> None:
    host = desk.apache.host
    desk.configure(
        identity=BOTH.replace("{exchange}", server.url),
        hosts=f'[host."{host}"]\nidentity = ["github", "corp"]\nscopes = ["git"]\n',
    )
    job = Job(tmp_path / "job", desk.folder / "config.toml", GITHUB_ACTIONS="true")

    assert "`permissions: id-token: write`" in said(job.get(f"https://{host}"))


# -- the job's own token ------------------------------------------------------------


def pipelines(url: str) -> dict[str, tuple[str, dict[str, str]]]:
    """Each pipeline whose own server is *url*: the user, and a job's variables."""
    return {
        "github": (
            "x-access-token",
            {
                "GITHUB_ACTIONS": "true",
                "GITHUB_SERVER_URL": url,
                "GITHUB_TOKEN": "job-secret-1",
            },
        ),
        "gitlab": (
            "gitlab-ci-token",
            {
                "GITLAB_CI": "true",
                "CI_JOB_ID": "77",
                "CI_SERVER_URL": url,
                "CI_JOB_TOKEN": "job-secret-1",
            },
        ),
        "azure": (
            "job",
            {
                "TF_BUILD": "True",
                "SYSTEM_COLLECTIONURI": f"{url}/",
                "SYSTEM_ACCESSTOKEN": "job-secret-1",
            },
        ),
    }


@pytest.mark.parametrize("name", ["github", "gitlab", "azure"])
def test_install_ci_alone_lets_a_job_clone_from_its_server(
    name: str, tmp_path: Path, forge: JudgedServer, git: Git
) -> None:
    user, environ = pipelines(forge.url)[name]
    forge.judge = lambda found, secret: (found, secret) == (user, "job-secret-1")
    job = Job(tmp_path / "job", tmp_path / "config.toml", **environ)

    done = job.run("hushkey", "install", "git", "--ci")
    assert done.returncode == 0, done.stderr
    again = job.run("hushkey", "install", "git", "--ci")
    cloned = git.run(
        "clone", "-q", f"{forge.url}/app.git", job.folder / "clone", environ=job.environ
    )

    assert cloned.returncode == 0, cloned.stderr
    assert b"nothing to change" in again.stderr
    assert job.leaks("job-secret-1") == []
    assert b"job-secret-1" not in (tmp_path / "config.toml").read_bytes()
    assert [p for p in job.temp.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("name", ["github", "gitlab", "azure"])
def test_job_token_goes_to_no_other_server_whatever_rule_there_is(
    name: str, tmp_path: Path
) -> None:
    _, environ = pipelines("https://code.example")[name]
    text = """
[identity.job]
provider = "workload"
kind = "job-token"
[host."code.example.evil.example"]
identity = "job"
[host."code.example"]
identity = "job"
"""
    config = configured(tmp_path / "c", text)
    job = Job(tmp_path / "job", config, **environ)

    refused = job.get("https://code.example.evil.example")

    assert "for the pipeline's own server alone" in said(refused)
    assert b"job-secret-1" not in refused.stdout + refused.stderr
    assert password(job.get("https://code.example")) == "job-secret-1"


def test_install_ci_outside_of_a_job_says_where_it_belongs(tmp_path: Path) -> None:
    job = Job(tmp_path / "job", tmp_path / "config.toml")

    done = job.run("hushkey", "install", "git", "--ci")

    assert done.returncode != 0
    assert b"--ci is for a job of" in done.stderr
    assert not (tmp_path / "config.toml").exists()


# -- the other tools of a job -------------------------------------------------------


def test_pip_and_docker_get_the_token_that_git_got(
    tmp_path: Path, server: TokenExchange
) -> None:
    folder = tmp_path / "index"
    (folder / "simple" / "pear").mkdir(parents=True)
    name = "pear-1.0-py3-none-any.whl"
    made = wheel("pear")
    (folder / "simple" / "pear" / name).write_bytes(made)
    (folder / "simple" / "pear" / "index.html").write_text(f'<a href="{name}">x</a>')
    with judged(folder, lambda user, password: server.knows(password)) as index:
        config = configured(
            tmp_path / "c", issuer=server.url, assertion="github", host=index.url
        )
        job = Job(tmp_path / "job", config, **server.github)
        launchers = tmp_path / "launchers"
        launchers.mkdir()
        (launchers / "keyring").symlink_to(BIN / "hushkey-keyring")
        host = index.url.partition("://")[2]

        got = password(job.get(index.url))
        job._environ["PATH"] = f"{launchers}:/usr/bin:/bin"
        installed = job.run(
            *(client("plain", "pip"), "download", "-q", "--no-deps"),
            *("--no-cache-dir", "--disable-pip-version-check", "--isolated"),
            *("--keyring-provider", "subprocess", "-d", str(job.folder / "wheels")),
            *("--index-url", f"http://job@{host}/simple/", "pear"),
        )
        docker = job.run("docker-credential-hushkey", "get", stdin=index.url)

    assert installed.returncode == 0, installed.stderr
    assert (job.folder / "wheels" / name).read_bytes() == made
    assert json.loads(docker.stdout)["Secret"] == got
    assert {p for _, p, status in index.seen if status == 200} == {got}
    assert len(server.log("/exchange")) == 1


@pytest.mark.parametrize("name", ["github", "gitlab"])
def test_pipeline_s_own_registry_takes_the_job_token_under_its_user(
    name: str, tmp_path: Path
) -> None:
    user, environ = pipelines("https://github.com")[name]
    environ |= {"CI_REGISTRY": "registry.example"}
    registry = {"github": "ghcr.io", "gitlab": "registry.example"}[name]
    job = Job(tmp_path / "job", tmp_path / "config.toml", **environ)
    assert job.run("hushkey", "install", "git", "--ci").returncode == 0

    found = job.run("docker-credential-hushkey", "get", stdin=registry)

    answer = json.loads(found.stdout)
    assert (answer["Username"], answer["Secret"]) == (user, "job-secret-1")


# -- what a cloud takes as it is ----------------------------------------------------

CLOUD = """
[identity.ci]
provider = "workload"
kind = "id-token"
assertion = "github"
audience = "{audience}"

[host."registry.test"]
identity = "ci"
exchange = "gar"
audience = "{audience}"
sts_endpoint = "{sts}"

[host."git.test"]
identity = "ci"
"""


def test_pipeline_s_own_token_goes_to_the_cloud_s_exchange_and_nowhere_else(
    tmp_path: Path, server: TokenExchange
) -> None:
    pool = (
        "//iam.googleapis.com/projects/12/locations/global/workloadIdentityPools/p/"
        "providers/x"
    )
    with Scripted() as google:
        granted = {"access_token": "ya29", "token_type": "Bearer", "expires_in": 3599}
        google.on("/v1/token", Reply(granted))
        config = configured(tmp_path / "c", CLOUD, audience=pool, sts=google.url)
        job = Job(tmp_path / "job", config, **server.github)
        get = ("docker-credential-hushkey", "get")

        found = [job.run(*get, stdin="registry.test") for _ in range(3)]
        refused = job.get("https://git.test")

        answers = [json.loads(done.stdout) for done in found]
        assert {(a["Username"], a["Secret"]) for a in answers} == {
            ("oauth2accesstoken", "ya29")
        }
        (asked,) = google.calls_to("/v1/token")
    # one token of the pipeline's for all three, for the audience of the config
    assert [row["query"]["audience"] for row in server.log("/github")] == [pool]
    assert "git.test has none" in said(refused)
    assert job.leaks(asked.form["subject_token"], REQUEST_TOKEN) == []
    assert list((job.folder / "data").glob("tokens/*")) == []


# -- what the runner gives git itself ----------------------------------------------

#: as GitLab's runner writes it for its job token, in a file that the clone includes
RUNNERS_HELPER = """[credential "{url}"]
\thelper = "!f() {{ echo username=gitlab-ci-token; echo password=$CI_JOB_TOKEN; }}; f"
"""


def checked_out(job: Job, forge: JudgedServer, git: Git, text: str) -> None:
    """Make the job's folder a repository in which the runner wrote *text*."""
    for words in (["init", "-q"], ["remote", "add", "origin", f"{forge.url}/app.git"]):
        done = git.run("-C", job.folder, *words, environ=job.environ)
        assert done.returncode == 0, done.stderr
    (job.temp / "runner.config").write_text(text)
    done = git.run(
        *("-C", job.folder, "config", "include.path", job.temp / "runner.config"),
        environ=job.environ,
    )
    assert done.returncode == 0, done.stderr


def test_runner_s_helper_in_its_repository_stays_and_other_clones_are_ours(
    tmp_path: Path, forge: JudgedServer, old_git: Git
) -> None:
    user, environ = pipelines(forge.url)["gitlab"]
    forge.judge = lambda found, secret: (found, secret) == (user, "job-secret-1")
    text = RUNNERS_HELPER.format(url=forge.url)
    job = Job(tmp_path / "job", tmp_path / "config.toml", **environ)
    checked_out(job, forge, old_git, text)

    done = job.run("hushkey", "install", "git", "--ci")

    assert done.returncode == 0, done.stderr
    assert b"the runner gave this repository a helper of its own for" in done.stderr
    assert (job.temp / "runner.config").read_text() == text
    words = ["fetch", "-q"], ["clone", "-q", f"{forge.url}/app.git", "other"]
    for each in words:
        ran = old_git.run("-C", job.folder, *each, environ=job.environ)
        assert ran.returncode == 0, ran.stderr


def test_helper_for_the_whole_machine_is_left_alone_and_packages_still_open(
    tmp_path: Path, forge: JudgedServer, old_git: Git
) -> None:
    user, environ = pipelines(forge.url)["gitlab"]
    forge.judge = lambda found, secret: (found, secret) == (user, "job-secret-1")
    job = Job(tmp_path / "job", tmp_path / "config.toml", **environ)
    text = RUNNERS_HELPER.format(url=forge.url)
    (job.folder / "gitconfig").write_text(text)

    first, second = (job.run("hushkey", "install", "git", "--ci") for _ in range(2))

    assert first.returncode == second.returncode == 0, first.stderr
    assert b"another helper answers git there, a shell snippet (global" in first.stderr
    assert b"nothing to change" in second.stderr
    assert (job.folder / "gitconfig").read_text() == text
    cloned = old_git.run(
        *("clone", "-q", f"{forge.url}/app.git", job.folder / "clone"),
        environ=job.environ,
    )
    assert cloned.returncode == 0, cloned.stderr
    # what pip asks for comes from us
    asked = job.run("hushkey-keyring", "get", f"{forge.url}/simple/", user)
    assert asked.stdout == b"job-secret-1\n"


def test_header_of_the_runner_s_checkout_stays_and_other_clones_are_ours(
    tmp_path: Path, forge: JudgedServer, old_git: Git
) -> None:
    user, environ = pipelines(forge.url)["github"]
    forge.judge = lambda found, secret: (found, secret) == (user, "job-secret-1")
    basic = base64.b64encode(f"{user}:job-secret-1".encode()).decode()
    text = f'[http "{forge.url}/"]\n\textraheader = AUTHORIZATION: basic {basic}\n'
    job = Job(tmp_path / "job", tmp_path / "config.toml", **environ)
    checked_out(job, forge, old_git, text)

    done = job.run("hushkey", "install", "git", "--ci")

    assert done.returncode == 0, done.stderr
    assert b"the runner gave this repository http.extraheader for" in done.stderr
    assert basic.encode() not in done.stderr
    assert (job.temp / "runner.config").read_text() == text
    words = ["fetch", "-q"], ["clone", "-q", f"{forge.url}/app.git", "other"]
    for each in words:
        done = old_git.run("-C", job.folder, *each, environ=job.environ)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("user", ["__token__", ""])
def test_upload_to_a_host_without_a_rule_is_the_uploader_s_own(
    user: str, tmp_path: Path, server: TokenExchange
) -> None:
    # twine asks keyring for the index, too: a token of ours would end its own exchange
    config = configured(
        tmp_path / "c", issuer=server.url, assertion="github", host="git.test"
    )
    job = Job(tmp_path / "job", config, **server.github)
    url = "https://upload.index.test/legacy/"

    words = ["get", url, user] if user else ["--mode", "creds", "get", url]
    done = job.run("hushkey-keyring", *words)

    assert (done.returncode, done.stdout) == (1, b"")
    assert server.log() == []
    assert list(job.temp.iterdir()) == []
