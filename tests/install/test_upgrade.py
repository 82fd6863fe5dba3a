"""What hushkey 0.1.0 left on a machine: it still works, or doctor moves it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hushkey_install.cli import main
from kit.oauth import BIN, Machine, grant

TOKEN = "at-c4nary"
#: a program of 0.1.0's, word for word but for its comments
PROGRAM = """\
#!{python}
import os
import sys

for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep):
    if "PYTHONPATH" in os.environ and not os.path.isabs(entry):
        found = os.path.abspath(entry)
        sys.path = [path for path in sys.path if os.path.abspath(path) != found]

from hushkey_helpers import _client  # noqa: E402

{ask}

from hushkey_helpers.{tool} import main  # noqa: E402

main({request})
"""
ASKS = {
    "git": '_client.ask("git", ("get", "store", "erase"), ends_blank=True)',
    "docker": '_client.ask("docker", ("get",), ends_blank=False)',
    "keyring": (
        '_client.ask("keyring", ("get", "--mode", "--mode=creds"), ends_blank=None)'
    ),
}
UNIT = """\
# Written by `hushkey install agent`; `hushkey uninstall agent` takes it out.
[Unit]
Description=The hushkey agent

[Service]
ExecStart="{python}" -P -c "from hushkey_helpers.agent import main; main()"
"""


@pytest.fixture
def machine(machine: Machine, home: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine.has(grant(TOKEN, refresh_token="rt"))
    monkeypatch.chdir(home)
    return machine


def program(folder: Path, tool: str) -> str:
    """The program of 0.1.0 for *tool*, in a folder of the user's."""
    path = folder / f"old-{tool}"
    asked = ASKS[tool] if tool == "keyring" else f"request = {ASKS[tool]}"
    request = "" if tool == "keyring" else "request"
    text = PROGRAM.format(python=sys.executable, ask=asked, tool=tool, request=request)
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def doctor(machine: Machine, *words: str, **environ: str) -> str:
    environ = {**machine.environ, **environ}
    done = CliRunner().invoke(main, ["doctor", *words], env=environ)
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.output


def findings(machine: Machine, **environ: str) -> dict[str, dict[str, Any]]:
    rows = json.loads(doctor(machine, "--json", **environ))["findings"]
    return {row["code"]: row for row in rows}


# -- programs ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "argv", "request_", "expected"),
    [
        ("git", ["get"], b"protocol=https\nhost=git.test\n\n", f"password={TOKEN}\n"),
        ("git", ["get"], b"protocol=https\nhost=other.test\n\n", ""),
        ("docker", ["list"], b"", "{}\n"),
        ("keyring", ["get", "https://git.test/simple/", "me"], b"", f"{TOKEN}\n"),
    ],
)
@pytest.mark.parametrize("variables", [{}, {"PYTHONPATH": ":evil"}])
def test_program_of_0_1_0_that_was_copied_is_today_s(
    machine: Machine,
    tool: str,
    argv: list[str],
    request_: bytes,
    expected: str,
    variables: dict[str, str],
) -> None:
    evil = machine.home / "evil"
    evil.mkdir()
    (evil / "json.py").write_text("raise SystemExit('the folder brought its own')\n")

    done = subprocess.run(
        [program(machine.home, tool), *argv],
        input=request_,
        capture_output=True,
        cwd=machine.home,
        env={**machine.environ, **variables},
        timeout=60,
    )

    assert done.stderr == b""
    assert done.returncode == 0
    found = done.stdout.decode()
    assert expected in found
    assert bool(found) == bool(expected)


def test_program_of_0_1_0_stays_in_its_folder(machine: Machine) -> None:
    """The next `keyring` is started where the caller is, with the same words."""
    tools = machine.home / "tools"
    tools.mkdir()
    (tools / "keyring").write_text('#!/bin/sh\necho "$(pwd) $*"\n')
    (tools / "keyring").chmod(0o755)

    done = subprocess.run(
        [program(machine.home, "keyring"), "get", "other", "a b"],
        capture_output=True,
        cwd=tools,
        env=machine.environ | {"PATH": str(tools)},
        timeout=60,
    )

    assert done.stdout.decode() == f"{tools} get other a b\n"


def test_console_script_of_0_1_0_is_the_command(machine: Machine) -> None:
    """As pip wrote it; a unit or an alias may name it by its own Python."""
    code = (
        "import re, sys\n"
        "from hushkey_install.cli import main\n"
        "sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])\n"
        "sys.exit(main())\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, "token", "git.test"],
        capture_output=True,
        env=machine.environ,
        timeout=60,
    )

    assert done.stdout.decode() == f"{TOKEN}\n"


