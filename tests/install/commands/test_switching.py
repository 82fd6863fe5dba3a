import json
import os
import pty
import select
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hushkey.model import Account, TokenKey
from hushkey_install.cli import main
from kit.oauth import CONFIG, Machine, grant

ALICE, BOB, CAROL = (
    Account(f"id-{name}", f"{name}@example.com") for name in ("alice", "bob", "carol")
)
GIT = TokenKey(("git",))


@pytest.fixture
def machine(home: Path) -> Machine:
    made = Machine(home)
    made.configure()
    made.environ |= {"HUSHKEY_INTERACTIVE": "never", "HUSHKEY_AGENT": "off"}
    return made


def signed_in(machine: Machine, *accounts: Account, key: TokenKey = GIT) -> None:
    """Let *accounts* have been signed in by name: nobody was chosen."""
    with machine.token_file().change(5) as change:
        for account in accounts:
            name = account.label.partition("@")[0]
            granted = grant(f"at-{name}", refresh_token=name, account=account)
            change.cache.keep(granted, account, key, int(time.time()))
        change.save()


def hushkey(machine: Machine, *words: str, code: int = 0) -> Result:
    environ = {**machine.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    result = CliRunner().invoke(main, words, env=environ)
    assert result.exit_code == code, result.output
    return result


def rows(machine: Machine) -> list[tuple[str, str, bool]]:
    found = json.loads(hushkey(machine, "accounts", "--json").stdout)
    assert found["schema"] == 1
    return [(r["host"], r["account"], r["default"]) for r in found["accounts"]]


def git(machine: Machine, path: str = "", user: str = "") -> str:
    """Return the name of whose token git gets, silently."""
    text = "protocol=https\nhost=git.test\n"
    text += f"path={path}\n" if path else ""
    text += f"username={user}\n" if user else ""
    done = machine.run("git-credential-hushkey", "get", stdin=f"{text}\n".encode())
    lines = dict(line.split("=", 1) for line in done.stdout.decode().splitlines())
    return lines.get("password", done.stderr.decode()).removeprefix("at-")


def test_accounts_of_nobody(machine: Machine) -> None:
    assert "nobody is signed in" in hushkey(machine, "accounts").stdout
    assert rows(machine) == []


def test_accounts_are_listed_and_which_is_the_default(machine: Machine) -> None:
    signed_in(machine, ALICE, BOB)

    assert rows(machine) == [
        ("git.test", ALICE.label, True),
        ("git.test", BOB.label, False),
    ]
    shown = hushkey(machine, "accounts").stdout
    assert [line.split()[:4] for line in shown.splitlines() if "@" in line] == [
        ["git.test", "corp", ALICE.label, "yes"],
        ["git.test", "corp", BOB.label, "good"],
    ]
    assert "at-" not in shown


def test_status_shows_each_account(machine: Machine) -> None:
    signed_in(machine, ALICE, BOB)

    found = json.loads(hushkey(machine, "status", "--json").stdout)["hosts"]

    assert [(r["account"], r["default"]) for r in found] == [
        (ALICE.label, True),
        (BOB.label, False),
    ]
    assert f"{ALICE.label} (default)" in hushkey(machine, "status").stdout


def test_rule_of_a_user_is_that_accounts_alone(machine: Machine) -> None:
    machine.configure(
        '[[host."hub.test"]]\nidentity = "corp"\nscopes = ["git"]\nuser = "bob"\n'
        '[[host."hub.test"]]\nidentity = "corp"\nscopes = ["git"]\nuser = "carol"\n'
    )
    signed_in(machine, ALICE, BOB)

    found = json.loads(hushkey(machine, "status", "--json").stdout)["hosts"]

    assert [(r["user"], r["account"]) for r in found if r["host"] == "hub.test"] == [
        ("bob", BOB.label),
        ("carol", None),
    ]
    refused = hushkey(machine, "login", "hub.test", code=1)
    assert "for a user name: bob, carol" in refused.stderr
    assert "https://bob@hub.test" in refused.stderr
    for user, out in (("bob", b"password=at-bob"), ("carol", b"quit=1"), ("", b"")):
        text = f"protocol=https\nhost=hub.test\nusername={user}\n\n"
        done = machine.run("git-credential-hushkey", "get", stdin=text.encode())
        assert out in done.stdout
        assert bool(done.stdout) == bool(out)


@pytest.mark.parametrize("name", ["bob", BOB.label, "id-bob"])
def test_switch_is_remembered_and_silent(machine: Machine, name: str) -> None:
    signed_in(machine, ALICE, BOB)
    assert git(machine) == "alice"

    told = hushkey(machine, "switch", "git.test", name).stderr

    assert f"git.test gets the token of {BOB.label}" in told
    assert "`hushkey switch --forget git.test`" in told
    assert git(machine, "any/app.git") == git(machine) == "bob"
    assert rows(machine)[0] == ("git.test", BOB.label, True)


def test_switch_is_undone_by_what_it_says(machine: Machine) -> None:
    signed_in(machine, ALICE, BOB, CAROL)
    hushkey(machine, "switch", "git.test", "carol")

    told = hushkey(machine, "switch", "git.test", "bob").stderr
    assert f"`hushkey switch git.test {CAROL.label}`" in told
    hushkey(machine, "switch", "git.test", CAROL.label)
    assert git(machine) == "carol"
    hushkey(machine, "switch", "--forget", "git.test")
    assert git(machine) == "alice"


def test_switch_without_a_name_takes_the_other_one_of_two(machine: Machine) -> None:
    signed_in(machine, ALICE, BOB)

    for words, name in ((["git.test"], "bob"), ([], "alice"), (["git.test"], "bob")):
        hushkey(machine, "switch", *words)
        assert git(machine) == name


def test_switch_asks_which_of_three_by_number(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_in(machine, ALICE, BOB, CAROL)
    monkeypatch.setattr("os.isatty", lambda _: True)

    asked = CliRunner().invoke(
        main, ["switch", "git.test"], input="4\nbob\n2\n", env=machine.environ
    )

    assert asked.exit_code == 0, asked.output
    assert f"  2  {BOB.label}" in asked.stderr
    assert git(machine) == "bob"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("contoso/app.git", "bob"),
        ("Contoso/app", "bob"),
        ("contoso", "bob"),
        ("contoso/secret.git/info", "carol"),
        ("contoso2/app", "alice"),
        ("x/contoso", "alice"),
        ("", "alice"),
    ],
)
def test_choice_for_an_organisation_counts_below_it(
    machine: Machine, path: str, name: str
) -> None:
    signed_in(machine, ALICE, BOB, CAROL)
    hushkey(machine, "switch", "https://git.test/Contoso/", "bob")
    hushkey(machine, "switch", "git.test/contoso/secret", "carol")

    assert git(machine, path) == name
    assert ("git.test/contoso", BOB.label, True) in rows(machine)


