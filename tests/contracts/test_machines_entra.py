"""Machines at Microsoft Entra: MSAL's confidential client, and a fake of documents."""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from contracts.test_machines import Job, configured, exchange_process, password, said
from servers.authority import Authority
from servers.entra import AZURE_DEVOPS, CONTOSO, App, Detour, Entra
from servers.tokenexchange import REQUEST_TOKEN, TokenExchange

__all__ = ["exchange_process"]
pytestmark = pytest.mark.contract

APP = "7c1e0d6a-2b3c-4d5e-8f90-a1b2c3d4e5f6"
AUDIENCE = "api://AzureADTokenExchange"
SUBJECT = "repo:o/r:ref:refs/heads/main"
CONFIG = """
[settings]
silent_timeout = 8
ca_file = "{ca}"
proxy = "{proxy}"

[identity.ci]
provider = "workload"
{identity}

[host."dev.azure.com"]
identity = "ci"
scopes = ["{resource}/.default"]
"""
URL = "https://dev.azure.com"


class Cloud:
    """A tenant with one application, and the way there."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder = folder
        self.entra = Entra(authority)
        self.ca_file = authority.ca_file
        self.jobs: list[Job] = []

    def start(self) -> None:
        self.entra.start()
        self.detour = Detour(self.entra.routes())
        self.detour.start()

    def stop(self) -> None:
        self.detour.stop()
        self.entra.stop()

    def has(self, **proof: Any) -> None:
        self.entra.apps[APP] = App(APP, CONTOSO.id, **proof)

    def job(self, identity: str, **environ: str) -> Job:
        number = len(self.jobs)
        config = configured(
            self.folder / f"c{number}",
            CONFIG,
            ca=str(self.ca_file),
            proxy=self.detour.url,
            identity=identity,
            resource=AZURE_DEVOPS,
        )
        made = Job(self.folder / f"job{number}", config, **environ)
        self.jobs.append(made)
        return made

    def check(self, token: str) -> None:
        grant = self.entra.token(token)
        assert grant is not None
        assert (grant.client, grant.tenant, grant.resource) == (
            APP,
            CONTOSO.id,
            AZURE_DEVOPS,
        )


@pytest.fixture
def cloud(tmp_path: Path, authority: Authority) -> Iterator[Cloud]:
    made = Cloud(tmp_path, authority)
    made.start()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def pipeline(exchange_process: TokenExchange) -> TokenExchange:
    exchange_process.forget_log()
    return exchange_process


FEDERATED = f'kind = "federated"\ntenant = "{CONTOSO.id}"\nclient_id = "{APP}"\n'


def trust(pipeline: TokenExchange, subject: str = SUBJECT) -> tuple[str, str, str]:
    return pipeline.pipeline, subject, AUDIENCE


def test_github_job_gets_a_token_of_entra_once_for_all_of_its_tools(
    cloud: Cloud, pipeline: TokenExchange
) -> None:
    cloud.has(trusts=[trust(pipeline)])
    job = cloud.job(FEDERATED + 'assertion = "github"', **pipeline.github)

    tokens = [password(job.get(URL)) for _ in range(3)]

    cloud.check(tokens[0])
    assert len({*tokens}) == 1
    assert len(cloud.entra.token_requests("client_credentials")) == 1
    assert pipeline.log("/github")[0]["query"]["audience"] == AUDIENCE
    assert job.leaks(REQUEST_TOKEN) == []


def test_azure_pipelines_is_asked_by_post_for_the_service_connection(
    cloud: Cloud, pipeline: TokenExchange
) -> None:
    cloud.has(trusts=[trust(pipeline)])
    job = cloud.job(
        FEDERATED + 'assertion = "azure-pipelines:0a1b-2c"',
        TF_BUILD="True",
        SYSTEM_OIDCREQUESTURI=f"{pipeline.pipeline}/azure",
        SYSTEM_ACCESSTOKEN="job-secret",
    )

    cloud.check(password(job.get(URL)))
    asked = pipeline.log("/azure")[0]
    assert asked["method"] == "POST"
    assert asked["query"] == {"api-version": "7.1", "serviceConnectionId": "0a1b-2c"}
    assert (asked["type"], asked["redirect"]) == ("application/json", "Suppress")


def test_pod_s_variables_are_enough_and_its_file_is_read_each_time(
    cloud: Cloud, pipeline: TokenExchange, tmp_path: Path
) -> None:
    cloud.has(trusts=[trust(pipeline)])
    # as the kubelet has it: a link into a folder that is swapped
    (tmp_path / "..1").mkdir()
    (tmp_path / "..data").symlink_to("..1")
    file = tmp_path / "azure-identity-token"
    file.symlink_to("..data/azure-identity-token")
    old = pipeline.assertion(audience=AUDIENCE, exp=int(time.time()) - 60)
    (tmp_path / "..1" / file.name).write_text(old)
    environ = {
        "AZURE_CLIENT_ID": APP,
        "AZURE_TENANT_ID": CONTOSO.id,
        "AZURE_FEDERATED_TOKEN_FILE": str(file),
        "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com/",
    }
    job = cloud.job('kind = "federated"', **environ)

    assert "the assertion ended at" in said(job.get(URL))
    # it may have been replaced meanwhile, so it was read and sent once more
    assert len(cloud.entra.token_requests("client_credentials")) == 2

    (tmp_path / "..2").mkdir()
    (tmp_path / "..2" / file.name).write_text(pipeline.assertion(audience=AUDIENCE))
    (tmp_path / "..data").unlink()
    (tmp_path / "..data").symlink_to("..2")
    cloud.check(password(job.get(URL)))


@pytest.mark.parametrize(
    "host", ["https://login.evil.example/", "login.evil.example", "http://[", "a b"]
)
def test_authority_of_the_environment_is_one_of_microsoft_s(
    host: str, cloud: Cloud, pipeline: TokenExchange
) -> None:
    job = cloud.job(
        FEDERATED + 'assertion = "env:T"',
        T=pipeline.assertion(audience=AUDIENCE),
        AZURE_AUTHORITY_HOST=host,
    )

    assert "none of Microsoft's" in said(job.get(URL))
    assert cloud.entra.log() == []


def test_subject_that_nobody_trusts_is_shown_beside_issuer_and_audience(
    cloud: Cloud, pipeline: TokenExchange
) -> None:
    cloud.has(trusts=[trust(pipeline, SUBJECT.upper())])
    job = cloud.job(FEDERATED + 'assertion = "github"', **pipeline.github)

    line = said(job.get(URL))

    assert f"iss {pipeline.pipeline}, sub {SUBJECT}, aud {AUDIENCE}" in line
    assert "AADSTS700213" in line
    assert "letter by letter" in line
    # `invalid_client` may be an assertion that ended: a new one was tried, once
    assert len(pipeline.log("/github")) == 2


def test_secret_comes_from_the_environment_or_a_file(
    cloud: Cloud, tmp_path: Path
) -> None:
    cloud.has(secret="s3cret-of-app")
    file = tmp_path / "secret"
    file.write_text("s3cret-of-app\n")
    file.chmod(0o600)
    principal = FEDERATED.replace("federated", "service-principal")
    ways: list[tuple[str, Mapping[str, str]]] = [
        ('secret_from = "env:SECRET"', {"SECRET": "s3cret-of-app"}),
        (f'secret_from = "file:{file}"', {}),
    ]
    for written, environ in ways:
        job = cloud.job(principal + written, **environ)
        cloud.check(password(job.get(URL)))
        assert job.leaks("s3cret-of-app") == []


def test_wrong_absent_and_loose_secrets_are_sentences(
    cloud: Cloud, tmp_path: Path
) -> None:
    cloud.has(secret="s3cret-of-app")
    loose = tmp_path / "loose"
    loose.write_text("s3cret-of-app")
    loose.chmod(0o666)
    principal = FEDERATED.replace("federated", "service-principal")
    for written, environ, words in (
        ('secret_from = "env:SECRET"', {"SECRET": "another"}, "AADSTS7000215"),
        ('secret_from = "env:SECRET"', {}, "the variable SECRET is not set"),
        (f'secret_from = "file:{loose}"', {}, "can be changed by others"),
        (f'secret_from = "file:{tmp_path}/none"', {}, "No such file"),
    ):
        job = cloud.job(principal + written, **environ)
        line = said(job.get(URL))
        assert words in line
        assert "another" not in line


def certificate(folder: Path, kind: str) -> tuple[Path, bytes]:
    """A key and its certificate in one file, and the certificate alone."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    phrase = serialization.BestAvailableEncryption(b"phrase")
    file = folder / f"app.{kind}"
    if kind == "pfx":
        file.write_bytes(
            pkcs12.serialize_key_and_certificates(b"app", key, made, None, phrase)
        )
    else:
        locked = phrase if kind == "locked" else serialization.NoEncryption()
        text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked
        )
        file.write_bytes(pem + text if kind == "reversed" else text + pem)
    file.chmod(0o600)
    return file, pem


