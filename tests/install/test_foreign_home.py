"""Root with the HOME of another user, who planted links, ledgers and locks.

As after `sudo` with HOME kept. Whatever is run: nothing of root's is read into that
home, written, narrowed, deleted or killed, and nothing of root's is left there.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hushkey.store.typed import StoredCredential
from hushkey.store.typed_index import CredentialKey
from hushkey_helpers.agent import start as starting
from hushkey_install.cli import main
from hushkey_install.common import agentcontrol
from kit.oauth import BIN, CONFIG, Machine, grant

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can be fooled with another user's files"
)
THEM = 65534
HELPER = "docker-credential-hushkey"
ROOTS = "[alias]\n\tst = status\n"
EVIL = "[core]\n\tsshCommand = evil\n"
OURS = "protocol=https\nhost=git.test\n"
TYPED = "protocol=https\nhost=typed.test\nusername=me\npassword=pw\n"
LOGIN = '{"ServerURL": "typed.test", "Username": "me", "Secret": "pw"}'


class Trap:
    """A home of another user's, and a folder of root's that it leads to."""

    def __init__(self, home: Path, roots: Path) -> None:
        self.home = home
        self.roots = roots
        self.data = home / ".local" / "share" / "hushkey"
        self.environ = {**Machine(home).environ, "HUSHKEY_INTERACTIVE": "never"}
        roots.mkdir(mode=0o755)
        config = roots / "own.toml"
        config.write_text(CONFIG.replace("{issuer}", "https://id.test"))
        config.chmod(0o644)

    def root_file(self, name: str, text: str) -> Path:
        path = self.roots / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def link(self, name: str, target: Path) -> None:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    def write(self, name: str, text: str) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def note(self, tool: str, **notes: object) -> None:
        """Plant a ledger of hushkey's."""
        self.write(f".local/share/hushkey/installed/{tool}.json", json.dumps(notes))

    def give_away(self) -> None:
        for path in self.roots.rglob("*.toml"):
            os.utime(
                path, (1_600_000_000, 1_600_000_000)
            )  # old: its compiled form is kept
        for path in (self.home, *self.home.rglob("*")):
            os.chown(path, THEM, THEM, follow_symlinks=False)

    def state(self) -> list[object]:
        """All that is in both places, to the byte and the mode."""
        found: list[object] = []
        for top in (self.home, self.roots):
            for path in (top, *sorted(top.rglob("*"))):
                status = path.lstat()
                plain = path.is_file() and not path.is_symlink()
                content = path.read_bytes() if plain else b""
                found.append((path, status.st_mode, status.st_uid, content))
        return found


def git_traps(trap: Trap) -> None:
    real = trap.root_file("gitconfig", ROOTS)
    trap.link(".gitconfig", real)
    path = str(trap.home / ".gitconfig")
    trap.note("git", path=path, existed=True, before=EVIL, after=ROOTS)


def pip_traps(trap: Trap) -> None:
    text = "[global]\nkeyring-provider = subprocess\n"
    for tool, name in (("pip", "pip/pip.conf"), ("uv", "uv/uv.toml")):
        trap.root_file(name, text)
        trap.link(f".config/{tool}", trap.roots / tool)
        notes = {"before": "", "after": text, "value": "", "existed": False}
        trap.note(tool, path=str(trap.home / ".config" / name), **notes)
    keyring = trap.roots / "keyring"
    keyring.symlink_to(BIN / "hushkey-keyring")
    trap.note("keyring-launcher", path=str(keyring), tools=["pip"])
    (trap.home / "bin").mkdir()
    trap.environ["PATH"] = f"{trap.home}/bin:{trap.environ['PATH']}"


def docker_traps(trap: Trap) -> None:
    trap.root_file("docker/config.json", '{"credHelpers": {"a.test": "hushkey"}}')
    trap.link(".docker", trap.roots / "docker")
    trap.root_file("auth.json", "{}")
    trap.link(".config/containers/auth.json", trap.roots / "auth.json")


