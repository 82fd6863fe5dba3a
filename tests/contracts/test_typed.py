"""What is typed for a host without a rule: real git, git-lfs and a real keyring."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import do_without
from kit.oauth import BIN, CANARY, Machine
from servers.basic import BasicServer, basic_server
from servers.gits import Git
from servers.secretservice import SecretService

pytestmark = pytest.mark.contract
MakeService = Callable[..., SecretService]
HOST = "protocol=https\nhost=typed.test\n"
AUTHTYPE = "capability[]=authtype\n"


class Typist:
    """A user whose only credential helper is hushkey, and who types when asked."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.folder = machine.home / "work"
        self.folder.mkdir()
        self.asked = self.folder / "asked"
        askpass = self.folder / "askpass"
        askpass.write_text(
            f'#!/bin/sh\necho "$1" >>{self.asked}\n'
            'case $1 in Username*) echo typist;; *) echo "$TYPED";; esac\n'
        )
        askpass.chmod(0o755)
        self.typed = "s3cret"
        (self.folder / "gitconfig").write_text("[credential]\n\thelper = hushkey\n")
        self.askpass = str(askpass)

    @property
    def environ(self) -> dict[str, str]:
        return self.machine.environ | {
            "GIT_CONFIG_GLOBAL": str(self.folder / "gitconfig"),
            "GIT_ASKPASS": self.askpass,
            "TYPED": self.typed,
        }

    def questions(self) -> int:
        """How often a password was asked for since the last look."""
        text = self.asked.read_text() if self.asked.exists() else ""
        self.asked.unlink(missing_ok=True)
        return text.count("Password")

    def git(self, git: Git, *words: str, text: str = "") -> tuple[int, str, str]:
        done = git.run(
            *words, environ=self.environ, cwd=self.folder, stdin=text.encode()
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def fill(self, git: Git, text: str) -> dict[str, str]:
        code, out, err = self.git(git, "credential", "fill", text=text)
        assert (code, err) == (0, ""), err
        return dict(line.split("=", 1) for line in out.splitlines())

    def approve(self, git: Git, text: str) -> str:
        code, out, err = self.git(git, "credential", "approve", text=text)
        assert (code, out) == (0, "")
        return err

    def reject(self, git: Git, text: str) -> str:
        code, out, err = self.git(git, "credential", "reject", text=text)
        assert (code, out) == (0, "")
        return err


@pytest.fixture(params=["file", "keyring"])
def typist(
    request: pytest.FixtureRequest, home: Path, make_secret_service: MakeService
) -> Typist:
    """Someone whose data key lies in a file, and in a real Secret Service."""
    machine = Machine(home)
    if request.param == "file":
        machine.configure(text='[settings]\nkey_store = "file"\n')
    else:
        service = make_secret_service("unlocked")
        machine.environ["DBUS_SESSION_BUS_ADDRESS"] = service.bus_address
    return Typist(machine)


@pytest.fixture
def filed(home: Path) -> Typist:
    machine = Machine(home)
    machine.configure(text='[settings]\nkey_store = "file"\n')
    return Typist(machine)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BasicServer]:
    repository = tmp_path / "served" / "app.git"
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com"]
    work = tmp_path / "origin"
    for words in (
        [*git, "init", "-q", str(work)],
        [*git, "-C", str(work), "commit", "-qm", "x", "--allow-empty"],
        [*git, "clone", "-q", "--bare", str(work), str(repository)],
        [*git, "-C", str(repository), "update-server-info"],
    ):
        subprocess.run(words, check=True, capture_output=True)
    with basic_server(repository.parent) as running:
        yield running


# -- git credential --------------------------------------------------------------


def test_real_git_stores_finds_and_forgets(typist: Typist, git: Git) -> None:
    typist.approve(git, HOST + "username=one\npassword=1\n")
    typist.approve(git, HOST + "username=two\npassword=2\n")
    typist.approve(git, HOST + "path=x\nusername=\npassword=\n")

    assert typist.fill(git, HOST + "username=one\n")["password"] == "1"
    assert typist.fill(git, HOST + "username=two\n")["password"] == "2"
    assert typist.questions() == 0
    assert typist.fill(git, HOST + "username=three\n")["password"] == "s3cret"
    assert typist.questions() == 1

    typist.reject(git, HOST + "username=one\npassword=other\n")
    assert typist.fill(git, HOST + "username=one\n")["password"] == "1"
    typist.reject(git, HOST + "username=one\npassword=1\n")
    assert typist.fill(git, HOST + "username=one\n")["password"] == "s3cret"
    typist.reject(git, HOST)
    assert typist.fill(git, HOST)["username"] == "typist"
    assert typist.questions() == 2


