"""What the first token of a job costs: seconds, requests, and one mint for everybody.

    .venv/bin/python tests/bench/machines.py [RUNS]

Whole helper processes in jobs that are new each time, on loopback; requests are counted
by the servers. A real OpenID server exchanges; Entra, AWS, Google, IMDS and the
pipelines are played. Ratios are to `python -c pass`, the median of pairs. Last, 200
processes of one job ask at once.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from contracts.test_machines import Job, configured
from contracts.test_machines_entra import APP, AUDIENCE, Cloud, trust
from hushkey.system import jobs
from kit.oauth import Reply, Scripted
from servers.authority import Authority
from servers.entra import CONTOSO
from servers.tokenexchange import REQUEST_TOKEN, TokenExchange

CALLERS = 200
ROLE = "arn:aws:iam::111122223333:role/ci"
POOL = (
    "//iam.googleapis.com/projects/12/locations/global/workloadIdentityPools/p/"
    "providers/x"
)
STS = b"""<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult>
<Credentials><AccessKeyId>ASIAX</AccessKeyId><SecretAccessKey>a</SecretAccessKey>
<SessionToken>s</SessionToken><Expiration>x</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""


class Case(NamedTuple):
    """One row: a new job each time, what it asks, and how many requests that took."""

    name: str
    job: Callable[[], Job]
    ask: tuple[tuple[str, ...], str]
    requests: Callable[[], int]


GIT = ("git-credential-hushkey", "get")
DOCKER = ("docker-credential-hushkey", "get")