def data_trap(trap: Trap) -> None:
    """The data folder leads to one of root's, which is open to others."""
    place = trap.roots / "data"
    place.mkdir(mode=0o755)
    (place / "x.sealed.damaged-1").write_text("root's own")
    trap.link(".local/share/hushkey", place)


def config_trap(trap: Trap) -> None:
    real = trap.root_file("config/config.toml", CONFIG.replace("{issuer}", "https://x"))
    trap.link(".config/hushkey", real.parent)


def copies_trap(trap: Trap) -> None:
    """What `import` and `doctor` look for."""
    real = trap.root_file("credentials", "https://me:pw@typed.test\n")
    trap.link(".git-credentials", real)
    real = trap.root_file("backup", "url = https://me:pw@typed.test\n")
    trap.link(".gitconfig.hushkey-backup", real)


#: the last ones need the folders that the first ones lead away
PLANS: dict[str, tuple[Callable[[Trap], None], ...]] = {
    "notes": (git_traps, pip_traps, docker_traps, copies_trap),
    "data folder": (data_trap, config_trap),
    "nothing planted": (),
}
#: whose config and data count: all of the other user's, or root's own by variables
WAYS = {
    "all theirs": (),
    "own config": ("HUSHKEY_CONFIG",),
    "own config and data": ("HUSHKEY_CONFIG", "HUSHKEY_DATA_DIR"),
}
VERBS: dict[str, list[str]] = {
    name: name.split()
    for name in (
        "install git",
        "install docker a.test",
        "install podman a.test",
        "install pip",
        "install uv",
        "install agent",
        "uninstall git",
        "uninstall docker",
        "uninstall podman",
        "uninstall pip",
        "uninstall uv",
        "uninstall agent",
        "doctor --fix --yes",
        "agent start",
        "agent status",
        "agent stop",
        "config set agent false",
        "config edit",
        "config add-host other.test --identity corp",
        "reset --yes",
        "import --yes",
        "login git.test",
        "logout --local git.test",
    )
}
PROGRAMS = {
    "docker get": ([HELPER, "get"], "other.test"),
    "docker store": ([HELPER, "store"], LOGIN),
    "docker erase": ([HELPER, "erase"], "typed.test"),
    "git get": (["git-credential-hushkey", "get"], OURS),
    "git store": (["git-credential-hushkey", "store"], TYPED),
    "git erase": (["git-credential-hushkey", "erase"], TYPED),
    "keyring get": (["hushkey-keyring", "get", "http://git.test/", "me"], ""),
}


@pytest.fixture(params=PLANS)
def trap(request: pytest.FixtureRequest, home: Path, tmp_path: Path) -> Trap:
    made = Trap(home, tmp_path / "roots")
    for plant in PLANS[request.param]:
        plant(made)
    made.environ |= {"EDITOR": "/bin/true", "TMPDIR": str(tmp_path)}
    made.give_away()
    return made


def choose(trap: Trap, way: str, tmp_path: Path) -> None:
    places = {
        "HUSHKEY_CONFIG": trap.roots / "own.toml",
        "HUSHKEY_DATA_DIR": tmp_path / "data",
    }
    trap.environ |= {name: str(places[name]) for name in WAYS[way]}


def hushkey(trap: Trap, *argv: str) -> Result:
    return CliRunner().invoke(main, argv, env=trap.environ)


@pytest.mark.parametrize(
    ("verb", "way"),
    [
        (verb, way)
        for verb in VERBS
        for way in WAYS
        # root's own config is root's to change
        if way == "all theirs" or not verb.startswith("config")
    ],
)
def test_verb_changes_nothing_of_either(
    trap: Trap, tmp_path: Path, verb: str, way: str
) -> None:
    choose(trap, way, tmp_path)
    before = trap.state()

    result = hushkey(trap, *VERBS[verb])

    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert trap.state() == before
    complaints = [x for x in result.stderr.splitlines() if x.startswith("hushkey: ")]
    assert len(complaints) <= 1 or verb.startswith("doctor")


