"""`hushkey agent stop`, whatever the agent is doing."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from hushkey_helpers.agent import start as starting
from hushkey_install.cli import main
from hushkey_install.common import agentcontrol
from servers.agent import Agent


@pytest.fixture
def agent(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    agent = Agent()
    agent.start()
    for name, value in agent.environ.items():
        monkeypatch.setenv(name, value)
    yield agent
    agent.stop()


def test_agent_on_its_way_is_ended(agent: Agent) -> None:
    environ = dict(os.environ)
    assert starting.start(environ, agentcontrol.MODULE) == ""
    assert starting.holder(str(agent.folder)) == -1

    assert agentcontrol.end(environ)

    assert agent.pid() == 0


def test_end_without_an_agent_says_so(agent: Agent) -> None:
    assert not agentcontrol.end(dict(os.environ))


def test_place_that_is_taken_is_said_at_once(agent: Agent) -> None:
    (agent.folder / "agent").write_text("mine")

    started = CliRunner().invoke(main, ["agent", "start"])
    status = CliRunner().invoke(main, ["agent", "status"])

    assert started.exit_code == 1
    assert started.stderr.count("\n") == 1
    assert f"not started: {agent.folder}/agent is not hushkey's" in started.stderr
    assert f"no: {agent.folder}/agent is not hushkey's" in status.stdout
    assert (agent.folder / "agent").read_text() == "mine"
