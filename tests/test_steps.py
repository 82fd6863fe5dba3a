"""What HUSHKEY_LOG shows of real programs: which steps, and never a secret."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.oauth import CANARY, Machine, OidcServer, Reply, grant
from test_architecture import MODULES, ROOT

ASKED = b"protocol=https\nhost=git.test\n\n"
HELPER = "git-credential-hushkey"
Line = dict[str, str]


@pytest.fixture
def server() -> Iterator[OidcServer]:
    with OidcServer() as running:
        yield running


@pytest.fixture
def machine(home: Path, server: OidcServer) -> Machine:
    made = Machine(home, server.issuer)
    made.configure()
    return made


def signed_in(machine: Machine, age: int = 0) -> None:
    granted = grant(f"at-{CANARY}", refresh_token=f"rt-{CANARY}", claims={})
    machine.has(granted, age=age)


def trace(machine: Machine, *words: str, stdin: bytes = b"") -> list[Line]:
    """Run a program with a trace; return the facts of each line."""
    file = machine.home / "log" / "hushkey.log"
    machine.run(*words, stdin=stdin, HUSHKEY_LOG=str(file), HUSHKEY_INTERACTIVE="never")
    text = file.read_text()
    assert CANARY not in text
    return [
        dict(word.split("=", 1) for word in line.split()[1:])
        for line in text.splitlines()
    ]


def steps(lines: list[Line]) -> list[str]:
    return [line["step"] for line in lines]


def test_cached_token(machine: Machine) -> None:
    signed_in(machine)

    found = trace(machine, HELPER, "get", stdin=ASKED)

    assert steps(found) == ["asked", "key-read", "cached", "answered"]
    assert (found[0]["verb"], found[0]["host"]) == ("get", "git.test")
    assert found[2]["rule"] == "git.test"
    assert {line["tool"] for line in found} == {"git"}
    assert found[-1]["status"] == "0"


def test_host_that_is_not_ours(machine: Machine) -> None:
    asked = f"protocol=https\nhost=me:{CANARY}@other.test\n\n".encode()

    found = trace(machine, HELPER, "get", stdin=asked)

    assert steps(found) == ["not-ours", "answered-nothing"]
    assert found[0]["host"] == "other.test"


def test_docker_tells_the_same_steps(machine: Machine) -> None:
    signed_in(machine)
    helper = "docker-credential-hushkey"

    found = trace(machine, helper, "get", stdin=b"https://git.test/v2/")
    erased = trace(machine, helper, "erase", stdin=b"git.test")[len(found) :]

    assert steps(found) == ["asked", "key-read", "cached", "answered"]
    assert {line["tool"] for line in found} == {"docker"}
    assert steps(erased)[-2:] == ["forgotten", "answered-nothing"]


def test_what_is_typed(machine: Machine) -> None:
    asked = b"capability[]=state\nprotocol=https\nhost=other.test\n"
    typed = asked + f"username=me\npassword={CANARY}\n".encode()

    for verb, stdin in (("store", typed), ("store", typed), ("erase", typed)):
        found = trace(machine, HELPER, verb, stdin=stdin)

    done = [line["step"] for line in found if line["step"] in ("stored", "kept")]
    assert done == ["stored", "kept"]
    assert steps(found)[-2:] == ["erased", "answered-nothing"]


def test_refresh(machine: Machine, server: OidcServer) -> None:
    signed_in(machine, age=7200)
    answer = {"access_token": f"at2-{CANARY}", "token_type": "Bearer"}
    server.on("/token", Reply(answer, X_Request_Id="0a1b-2c3d"))

    found = trace(machine, HELPER, "get", stdin=ASKED)

    assert steps(found)[-2:] == ["refreshed", "answered"]
    (posted,) = [line for line in found if line.get("verb") == "POST"]
    assert posted["step"] == "http"
    assert server.url.endswith(posted["host"])
    assert (posted["path"], posted["status"]) == ("/token", "200")
    assert posted["correlation"] == "0a1b-2c3d"
    assert int(posted["took"]) <= int(posted["ms"])


def test_refresh_that_the_server_refuses(machine: Machine, server: OidcServer) -> None:
    signed_in(machine, age=7200)
    server.refuses("invalid_grant", error_description=f"rt-{CANARY} is malformed")

    found = trace(machine, HELPER, "get", stdin=ASKED)

    need, failed = (
        next(line for line in found if line["step"] == step)
        for step in ("ui-required", "failed")
    )
    assert (need["outcome"], need["code"]) == ("UiRequired", "invalid_grant")
    assert failed["outcome"] == "InteractionUnavailable"
    assert found[-1]["step"] == "answered"  # quit=1


def test_server_that_is_not_there(machine: Machine, server: OidcServer) -> None:
    signed_in(machine, age=7200)
    server.on("/token", server.hang_up)

    found = trace(machine, HELPER, "get", stdin=ASKED)

    (posted,) = [line for line in found if line.get("verb") == "POST"]
    assert posted["outcome"] == "ConnectionError"
    assert "status" not in posted
    assert "Transient" in {line.get("outcome") for line in found}


def test_erase_and_sign_out(machine: Machine) -> None:
    signed_in(machine)
    erased = ASKED[:-1] + f"password=at-{CANARY}\n\n".encode()

    assert "refused" in steps(trace(machine, HELPER, "erase", stdin=erased))
    found = trace(machine, "hushkey", "logout", "--local")
    assert steps(found)[-1] == "signed-out"
    assert "logout" in {line.get("verb") for line in found}


def test_command_that_fails(machine: Machine) -> None:
    found = trace(machine, "hushkey", "token", "git.test")

    assert found[0]["tool"] == "token"
    assert (found[0]["step"], found[0]["verb"]) == ("asked", "get")
    assert [line["outcome"] for line in found if "outcome" in line] == [
        "UiRequired",
        *["InteractionUnavailable"] * 2,
    ]
    assert found[-1]["step"] == "answered-nothing"


@pytest.mark.parametrize("config", ["[settings", "[nonsense]\n"])
def test_wrong_config(machine: Machine, config: str) -> None:
    machine.config_file.write_text(config)

    found = trace(machine, HELPER, "get", stdin=ASKED)

    assert [line["outcome"] for line in found if "outcome" in line] == ["ConfigError"]


@pytest.mark.parametrize("words", [(HELPER, "get"), ("hushkey", "token", "git.test")])
def test_debug_shows_the_steps_on_stderr(
    machine: Machine, words: tuple[str, ...]
) -> None:
    signed_in(machine)

    done = machine.run(*words, stdin=ASKED, HUSHKEY_LOG="debug")

    assert b" step=cached host=git.test " in done.stderr
    assert f"at-{CANARY}".encode() in done.stdout
    assert CANARY.encode() not in done.stderr
    assert b"step=" not in done.stdout


@pytest.mark.parametrize("words", [(HELPER, "get"), ("hushkey", "token", "git.test")])
def test_journal_that_cannot_be_is_one_line_and_the_answer_comes(
    machine: Machine, words: tuple[str, ...]
) -> None:
    signed_in(machine)

    done = machine.run(*words, stdin=ASKED, HUSHKEY_LOG="hushkey.log")

    assert done.stderr == (
        b"hushkey: HUSHKEY_LOG must be `debug` or an absolute path; nothing is logged\n"
    )
    assert f"at-{CANARY}".encode() in done.stdout
    assert not (machine.home / "hushkey.log").exists()


def test_file_that_cannot_be_written_changes_no_answer(machine: Machine) -> None:
    signed_in(machine)
    usual = machine.run(HELPER, "get", stdin=ASKED)

    done = machine.run(HELPER, "get", stdin=ASKED, HUSHKEY_LOG="/proc/nobody/log")

    assert (done.stdout, done.stderr) == (usual.stdout, usual.stderr)


def test_readme_names_every_step() -> None:
    readme = (ROOT / "README.md").read_text()
    (row,) = [line for line in readme.splitlines() if line.startswith("| `step` |")]
    names = {name for path in MODULES.values() for name in step_names(path)}

    assert {"asked", "not-ours", "http", "cached"} <= names
    assert {name for name in names if f"`{name}`" not in row} == set()


def step_names(path: Path) -> Iterator[str]:
    """Yield the names in `event("name", ...)` and `partial(event, "name", ...)`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and "event" in map(
            ast.unparse, (node.func, *node.args[:1])
        ):
            for part in (p for a in node.args[:2] for p in ast.walk(a)):
                if isinstance(part, ast.Constant):
                    yield str(part.value)
