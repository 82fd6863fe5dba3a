"""One config on a laptop and in three pipelines, with real git, docker and pip.

One real OpenID server signs the person in and exchanges the jobs' tokens; Apache judges
what it gave, in front of git, a registry and a package index. The pipelines' own
endpoints are played, as their documents have them.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from conftest import do_without, running
from contracts.test_machines import Job
from hushkey.system import jobs
from kit.desk import BIN, Desk, Done
from servers.apache import Apache
from servers.authority import Authority
from servers.browser import Browser
from servers.gits import Git
from servers.issuer import Issuer
from servers.packages import PackageIndex, client
from servers.process import Missing
from servers.registry import find_client
from servers.tokenexchange import REQUEST_TOKEN, TokenExchange

pytestmark = pytest.mark.contract

#: what each identity of a job asks for: its `assertion`
ASSERTIONS = {
    "github": "github",
    "gitlab": "gitlab:HUSHKEY_TOKEN",
    "azure": "azure-pipelines:11111111-2222-3333-4444-555555555555",
}
IDENTITY = """
[identity.{name}]
provider = "workload"
kind = "exchange"
issuer = "{issuer}"
client_id = "robot"
assertion = "{assertion}"
"""
HOST = """
[host."{host}"]
identity = ["github", "gitlab", "azure", "corp"]
scopes = ["{scope}"]
"""


@pytest.fixture(scope="module")
def pipelines() -> Iterator[TokenExchange]:
    yield from running(TokenExchange())


@pytest.fixture(scope="module")
def index(authority: Authority, issuer_process: Issuer) -> Iterator[PackageIndex]:
    yield from running(PackageIndex(authority, issuer_process))


class Place(NamedTuple):
    """Where the three tools run: a folder, and who starts a program there."""

    folder: Path
    environ: Mapping[str, str]
    start: Callable[..., Done]


class Servers(NamedTuple):
    git: Apache
    docker: Apache
    pip: PackageIndex

    def reset(self) -> None:
        for server in self:
            server.reset()

    def tokens(self) -> list[set[str]]:
        """What opened each of them."""
        return [
            {a.secret for a in s.log() if a.status == 200 and a.secret} for s in self
        ]


@pytest.fixture
def servers(apache: Apache, registry: Apache, index: PackageIndex) -> Servers:
    found = Servers(apache, registry, index)
    found.reset()
    return found


def documented(
    name: str, pipelines: TokenExchange, issuer: Issuer, temp: str
) -> dict[str, str]:
    """The variables of a job, as each pipeline's documents name them."""
    collection = f"{pipelines.pipeline}/contoso/"
    plan = "app/_apis/distributedtask/hubs/build/plans/1/jobs/2/oidctoken"
    return {
        "github": {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_JOB": "build",
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_RUN_ID": "9001",
            "GITHUB_SERVER_URL": "https://github.com",
            "RUNNER_TEMP": temp,
            "ACTIONS_ID_TOKEN_REQUEST_URL": (
                f"{pipelines.pipeline}/github?api-version=2.0"
            ),
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN,
        },
        "gitlab": {
            "CI": "true",
            "GITLAB_CI": "true",
            "CI_JOB_ID": f"{os.getpid()}",
            "CI_JOB_TOKEN": "glcbt-1",
            "CI_SERVER_URL": "https://gitlab.com",
            "HUSHKEY_TOKEN": pipelines.assertion(audience=issuer.url),
        },
        "azure": {
            "TF_BUILD": "True",
            "AGENT_TEMPDIRECTORY": temp,
            "SYSTEM_ACCESSTOKEN": REQUEST_TOKEN,
            "SYSTEM_COLLECTIONURI": collection,
            "SYSTEM_JOBID": "2",
            "SYSTEM_OIDCREQUESTURI": collection + plan,
        },
    }[name]