@pytest.mark.parametrize("way", [w for w in WAYS if w != "own config and data"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_helper_changes_nothing_of_either(
    trap: Trap, tmp_path: Path, name: str, way: str
) -> None:
    choose(trap, way, tmp_path)
    before = trap.state()
    words, stdin = PROGRAMS[name]

    done = subprocess.run(
        [str(BIN / words[0]), *words[1:]],
        input=stdin.encode(),
        capture_output=True,
        env={**trap.environ, "HUSHKEY_AGENT": "on"},
        timeout=60,
        check=False,
        start_new_session=True,
    )

    assert trap.state() == before
    assert b"Traceback" not in done.stderr
    # The same line once more comes from the next `keyring` on PATH, which is ours too.
    assert len(set(done.stderr.splitlines())) <= 1
    if name.endswith("store"):
        assert b"belongs to another user" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "verb", ["install git", "uninstall git", "install pip", "agent stop", "import"]
)
def test_one_line_says_whose_it_is(home: Path, tmp_path: Path, verb: str) -> None:
    trap = Trap(home, tmp_path / "roots")
    trap.give_away()

    result = hushkey(trap, *verb.split())

    assert result.exit_code in (5, 6)
    assert result.stderr.count("hushkey: ") == 1
    assert "belongs to another user" in result.stderr


def test_docker_s_helper_has_nothing_of_another_user_s(
    home: Path, tmp_path: Path
) -> None:
    """Not an error: docker would not go on to pull what is public."""
    machine = Machine(home)
    machine.configure()
    key = CredentialKey("docker", "https", "typed.test", user="me")
    machine.typed_store().store(
        StoredCredential(key, {"username": "me", "secret": "pw"})
    )
    trap = Trap(home, tmp_path / "roots")
    trap.give_away()

    for way in ("all theirs", "own config"):
        choose(trap, way, tmp_path)
        machine.environ = trap.environ
        done = machine.run(HELPER, "get", stdin=b"typed.test")

        assert done.stdout == b"credentials not found in native keychain\n"
        assert done.stderr.count(b"belongs to another user") == 1


# -- locks and processes -------------------------------------------------------------


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that is nobody's agent."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as process:
        yield process
        process.kill()


def locked(folder: Path, pid: int) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(starting.lock_path(str(folder)), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.write(descriptor, b"%d\n" % pid)
    return descriptor


@pytest.mark.parametrize("whose", ["file", "folder", "nobody's"])
@pytest.mark.parametrize("named", ["sleeper", "1"])
def test_lock_that_names_another_process_kills_nothing(
    home: Path,
    sleeper: "subprocess.Popen[bytes]",
    monkeypatch: pytest.MonkeyPatch,
    named: str,
    whose: str,
) -> None:
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append(pid))
    monkeypatch.setattr(agentcontrol, "_PATIENCE", 0.1)
    folder = Path(os.environ["XDG_RUNTIME_DIR"]) / "hushkey"
    folder.mkdir(mode=0o700)
    descriptor = locked(folder, sleeper.pid if named == "sleeper" else 1)
    if whose == "file":
        os.chown(folder / "agent.lock", THEM, THEM)
    elif whose == "folder":
        os.chown(folder, THEM, THEM)
    try:
        for verb in ("stop", "status"):
            result = CliRunner().invoke(main, ["agent", verb], env=dict(os.environ))
            assert result.exception is None or isinstance(result.exception, SystemExit)
    finally:
        os.close(descriptor)

    assert killed == []
    assert sleeper.poll() is None


def test_agent_of_ours_that_hangs_is_killed(
    home: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    """The number counts where process, user and name agree."""
    sleeper.kill()
    rename = "import ctypes; ctypes.CDLL(None).prctl(15, b'hushkey-agent', 0, 0, 0);"
    code = f"{rename}print('named', flush=True); input()"
    words = [sys.executable, "-c", code]
    with subprocess.Popen(words, stdin=-1, stdout=-1) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"named\n"
        starting.kill(process.pid)

        assert process.wait(10) == -signal.SIGKILL


def test_agent_status_leaves_no_lock(home: Path) -> None:
    folder = Path(os.environ["XDG_RUNTIME_DIR"]) / "hushkey"
    folder.mkdir(mode=0o700)

    CliRunner().invoke(main, ["agent", "status"], env=dict(os.environ))
    CliRunner().invoke(main, ["agent", "stop"], env=dict(os.environ))

    assert list(folder.iterdir()) == []


# -- notes of one's own ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["victim", "keyring/victim", "../victim"])
def test_note_that_names_what_install_never_makes_is_not_obeyed(
    home: Path, name: str
) -> None:
    machine = Machine(home)
    machine.configure()
    bin_folder = home / "bin"
    (bin_folder / "keyring").mkdir(parents=True)
    victim = bin_folder / name
    victim.symlink_to(BIN / "hushkey-keyring")
    notes = machine.data / "installed" / "keyring-launcher.json"
    notes.parent.mkdir(parents=True)
    notes.write_text(json.dumps({"path": str(victim), "tools": ["pip"]}))

    CliRunner().invoke(main, ["uninstall", "pip"], env=machine.environ)

    assert victim.is_symlink()


# -- folders that were there --------------------------------------------------------


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770])
def test_data_folder_that_others_can_write_is_refused_and_not_narrowed(
    home: Path, tmp_path: Path, mode: int
) -> None:
    machine = Machine(home)
    machine.configure()
    place = tmp_path / "shared"
    place.mkdir()
    place.chmod(mode)
    machine.environ |= {
        "HUSHKEY_DATA_DIR": str(place),
        "HUSHKEY_RUNTIME_DIR": str(place),
    }

    for argv in (["install", "git"], ["doctor", "--fix", "--yes"], ["agent", "status"]):
        CliRunner().invoke(main, argv, env=machine.environ)
    done = machine.run("git-credential-hushkey", "store", stdin=TYPED.encode())

    assert b"is open to others" in done.stderr
    assert place.stat().st_mode & 0o7777 == mode
    assert list(place.iterdir()) == []


