"""`hushkey uninstall --all` and `--purge`: a home before and after is the same."""

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hushkey.system import audit
from hushkey_install.cli import main
from hushkey_install.config import addhost
from hushkey_install.register import table
from kit.oauth import CANARY, WELL_KNOWN, Machine, OidcServer, Reply, grant

GITCONFIG = "[user]\n\tname = me\n# kept\n"
PIPCONF = "[global]\ntimeout = 5\n"
#: those that bring settings, and folders, and programs
TOOLS = (("cargo",), ("go",), ("terraform",), ("bazel", "git.test"))
DOCKER = '{\n  "auths": {}\n}\n'


@pytest.fixture
def machine(home: Path) -> Machine:
    """A home with settings of other tools, in which hushkey was used for a while."""
    machine = Machine(home)
    files = {
        ".gitconfig": GITCONFIG,
        ".config/pip/pip.conf": PIPCONF,
        ".config/uv/uv.toml": "# mine\n",
        ".docker/config.json": DOCKER,
    }
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    (home / "bin").mkdir()
    machine.environ["PATH"] = f"{home}/bin:{machine.environ['PATH']}"
    machine.environ["HUSHKEY_AGENT"] = "off"
    return machine


def hushkey(machine: Machine, *words: str, typed: str = "") -> Result:
    environ = {**machine.environ, "NO_COLOR": "1"}
    return CliRunner().invoke(main, words, env=environ, input=typed)


def used(machine: Machine) -> None:
    """Let hushkey be set up, registered with tools, and signed in."""
    machine.configure()
    for words in (*TOOLS, ("git",), ("docker", "git.test"), ("pip",), ("uv",)):
        result = hushkey(machine, "install", *words)
        assert result.exit_code == 0, result.output
    machine.has(grant(f"at-{CANARY}", refresh_token=f"rt-{CANARY}"))
    machine.types("typed.test", "me", CANARY)
    machine.settle()
    asked = b"protocol=https\nhost=git.test\n\n"
    assert machine.run("git-credential-hushkey", "get", stdin=asked).returncode == 0


def snapshot(home: Path) -> dict[str, object]:
    """Everything below *home*: what it is, its mode, what it holds."""
    found: dict[str, object] = {}
    for path in sorted(home.rglob("*")):
        name = str(path.relative_to(home))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_dir():
            found[name] = oct(path.stat().st_mode)
        else:
            found[name] = (oct(path.stat().st_mode), path.read_bytes())
    return found


def test_home_is_as_before(machine: Machine) -> None:
    for name in (".config", ".local", ".local/share"):
        (machine.home / name).mkdir(mode=0o700, exist_ok=True)
    before = snapshot(machine.home)
    with OidcServer() as server:
        machine.issuer = server.issuer
        used(machine)
        assert snapshot(machine.home) != before

        result = hushkey(machine, "uninstall", "--all", "--purge", "--yes")

    assert result.exit_code == 0, result.output
    assert snapshot(machine.home) == before
    assert CANARY not in result.output


def test_folders_that_were_made_go(home: Path) -> None:
    """In a home with nothing in it but one empty folder of the user's."""
    machine = Machine(home)
    machine.environ["HUSHKEY_AGENT"] = "off"
    for name in ("HUSHKEY_CONFIG", "HUSHKEY_DATA_DIR"):
        machine.environ.pop(name, None)
    machine.environ["PATH"] = f"{home}/bin:{machine.environ['PATH']}"
    (home / "bin").mkdir()
    (home / ".config" / "uv").mkdir(parents=True)
    before = snapshot(home)
    words = ("add-host", "git.test", "--issuer", "https://id.test", "--client-id", "me")
    for command in (
        ("config", *words, "--no-probe"),
        ("config", "set", "key_store", "file"),
        ("install", "git"),
        ("install", "docker", "git.test"),
        ("install", "podman", "git.test"),
        ("install", "uv", "--launcher", home / "bin"),
        ("install", "agent"),
    ):
        result = hushkey(machine, *map(str, command))
        assert result.exit_code == 0, result.output
    assert (home / ".config" / "systemd" / "user").is_dir()

    result = hushkey(machine, "uninstall", "--all", "--purge", "--yes")

    assert result.exit_code == 0, result.output
    assert snapshot(home) == before


CHOSEN = {
    "HUSHKEY_CONFIG": "mine/config/config.toml",
    "HUSHKEY_DATA_DIR": "mine/data",
    "HUSHKEY_RUNTIME_DIR": "mine/run",
}


@pytest.mark.parametrize("there", [True, False])
def test_chosen_folders_go_if_hushkey_made_them(home: Path, *, there: bool) -> None:
    machine = Machine(home)
    machine.environ["HUSHKEY_AGENT"] = "on"
    for name, place in CHOSEN.items():
        path = home / place
        machine.environ[name] = str(path)
        if there:
            folder = path.parent if path.suffix else path
            folder.mkdir(mode=0o700, parents=True)
    before = snapshot(home)
    words = ("add-host", "git.test", "--issuer", "https://id.test", "--client-id", "me")
    for command in (("config", *words, "--no-probe"), ("agent", "start")):
        result = hushkey(machine, *command)
        assert result.exit_code == 0, result.output
    used = {path.name for path in (home / "mine").iterdir()}

    result = hushkey(machine, "uninstall", "--all", "--purge", "--yes")

    assert result.exit_code == 0, result.output
    assert used >= {"config", "run"}
    assert snapshot(home) == before