class Bench:
    """The servers, and the jobs that are made for them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.number = 0
        self.pipelines = stack.enter_context(TokenExchange())
        self.cloud = Cloud(folder, Authority(folder / "authority"))
        self.cloud.start()
        stack.callback(self.cloud.stop)
        self.cloud.has(secret="s3cret-of-app", trusts=[trust(self.pipelines)])
        self.others = stack.enter_context(Scripted())
        self.answer()

    def answer(self) -> None:
        end = time.time() + 43_200
        password = {"authorizationToken": "QVdTOnB3", "expiresAt": end}
        ecr = Reply({"authorizationData": [password]})
        sts = Reply(STS, Content_Type="text/xml")

        def root(handler: object) -> None:
            headers: Mapping[str, str] = handler.headers  # type: ignore[attr-defined]
            (ecr if headers.get("X-Amz-Target") else sts)(handler)  # type: ignore[arg-type]

        token = {"access_token": "t", "token_type": "Bearer", "expires_in": 3599}
        self.others.on("/", root)
        self.others.on("/v1/token", Reply(token))
        artifacts = {"authorizationToken": "ca", "expiration": end}
        self.others.on("/v1/authorization-token", Reply(artifacts))
        self.others.on("/metadata/identity/oauth2/token", Reply(token))

    def requests(self) -> int:
        """Count what the pipelines, their issuer, Entra and all others were asked."""
        asked = len(self.pipelines.log()) + len(self.cloud.entra.log())
        return asked + len(self.others.calls)

    def job(self, text: str, **environ: str) -> Job:
        place = self.place()
        config = configured(place / "c", text)
        return self.made(Job(place / "job", config, **self.filled(environ)))

    def place(self) -> Path:
        """Make the folder of the next job."""
        self.number += 1
        place = self.folder / f"job-{self.number}"
        place.mkdir()
        return place

    def filled(self, environ: dict[str, str]) -> dict[str, str]:
        """Return *environ* with a name and a folder that no other job has."""
        temp = self.place()
        known = {"JOB": f"bench-{os.getpid()}-{self.number}", "TEMP": str(temp)}
        return {name: known.get(value, value) for name, value in environ.items()}

    def made(self, job: Job) -> Job:
        """Note where *job* keeps its tokens, to be taken away at the end."""
        if folder := jobs.folder(job.environ):
            self.stack.callback(shutil.rmtree, folder, ignore_errors=True)
        return job

    # -- the kinds

    def cases(self) -> Iterator[Case]:
        github, signed = self.pipelines.github, self.pipelines.assertion
        azure = {
            "TF_BUILD": "True",
            "SYSTEM_JOBID": "2",
            "AGENT_TEMPDIRECTORY": "TEMP",
            "SYSTEM_OIDCREQUESTURI": f"{self.pipelines.pipeline}/azure",
            "SYSTEM_ACCESSTOKEN": REQUEST_TOKEN,
        }
        for_entra = signed(audience=AUDIENCE)
        (self.folder / "token").write_text(for_entra)
        file = {"AZURE_FEDERATED_TOKEN_FILE": str(self.folder / "token")}
        gitlab = {"GITLAB_CI": "true", "CI_JOB_ID": "JOB", "ID_TOKEN": for_entra}
        jenkins = {"JENKINS_URL": "https://j.test", "BUILD_TAG": "JOB"}
        secret = {**jenkins, "SECRET": "s3cret-of-app"}
        yield self.entra(
            "service-principal, secret, Jenkins", "service-principal", **secret
        )
        for name, assertion, environ in (
            ("GitHub Actions", "github", github),
            ("GitLab CI", "gitlab:ID_TOKEN", gitlab),
            ("Azure Pipelines", "azure-pipelines:1-2", azure),
            ("a file, Jenkins", "file", jenkins | file),
        ):
            yield self.entra(f"federated, {name}", "federated", assertion, **environ)
        imds = {**jenkins, "AZURE_POD_IDENTITY_AUTHORITY_HOST": self.others.url}
        text = 'kind = "managed-identity"\nsystem = true'
        yield self.case("managed-identity, Jenkins", text, "r/.default", **imds)
        text = (
            f'kind = "exchange"\nissuer = "{self.pipelines.url}"\nclient_id = "robot"\n'
        )
        yield self.case(
            "exchange, GitHub Actions", text + 'assertion = "github"', "git", **github
        )
        ours = {**gitlab, "ID_TOKEN": signed()}
        text += 'assertion = "gitlab:ID_TOKEN"'
        yield self.case("exchange, GitLab CI", text, "git", **ours)
        own = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_SERVER_URL": "https://git.test",
            "GITHUB_TOKEN": "job-secret",
        }
        yield self.case("job-token", 'kind = "job-token"', "git", **own)
        text = 'provider = "command"\ncommand = ["/bin/echo", "token"]'
        yield self.case("command, Jenkins", text, "git", provider="", **jenkins)
        yield from self.exchanges(github)

    def exchanges(self, github: dict[str, str]) -> Iterator[Case]:
        text = 'kind = "id-token"\nassertion = "github"\naudience = "sts"'
        here, url = f'sts_endpoint = "{self.others.url}"\n', self.others.url
        aws = f'{here}endpoint = "{url}"\nrole = "{ROLE}"\nregion = "eu-west-1"\n'
        for name, rule in (
            ("ecr", aws),
            ("codeartifact", f'{aws}domain = "d"\nowner = "111122223333"\n'),
            ("gar", f'{here}audience = "{POOL}"\n'),
        ):
            found = self.case(
                f"id-token and {name}, GitHub Actions",
                text,
                "",
                rule=f'exchange = "{name}"\n{rule}',
                **github,
            )
            yield found._replace(ask=(DOCKER, "git.test"))

    def entra(self, name: str, kind: str, assertion: str = "", **environ: str) -> Case:
        text = f'kind = "{kind}"\ntenant = "{CONTOSO.id}"\nclient_id = "{APP}"\n'
        text += (
            f'assertion = "{assertion}"' if assertion else 'secret_from = "env:SECRET"'
        )
        found = self.case(name, text, "", **environ)
        return found._replace(
            job=lambda: self.made(self.cloud.job(text, **self.filled(environ))),
            ask=(GIT, "protocol=https\nhost=dev.azure.com\n\n"),
        )

    def case(
        self,
        name: str,
        identity: str,
        scope: str,
        *,
        provider: str = 'provider = "workload"',
        rule: str = "",
        **environ: str,
    ) -> Case:
        scopes = f'scopes = ["{scope}"]\n' if scope else ""
        text = (
            f"[settings]\nsilent_timeout = 8\n[identity.ci]\n{provider}\n{identity}\n"
            f'[host."git.test"]\nidentity = "ci"\n{scopes}{rule}'
        )
        ask = (GIT, "protocol=https\nhost=git.test\n\n")
        return Case(name, lambda: self.job(text, **environ), ask, self.requests)


def run(job: Job, ask: tuple[tuple[str, ...], str]) -> tuple[float, bytes]:
    """Ask once in *job*; return wall seconds and the answer."""
    words, text = ask
    began = time.perf_counter()
    done = job.run(*words, stdin=text)
    took = time.perf_counter() - began
    if done.returncode or not done.stdout:
        raise SystemExit(f"{words} failed: {done.stderr.decode()}")
    return took, done.stdout


def base() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - began


def row(case: Case, runs: int) -> str:
    firsts, ratios, again, requests = [], [], [], set()
    for number in range(runs + 1):
        job = case.job()
        before, reference = case.requests(), base()
        first, _ = run(job, case.ask)
        asked = case.requests() - before
        second, _ = run(job, case.ask)
        if number:
            firsts.append(first)
            ratios.append(first / reference)
            again.append(second / reference)
            requests.add(asked)
    shown = " or ".join(map(str, sorted(requests)))
    return (
        f"| {case.name} | {shown} | {statistics.median(firsts):.2f} "
        f"| {statistics.median(ratios):.1f} | {statistics.median(again):.1f} |"
    )


def crowd(bench: Bench) -> str:
    """Let CALLERS processes of one job ask at once; tell what the servers saw."""
    case = next(c for c in bench.cases() if c.name == "exchange, GitHub Actions")
    job = case.job()
    before, began = bench.requests(), time.perf_counter()
    with ThreadPoolExecutor(32) as pool:
        answers = {
            found for _, found in pool.map(lambda _: run(job, case.ask), range(CALLERS))
        }
    took = time.perf_counter() - began
    asked = bench.requests() - before
    assert len(answers) == 1
    return (
        f"{CALLERS} processes of one job, 32 at a time: {asked} requests (one to the "
        f"pipeline, one exchange), one token, {took / base():.0f} times "
        "`python -c pass`"
    )


@contextmanager
def servers() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        yield Bench(Path(folder), stack)


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with servers() as bench:
        print("| first token of a job | requests | seconds | x | the next one, x |")
        print("|---|---:|---:|---:|---:|")
        for case in bench.cases():
            print(row(case, runs), flush=True)
        print(f"\n{crowd(bench)}")


if __name__ == "__main__":
    main()
