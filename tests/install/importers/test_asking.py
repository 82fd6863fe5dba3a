import base64
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hushkey_install.cli import main
from hushkey_install.importers import asking
from kit.oauth import BIN, CANARY, Machine

LINES = (
    f"https://me:{CANARY}-1@one.test\n"
    f"https://you:{CANARY}-2@one.test/path\n"
    f"https://me:{CANARY}-3@git.test\n"  # an identity serves that host
    "garbage\n"
)


@pytest.fixture
def machine(machine: Machine, home: Path) -> Machine:
    (home / ".git-credentials").write_text(LINES)
    return machine


def take(machine: Machine, *words: str, typed: str = "") -> Result:
    argv = ["import", *words]
    result = CliRunner().invoke(main, argv, env=machine.environ, input=typed)
    assert CANARY not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def docker_says(home: Path, content: object) -> None:
    (home / ".docker").mkdir(exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    (home / ".docker" / "config.json").write_text(text)


def auth(user: str, secret: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{secret}".encode()).decode()}


def docker_is_given(machine: Machine, server: str) -> tuple[str, str]:
    done = machine.run("docker-credential-hushkey", "get", stdin=server.encode())
    found = json.loads(done.stdout)
    return found["Username"], found["Secret"]


def test_everything_is_taken_over_on_one_yes(machine: Machine) -> None:
    result = take(machine, "--yes")

    assert result.exit_code == 0
    assert sorted(machine.typed()) == [f"{CANARY}-1", f"{CANARY}-2"]
    assert "git-store: https://one.test as me" in result.stdout
    assert "https://git.test as me: left out, identity corp serves" in result.stderr
    assert f"they are still in {machine.home}/.git-credentials" in result.stderr
    assert (machine.home / ".git-credentials").read_text() == LINES


def test_git_is_given_it_back(machine: Machine) -> None:
    take(machine, "--yes")

    question = b"protocol=https\nhost=one.test\nusername=me\n\n"
    done = machine.run("git-credential-hushkey", "get", stdin=question)

    assert f"password={CANARY}-1".encode() in done.stdout


def test_each_is_asked_for(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_is_person", lambda: True)

    result = take(machine, typed="n\ny\n")

    assert machine.typed() == [f"{CANARY}-2"]
    assert "take over https://one.test/path as you? [y/N]" in result.output


@pytest.mark.parametrize(("words", "code"), [(["--dry-run"], 0), ([], 1)])
def test_nothing_is_taken_unasked(
    machine: Machine, words: list[str], code: int
) -> None:
    result = take(machine, *words)

    assert result.exit_code == code
    assert "https://one.test/path as you" in result.stdout
    assert machine.typed() == []


def test_nothing_to_take_is_no_error(home: Path) -> None:
    machine = Machine(home)

    assert "nothing to take over" in take(machine).stderr
    assert take(machine, "docker").exit_code == 0


def test_source_that_cannot_be_read_is_named_and_the_others_count(
    machine: Machine,
) -> None:
    (machine.home / ".docker").mkdir()
    (machine.home / ".docker" / "config.json").write_text("{")

    result = take(machine, "--yes")

    assert "docker: " in result.stderr
    assert result.exit_code == 1
    assert len(machine.typed()) == 2


def test_named_source_that_cannot_be_read_is_no_success(home: Path) -> None:
    docker_says(home, "{")

    result = take(Machine(home), "--yes", "docker")

    assert result.exit_code == 1
    assert "is not docker's config" in result.stderr


def test_what_is_not_kept_is_an_error(machine: Machine) -> None:
    """No keyring: the helper says why, and nothing counts as taken over."""
    text = machine.config_file.read_text()
    machine.config_file.write_text(text.replace('"file"', '"keyring"'))

    result = take(machine, "--yes")

    assert result.exit_code == 6
    assert "was not kept: there is no OS keyring here" in result.stderr
    assert "taken over" not in result.stderr


def test_only_the_named_source_is_read(machine: Machine) -> None:
    (machine.home / ".docker").mkdir()
    auths = {"auths": {"r.test": {"auth": "bWU6cHc="}}}
    (machine.home / ".docker" / "config.json").write_text(json.dumps(auths))

    result = take(machine, "--dry-run", "docker")

    assert result.stdout == "docker: https://r.test as me\n"


HUB = "https://index.docker.io/v1/"


def test_three_keys_of_a_hub_sign_in_are_taken_over_as_three(home: Path) -> None:
    machine = Machine(home)
    machine.configure()
    parts = ("", "access-token", "refresh-token")
    docker_says(
        home,
        {"auths": {HUB + part: auth("me", f"{CANARY}-{part}") for part in parts}},
    )

    result = take(machine, "--yes", "docker")

    assert result.exit_code == 0
    assert "3 taken over" in result.stderr
    for part in parts:
        assert docker_is_given(machine, HUB + part) == ("me", f"{CANARY}-{part}")


def test_secret_of_several_lines_is_docker_s_to_keep(home: Path) -> None:
    machine = Machine(home)
    machine.configure()
    key = f'{{\n  "type": "service_account",\r\n  "key": "{CANARY}"\n}}\n'
    docker_says(home, {"auths": {"gcr.io": auth("_json_key", key)}})

    assert take(machine, "--yes", "docker").exit_code == 0
    assert docker_is_given(machine, "gcr.io") == ("_json_key", key)


def test_what_a_later_one_took_the_place_of_is_not_claimed(
    machine: Machine, home: Path
) -> None:
    """git keeps both lines; what git is given back is the later one's secret."""
    lines = f"https://me:{CANARY}-1@one.test\nhttps://me:{CANARY}-2@one.test\n"
    (home / ".git-credentials").write_text(lines)

    result = take(machine, "--yes", "git-store")

    assert result.exit_code == 1
    assert "something else is kept for the same address" in result.stderr
    assert "1 taken over" in result.stderr


def test_spelling_that_docker_reads_is_the_one_that_is_taken(home: Path) -> None:
    machine = Machine(home)
    machine.configure()
    stale, used = auth("old", f"{CANARY}-1"), auth("me", f"{CANARY}-2")
    docker_says(home, {"auths": {"https://r.test/v2/": stale, "r.test": used}})

    assert take(machine, "--yes", "docker").exit_code == 0
    assert docker_is_given(machine, "r.test") == ("me", f"{CANARY}-2")


def test_login_that_podman_keeps_is_taken_over(machine: Machine, home: Path) -> None:
    file = Path(machine.environ["XDG_RUNTIME_DIR"]) / "containers" / "auth.json"
    file.parent.mkdir()
    content = {"auths": {"docker.io": auth("me", f"{CANARY}-1")}}
    file.write_text(json.dumps(content))

    result = take(machine, "--yes", "docker")

    assert result.exit_code == 0
    assert str(file) in result.stderr
    assert docker_is_given(machine, HUB) == ("me", f"{CANARY}-1")


STORE = """#!/bin/sh
read server
case $1 in
list) echo '{"r.test": "me", "gone.test": "me"}' ;;
get) no="credentials not found in native keychain"
     [ "$server" = r.test ] || { echo "$no"; exit 1; }
     echo '{"ServerURL": "r.test", "Username": "me", "Secret": "SECRET"}' ;;
esac
"""


@pytest.mark.parametrize("registered_first", [False, True])
def test_what_another_store_keeps_is_taken_over(
    home: Path, tmp_path: Path, registered_first: bool
) -> None:
    machine = Machine(home)
    machine.configure()
    program = tmp_path / "bin" / "docker-credential-other"
    program.parent.mkdir()
    program.write_text(STORE.replace("SECRET", f"{CANARY}-1"))
    program.chmod(0o755)
    machine.environ["PATH"] = f"{program.parent}:{BIN}:{machine.environ['PATH']}"
    docker_says(home, {"auths": {"r.test": {}}, "credsStore": "other"})
    if registered_first:
        done = machine.run("hushkey", "install", "docker", "--all-hosts")
        assert done.returncode == 0, done.stderr

    result = take(machine, "--yes", "docker")

    assert result.exit_code == 0
    assert "docker-credential-other" in result.stderr
    assert docker_is_given(machine, "r.test") == ("me", f"{CANARY}-1")


def test_store_that_is_not_there_is_named(home: Path) -> None:
    machine = Machine(home)
    docker_says(home, {"credsStore": "nowhere"})

    result = take(machine, "--yes", "docker")

    assert result.exit_code == 1
    assert "docker-credential-nowhere, and it is not on PATH" in result.stderr