def test_purge_takes_the_audit_log_and_nothing_of_others(machine: Machine) -> None:
    """The data folder may be one that somebody chose, with files of other programs."""
    used(machine)
    audit.record(machine.environ, tool="git", host="git.test", outcome="given")
    (machine.data / "audit.log.1").write_text("{}\n")
    elsewhere = machine.home / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("theirs")
    shutil.rmtree(machine.data / "discovery", ignore_errors=True)
    (machine.data / "discovery").symlink_to(elsewhere)
    others = {"notes.new", "program.compiled", "disk.corrupt"}
    for name in others:
        (machine.data / name).write_text("theirs")

    result = hushkey(machine, "uninstall", "--all", "--purge", "--yes")

    assert result.exit_code == 0, result.output
    assert {path.name for path in machine.data.iterdir()} == others
    assert (elsewhere / "kept").exists()


def test_all_without_purge_keeps_what_is_stored(machine: Machine) -> None:
    used(machine)

    result = hushkey(machine, "uninstall", "--all")

    assert result.exit_code == 0, result.output
    assert (machine.home / ".gitconfig").read_text() == GITCONFIG
    assert (machine.home / ".config/pip/pip.conf").read_text() == PIPCONF
    assert (machine.home / ".docker/config.json").read_text() == DOCKER
    assert machine.stored() == [f"at-{CANARY}"]
    assert machine.config_file.exists()
    again = hushkey(machine, "uninstall", "--all")
    assert "no tool was registered" in again.stderr


def test_each_tool_that_is_taken_out_says_so_once(machine: Machine) -> None:
    used(machine)

    alone = [hushkey(machine, "uninstall", name).stderr for name in ("pip", "go")]
    every = hushkey(machine, "uninstall", "--all").stderr

    assert alone == [f"{name} no longer asks hushkey\n" for name in ("pip", "go")]
    for name in ("git", "docker", "uv", "cargo", "terraform", "bazel"):
        assert every.count(f"{name} no longer asks hushkey") == 1
    assert "pip" not in every
    assert "no longer" not in hushkey(machine, "uninstall", "pip").stderr


def test_what_there_is_none_of_is_not_counted(machine: Machine) -> None:
    machine.configure()
    for verb in (("uninstall", "--all", "--purge", "--dry-run"), ("reset", "--yes")):
        machine.has(grant(f"at-{CANARY}"))
        said = hushkey(machine, *verb).stderr
        assert "1 stored sign-in" in said
        assert "0 " not in said


def test_dry_run_changes_nothing(machine: Machine) -> None:
    used(machine)
    before = snapshot(machine.home)

    result = hushkey(machine, "uninstall", "--all", "--purge", "--dry-run")

    assert result.exit_code == 0
    assert str(machine.data / "tokens") in result.stdout
    assert "1 stored sign-in and 1 typed credential" in result.stderr
    assert snapshot(machine.home) == before


def test_a_no_leaves_everything_as_it_was(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addhost, "is_person", lambda: True)
    used(machine)
    before = snapshot(machine.home)

    result = hushkey(machine, "uninstall", "--all", "--purge", typed="n\n")

    assert result.exit_code == 1
    assert snapshot(machine.home) == before
    assert "nothing was changed" in result.stderr


def test_one_question_names_all_that_goes(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addhost, "is_person", lambda: True)
    machine.issuer = "http://127.0.0.1:9"
    used(machine)
    for n in range(10, 26):
        machine.types(f"host{n}.test", f"me{n}", CANARY)

    result = hushkey(machine, "uninstall", "--all", "--purge", typed="y\n")

    assert result.exit_code == 0, result.output
    told, question, after = result.stderr.partition("[y/N]")
    assert question
    assert "?" not in after
    for words in (
        "tools: git, docker, pip, uv",
        "signed in: corp (me@example.com)\n",
        "me10@host10.test (git), me11@host11.test (git)",
        "me19@host19.test (git) and 7 more\n",
        "1 stored sign-in and 17 typed credentials",
    ):
        assert words in told
    assert CANARY not in result.output
    assert not machine.data.exists()


def test_nobody_to_be_asked_changes_nothing(machine: Machine) -> None:
    used(machine)
    before = snapshot(machine.home)

    result = hushkey(machine, "uninstall", "--all", "--purge", typed="y\n")

    assert result.exit_code == 1
    assert not result.stdout
    assert "nothing was changed; run `hushkey uninstall --all --purge --yes`" in (
        result.stderr
    )
    assert snapshot(machine.home) == before


