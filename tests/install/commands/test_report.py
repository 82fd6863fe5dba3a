import json
import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hushkey import errors
from hushkey.system import tracefile
from hushkey_install.cli import main
from hushkey_install.commands import loglines
from kit.oauth import CANARY, Machine, grant
from test_architecture import MODULES
from test_steps import step_names

#: words of this machine that must not be in a report
PRIVATE = [CANARY, "git.test", "id.test", "me@example.com", "corp", "s3cret-client"]


STAMP = "2026-01-31T09:30:00.123Z"
BEGIN = f"{STAMP} pid=4711 tool=git step=cached"


@pytest.fixture
def machine(home: Path) -> Machine:
    made = Machine(home)
    made.configure(
        f'[identity.hidden]\nprovider = "oidc"\nissuer = "https://two.id.test"\n'
        f'client_id = "s3cret-client"\nclient_secret = "cs-{CANARY}"\n'
        f'account = "me@example.com"\n[host."*.git.test/{CANARY}"]\n'
        f'identity = "hidden"\nusername = "{CANARY}"\nscopes = ["{CANARY}"]\n'
    )
    made.has(grant(f"at-{CANARY}", refresh_token=f"rt-{CANARY}"))
    (home / ".gitconfig").write_text(
        f'[credential "https://git.test"]\n\thelper = hushkey\n\thelper = "!{CANARY}"\n'
        "\thelper = store\n"
    )
    return made


def report(machine: Machine, *words: str, typed: str = "", **environ: str) -> Result:
    environ = {**machine.environ, **environ}
    return CliRunner().invoke(main, ["report", *words], env=environ, input=typed)


def test_nothing_private_is_in_a_report(machine: Machine) -> None:
    environ = {f"HUSHKEY_{CANARY}": CANARY, "HTTPS_PROXY": f"http://{CANARY}@p:1"}

    result = report(machine, **environ)

    found = json.loads(result.stdout)
    assert result.exit_code == 0
    assert [
        word for word in [*PRIVATE, str(machine.home)] if word in result.output
    ] == []
    assert "HTTPS_PROXY" in found["environment"]
    assert [host["name"] for host in found["hosts"]] == ["host-1", "host-2"]
    assert [host["identity"] for host in found["hosts"]] == ["identity-1", "identity-2"]
    assert found["hosts"][0]["git_helpers"] == ["hushkey", "other", "store"]
    assert found["hosts"][1] | {"wild": True, "path_segments": 1} == found["hosts"][1]
    assert found["config"]["identities"][1]["has_client_secret"] is True
    assert "helper-keeps-tokens" in [f["code"] for f in found["findings"]]


def test_hosts_are_named_on_wish(machine: Machine) -> None:
    found = json.loads(report(machine, "--with-hosts").stdout)

    assert found["hosts"][0]["name"] == "git.test"
    assert found["hosts"][0]["identity"] == "corp"


@pytest.mark.parametrize("text", ["[settings", '[host."a.b"]\nidentity = "c4nary"\n'])
def test_wrong_config_is_told_by_its_kind(machine: Machine, text: str) -> None:
    machine.configure(text=text)

    result = report(machine)

    assert json.loads(result.stdout)["config"] == {"error": "ConfigError"}
    assert CANARY not in result.output


def test_log_brings_its_own_words_only(machine: Machine, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        f"{BEGIN} host=git.test url=https://{CANARY} "
        f"code=invalid_grant rule={CANARY} ms=31\n"
        f"{CANARY} tool=https://{CANARY} outcome=Transient\n"
        f"{BEGIN} verb=get outcome=Transient code={CANARY} suberror={CANARY} "
        "status=-1 took=3 ms=7\n"
    )

    # A process of its own, since it writes that log, too.
    done = machine.run("hushkey", "report", HUSHKEY_LOG=str(log))
    lines = json.loads(done.stdout)["log"]

    assert lines[:2] == [
        f"{BEGIN} code=invalid_grant ms=31",
        f"{BEGIN} verb=get outcome=Transient code=other suberror=other "
        "status=-1 took=3 ms=7",
    ]
    assert "tool=hushkey step=asked verb=report" in lines[2]


@pytest.mark.parametrize(
    "line",
    [
        f"step={CANARY}",
        f"{STAMP} step={CANARY}",
        f"{STAMP} pid=1 tool=git step={CANARY} ms=1",
        f"{STAMP} pid=1 tool={CANARY} step=cached ms=1",
        f"{STAMP} pid={CANARY} tool=git step=cached ms=1",
        f"{STAMP}{CANARY} pid=1 tool=git step=cached ms=1",
        f"{CANARY} {BEGIN} ms=1",
        f"{BEGIN} {CANARY} verb={CANARY} outcome={CANARY}",
        f"{BEGIN} code={CANARY} suberror={CANARY}",
        f"{BEGIN} ms={CANARY} took=1{CANARY} status={CANARY}",
        f"{BEGIN} correlation={CANARY} path=/{CANARY}",
        f"{BEGIN}\t{CANARY}",
        f"{BEGIN}\r{CANARY}",
        f"{BEGIN} {BEGIN} {CANARY}",
        f"{BEGIN} ms=1\u2028{CANARY}",
    ],
)
def test_foreign_line_of_the_log_says_nothing(
    machine: Machine, tmp_path: Path, line: str
) -> None:
    log = tmp_path / "log"
    log.write_text(f"{line}\n")

    done = report(machine, HUSHKEY_LOG=str(log))

    assert CANARY not in done.stdout
    assert json.loads(done.stdout)["log"]


def test_what_is_no_log_is_not_read(machine: Machine, tmp_path: Path) -> None:
    """A pipe would be waited for; of a link nobody knows whose file it is."""
    (tmp_path / "file").write_text(f"{BEGIN} ms=1\n")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "none", "."):
        done = report(machine, HUSHKEY_LOG=str(tmp_path / name))

        log = json.loads(done.stdout)["log"]
        assert [line for line in log if "pid=4711" in line] == []


def test_every_word_of_ours_is_known() -> None:
    source = "\n".join(path.read_text() for path in MODULES.values())
    reasons = set(re.findall(r'StoreError\(\s*"([^"]+)"', source))
    steps = {name for path in MODULES.values() for name in step_names(path)}

    assert reasons == set(errors.REASONS)
    assert steps <= tracefile.STEPS
    tools = set(re.findall(r'tracefile\.begin\("(\w+)"', source))
    assert tools < loglines.WRITERS
    assert tools == {"hushkey", "backend"}


def test_long_log_is_cut(machine: Machine, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(f"{BEGIN} ms=1\n" * 10_000)

    done = machine.run("hushkey", "report", HUSHKEY_LOG=str(log))
    assert len(json.loads(done.stdout)["log"]) == 60


# -- written only when seen ----------------------------------------------------------


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_file_is_written_after_a_yes(
    machine: Machine, tmp_path: Path, typed: str, code: int
) -> None:
    file = tmp_path / "report.json"

    result = report(machine, "--output", str(file), typed=typed)

    assert result.exit_code == code
    assert file.exists() is (code == 0)
    if code == 0:
        assert file.read_text() in result.stdout
        assert file.stat().st_mode & 0o777 == 0o600


def test_file_that_exists_is_not_overwritten(machine: Machine, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text("mine")

    assert report(machine, "--output", str(file), "--yes").exit_code == 1
    assert file.read_text() == "mine"