def test_user_of_a_url_says_more_than_a_choice(machine: Machine) -> None:
    signed_in(machine, ALICE, BOB)
    hushkey(machine, "switch", "git.test", "bob")

    assert git(machine, "a/b", "alice") == "alice"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["git.test", "dave"], "dave is not signed in to git.test; run: hushkey login"),
        (["git.test"], "which account? (alice@example.com, bob@example.com, carol@"),
        (["other.test", "bob"], "other.test is not served by hushkey"),
        (["git.test", "dave\x1b[2J"], "dave [2J is not signed in"),
    ],
)
def test_switch_to_nobody_is_refused(
    machine: Machine, words: list[str], line: str
) -> None:
    signed_in(machine, ALICE, BOB, CAROL)

    assert line in hushkey(machine, "switch", *words, code=1).stderr
    assert git(machine) == "alice"


def test_switch_does_not_contradict_the_config(machine: Machine) -> None:
    machine.configure('account = "alice"\n')
    signed_in(machine, ALICE, BOB)

    for words in (
        ["switch", "git.test", "bob"],
        ["login", "--account=bob", "git.test"],
    ):
        told = hushkey(machine, *words, code=1).stderr
        assert "is for the account alice, as the config says" in told


def test_logout_of_one_account_leaves_the_others(machine: Machine) -> None:
    signed_in(machine, ALICE, BOB, CAROL)

    told = hushkey(machine, "logout", "--local", "--account", "bob", "git.test").stderr
    assert "signed out of corp as bob here" in told
    hushkey(machine, "logout", "--local", "https://carol@git.test/x")

    assert rows(machine) == [("git.test", ALICE.label, True)]
    for words in (["git.test"], ["corp"], []):
        told = hushkey(machine, "logout", "--account=bob", *words, code=1).stderr
        assert "bob is not signed in" in told
    hushkey(machine, "logout", "--local", "--account", "alice")
    assert rows(machine) == []