def test_real_git_carries_expiry_refresh_token_and_bearer(
    filed: Typist, new_git: Git
) -> None:
    more = {"password_expiry_utc": "9999999999", "oauth_refresh_token": "again"}
    text = "".join(f"{key}={value}\n" for key, value in more.items())
    filed.approve(new_git, f"{HOST}username=me\npassword=pw\n{text}")
    bearer = "authtype=Bearer\ncredential=tok\n"
    filed.approve(new_git, f"{AUTHTYPE}protocol=https\nhost=bearer.test\n{bearer}")
    gone = "protocol=https\nhost=ephemeral.test\nephemeral=1\n"
    filed.approve(new_git, f"{AUTHTYPE}{gone}{bearer}")

    found = filed.fill(new_git, HOST)
    token = filed.fill(new_git, f"{AUTHTYPE}protocol=https\nhost=bearer.test\n")

    assert {key: found[key] for key in more} == more
    assert (token["authtype"], token["credential"]) == ("Bearer", "tok")
    assert filed.questions() == 0
    filed.fill(new_git, "protocol=https\nhost=bearer.test\n")
    filed.fill(new_git, f"{AUTHTYPE}protocol=https\nhost=ephemeral.test\n")
    assert filed.questions() == 2


def test_nothing_on_disk_or_in_output_shows_the_secret(
    typist: Typist, old_git: Git
) -> None:
    said = typist.approve(old_git, HOST + f"username=me\npassword={CANARY}\n")
    said += typist.reject(old_git, HOST + f"username=me\npassword={CANARY}x\n")

    everything = b"".join(
        p.read_bytes() for p in typist.machine.data.rglob("*") if p.is_file()
    )
    assert CANARY not in said
    assert CANARY.encode() not in everything
    assert b"typed.test" not in everything
    assert typist.fill(old_git, HOST)["password"] == CANARY


# -- git and git-lfs over http ---------------------------------------------------


def test_clone_asks_once_and_again_when_the_password_changes(
    typist: Typist, git: Git, server: BasicServer
) -> None:
    url = f"{server.url}/app.git"

    first = typist.git(git, "clone", "-q", url, f"first-{git.name}")
    assert (first[0], typist.questions()) == (0, 1), first[2]
    second = typist.git(git, "clone", "-q", url, "second")
    assert (second[0], typist.questions()) == (0, 0), second[2]

    server.password = typist.typed = "changed"
    refused = typist.git(git, "ls-remote", url)
    assert (refused[0], typist.questions()) == (128, 0)
    again = typist.git(git, "ls-remote", url)
    assert (again[0], typist.questions()) == (0, 1), again[2]
    assert typist.git(git, "ls-remote", url)[0] == 0
    assert typist.questions() == 0


def test_git_lfs_uses_what_git_stored(
    filed: Typist, old_git: Git, server: BasicServer
) -> None:
    if not shutil.which("git-lfs"):
        do_without("git-lfs is not installed: run tests/prepare")
    url = f"{server.url}/app.git"
    assert filed.git(old_git, "clone", "-q", url, "app")[0] == 0
    assert filed.questions() == 1

    done = filed.git(old_git, "-C", "app", "lfs", "locks")

    assert done[0] == 0, done[2]
    assert filed.questions() == 0
    assert any("/info/lfs/locks" in asked and code == 200 for asked, code in server.log)
    server.password = filed.typed = "changed"
    assert filed.git(old_git, "-C", "app", "lfs", "locks")[0] == 0
    assert filed.questions() == 1  # the refused one was erased, the new one stored
    assert filed.git(old_git, "ls-remote", url)[0] == 0
    assert filed.questions() == 0


# -- the keyring in its states ---------------------------------------------------


def helper(machine: Machine, action: str, **more: str) -> tuple[bytes, str, int]:
    text = f"{HOST}username=me\npassword={CANARY}\n".encode()
    environ = {"DISPLAY": "", **more}
    done = machine.run("git-credential-hushkey", action, stdin=text, **environ)
    assert CANARY.encode() not in done.stderr
    return done.stdout, done.stderr.decode(), done.returncode


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("absent", "hushkey config set key_store file"),
        ("no service", "hushkey config set key_store file"),
        ("locked", "is locked"),
        ("no collection", "has no default collection yet"),
        ("frozen", "gave no answer within 1 s"),
    ],
)
def test_store_without_a_usable_keyring_is_one_line(
    home: Path, make_secret_service: MakeService, state: str, said: str
) -> None:
    service = make_secret_service(state)
    machine = Machine(home)
    machine.configure(text="[settings]\nkeyring_timeout = 1\n")
    if state != "absent":
        machine.environ["DBUS_SESSION_BUS_ADDRESS"] = service.bus_address
    began = time.monotonic()

    out, err, code = helper(machine, "store")

    assert (out, code, err.count("\n")) == (b"", 1, 1)
    assert said in err
    assert "typed.test" in err
    assert helper(machine, "get") == (b"", "", 0)
    assert helper(machine, "erase") == (b"", "", 0)
    assert not list(machine.data.rglob("*.sealed"))
    assert time.monotonic() - began < 10


