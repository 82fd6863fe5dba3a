"""Every command, in a place where all that has a name has a hostile one.

Home, config, sign-ins, git's and docker's files, the server's answers and the words
of the command line hold each kind of character that no screen shows as itself. Which
commands there are is click's own list, so that a new one is walked, too.
"""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import click
import pytest
from click.testing import CliRunner, Result

from hushkey.model import Account, TokenKey
from hushkey_install.cli import main
from kit.oauth import BIN, Machine, OidcServer, grant
from kit.unseen import HOSTILE, unseen

#: what a checked text of the config may hold: Python calls it printable
SLY = "".join(c for c in HOSTILE if c.isprintable())
#: what a URL in the config may hold
IN_URL = "".join(c for c in HOSTILE if c > "\x7f")
FORGED = "\nhushkey: signed in to evil.test\n"
WORDS = {
    "url": f"https://{quote(f'me{FORGED}{HOSTILE}')}@git.test/{HOSTILE}/x",
    "host": f"git.test{HOSTILE}{FORGED}",
    "identity": f"corp{HOSTILE}{FORGED}",
    "option": f"--{HOSTILE}{FORGED}",
    "known": "git.test",
}
#: beside its arguments: what makes a command say more
MORE = {
    "config add-host": [
        ["new.test", "--identity", WORDS["identity"]],
        ["new.test", "--client-id", "c", "--issuer", f"https://id.test/{IN_URL}"],
        ["new.test", "--dry-run", "--set", WORDS["identity"]],
    ],
    "config set": [["agent", WORDS["host"]], [f'identity."{SLY}".account', SLY]],
    "config unset": [["agent"], [f'identity."{SLY}"']],
    "doctor": [["--fix", "--yes"]],
    "import": [["--dry-run"], ["--yes"]],
    "report": [["--with-hosts"], ["--yes", "--output", f"out{HOSTILE}"]],
    "reset": [["--yes"]],
}


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        elif name != "demo":  # which brings every name itself
            yield (*path, name)


COMMANDS = [" ".join(path) for path in leaves(main)]


def basic(text: str) -> str:
    """*text* as a TOML string, all of it escaped."""
    return '"' + "".join(f"\\U{ord(c):08x}" for c in text) + '"'


NAME = basic(WORDS["identity"])
CONFIGS = {
    "good": f"""
[settings]
key_store = "file"

[identity.{basic("corp" + SLY)}]
provider = "oidc"
client_id = "c"
issuer = "ISSUER"

[identity.{NAME}]
provider = "oidc"
client_id = "c2"
issuer = "ISSUER"

[identity.sly]
provider = "oidc"
client_id = {basic("c" + SLY)}
issuer = {basic("https://id.test/" + IN_URL)}
account = {basic("me" + SLY)}

[host."git.test"]
identity = {basic("corp" + SLY)}
scopes = ["git"]
[host."other.test"]
identity = "sly"
username = {basic("u" + SLY)}
scopes = [{basic("s" + SLY)}]
# {IN_URL}
""",
    "wrong": f"""
[{NAME}]
[settings]
{NAME} = 1
[identity.x]
provider = {NAME}
[host.{NAME}]
identity = {NAME}
""",
    "broken": f"[identity]\nname = {HOSTILE}\n",
}


@pytest.fixture(scope="module")
def server() -> Iterator[OidcServer]:
    with OidcServer() as running:
        running.refuses(f"odd{HOSTILE}", error_description=f"no{FORGED}{HOSTILE}")
        yield running


