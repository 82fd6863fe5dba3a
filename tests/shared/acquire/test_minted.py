"""Machines' tokens: minted by one, kept where the job's end, refused with care."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hushkey import runtime
from hushkey.acquire import minted
from hushkey.acquire.acquirer import Acquirer
from hushkey.config import schema
from hushkey.errors import HushkeyError, Permanent, StoreError, Transient, UiRequired
from hushkey.model import Grant, HostRule, Identity, Token
from hushkey.providers import registry
from hushkey.store import keystores
from hushkey.system import jobs
from hushkey.tokenrequest import PromptOptions, Session
from hushkey_helpers.agent.memory import Memory, Watch
from hushkey_helpers.agent.renewal import RenewalSchedule
from kit.signin import Clock

ROBOT = Identity("ci", "workload", machine=True, options={"kind": "exchange"})
RULE = HostRule("git.test", ROBOT, scopes=("git",))
OTHER = HostRule("other.test", ROBOT, scopes=("git",))


class Mint:
    """Gives tokens in turn, or raises what it is told to."""

    def __init__(self) -> None:
        self.minted = 0
        self.error: HushkeyError | None = None

    def mint(self, rule: HostRule, host: str) -> Grant:
        if self.error:
            raise self.error
        self.minted += 1
        return Grant(f"token-{self.minted}", expires_in=3600, scopes=("git",))


class Desk:
    """Calls of one job's tools; each `get` is one."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.clock = Clock()
        self.mint = Mint()
        self.settings: dict[str, Any] = {**schema.DEFAULTS, "key_store": "file"}
        self.environ: dict[str, str] = {}
        monkeypatch.setattr(registry, "open_minter", lambda *_: self.mint)

    def acquirer(self) -> Acquirer:
        return Acquirer(
            Session(
                self.settings,
                str(self.folder),
                self.environ,
                PromptOptions(),
                print,
                clock=self.clock,
            )
        )

    def get(self, rule: HostRule = RULE) -> Token:
        acquirer = self.acquirer()
        return acquirer.acquire(acquirer.wanted(rule, rule.pattern))

    def refuse(self, token: Token, rule: HostRule = RULE) -> None:
        self.acquirer().refuse(rule, rule.pattern, token.value)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(minted, "_REMEMBERED", {})
    return Desk(tmp_path / "data", monkeypatch)


def test_token_is_minted_once_and_again_when_it_is_nearly_over(desk: Desk) -> None:
    assert {desk.get().value for _ in range(3)} == {"token-1"}
    desk.clock.now += 3400

    assert desk.get().value == "token-2"


def test_whoever_waits_takes_what_one_has_minted(desk: Desk) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: desk.get().value, range(24)))

    assert {*found} == {"token-1"}


def test_agent_that_may_ask_no_server_gives_what_is_stored_and_mints_nothing(
    desk: Desk,
) -> None:
    memory = Memory(Watch(), RenewalSchedule())

    def agent() -> runtime.AgentContext:
        return runtime.AgentContext(memory, 0, quick=False, renews=False)

    with agent(), pytest.raises(runtime.WouldRenew):
        desk.get()
    assert desk.mint.minted == 0
    desk.get()

    with agent():
        assert desk.get().value == "token-1"


def test_refused_young_token_is_minted_anew_at_most_once_a_minute(desk: Desk) -> None:
    desk.refuse(desk.get())
    for _ in range(50):
        with pytest.raises(Permanent, match="refuses a token that is new"):
            desk.get()
        # the repository next door has nothing to do with it
        assert desk.get(OTHER).value == "token-1"
        desk.refuse(desk.get(OTHER), RULE)

    desk.clock.now += 61
    again = desk.get()
    assert again.value == "token-1"  # no host has refused it since it was old enough
    desk.refuse(again)
    assert desk.get().value == "token-2"
    desk.refuse(desk.get())
    with pytest.raises(Permanent):
        desk.get()
    assert desk.mint.minted == 2


@pytest.mark.parametrize("host", ["dev.azure.com", "pkgs.dev.azure.com"])
def test_azure_devops_refusal_says_that_the_principal_must_be_added(
    host: str, desk: Desk
) -> None:
    rule = HostRule(host, ROBOT, scopes=("git",))
    desk.refuse(desk.get(rule), rule)

    with pytest.raises(Permanent) as caught:
        desk.get(rule)

    assert "add the principal to the organisation's users" in caught.value.line()


