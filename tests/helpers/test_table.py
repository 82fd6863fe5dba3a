"""Every tool is listed everywhere, once, and is what its programs say."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hushkey import runtime
from hushkey.system import callers
from hushkey_helpers import PROGRAMS, table
from hushkey_helpers.agent import protocol
from hushkey_helpers.tool import Tool
from hushkey_install.commands import loglines

ROOT = Path(__file__).parents[2]
each_tool = pytest.mark.parametrize("tool", table.TOOLS, ids=lambda tool: tool.name)


def test_tools_are_those_of_the_programs() -> None:
    assert [tool.program for tool in table.TOOLS] == list(PROGRAMS)
    assert len({tool.name for tool in table.TOOLS}) == len(PROGRAMS)


@each_tool
def test_tool_is_the_one_that_its_module_answers_for(tool: Tool) -> None:
    answer = tool.answer()

    assert answer.__module__ == tool.module


@each_tool
def test_program_is_installed_and_starts_itself(tool: Tool) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]

    assert wheel["shared-scripts"][f"helpers/scripts/{tool.program}"] == tool.program
    script = (ROOT / "helpers" / "scripts" / tool.program).read_text()
    assert script.count(f' {tool.program} "$0" "$@"') == 1


@each_tool
def test_tool_s_lines_of_the_log_are_known(tool: Tool) -> None:
    assert tool.name in loglines.WRITERS


@each_tool
def test_callers_are_known_once_they_are_handed_in(
    tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "tool_of", runtime._nobody)
    assert runtime.programs_of(tool.name) == {}
    monkeypatch.setattr(runtime, "tool_of", table.tool_of)

    assert runtime.programs_of(tool.name) == tool.callers
    assert callers.command_of("no-such-tool") == ""


@each_tool
def test_variables_go_along_with_the_tool_s_own_questions_alone(tool: Tool) -> None:
    others = [other for other in table.TOOLS if other != tool]

    assert set(tool.environ) <= set(protocol.forwarded(tool.name))
    for other in others:
        assert not set(tool.environ) & set(protocol.forwarded(other.name))


def test_table_loads_nothing_that_only_a_question_needs() -> None:
    """The agent and keyring's backend load the table at once."""
    code = "from hushkey_helpers import table; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    slow = {"hushkey.system.callers", "hushkey.system.python_callers", "subprocess"}
    assert slow & set(done.stdout.split()) == set()