def clients(folder: Path, ca_file: Path) -> dict[str, str]:
    """What lets the tools find their files, and trust the servers."""
    launchers = folder / "launchers"
    launchers.mkdir(parents=True)
    for program in BIN.glob("*hushkey*"):
        (launchers / program.name).symlink_to(program)
    (launchers / "keyring").symlink_to(BIN / "hushkey-keyring")
    return {
        "DOCKER_CONFIG": str(folder / "home" / ".docker"),
        "DOCKER_HOST": "unix:///nowhere/docker.sock",
        "GIT_SSL_CAINFO": str(ca_file),
        # Not our own environment, whose `keyring` is the real one.
        "PATH": f"{launchers}:/usr/local/bin:/usr/bin:/bin",
        "PIP_CERT": str(ca_file),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_CACHE_DIR": "1",
        "SSL_CERT_FILE": str(ca_file),
    }


def use(place: Place, servers: Servers, git: Git) -> None:
    """Clone, look at an image, and download a package."""
    try:
        docker = find_client("docker")
    except Missing as reason:
        do_without(reason)
        raise
    for words in (["git"], ["docker", servers.docker.host], ["pip"]):
        done = place.start("hushkey", "install", *words)
        assert done.returncode == 0, done.stderr
    cloned = git.run(
        *("clone", "-q", servers.git.url_of("contoso/app"), place.folder / "clone"),
        environ=place.environ,
        cwd=place.folder,
    )
    assert cloned.returncode == 0, cloned.stderr
    image = f"{servers.docker.host}/app:1"
    shown = place.start(docker, "manifest", "inspect", image)
    assert shown.returncode == 0, shown.stderr
    wheels = place.folder / "wheels"
    fetched = place.start(
        *(client("plain", "pip"), "download", "-q", "--no-deps", "-d", str(wheels)),
        *("--index-url", servers.pip.simple, "pear"),
    )
    assert fetched.returncode == 0, fetched.stderr
    assert [path.name for path in wheels.iterdir()] == ["pear-1.0-py3-none-any.whl"]


def test_one_config_serves_git_docker_and_pip_on_a_laptop_and_in_three_pipelines(
    tmp_path: Path,
    issuer: Issuer,
    pipelines: TokenExchange,
    servers: Servers,
    visitor: Browser,
    authority: Authority,
    old_git: Git,
) -> None:
    issuer.set(pipeline=pipelines.pipeline)
    (tmp_path / "desk").mkdir()
    laptop = Desk(tmp_path / "desk", issuer, servers.git, visitor, authority.ca_file)
    laptop.extra = clients(laptop.folder, authority.ca_file)
    laptop.configure(
        identity="".join(
            IDENTITY.format(name=name, issuer=issuer.url, assertion=assertion)
            for name, assertion in ASSERTIONS.items()
        ),
        hosts="".join(
            HOST.format(host=server.host, scope=scope)
            for server, scope in zip(servers, ("git", "git", "packages"), strict=True)
        ),
    )
    use(Place(laptop.folder, laptop.environ, laptop.start), servers, old_git)
    assert issuer.sign_ins() == 1
    persons = servers.tokens()
    assert all(persons)
    assert pipelines.log() == []

    for name in ASSERTIONS:
        servers.reset()
        pipelines.forget_log()
        temp = tmp_path / f"{name}-temp"
        temp.mkdir()
        folder = tmp_path / name
        environ = documented(name, pipelines, issuer, str(temp))
        environ |= clients(folder, authority.ca_file)
        job = Job(folder, laptop.folder / "config.toml", **environ)
        before = len(issuer.token_requests())

        use(Place(folder, job.environ, job.run), servers, old_git)

        tokens = servers.tokens()
        assert all(tokens), name
        assert not any(
            ours & theirs for ours, theirs in zip(tokens, persons, strict=True)
        )
        # one exchange for what git and docker want, one for the packages
        assert len(issuer.token_requests()) == before + 2, name
        assert len(pipelines.log()) == (0 if name == "gitlab" else 2), name
        assert job.leaks(*set.union(*tokens), REQUEST_TOKEN) == [], name
        assert not list((folder / "data").glob("tokens/*"))
        if name == "gitlab":  # it names no folder that ends with the job
            shutil.rmtree(jobs.folder(environ))
    assert issuer.sign_ins() == 1
    assert laptop.leaks() == []