@pytest.mark.parametrize("kind", [UiRequired, Permanent, Transient])
def test_no_failure_of_a_machine_asks_for_a_person(
    kind: type[HushkeyError], desk: Desk
) -> None:
    desk.mint.error = kind("the server says no")

    with pytest.raises(HushkeyError) as caught:
        desk.get()

    assert isinstance(caught.value, Permanent | Transient)
    assert "login" not in caught.value.line()


def test_old_token_serves_while_nothing_can_be_minted(desk: Desk) -> None:
    first = desk.get()
    desk.clock.now += 3400
    desk.mint.error = Transient("busy")

    assert desk.get().value == first.value


def test_without_a_key_the_process_remembers_and_the_disk_does_not(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(folder: str, name: str) -> keystores.KeyStore:
        class Absent(keystores.KeyFile):
            def get(self) -> str | None:
                raise StoreError("absent", "no keyring")

        return Absent(folder)

    monkeypatch.setitem(keystores.KEY_STORES, "file", absent)

    assert {desk.get().value for _ in range(3)} == {"token-1"}
    desk.refuse(desk.get())
    with pytest.raises(Permanent):
        desk.get()
    assert desk.get(OTHER).value == "token-1"
    files = [path for path in desk.folder.rglob("*") if path.is_file()]
    assert [p for p in files if b"token-1" in p.read_bytes()] == []
    assert not list(desk.folder.rglob("*.sealed"))


def job(temp: Path, number: str) -> dict[str, str]:
    temp.mkdir(exist_ok=True)
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_RUN_ID": number,
        "RUNNER_TEMP": str(temp),
    }


def test_job_keeps_its_tokens_in_its_own_folder_and_no_other_job_sees_them(
    desk: Desk, tmp_path: Path
) -> None:
    found = []
    for number in ("1", "2", "1"):
        desk.environ = job(tmp_path / "temp", number)
        found.append(desk.get().value)

    assert found == ["token-1", "token-2", "token-1"]
    assert not desk.folder.exists()
    made = [*(tmp_path / "temp").rglob("*")]
    assert {p.stat().st_mode & 0o077 for p in made} == {0}


def test_other_variables_name_other_tokens(desk: Desk) -> None:
    values = []
    identity = Identity(
        "ci", "workload", machine=True, depends=("AZURE_CLIENT_ID",), options={"a": "b"}
    )
    rule = HostRule("git.test", identity, scopes=("git",))
    for client in ("one", "two", "one"):
        desk.environ = {"AZURE_CLIENT_ID": client}
        values.append(desk.get(rule).value)

    assert values == ["token-1", "token-2", "token-1"]


def test_changed_identity_does_not_get_the_tokens_of_the_one_before(desk: Desk) -> None:
    changed = Identity("ci", "workload", machine=True, options={"kind": "federated"})

    assert desk.get().value == "token-1"
    assert desk.get(HostRule("git.test", changed, scopes=("git",))).value == "token-2"


# -- where a job's folder is ----------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "below"),
    [
        ({}, ""),
        ({"CI": "true"}, ""),
        ({"GITHUB_ACTIONS": "true", "RUNNER_TEMP": "relative"}, ""),
        ({"GITHUB_ACTIONS": "true", "RUNNER_TEMP": "{tmp}"}, "{tmp}"),
        ({"TF_BUILD": "True", "AGENT_TEMPDIRECTORY": "{tmp}"}, "{tmp}"),
        ({"GITLAB_CI": "true"}, ""),
        ({"GITLAB_CI": "true", "CI_JOB_ID": "7"}, "/dev/shm"),
        ({"BUILDKITE": "true", "BUILDKITE_JOB_ID": "7"}, "/dev/shm"),
    ],
)
def test_folder_of_a_job_is_the_pipeline_s_or_memory(
    environ: Mapping[str, str], below: str, tmp_path: Path
) -> None:
    known = {k: v.replace("{tmp}", str(tmp_path)) for k, v in environ.items()}
    below = below.replace("{tmp}", str(tmp_path))
    if below == "/dev/shm" and not os.path.isdir(below):
        below = ""

    assert os.path.dirname(jobs.folder(known)) == below