def test_account_that_only_the_config_of_another_identity_has_is_kept(
    machine: Machine,
) -> None:
    machine.configure(
        '[identity.second]\nprovider = "oidc"\nissuer = "https://id.test"\n'
        'client_id = "c"\naccount = "bob"\n[host."two.test"]\nidentity = "second"\n',
        text=CONFIG.replace('client_id = "c"', 'client_id = "c"\naccount = "alice"'),
    )
    signed_in(machine, ALICE, BOB)

    told = hushkey(machine, "logout", "--account", "bob", "corp", code=1).stderr

    assert "bob is not signed in by identity corp" in told
    assert {account for _, account, _ in rows(machine)} >= {ALICE.label}


USERS = """
[[host."hub.test"]]
identity = "corp"
scopes = ["git"]
username = "x-token-auth"
user = "alice"
[[host."hub.test"]]
identity = "corp"
scopes = ["git"]
username = "x-token-auth"
user = "bob"
"""


@pytest.mark.parametrize("action", ["store", "erase"])
def test_git_gives_a_token_back_under_the_name_that_the_host_wants(
    machine: Machine, action: str
) -> None:
    machine.configure(USERS)
    signed_in(machine, ALICE, BOB)
    asked = "protocol=https\nhost=hub.test\n"
    for name in ("alice", "bob"):
        given = machine.run(
            "git-credential-hushkey",
            "get",
            stdin=f"{asked}username={name}\n\n".encode(),
        )
        assert b"username=x-token-auth\n" in given.stdout
        assert f"password=at-{name}\n".encode() in given.stdout
    back = f"{asked}username=x-token-auth\npassword=at-bob\n\n"
    done = machine.run("git-credential-hushkey", action, stdin=back.encode())

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert machine.typed() == []
    kept = ["at-alice"] if action == "erase" else ["at-alice", "at-bob"]
    assert sorted(machine.stored()) == kept


def test_pip_gets_the_token_of_the_user_in_the_url(machine: Machine) -> None:
    machine.configure(USERS)
    signed_in(machine, ALICE, BOB)

    for words in (
        ["https://bob@hub.test/simple/", ""],
        ["https://hub.test/simple/", "bob"],
    ):
        done = machine.run("hushkey-keyring", "get", *words)
        assert done.stdout.decode().strip() == "at-bob", done.stderr
    done = machine.run("hushkey-keyring", "get", "https://hub.test/simple/", "carol")
    assert done.stdout == b""


def on_a_terminal(machine: Machine, command: str, typed: str) -> str:
    """Return what the terminal shows of *command*; *typed* answers its question."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve("/bin/sh", ["/bin/sh", "-c", command], machine.environ)
    shown, end = "", time.monotonic() + 60
    while time.monotonic() < end:
        if not select.select([fd], [], [], 0.2)[0]:
            continue
        try:
            shown += os.read(fd, 4096).decode()
        except OSError:  # the terminal's other side is closed
            break
        if typed and "type a number" in shown:
            os.write(fd, typed.encode())
            typed = ""
    os.close(fd)
    os.waitpid(pid, 0)
    return shown


@pytest.mark.parametrize("agent", ["on", "off"])
def test_git_asks_on_the_terminal_once(machine: Machine, agent: str) -> None:
    signed_in(machine, ALICE, BOB)
    machine.environ |= {"HUSHKEY_INTERACTIVE": "auto", "HUSHKEY_AGENT": agent}
    for name in ("CI", "SSH_CONNECTION", "DISPLAY"):
        machine.environ.pop(name, None)
    get = (
        "printf 'protocol=https\\nhost=git.test\\npath=team/app\\n\\n' "
        "| git-credential-hushkey get"
    )
    try:
        first = on_a_terminal(machine, get, "2\n")
        second = on_a_terminal(machine, get, "1\n")
    finally:
        machine.run("hushkey", "agent", "stop")

    assert f"1: {ALICE.label}" in first
    assert "git.test/team gets the token of bob@example.com" in first
    for shown in (first, second):
        assert "password=at-bob" in shown
    assert "type a number" not in second