def test_launcher_of_0_1_0_leads_to_today_s_program(machine: Machine) -> None:
    """A link called keyring; what it leads to has been replaced meanwhile."""
    link = machine.home / "keyring"
    link.symlink_to(BIN / "hushkey-keyring")

    done = subprocess.run(
        [link, "get", "https://git.test/simple/", "me"],
        capture_output=True,
        env=machine.environ,
        timeout=60,
    )

    assert done.stdout.decode() == f"{TOKEN}\n"


def test_keyringrc_of_0_1_0_names_our_backend(machine: Machine) -> None:
    file = machine.home / ".config" / "python_keyring" / "keyringrc.cfg"
    file.parent.mkdir(parents=True)
    file.write_text("[backend]\ndefault-keyring=hushkey_helpers.backend.Keyring\n")
    code = "import keyring; print(keyring.get_password('https://git.test/', 'me'))"
    environ = {k: v for k, v in machine.environ.items() if "KEYRING" not in k}

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=environ, timeout=60
    )

    assert done.stdout.decode() == f"{TOKEN}\n", done.stderr


# -- git's lines -------------------------------------------------------------------


@pytest.mark.parametrize("helper", ["hushkey", "!{bin}/git-credential-hushkey"])
def test_git_lines_of_0_1_0_are_answered(machine: Machine, helper: str) -> None:
    helper = helper.format(bin=BIN)
    text = f'[credential "https://git.test"]\n\thelper = \n\thelper = {helper}\n'
    (machine.home / ".gitconfig").write_text(text)

    done = subprocess.run(
        ["git", "credential", "fill"],
        input=b"protocol=https\nhost=git.test\n\n",
        capture_output=True,
        env=machine.environ,
        timeout=60,
    )

    assert f"password={TOKEN}\n" in done.stdout.decode()
    codes = findings(machine).keys()
    assert codes.isdisjoint({"git-not-registered", "helper-gone"})


@pytest.mark.parametrize(
    "path", ["/gone/bin/git-credential-hushkey", "/gone/my bin/git-credential-hushkey"]
)
def test_git_line_to_a_hushkey_that_has_gone_is_moved(
    machine: Machine, path: str
) -> None:
    helper = f"!'{path}'" if " " in path else f"!{path}"
    file = machine.home / ".gitconfig"
    file.write_text(
        f'[credential "https://git.test"]\n\thelper = \n\thelper = "{helper}"\n'
    )

    finding = findings(machine)["helper-gone"]

    assert path in finding["text"]
    assert (finding["command"], finding["mend"]) == ("hushkey install git", True)
    doctor(machine, "--fix", "--yes")
    assert "helper-gone" not in findings(machine)
    ours = BIN / "git-credential-hushkey"
    assert file.read_text().count(f"helper = {ours}") == 1
    assert "/gone" not in file.read_text()


# -- systemd's unit ----------------------------------------------------------------


@pytest.fixture
def unit(machine: Machine, tmp_path: Path) -> Path:
    """The service's file, and a systemctl that does nothing."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "systemctl").write_text("#!/bin/sh\n")
    (folder / "systemctl").chmod(0o755)
    machine.environ["PATH"] = f"{folder}{os.pathsep}{machine.environ['PATH']}"
    path = machine.home / ".config" / "systemd" / "user" / "hushkey-agent.service"
    path.parent.mkdir(parents=True)
    return path


@pytest.mark.parametrize(
    ("python", "code", "level"),
    [
        (sys.executable, "agent-unit-old", "note"),
        ("/gone/100%%/python", "agent-unit-broken", "problem"),
    ],
)
def test_unit_of_0_1_0_is_moved(
    machine: Machine, unit: Path, python: str, code: str, level: str
) -> None:
    unit.write_text(UNIT.format(python=python))

    finding = findings(machine)[code]

    assert (finding["level"], finding["mend"]) == (level, True)
    assert finding["command"] == "hushkey install agent"
    assert "%%" not in finding["text"]
    doctor(machine, "--fix", "--yes")
    assert f'ExecStart="{sys.executable}" "-I"' in unit.read_text()
    assert findings(machine).keys().isdisjoint({"agent-unit-old", "agent-unit-broken"})


@pytest.mark.parametrize("first", ["# mine\n", "", "\n"])
def test_unit_of_somebody_s_own_is_left_alone(
    machine: Machine, unit: Path, first: str
) -> None:
    unit.write_text(first + UNIT.format(python="/gone/python").partition("\n")[2])

    assert "agent-unit-broken" not in findings(machine)


def test_unit_of_ours_without_a_command_is_broken(machine: Machine, unit: Path) -> None:
    unit.write_text(UNIT.partition("[Service]")[0] + "[Service]\nExecStart='\n")

    assert "agent-unit-broken" in findings(machine)
