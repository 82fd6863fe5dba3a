"""What doctor says in a pipeline's job, where nobody signs in."""

import time
from pathlib import Path

import pytest

from install.doctor.test_findings import found
from kit.oauth import Machine, grant, signed

JOB = """
[settings]
key_store = "keyring"
[identity.ci]
provider = "workload"
kind = "exchange"
issuer = "https://machines.test"
client_id = "robot"
assertion = "gitlab:ID_TOKEN"
[identity.job]
provider = "workload"
kind = "job-token"
[identity.work]
provider = "oidc"
issuer = "https://id.test"
client_id = "c"
[host."git.test"]
identity = ["ci", "work"]
scopes = ["git"]
tools = ["python"]
[host."other.test"]
identity = "job"
tools = ["python"]
"""
CI = {"CI": "true", "GITLAB_CI": "true", "CI_JOB_ID": "1", "CI_JOB_TOKEN": "opaque"}


@pytest.fixture
def machine(machine: Machine, home: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine without a keyring."""
    monkeypatch.chdir(home)
    machine.configure(text=JOB)
    return machine


def token(seconds: float) -> str:
    return signed({"exp": time.time() + seconds})


def test_job_needs_no_keyring_and_no_sign_in(machine: Machine) -> None:
    assert found(machine, **CI, ID_TOKEN=token(3600)) == {}
    # on a laptop the same config needs both
    assert set(found(machine)) == {"keyring-absent", "signed-out"}


def test_machines_alone_need_no_keyring(machine: Machine) -> None:
    machine.configure(text=JOB.replace('["ci", "work"]', '"ci"'))

    assert found(machine) == {}


def test_sign_in_that_is_stored_needs_its_key_in_a_job_too(machine: Machine) -> None:
    machine.has(grant("at-kept"))

    assert set(found(machine, **CI)) == {"keyring-absent"}


@pytest.mark.parametrize(
    ("environ", "code", "words"),
    [
        ({"ID_TOKEN": -60}, "job-token-ended", "the token in ID_TOKEN ended at"),
        ({"ID_TOKEN": 240}, "job-token-ends", "the token in ID_TOKEN ends in"),
        ({"CI_JOB_TOKEN": 240}, "job-token-ends", "in CI_JOB_TOKEN ends in"),
        ({"ID_TOKEN": "no.jwt.at-all"}, "", ""),
        ({"ID_TOKEN": signed({"exp": -1e308})}, "", ""),
        ({"ID_TOKEN": signed({"exp": True})}, "", ""),
    ],
    ids=["ended", "ends", "job", "opaque", "no-moment", "no-number"],
)
def test_token_that_is_given_once_is_told_before_it_ends(
    machine: Machine, environ: dict[str, str | int], code: str, words: str
) -> None:
    given = {k: v if isinstance(v, str) else token(v) for k, v in environ.items()}

    findings = found(machine, **{**CI, "ID_TOKEN": "x", **given})

    assert set(findings) == ({code} if code else set())
    if code:
        assert words in findings[code]["text"]
        assert "once for a job" in findings[code]["text"]
        assert not any(value in str(findings) for value in given.values())