def test_keyring_locked_later_hides_nothing_and_asks_nobody(
    home: Path, make_secret_service: MakeService
) -> None:
    service = make_secret_service("unlocked")
    machine = Machine(home)
    machine.environ["DBUS_SESSION_BUS_ADDRESS"] = service.bus_address
    assert helper(machine, "store") == (b"", "", 0)
    service.lock()

    for environ in ({}, {"DISPLAY": ":0", "CI": "true"}):
        for action in ("get", "store", "erase"):
            out, err, code = helper(machine, action, **environ)
            assert (out, code, err.count("\n")) == (b"", 1, 1)
            assert "is locked" in err
            assert "unlock it and try again" in err
    assert helper_of_another_host(machine) == (b"", b"", 0)
    service.stop_daemon()
    service.start_daemon(unlocked=True)
    assert helper(machine, "get")[0].endswith(f"password={CANARY}\n".encode())


def helper_of_another_host(machine: Machine) -> tuple[bytes, bytes, int]:
    asked = b"protocol=https\nhost=other.test\n"
    done = machine.run("git-credential-hushkey", "get", stdin=asked)
    return done.stdout, done.stderr, done.returncode


# -- many at once, and killed ----------------------------------------------------


def start(machine: Machine, action: str, text: str) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [str(BIN / "git-credential-hushkey"), action],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=machine.environ,
    )
    assert process.stdin
    process.stdin.write(text.encode())
    process.stdin.close()
    process.stdin = None
    return process


def who(number: int) -> str:
    """One of a hundred and fifty users: 50 of one host, 100 of as many."""
    host = "typed.test" if number % 3 == 0 else f"h{number}.test"
    return f"protocol=https\nhost={host}\nusername=u{number}\n"


@pytest.mark.long
def test_two_hundred_stores_and_erases_lose_and_double_nothing(filed: Typist) -> None:
    machine = filed.machine
    for number in range(50):
        filed.machine.types(f"h{number}.test", f"u{number}", f"p{number}")
    doomed = [
        f"protocol=https\nhost=h{n}.test\nusername=u{n}\npassword=p{n}\n"
        for n in range(50)
    ]
    fresh = [who(100 + n) + f"password=p{100 + n}\n" for n in range(150)]

    crowd = [start(machine, "erase", text) for text in doomed]
    crowd += [start(machine, "store", text) for text in fresh]
    said = {process.communicate(timeout=300) for process in crowd}

    assert said == {(b"", b"")}
    assert {process.returncode for process in crowd} == {0}
    assert sorted(machine.typed()) == sorted(f"p{100 + n}" for n in range(150))
    assert len(machine.typed_store().all_keys()) == 150


@pytest.mark.long
def test_two_hundred_first_stores_make_one_key(filed: Typist) -> None:
    machine = filed.machine

    crowd = [start(machine, "store", who(n) + f"password=p{n}\n") for n in range(200)]
    said = {process.communicate(timeout=300) for process in crowd}

    assert said == {(b"", b"")}
    assert sorted(machine.typed()) == sorted(f"p{n}" for n in range(200))


@pytest.mark.long
def test_kill_at_any_moment_damages_nothing(filed: Typist) -> None:
    """A killed store or erase has happened or not; the others are as they were."""
    import random

    machine, chance = filed.machine, random.Random(5)
    for number in range(20):
        machine.types("typed.test", f"u{number}", f"p{number}")
    began = time.monotonic()
    start(machine, "store", who(999) + "password=x\n").communicate(timeout=60)
    usual = time.monotonic() - began
    for number in range(60):
        action = ("store", "erase")[number % 2]
        secret = f"password=v{number // 2}\n"
        victim = start(machine, action, f"{HOST}username=victim\n{secret}")
        time.sleep(chance.uniform(0, usual))
        victim.kill()
        victim.communicate(timeout=60)

        kept = machine.typed()

        assert len(set(kept)) == len(kept)
        assert {f"p{n}" for n in range(20)} <= set(kept)
        assert len([word for word in kept if word.startswith("v")]) <= 1
    assert not list(machine.data.rglob("*.damaged-*"))
    done = start(machine, "store", f"{HOST}username=victim\npassword=last\n")
    assert done.communicate(timeout=60) == (b"", b"")
    assert "last" in machine.typed()