@pytest.fixture
def machine(home: Path, server: OidcServer, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A user whose sign-in to git.test has expired, and is refused by the server."""
    folder = home / f"home{HOSTILE}{FORGED}".replace("/", "")
    folder.mkdir()
    made = Machine(folder, server.issuer)
    with made.token_file().change(5) as change:
        account = Account("user-1", f"me{FORGED}{HOSTILE}")
        granted = grant("at", refresh_token="rt", account=account)
        change.cache.keep(granted, account, TokenKey(("git",)), int(time.time()) - 7200)
        change.save()
    programs = folder / "bin"
    programs.mkdir()
    for program in BIN.glob("*hushkey*"):
        (programs / program.name).symlink_to(program)
    (programs / "git").symlink_to(shutil.which("git") or "git")
    (folder / ".gitconfig").write_text(
        f'[credential "https://git.test/{SLY}"]\n\thelper = hushkey\n'
        f'[credential "https://git.test"]\n\thelper = "x{IN_URL}"\n\thelper = store\n'
    )
    (folder / ".git-credentials").write_text(
        f"https://{quote(f'me{HOSTILE}')}:pw@typed.test\n"
        f"https://me:pw@{quote(f'host{HOSTILE}')}\n"
    )
    docker = folder / ".docker" / "config.json"
    docker.parent.mkdir()
    auths = {f"r.test{HOSTILE}": {"auth": "bWU6cHc="}}
    docker.write_text(json.dumps({"auths": auths}))
    monkeypatch.chdir(folder)
    made.environ |= {
        "HOME": str(folder),
        "PATH": str(programs),
        "XDG_CONFIG_HOME": str(folder / ".config"),
        "XDG_DATA_HOME": str(folder / ".local" / "share"),
        "HUSHKEY_INTERACTIVE": "never",
        "EDITOR": "/bin/true",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "COLUMNS": "1000",
    }
    return made


def calls(command: str) -> Iterator[list[str]]:
    """Ways to call *command*: with no word, with each hostile one, and its own."""
    yield []
    yield from ([word] for word in WORDS.values())
    yield [WORDS["host"], WORDS["identity"], WORDS["url"]]
    yield from MORE.get(command, ())


def run(machine: Machine, words: list[str]) -> Result:
    result = CliRunner().invoke(main, words, env=machine.environ, input="y\n" * 9)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_unseen_and_no_forged_line_is_shown(
    command: str, config: str, machine: Machine
) -> None:
    machine.configure(text=CONFIGS[config].replace("ISSUER", machine.issuer))
    for words in calls(command):
        result = run(machine, [*command.split(), *words])

        shown = result.stdout + result.stderr
        assert unseen(shown) == set(), (words, shown)
        assert "\nhushkey: signed in to evil" not in f"\n{shown}", (words, shown)


#: whose user name is hostile, and nothing else
URL = f"https://{quote(f'me{IN_URL}')}@git.test/x"


@pytest.mark.parametrize("config", CONFIGS)
def test_helpers_say_nothing_unseen(machine: Machine, config: str) -> None:
    """On stderr, and on stdout where docker shows an error of its helper's."""
    machine.configure(text=CONFIGS[config].replace("ISSUER", machine.issuer))
    name = quote(IN_URL)
    asked = f"protocol=https\nhost=git.test\nusername=me{IN_URL}\npath={IN_URL}\n\n"
    calls = (
        (("git-credential-hushkey", "get"), asked),
        (("git-credential-hushkey", "store"), f"{asked[:-1]}password=x\n\n"),
        (("git-credential-hushkey", "get"), asked.replace("git.test", HOSTILE)),
        (("docker-credential-hushkey", "get"), f"https://git.test/{HOSTILE}"),
        (("docker-credential-hushkey", "get"), f"x{HOSTILE}"),
        (("hushkey-keyring", "get", f"https://me{name}@git.test/", f"me{HOSTILE}"), ""),
        (("hushkey-keyring", "set", f"https://git.test/{name}", f"me{HOSTILE}"), ""),
    )
    said = ""
    for words, stdin in calls:
        done = machine.run(*words, stdin=stdin.encode())
        said += done.stderr.decode()
        if "docker" in words[0]:
            said += done.stdout.decode()

    assert unseen(said) == set()
    assert "hushkey: signed in to evil" not in said.splitlines()
    assert len(said.splitlines()) >= (5 if config == "good" else 6)


def test_names_are_really_shown(machine: Machine) -> None:
    """Else the walk would find nothing for want of names."""
    machine.configure(text=CONFIGS["good"].replace("ISSUER", machine.issuer))

    status, said = (
        run(machine, words).stdout for words in (["status"], ["explain", URL])
    )

    assert "corp" in status, run(machine, ["config", "check"]).stderr
    assert "sly" in status
    assert "me hushkey: signed in to evil.test" in status
    assert "corp" in said, run(machine, ["explain", URL]).stderr
    assert "user name me" in said


def test_completion_shows_nothing_unseen(machine: Machine) -> None:
    machine.configure(text=CONFIGS["good"].replace("ISSUER", machine.issuer))
    for shell, word in (("bash", "2"), ("zsh", "2"), ("fish", "")):
        done = machine.run(
            "hushkey",
            _HUSHKEY_COMPLETE=f"{shell}_complete",
            COMP_WORDS="hushkey login",
            COMP_CWORD=word,
        )

        assert "git.test" in done.stdout.decode(), done
        assert unseen(done.stdout.decode()) == set()