@pytest.mark.parametrize("kind", ["pem", "reversed", "locked", "pfx"])
def test_certificate_signs_the_application_s_own_assertion(
    kind: str, cloud: Cloud, tmp_path: Path
) -> None:
    file, pem = certificate(tmp_path, kind)
    cloud.has(certificate=pem)
    principal = FEDERATED.replace("federated", "service-principal")
    phrase = kind in ("locked", "pfx")
    written = f'certificate = "{file}"\n' + (
        'passphrase_from = "env:PHRASE"' if phrase else ""
    )

    job = cloud.job(principal + written, **({"PHRASE": "phrase"} if phrase else {}))

    cloud.check(password(job.get(URL)))
    if phrase:
        wrong = cloud.job(principal + written, PHRASE="hunter-two")
        line = said(wrong.get(URL))
        assert "MSAL cannot use this credential" in line
        assert "hunter-two" not in line


def test_scope_that_is_not_a_whole_resource_is_refused_before_anything_is_asked(
    cloud: Cloud, pipeline: TokenExchange
) -> None:
    job = cloud.job(FEDERATED + 'assertion = "github"', **pipeline.github)
    config = Path(job.environ["HUSHKEY_CONFIG"])
    config.write_text(config.read_text().replace("/.default", "/user_impersonation"))

    assert "a machine's token is for one resource" in said(job.get(URL))
    assert pipeline.log() == cloud.entra.log() == []


def test_busy_entra_is_no_sign_in_and_no_traceback(
    cloud: Cloud, pipeline: TokenExchange
) -> None:
    cloud.has(trusts=[trust(pipeline)])
    for fault in ("unavailable", "captive", "too_many_requests"):
        cloud.entra.fail(fault, times=1)
        job = cloud.job(FEDERATED + 'assertion = "github"', **pipeline.github)
        said(job.get(URL))