def test_purge_that_cannot_name_them_counts_them(machine: Machine) -> None:
    """Neither a lost key nor a wrong config keeps anybody, and neither is a secret."""
    used(machine)
    (machine.data / "key").unlink()

    result = hushkey(machine, "uninstall", "--all", "--purge", "--dry-run")

    assert result.exit_code == 0
    assert "signed in: corp\n" in result.stderr
    assert "typed: " not in result.stderr
    assert "1 stored sign-in and 1 typed credential" in result.stderr


def test_files_of_others_in_our_folders_stay(machine: Machine) -> None:
    used(machine)
    mine = [machine.data / "notes.txt", machine.config_file.with_name("mine.toml")]
    for path in mine:
        path.write_text("mine")

    assert hushkey(machine, "uninstall", "--all", "--purge", "--yes").exit_code == 0

    left = [p for p in machine.data.rglob("*") if p.is_file()]
    assert [*left, *machine.config_file.parent.iterdir()] == mine


def test_config_that_is_a_link_loses_the_link_only(machine: Machine) -> None:
    used(machine)
    dotfile = machine.home / "dotfiles.toml"
    machine.config_file.rename(dotfile)
    machine.config_file.symlink_to(dotfile)

    assert hushkey(machine, "uninstall", "--all", "--purge", "--yes").exit_code == 0

    assert dotfile.exists()
    assert not machine.config_file.is_symlink()


def test_wrong_config_does_not_keep_anybody(machine: Machine) -> None:
    used(machine)
    machine.configure(text="[settings\n")

    result = hushkey(machine, "uninstall", "--all", "--purge", "--yes")

    assert not machine.data.exists()
    assert not machine.config_file.exists()
    assert "internal error" not in result.output


def test_a_tool_that_fails_keeps_no_other_registered(machine: Machine) -> None:
    used(machine)
    docker = machine.home / ".docker/config.json"
    docker.write_text("{ not json")

    result = hushkey(machine, "uninstall", "--all")

    assert result.exit_code == 1
    assert "docker: " in result.stderr
    assert (machine.home / ".gitconfig").read_text() == GITCONFIG
    assert (machine.home / ".config/pip/pip.conf").read_text() == PIPCONF


def test_purge_keeps_what_a_tool_needs_that_could_not_be_taken_out(
    machine: Machine,
) -> None:
    """Yarn would refuse every command without its plug-in."""
    used(machine)
    assert hushkey(machine, "install", "yarn", "git.test").exit_code == 0
    settings = machine.home / ".yarnrc.yml"
    good = settings.read_text()
    settings.write_text(f"{good}? [x\n")

    result = hushkey(machine, "uninstall", "--all", "--purge", "--yes")

    assert result.exit_code == 1
    assert "yarn: " in result.stderr
    assert "done" not in result.stderr
    left = sorted(path.name for path in machine.data.iterdir())
    assert left == ["folders", "installed", "programs"]
    assert (machine.data / "programs/yarn-plugin-hushkey.cjs").exists()
    assert not machine.config_file.exists()

    settings.write_text(good)
    assert hushkey(machine, "uninstall", "--all", "--purge", "--yes").exit_code == 0
    assert not machine.data.exists()
    assert not settings.exists()


@pytest.mark.parametrize("words", [("git",), ("--all",)])
def test_file_that_git_cannot_read_is_not_one_without_us(
    machine: Machine, words: tuple[str, ...]
) -> None:
    used(machine)
    gitconfig = machine.home / ".gitconfig"
    gitconfig.write_text(f"{gitconfig.read_text()}[broken\n")

    result = hushkey(machine, "uninstall", *words)

    assert result.exit_code == 1
    assert "git config failed: fatal: bad config line" in result.stderr
    assert "hushkey" in gitconfig.read_text()


def test_server_that_is_down_keeps_nobody(machine: Machine) -> None:
    machine.issuer = "http://127.0.0.1:9"
    used(machine)

    result = hushkey(machine, "uninstall", "--all", "--purge", "--yes")

    assert result.exit_code == 0, result.output
    assert not machine.data.exists()


def test_sign_ins_are_revoked(machine: Machine) -> None:
    with OidcServer() as server:
        server.metadata["revocation_endpoint"] = f"{server.issuer}/revoke"
        server.on(WELL_KNOWN, Reply(server.metadata))
        server.on("/revoke", Reply())
        machine.issuer = server.issuer
        used(machine)

        assert hushkey(machine, "uninstall", "--all", "--purge", "--yes").exit_code == 0

        assert server.calls_to("/revoke")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Usage"),
        (("--purge",), "name a tool, or --all"),
        (("--all", "git"), "after the tool's name"),
    ],
)
def test_wrong_usage(machine: Machine, words: tuple[str, ...], said: str) -> None:
    result = hushkey(machine, "uninstall", *words)

    assert result.exit_code in (0, 2)
    assert said in result.output


def test_every_registration_is_taken_out(machine: Machine) -> None:
    """A tool more is one of the table, and needs nothing here."""
    seen = []
    for tool in table.REGISTRATIONS:
        plan = tool.undo(dict(machine.environ), ())
        seen.append((tool.name, plan.show()))

    assert [name for name, shown in seen if shown] == []
    assert json.dumps(seen)
