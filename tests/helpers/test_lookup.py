"""git, docker, keyring's clients and the agent look the same path up in one way."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hushkey_helpers.agent.answers import Answers, Question
from hushkey_helpers.agent.memory import Memory
from hushkey_helpers.agent.renewal import RenewalSchedule
from hushkey_helpers.docker import helper as docker_helper
from hushkey_helpers.git import helper as git_helper
from hushkey_helpers.keyring import command
from kit.agent import Told
from kit.oauth import Machine, grant

RULES = """
[host."forge.test"]
identity = "corp"
scopes = ["whole"]
[host."forge.test/Team"]
identity = "corp"
scopes = ["team"]
"""
Ask = Callable[[Machine, str], str]


@pytest.fixture
def machine(home: Path) -> Machine:
    made = Machine(home)
    made.configure(RULES)
    made.settle()
    for scope in ("whole", "team"):
        made.has(grant(f"at-{scope}", scopes=(scope,)), asked=(scope,))
    made.environ["CI"] = "true"
    return made


def _request(path: str) -> bytes:
    text = f"protocol=https\nhost=forge.test\npath={path}\n"
    return text.encode("utf-8", "surrogateescape")


def by_git(machine: Machine, path: str) -> str:
    return git_helper.answer(
        ["get"], lambda: _request(path), machine.environ
    ).out.decode()


def by_agent(machine: Machine, path: str) -> str:
    answers = Answers(
        {"git": git_helper.answer}, Memory(Told(), RenewalSchedule()), machine.environ
    )
    asked = answers.own("git", "get", _request(path), 0.0)
    assert isinstance(asked, Question)
    return answers.slow(asked)[2].decode()


def by_docker(machine: Machine, path: str) -> str:
    data = f"forge.test/{path}".encode("utf-8", "surrogateescape")
    found = docker_helper.answer(["get"], lambda: data, machine.environ)
    return str(json.loads(found.out)["Secret"]) if not found.code else ""


def by_keyring(machine: Machine, path: str) -> str:
    argv = ["get", f"https://forge.test/{path}", "me"]
    machine.environ["PATH"] = "/nowhere"  # no other keyring to be asked
    return command.answer(argv, lambda: b"", machine.environ).out.decode()


TOOLS = pytest.mark.parametrize("ask", [by_git, by_agent, by_docker, by_keyring])


@TOOLS
@pytest.mark.parametrize(
    ("path", "token"),
    [
        ("team/app", "at-team"),
        ("Team/app", "at-team"),
        ("TEAM/app", "at-team"),
        ("%74eam/app", "at-team"),
        ("teams/app", "at-whole"),
        ("other/team", "at-whole"),
        ("tea\u1e3f/app", "at-whole"),
        ("\u212aeam/app", "at-whole"),
    ],
)
def test_path_leads_to_one_token(
    machine: Machine, ask: Ask, path: str, token: str
) -> None:
    assert token in ask(machine, path)


@TOOLS
@pytest.mark.parametrize(
    "path",
    [
        *("team;x/app", "other;x/app", "other/..%255cteam", "other/%2e%2e/team"),
        *("%2574eam/app", "other/%c0%ae%c0%ae/team", "other/\uff0e\uff0e/team"),
    ],
)
def test_path_that_can_be_read_in_two_ways_leads_to_none(
    machine: Machine, ask: Ask, path: str
) -> None:
    assert "at-" not in ask(machine, path)


@TOOLS
def test_bytes_that_are_no_utf_8_lead_to_no_token(machine: Machine, ask: Ask) -> None:
    assert "at-" not in ask(machine, "other/\udcc0\udcae\udcc0\udcae/team")


@pytest.mark.parametrize(
    ("user", "token"), [("team", "team"), ("TEAM", "team"), ("me", "whole")]
)
def test_user_name_names_the_owner_as_a_path_does(
    machine: Machine, user: str, token: str
) -> None:
    asked = f"protocol=https\nhost=forge.test\nusername={user}\n".encode()

    out = git_helper.answer(["get"], lambda: asked, machine.environ).out.decode()

    assert f"password=at-{token}\n" in out