def test_data_folder_that_others_can_see_is_used_as_it_is(home: Path) -> None:
    machine = Machine(home)
    machine.configure()
    machine.data.mkdir(parents=True)
    machine.data.chmod(0o755)

    machine.has(grant("at-1"))
    machine.settle()
    machine.run("git-credential-hushkey", "get", stdin=OURS.encode())

    assert machine.stored() == ["at-1"]
    assert machine.data.stat().st_mode & 0o777 == 0o755
    modes = {p.stat().st_mode & 0o077 for p in machine.data.rglob("*")}
    assert modes == {0}


def test_umask_of_nothing_opens_nothing(home: Path) -> None:
    machine = Machine(home)
    (home / "bin").mkdir()
    machine.environ["PATH"] = f"{home}/bin:{machine.environ['PATH']}"
    before = os.umask(0)
    try:
        for argv in (
            ["config", "set", "key_store", "file"],
            [
                "config",
                "add-host",
                "git.test",
                "--issuer",
                "https://id.test",
                "--client-id",
                "c",
            ],
            ["install", "git"],
            ["install", "pip"],
            ["install", "uv"],
            ["install", "docker", "a.test"],
        ):
            result = CliRunner().invoke(main, argv, env=machine.environ)
            assert result.exit_code == 0, result.output
        machine.run("git-credential-hushkey", "store", stdin=TYPED.encode())
    finally:
        os.umask(before)

    made = [p for p in home.rglob("*") if p.name not in ("run", "bin")]
    opened = {p: oct(p.lstat().st_mode) for p in made if p.lstat().st_mode & 0o022}
    assert {p for p in opened if not p.is_symlink()} == set()
    assert machine.typed() == ["pw"]
