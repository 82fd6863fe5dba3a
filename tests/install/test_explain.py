from pathlib import Path

import pytest
from click.testing import CliRunner

from hushkey_install.cli import main
from shared.oauth_fakes import CANARY, Machine, grant


@pytest.fixture
def machine(home: Path) -> Machine:
    made = Machine(home)
    made.configure()
    return made


def explain(machine: Machine, url: str = "git.test", code: int = 0) -> dict[str, str]:
    result = CliRunner().invoke(main, ["explain", url], env=machine.environ)
    assert result.exit_code == code, result.output
    assert CANARY not in result.output
    lines = (line.split(":", 1) for line in result.stdout.splitlines())
    return {name: value.strip() for name, value in lines}


def test_rule_and_identity_are_named(machine: Machine) -> None:
    found = explain(machine, "https://me@git.test/app.git")

    assert found["host"] == "git.test"
    assert found["config"] == str(machine.config_file)
    assert found["rule"].startswith('[host."git.test"] (config.toml)')
    assert found["identity"] == "corp (oidc)"
    assert found["issuer"] == "https://id.test"
    assert found["client"] == "c"
    assert found["scopes"] == "git"
    assert "key file" in found["store"]
    assert found["next"].startswith("a sign-in: nobody is signed in; not from here")


@pytest.mark.parametrize(
    ("age", "changes", "words"),
    [
        (0, {}, "the cached token, as me@example.com: no network"),
        (3500, {}, "a silent refresh, as me@example.com: one request"),
        (7200, {}, "a silent refresh, as me@example.com: one request"),
        (7200, {"refresh_token": ""}, "a sign-in: no refresh token covers"),
    ],
)
def test_next_step(
    machine: Machine, age: int, changes: dict[str, str], words: str
) -> None:
    machine.has(grant(f"at-{CANARY}", **changes), age=age)

    assert words in explain(machine)["next"]


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("other.test", "none covers this URL"),
        ("http://git.test", "none covers this URL"),
        ("git.test:8443", "none covers this URL"),
        ("github.com", "a built-in one that lacks [identity.github] client_id"),
    ],
)
def test_host_that_is_not_ours(machine: Machine, url: str, rule: str) -> None:
    found = explain(machine, url)

    assert found["rule"] == rule
    assert "empty answer" in found["next"]


@pytest.mark.parametrize("url", ["ftp://git.test", "ssh://git@git.test/a", "a b", ""])
def test_what_is_no_url_is_an_error(machine: Machine, url: str) -> None:
    assert explain(machine, url, code=1) == {}


def test_name_that_is_no_host_gets_nothing(machine: Machine) -> None:
    assert "not a host name" in explain(machine, "https://a..b/")["host"]


def test_path_rules_without_a_path_are_an_error_to_come(machine: Machine) -> None:
    machine.configure(
        '[host."dev.test/a"]\nidentity = "corp"\n'
        '[host."dev.test/b"]\nidentity = "corp"\nscopes = ["b"]\n'
    )

    assert "useHttpPath" in explain(machine, "dev.test")["next"]
    assert "dev.test/a" in explain(machine, "https://dev.test/a/x")["rule"]


def test_provider_that_this_version_lacks_is_an_error_to_come(
    machine: Machine,
) -> None:
    machine.configure(
        '[identity.w]\nprovider = "workload"\nkind = "x"\n'
        '[host."w.test"]\nidentity = "w"\n'
    )

    assert "no provider workload" in explain(machine, "w.test")["next"]


STATIC = '[identity.s]\nprovider = "static"\n[host."s.test"]\nidentity = "s"\n'


@pytest.mark.parametrize("host", ["s.test", "https://me@S.test:443/app", "other.test"])
def test_host_without_tokens_gets_what_was_typed(machine: Machine, host: str) -> None:
    machine.configure(STATIC)
    assert "asks its next helper" in explain(machine, host)["next"]

    for name in ("s.test", "other.test"):
        machine.types(name, "me", "pw")

    assert "what was typed" in explain(machine, host)["next"]
    assert "next helper" in explain(machine, "https://you@s.test")["next"]


def test_lost_key_is_an_error_to_come(machine: Machine) -> None:
    machine.has(grant())
    (machine.data / "key").unlink()

    assert "hushkey reset" in explain(machine)["next"]
