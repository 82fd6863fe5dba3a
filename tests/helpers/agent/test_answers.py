"""A question, its environment, and what may be asked of it."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushkey import runtime
from hushkey.acquire import session
from hushkey.errors import NeedsCaller, Permanent
from hushkey.system import callers
from hushkey_helpers.agent import protocol
from hushkey_helpers.agent.answers import Answers, Question, Surroundings
from hushkey_helpers.agent.memory import Memory
from hushkey_helpers.agent.renewal import RenewalSchedule
from kit.agent import Said, Told, fields, question

Tool = Callable[[list[str], Callable[[], bytes], Mapping[str, str]], Any]


@pytest.fixture
def memory() -> Memory:
    return Memory(Told(), RenewalSchedule())


@pytest.fixture
def said(home: Path, memory: Memory) -> Callable[[Tool], tuple[bytes, ...]]:
    def say(tool: Tool) -> tuple[bytes, ...]:
        return Answers({"git": tool}, memory, os.environ).slow(question())

    return say


@given(st.lists(st.binary(max_size=30), max_size=8))
def test_any_fields_are_a_question_or_garbage(found: list[bytes]) -> None:
    try:
        asked = Question(found, 1.0)
    except protocol.Garbage:
        return
    assert set(asked.environ) <= set(protocol.forwarded(asked.tool))


@pytest.mark.parametrize("number", [b"-1", b"9", b"x", b""])
def test_number_of_words_is_not_believed(number: bytes) -> None:
    found = list(fields())
    found[3] = number

    if number == b"-1":
        assert Question(found, 1.0).argv == []
    else:
        with pytest.raises(protocol.Garbage):
            Question([*found[:4], b"a"], 1.0)


def test_same_question_has_the_same_key() -> None:
    assert question(b"a").key() == question(b"a", began=9.0).key()
    assert question(b"a").key() != question(b"b").key()
    assert question(PATH="/a").key() != question(PATH="/b").key()
    assert question(argv=("get",)).key() != question(argv=("store",)).key()


class TestSurroundings:
    """What did not come along is not absent: it is not known."""

    @pytest.mark.parametrize(
        "look",
        [
            lambda e: e.get("DISPLAY"),
            lambda e: e["MY_CLIENT_SECRET"],
            lambda e: "CI" in e,
            lambda e: e.get("HUSHKEY_INTERACTIVE", ""),
        ],
    )
    def test_unknown(self, look: Callable[[Surroundings], object]) -> None:
        with pytest.raises(NeedsCaller):
            look(Surroundings())

    def test_known(self) -> None:
        environ = Surroundings({"HOME": "/h"}.items())

        assert environ.get("HOME") == environ["HOME"] == "/h"
        assert environ.get("PATH", "x") == "x"
        assert "PATH" not in environ

    def test_what_one_tool_alone_needs_is_known_for_it_alone(self) -> None:
        environ = {"DOCKER_BUILDKIT": "1"}

        assert Surroundings(environ.items(), "docker").get("DOCKER_BUILDKIT") == "1"
        with pytest.raises(NeedsCaller):
            Surroundings(environ.items(), "git").get("DOCKER_BUILDKIT")


def test_warnings_go_to_whoever_asked(
    said: Callable[[Tool], tuple[bytes, ...]], capfd: pytest.CaptureFixture[str]
) -> None:
    def tool(*_: object) -> Said:
        session.warn("first\nand not a second line")
        return Said(b"out", ("last",), 3)

    assert said(tool) == (
        protocol.ANSWERED,
        b"3",
        b"out",
        b"hushkey: first and not a second line\nhushkey: last\n",
    )
    assert capfd.readouterr().err == ""


def test_error_is_a_line(said: Callable[[Tool], tuple[bytes, ...]]) -> None:
    def tool(*_: object) -> Said:
        raise Permanent("no way", host="h")

    assert said(tool) == (protocol.ANSWERED, b"1", b"", b"hushkey: no way (host h)\n")


@pytest.mark.parametrize(
    "look",
    [
        lambda: callers.command_of("git"),
        lambda: callers.git_interactive({}),
    ],
)
def test_who_asks_is_not_told_from_the_agent_s_own_parents(
    said: Callable[[Tool], tuple[bytes, ...]], look: Callable[[], object]
) -> None:
    def tool(*_: object) -> Said:
        look()
        return Said()

    assert said(tool) == (protocol.NOT_OURS,)


def test_answer_that_is_another_program_is_passed_on(
    said: Callable[[Tool], tuple[bytes, ...]],
) -> None:
    def tool(*_: object) -> Said:
        answer = Said()
        answer.instead = ("/usr/bin/keyring",)  # type: ignore[attr-defined]
        return answer

    assert said(tool) == (protocol.NOT_OURS,)


def test_occasion_ends_with_the_answer(
    said: Callable[[Tool], tuple[bytes, ...]],
) -> None:
    def tool(*_: object) -> Said:
        assert runtime.current()
        raise NeedsCaller

    said(tool)

    assert runtime.current() is None


def test_began_is_when_the_question_came(memory: Memory, home: Path) -> None:
    with runtime.AgentContext(memory, 5.0, quick=False):
        acquirer = session.acquirer(os.environ, 9.0)

    assert acquirer.session.began == 5.0


def test_replaced_hushkey_ends_the_agent(
    home: Path, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = Answers({"git": lambda *_: Said()}, memory, os.environ)

    assert answers.quick(question(installation=b"older")) == (protocol.NOT_OURS,)
    assert answers.over == ""
    monkeypatch.setattr(protocol, "installation", lambda: b"newer")

    assert answers.quick(question(installation=b"newer")) == (protocol.NOT_OURS,)
    assert answers.over == "another hushkey was installed"
