"""systemd's units for the agent: shown, written, taken out again."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from hushkey_install.cli import main

NAMES = ("hushkey-agent.service", "hushkey-agent.socket")


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemctl that writes down what it was told."""
    folder = tmp_path / "bin"
    folder.mkdir()
    log = tmp_path / "calls"
    program = folder / "systemctl"
    program.write_text(f'#!/bin/sh\necho "$@" >> {log}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return log


def run(*words: str) -> str:
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    return done.output


def units(home: Path) -> list[str]:
    folder = home / ".config" / "systemd" / "user"
    return sorted(path.name for path in folder.glob("*"))


def test_install_writes_two_units_and_lets_systemd_listen(
    home: Path, calls: Path
) -> None:
    shown = run("install", "agent")

    assert units(home) == list(NAMES)
    assert "+ListenStream=%t/hushkey/agent" in shown
    assert calls.read_text().splitlines() == [
        "--user daemon-reload",
        "--user enable --now hushkey-agent.socket",
    ]
    service = (home / ".config" / "systemd" / "user" / NAMES[0]).read_text()
    assert f'ExecStart="{sys.executable}" "-I" "-c" ' in service
    assert "nothing to change" in run("install", "agent")


def test_dry_run_changes_nothing(home: Path, calls: Path) -> None:
    run("install", "agent", "--dry-run")

    assert units(home) == []
    assert not calls.exists()


def test_uninstall_takes_them_out(home: Path, calls: Path) -> None:
    run("install", "agent")
    run("uninstall", "agent")

    assert units(home) == []
    assert "--user disable --now hushkey-agent.socket" in calls.read_text()
    assert "nothing to change" in run("uninstall", "agent")


def test_folder_of_one_s_own_is_named_as_it_is(
    home: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUSHKEY_RUNTIME_DIR", str(home / "100%"))

    assert f"ListenStream={home}/100%%/agent" in run("install", "agent", "--dry-run")


def test_without_systemd_it_says_what_is_left_to_do(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert "run: systemctl --user enable" in run("install", "agent")


def test_systemd_understands_the_units(home: Path, calls: Path) -> None:
    program = shutil.which("systemd-analyze", path="/usr/bin:/bin")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    run("install", "agent")
    folder = home / ".config" / "systemd" / "user"

    done = subprocess.run(
        [program, "verify", *(str(folder / name) for name in NAMES)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    ours = [line for line in done.stderr.splitlines() if "hushkey" in line]
    assert [line for line in ours if "prepare filename" not in line] == []


def test_agent_verbs_without_an_agent(home: Path) -> None:
    assert "running:   no" in run("agent", "status")
    assert "HUSHKEY_AGENT is off" in run("agent", "status")
    assert "no agent was running" in run("agent", "stop")
    refused = CliRunner().invoke(main, ["agent", "start"])
    assert refused.exit_code == 1
    assert "HUSHKEY_AGENT is off" in refused.output
