"""`audit = true`: every token that a tool of this machine gets is a line of the log."""

import sys
from typing import Any

import pytest

from hushkey import runtime
from hushkey.system import audit
from hushkey_helpers.agent import memory
from hushkey_helpers.agent.renewal import RenewalSchedule
from hushkey_helpers.docker import helper as docker_helper
from hushkey_helpers.git import helper as git_helper
from hushkey_helpers.keyring import command as keyring_command
from hushkey_helpers.keyring import kept
from hushkey_helpers.tools.token import TOOL as TOKEN
from kit.oauth import CONFIG, Machine, grant

GIT = b"protocol=https\nhost=git.test\npath=team/app\n\n"
TOOLS: list[tuple[str, Any, list[str], bytes]] = [
    ("git", git_helper.answer, ["get"], GIT),
    ("docker", docker_helper.answer, ["get"], b"git.test"),
    ("keyring", keyring_command.answer, ["get", "https://git.test/x", "me"], b""),
    ("token", TOKEN.answer(), ["git.test"], b""),
]


def configure(machine: Machine, on: str) -> None:
    text = CONFIG.replace("[settings]\n", f"[settings]\naudit = {on}\n", 1)
    machine.configure(text=text)


@pytest.fixture
def signed_in(machine: Machine) -> Machine:
    configure(machine, "true")
    machine.has(grant("at-s3cret"))
    return machine


@pytest.mark.parametrize(("tool", "answer", "argv", "asked"), TOOLS)
def test_token_that_a_tool_gets_is_written_down(
    signed_in: Machine, tool: str, answer: Any, argv: list[str], asked: bytes
) -> None:
    found = answer(argv, lambda: asked, signed_in.environ)

    assert b"at-s3cret" in found.out
    (line,) = audit.lines(signed_in.environ)
    assert (line["outcome"], line["tool"], line["host"]) == ("given", tool, "git.test")
    assert line.get("path", "") == {"git": "team/app", "keyring": "x"}.get(tool, "")
    assert line["account"] == "me@example.com"
    assert line["expires"] > line["time"]
    with open(audit.path(signed_in.environ), "rb") as file:
        assert b"s3cret" not in file.read()


def test_agent_writes_it_down_too(
    signed_in: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_RACY", -1e9)
    signed_in.settle()
    remembered = memory.Memory(memory.Watch(), RenewalSchedule())
    for quick in (False, True):
        with runtime.AgentContext(remembered, 1.0, quick=quick, counts=False):
            git_helper.answer(["get"], lambda: GIT, signed_in.environ)

    assert len(audit.lines(signed_in.environ)) == 2


def test_nothing_is_written_and_loaded_without_it(
    signed_in: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(signed_in, "false")
    monkeypatch.setitem(sys.modules, "hushkey.system.audit", None)  # an import fails

    for _, answer, argv, asked in TOOLS:
        found = answer(argv, asked.__bytes__, signed_in.environ)
        assert b"at-s3cret" in found.out

    assert audit.lines(signed_in.environ) == []


def test_log_that_cannot_be_written_costs_no_answer(signed_in: Machine) -> None:
    (signed_in.data / "audit.log").mkdir()

    found = git_helper.answer(["get"], lambda: GIT, signed_in.environ)

    assert b"at-s3cret" in found.out


def typed_of(machine: Machine) -> list[tuple[str, bytes]]:
    """Type a password in for each tool; return what each gets back, by tool."""
    environ = machine.environ
    there = b"protocol=https\nhost=typed.test\n"
    stored = b'{"ServerURL":"typed.test","Username":"me","Secret":"pw-s3cret"}'
    git_helper.answer(
        ["store"], lambda: there + b"username=me\npassword=pw-s3cret\n\n", environ
    )
    docker_helper.answer(["store"], lambda: stored, environ)
    kept.keep("typed.test", "me", "pw-s3cret", environ)
    given = kept.find("typed.test", "me", environ)
    return [
        ("git", git_helper.answer(["get"], lambda: there + b"\n", environ).out),
        ("docker", docker_helper.answer(["get"], lambda: b"typed.test", environ).out),
        ("keyring", repr(given).encode()),
    ]


@pytest.mark.parametrize("on", ["true", "false"])
def test_typed_password_that_a_tool_gets_is_written_down(
    machine: Machine, on: str
) -> None:
    configure(machine, on)

    found = typed_of(machine)

    assert all(b"pw-s3cret" in out for _, out in found)
    lines = audit.lines(machine.environ)
    tools = sorted((line["tool"], line["host"], line["why"]) for line in lines)
    wanted = [(t, "typed.test", "typed here once") for t in sorted(dict(found))]
    assert tools == (wanted if on == "true" else [])
    assert "s3cret" not in str(lines)
