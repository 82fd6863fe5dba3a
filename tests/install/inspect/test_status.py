import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hushkey.model import TokenKey
from hushkey.providers.azure_devops import Directory
from hushkey.providers.clouds import DEFAULT_CLIENT_ID
from hushkey.store.tokenfile import TokenFile
from hushkey_install.cli import main
from kit.oauth import CANARY, ME, Machine, grant

OTHER = """
[identity.other]
provider = "oidc"
issuer = "https://other.id.test"
client_id = "gh"

[host."other.test"]
identity = "other"
"""


def status(machine: Machine, *words: str) -> Result:
    environ = {**machine.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    result = CliRunner().invoke(main, ["status", *words], env=environ)
    assert result.exit_code == 0, result.output
    return result


def report(machine: Machine) -> list[dict[str, object]]:
    found = json.loads(status(machine, "--json").stdout)
    assert found["config"] == str(machine.config_file)
    rows: list[dict[str, object]] = found["hosts"]
    return rows


def test_status_without_hosts_says_where_to_add_one(home: Path) -> None:
    machine = Machine(home)

    assert str(machine.config_file) in status(machine).stdout
    assert report(machine) == []


@pytest.mark.parametrize(
    "pattern",
    [
        "git.test/my project",
        "*.a.test/my project",
        "git.test/100%25",
        "git.test/*.d/@me",
    ],
)
def test_any_pattern_of_the_config_can_be_looked_at(
    machine: Machine, pattern: str
) -> None:
    machine.configure(OTHER.replace("other.test", pattern))

    assert [row["host"] for row in report(machine)][-1] == pattern
    words = ["doctor", "--json"], ["explain", pattern.replace("*", "any")]
    for line in words:
        done = CliRunner().invoke(main, line, env=machine.environ)
        assert not isinstance(done.exception, ValueError), line
        assert "is not" not in done.stderr, line


def test_status_of_nobody(machine: Machine) -> None:
    assert "signed out" in status(machine).stdout


@pytest.mark.parametrize(
    ("age", "refresh_token", "words"),
    [
        (30, "rt", r"good for 59 min, then renewed silently"),
        (3500, "rt", r"good for \d\d s, then renewed silently"),
        (7200, "rt", r"  expired, the next use renews it silently"),
        (30, "", r"good for 59 min, then sign-in needed after"),
        (7200, "", r"  expired, sign-in needed"),
    ],
)
def test_status_says_how_long(
    machine: Machine, age: int, refresh_token: str, words: str
) -> None:
    machine.has(grant(refresh_token=refresh_token), age=age)

    shown = status(machine).stdout

    assert "git.test" in shown
    assert "me@example.com" in shown
    assert re.search(words, shown)


@pytest.mark.parametrize("age", [30, 7200])
def test_status_says_that_the_sign_in_has_ended(machine: Machine, age: int) -> None:
    machine.has(grant(refresh_token="rt-dead"), age=age)
    with machine.token_file().change(5) as change:
        change.cache.drop_grant("rt-dead", ended=1)
        change.save()

    assert "sign-in needed, since it ended at the server" in status(machine).stdout
    assert report(machine)[0]["ended_at"] == 1


def test_status_for_programs(machine: Machine) -> None:
    machine.has(grant("at", expires_in=600))

    (row,) = report(machine)

    left = row.pop("seconds_left")
    assert isinstance(left, int)
    assert 500 < left <= 600
    obtained_at = row.pop("obtained_at")
    assert isinstance(obtained_at, int)
    assert abs(time.time() - obtained_at) < 60
    assert row == {
        "host": "git.test",
        "state": "signed-in",
        "origin": "user",
        "identity": "corp",
        "provider": "oidc",
        "issuer": "https://id.test",
        "client": "c",
        "tenant": None,
        "account": "me@example.com",
        "renewable": True,
        "obtained_by": "sign-in",
        "error": None,
    }


def test_token_without_end_has_no_seconds(machine: Machine) -> None:
    machine.has(grant(expires_in=None, refresh_token=""))

    (row,) = report(machine)

    assert row["seconds_left"] is None


def test_store_that_cannot_be_read_is_one_line_for_all_its_hosts(
    machine: Machine,
) -> None:
    machine.configure('[host."two.test"]\nidentity = "corp"\n' + OTHER)
    machine.has(grant())
    (machine.data / "key").unlink()

    result = status(machine)

    assert result.stdout.count("unreadable") == 2
    assert result.stdout.count("signed out") == 1
    assert len(result.stderr.splitlines()) == 1
    assert "holds no hushkey key" in result.stderr


@pytest.mark.parametrize(
    ("age", "granted", "ended", "state", "word"),
    [
        (30, {"refresh_token": "rt"}, False, "signed-in", "signed in"),
        (30, {"refresh_token": ""}, False, "signed-in", "signed in"),
        (30, {"expires_in": None, "refresh_token": ""}, False, "signed-in", "signed"),
        (7200, {"refresh_token": "rt"}, False, "renews", "renews"),
        (7200, {"refresh_token": ""}, False, "expired", "expired"),
        (7200, {"refresh_token": "rt"}, True, "ended", "needs you"),
        (0, None, False, "signed-out", "needs you"),
    ],
)
def test_state_is_a_word_and_an_exit_code(
    machine: Machine,
    age: int,
    granted: dict[str, Any] | None,
    ended: bool,
    state: str,
    word: str,
) -> None:
    if granted is not None:
        machine.has(grant(**granted), age=age)
    if ended:
        with machine.token_file().change(5) as change:
            change.cache.drop_grant("rt", ended=1)
            change.save()

    checked = check(machine)

    assert report(machine)[0]["state"] == state
    assert f"git.test  {word}" in status(machine).stdout
    good = state in ("signed-in", "renews")
    assert (checked.exit_code, checked.stdout) == (0 if good else 3, "")
    assert good == (checked.stderr == "")
    assert good or "run `hushkey login corp`" in checked.stderr


def check(machine: Machine, *words: str) -> Result:
    argv = ["status", "--check", *words]
    return CliRunner().invoke(main, argv, env=machine.environ)


def test_one_host_alone_is_shown_and_checked(machine: Machine) -> None:
    machine.configure(OTHER)
    machine.has(grant())
    machine.types("typed.test", "me", CANARY)

    shown = status(machine, "git.test").stdout

    assert "other.test" not in shown
    assert "typed.test" not in shown
    assert check(machine, "https://git.test/a/b.git").exit_code == 0
    assert check(machine, "other.test").exit_code == 3
    assert check(machine, "other").exit_code == 3
    assert check(machine).exit_code == 3
    assert check(machine, "typed.test").exit_code == 0
    assert "me@typed.test (git)" in status(machine, "typed.test").stdout
    assert check(machine, "nobody.test").exit_code == 1


def test_check_says_that_the_store_cannot_be_read(machine: Machine) -> None:
    machine.has(grant())
    (machine.data / "key").unlink()

    checked = check(machine)

    assert checked.exit_code == 6
    assert "holds no hushkey key" in checked.stderr


def test_check_of_nothing_is_not_well(home: Path) -> None:
    assert check(Machine(home)).exit_code == 1


def test_typed_logins_are_listed_without_their_secrets(machine: Machine) -> None:
    machine.types("typed.test", "me", CANARY)
    machine.types("b.test", "", CANARY)

    found = json.loads(status(machine, "--json").stdout)
    shown = status(machine).stdout

    assert found["typed_logins"] == [
        {"tool": "git", "host": "b.test", "user": ""},
        {"tool": "git", "host": "typed.test", "user": "me"},
    ]
    assert "kept: 2 typed credentials: b.test (git), me@typed.test" in shown
    assert CANARY not in shown + json.dumps(found)


def test_status_never_shows_a_secret(machine: Machine) -> None:
    machine.has(grant(f"at-{CANARY}", refresh_token=f"rt-{CANARY}"))

    shown = [status(machine).output, status(machine, "--json").output]

    assert not [text for text in shown if CANARY in text]


def test_status_asks_no_server(machine: Machine) -> None:
    """The issuer of this machine does not exist."""
    machine.has(grant(), age=7200)

    assert status(machine).stderr == ""


def test_typed_credentials_are_counted(machine: Machine) -> None:
    machine.types("typed.test", "me", CANARY)

    assert json.loads(status(machine, "--json").stdout)["typed"] == 1
    assert "kept: 1 typed credential: me@typed.test (git)" in status(machine).stdout


def test_built_in_host_is_listed_once_somebody_is_signed_in(machine: Machine) -> None:
    azure = "https://login.microsoftonline.com"
    data_key = machine.token_file()._data_key
    file = TokenFile(str(machine.data), azure, DEFAULT_CLIENT_ID, data_key, print)
    assert [row["host"] for row in report(machine)] == ["git.test"]

    with file.change(5) as change:
        change.cache.keep(grant(), ME, TokenKey(("x",)), int(time.time()))
        change.save()
    rows = {row["host"]: row for row in report(machine)}

    assert rows["dev.azure.com"]["origin"] == "preset"
    assert rows["dev.azure.com"]["account"] == "me@example.com"
    with file.change(5) as change:
        change.cache.sign_out(ME.id)
        change.save()
    assert [row["host"] for row in report(machine)] == ["git.test"]


def test_host_whose_account_has_no_token_yet_is_told_what_comes(
    machine: Machine,
) -> None:
    machine.has(grant("at", refresh_token="rt"), ("other",))

    assert "  none yet, the next use gets one silently" in status(machine).stdout


def test_organisation_that_named_no_tenant_has_no_row(machine: Machine) -> None:
    """Whatever it was asked for, nothing tells that there is such a one."""
    azure = "https://login.microsoftonline.com"
    data_key = machine.token_file()._data_key
    file = TokenFile(str(machine.data), azure, DEFAULT_CLIENT_ID, data_key, print)
    with file.change(5) as change:
        change.cache.keep(grant(), ME, TokenKey(("x",)), int(time.time()))
        change.save()
    tenant = "11111111-2222-3333-4444-555555555555"
    directory = Directory(str(machine.data))
    answers = {
        "https://dev.azure.com/real/": [("X-VSS-ResourceTenant", tenant)],
        "https://dev.azure.com/no-such/": [],
    }
    for name in ("real", "no-such"):
        directory.tenant(f"dev.azure.com/{name}", [], "public", answers.__getitem__)

    rows = [row["host"] for row in report(machine)]
    explained = {
        name: CliRunner()
        .invoke(main, ["explain", f"https://dev.azure.com/{name}/a"])
        .stdout
        for name in ("real", "no-such")
    }

    assert "dev.azure.com/real" in rows
    assert "dev.azure.com/no-such" not in rows
    assert f"{tenant}, found for dev.azure.com/real" in explained["real"]
    assert "dev.azure.com/no-such named none, and may not exist" in explained["no-such"]


def test_what_is_typed_is_kept_or_not_yet(machine: Machine) -> None:
    machine.configure(
        '[identity.work]\nprovider = "static"\n[host."typed.test"]\nidentity = "work"\n'
    )
    (row,) = (row for row in report(machine) if row["identity"] == "work")
    assert row["kept"] == []
    assert "nothing typed yet" in status(machine).stdout

    machine.types("typed.test", "me", CANARY)
    request = {"ServerURL": "typed.test", "Username": "me", "Secret": CANARY}
    words = ("docker-credential-hushkey", "store")
    assert machine.run(*words, stdin=json.dumps(request).encode()).returncode == 0

    said = status(machine).stdout
    assert "kept for git, docker" in said
    assert "work: what you type, stored encrypted (static)" in said
    assert CANARY not in said
