"""`hushkey run`: the variable of each tool, and a command that takes our place."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hushkey.errors import Permanent
from hushkey_install.running import variables
from hushkey_install.running.variables import VARIABLES
from kit.oauth import BIN, Machine, grant

TOKEN = "at-c4nary"
DUMP = (
    sys.executable,
    "-c",
    "import json, os; print(json.dumps(dict(os.environ)))",
)
GUARD = str(Path(variables.__file__).with_name("yarn-guard-hushkey.cjs"))
BASIC = """
[host."basic-host.test/team"]
identity = "corp"
scopes = ["git"]
username = "me"
scheme = "basic"

[host."port.test:8443"]
identity = "corp"
scopes = ["git"]
"""


@pytest.fixture
def machine(machine: Machine) -> Machine:
    machine.configure(BASIC)
    machine.has(grant(TOKEN, expires_in=None, refresh_token=""))
    machine.environ["HUSHKEY_INTERACTIVE"] = "never"
    index = 'index = "sparse+https://git.test/cargo/"'
    (machine.home / ".cargo").mkdir()
    (machine.home / ".cargo/config.toml").write_text(f"[registries.my-reg]\n{index}\n")
    return machine


def added(machine: Machine, *options: str, **environ: str) -> dict[str, str]:
    """Return what a command sees that this process does not have."""
    machine.environ |= environ
    before = dict(machine.environ)
    done = machine.run("hushkey", "run", *options, "--", *DUMP)
    assert (done.stderr, done.returncode) == (b"", 0)
    seen = json.loads(done.stdout)
    known = {"LC_CTYPE", "PWD", "_", "SHLVL", "OLDPWD"}  # Python's and the shell's
    return {k: v for k, v in seen.items() if before.get(k) != v and k not in known}


def test_folder_that_is_gone_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    place = variables.Place("h.test", "", "mine")

    with pytest.raises(Permanent, match="folder that this runs in is gone"):
        VARIABLES["cargo"](None, place, {})  # type: ignore[arg-type]


def test_yarn_s_plug_ins_stay(machine: Machine) -> None:
    seen = added(machine, "yarn", "--host", "git.test", YARN_PLUGINS="./a.cjs;b.cjs")

    assert seen["YARN_PLUGINS"] == f"./a.cjs;b.cjs;{GUARD}"


def test_each_registry_of_a_project_gets_its_own_token(machine: Machine) -> None:
    both = ("--host", "git.test/npm/", "--host", "https://port.test:8443/scope")
    key = "npm_config_//{}/:_authToken"

    seen = added(machine, "npm", *both)
    composer = added(machine, "composer", *both)

    places = ("git.test/npm", "port.test:8443/scope")
    assert seen == {key.format(place): TOKEN for place in places}
    hosts = json.loads(composer["COMPOSER_AUTH"])["bearer"]
    assert list(hosts) == ["git.test", "port.test:8443"]
    for words in (("yarn",), ("--env", "X"), ("npm", "--env", "X")):
        done = machine.run("hushkey", "run", *words, *both, "--", *DUMP)
        assert b"takes one token: give --host once" in done.stderr
        assert (done.stdout, done.returncode) == (b"", 2)


@pytest.mark.parametrize(
    ("tool", "host", "more", "expected"),
    [
        ("npm", "git.test/npm/", (), {"npm_config_//git.test/npm/:_authToken": TOKEN}),
        (
            "npm",
            "https://git.test",
            (),
            {"npm_config_//git.test/:_authToken": TOKEN},
        ),
        ("pnpm", "git.test/a/b", (), {"pnpm_config_//git.test/a/b/:_authToken": TOKEN}),
        (
            "yarn",
            "git.test",
            (),
            {
                "YARN_NPM_AUTH_TOKEN": TOKEN,
                "YARN_NPM_ALWAYS_AUTH": "true",
                "YARN_PLUGINS": GUARD,
                "HUSHKEY_YARN_REGISTRY": "https://git.test",
            },
        ),
        (
            "cargo",
            "git.test",
            ("--name", "my-reg"),
            {
                "CARGO_REGISTRIES_MY_REG_TOKEN": f"Bearer {TOKEN}",
                "CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS": "cargo:token",
                "CARGO_REGISTRIES_MY_REG_INDEX": "sparse+https://git.test/cargo/",
            },
        ),
        (
            "terraform",
            "basic-host.test/team",
            (),
            {"TF_TOKEN_basic__host_test": TOKEN},
        ),
        ("terraform", "git.test:443", (), {"TF_TOKEN_git_test": TOKEN}),
        ("terraform", "port.test:8443", (), {"TF_TOKEN_port_test:8443": TOKEN}),
        ("tofu", "git.test", (), {"TF_TOKEN_git_test": TOKEN}),
        ("maven", "git.test", (), {"HUSHKEY_USER": "oauth2", "HUSHKEY_TOKEN": TOKEN}),
        (
            "gradle",
            "basic-host.test/team",
            (),
            {
                "ORG_GRADLE_PROJECT_hushkeyUser": "me",
                "ORG_GRADLE_PROJECT_hushkeyToken": TOKEN,
            },
        ),
        (
            "composer",
            "git.test",
            (),
            {"COMPOSER_AUTH": json.dumps({"bearer": {"git.test": TOKEN}})},
        ),
        (
            "composer",
            "basic-host.test/team/x",
            (),
            {
                "COMPOSER_AUTH": json.dumps(
                    {
                        "http-basic": {
                            "basic-host.test": {"username": "me", "password": TOKEN}
                        }
                    }
                )
            },
        ),
        (
            "bundler",
            "basic-host.test/team",
            (),
            {"BUNDLE_BASIC___HOST__TEST": f"me:{TOKEN}"},
        ),
        (
            "huggingface",
            "git.test",
            (),
            {"HF_TOKEN": TOKEN, "HF_ENDPOINT": "https://git.test"},
        ),
        ("psql", "git.test", (), {"PGPASSWORD": TOKEN}),
        ("gh", "git.test", (), {"GH_ENTERPRISE_TOKEN": TOKEN, "GH_HOST": "git.test"}),
        ("", "git.test", ("--env", "A", "--env", "B"), {"A": TOKEN, "B": TOKEN}),
        ("psql", "git.test", ("--env", "A"), {"A": TOKEN, "PGPASSWORD": TOKEN}),
    ],
)
def test_command_sees_what_its_tool_reads(
    machine: Machine,
    tool: str,
    host: str,
    more: tuple[str, ...],
    expected: dict[str, str],
) -> None:
    words = (tool,) if tool else ()

    assert added(machine, *words, "--host", host, *more) == expected


def test_every_tool_is_tried() -> None:
    """A tool more needs a row above."""
    (rows,) = (
        mark.args[1]
        for mark in test_command_sees_what_its_tool_reads.pytestmark  # type: ignore[attr-defined]
        if mark.name == "parametrize"
    )

    assert {row[0] for row in rows} - {""} == set(VARIABLES)


def test_composer_keeps_what_was_there(machine: Machine) -> None:
    before = json.dumps({"bearer": {"other.test": "x"}, "gitlab-token": {"a": "b"}})

    found = added(machine, "composer", "--host", "git.test", COMPOSER_AUTH=before)

    assert json.loads(found["COMPOSER_AUTH"]) == {
        "bearer": {"other.test": "x", "git.test": TOKEN},
        "gitlab-token": {"a": "b"},
    }


@pytest.mark.parametrize("code", [0, 1, 3, 77, 255])
def test_exit_code_is_the_command_s(machine: Machine, code: int) -> None:
    words = (
        "run",
        "--host",
        "git.test",
        "--env",
        "T",
        "--",
        "sh",
        "-c",
        f"exit {code}",
    )

    assert machine.run("hushkey", *words).returncode == code


def test_words_behind_the_dashes_are_the_command_s(machine: Machine) -> None:
    words = ("run", "--host", "git.test", "--env", "T", "--")
    done = machine.run("hushkey", *words, "echo", "--help", "--host", "x", "--", "y")

    assert done.stdout == b"--help --host x -- y\n"


def test_command_takes_our_place_and_gets_our_signals(machine: Machine) -> None:
    script = "trap 'exit 42' TERM; echo $$; while :; do sleep 0.05; done"
    words = ("run", "--host", "git.test", "--env", "T", "--", "sh", "-c", script)
    process = subprocess.Popen(
        [str(BIN / "hushkey"), *words],
        stdout=subprocess.PIPE,
        env=machine.environ,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        assert int(process.stdout.readline()) == process.pid
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 42
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_stdin_is_the_command_s(machine: Machine) -> None:
    words = ("run", "--host", "git.test", "--env", "T", "--", "cat")

    assert machine.run("hushkey", *words, stdin=b"all of it").stdout == b"all of it"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--host", "git.test", "--", "true"), 2, "--env NAME"),
        (("npm", "--host", "git.test"), 2, "put `--`"),
        (("npm", "--", "true"), 2, "--host"),
        (("nope", "--host", "git.test", "--", "true"), 2, "nope"),
        (("npm", "--host", "other.test", "--", "true"), 1, "no rule covers it"),
        (
            ("npm", "--host", "git.test", "--", "no-such-program"),
            127,
            "no such program",
        ),
        (("npm", "--host", "git.test", "--", "/"), 126, "ermission"),
        (("cargo", "--host", "git.test", "--", "true"), 1, "--name NAME"),
        (
            ("cargo", "--name", "else", "--host", "git.test", "--", "true"),
            1,
            "cargo's config has no registry else here",
        ),
        (
            ("cargo", "--name", "my-reg", "--host", "port.test:8443", "--", "true"),
            1,
            "at sparse+https://git.test/cargo/, which is not at https://port.test:8443",
        ),
        (("--env", "A=B", "--host", "git.test", "--", "true"), 1, "variable's name"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_runs(
    machine: Machine, words: tuple[str, ...], code: int, said: str
) -> None:
    done = machine.run("hushkey", "run", *words)

    assert done.returncode == code
    assert said in done.stderr.decode()
    assert done.stdout == b""
    assert TOKEN.encode() not in done.stderr


def test_password_in_cargo_s_index_is_not_said(machine: Machine) -> None:
    machine.environ["CARGO_REGISTRIES_MINE_INDEX"] = "sparse+https://me:c4nary@x.test/"
    words = ("run", "cargo", "--name", "mine", "--host", "git.test", "--", "true")
    done = machine.run("hushkey", *words)

    assert done.returncode == 1
    assert b"at sparse+https://x.test/, which is not" in done.stderr
    assert b"c4nary" not in done.stderr


def test_nobody_signed_in_runs_nothing(machine: Machine) -> None:
    machine.configure('[host."new.test"]\nidentity = "corp"\nscopes = ["else"]\n')

    done = machine.run("hushkey", "run", "npm", "--host", "new.test", "--", "echo", "x")

    assert (done.stdout, done.returncode) == (b"", 3)
    assert b"hushkey login" in done.stderr


def test_nothing_is_written_beside_the_variables(machine: Machine) -> None:
    before = {p: p.stat().st_mtime_ns for p in machine.home.rglob("*") if p.is_file()}
    time.sleep(0.01)
    added(machine, "npm", "--host", "git.test")
    after = {p: p.stat().st_mtime_ns for p in machine.home.rglob("*") if p.is_file()}

    changed = {p for p in after if before.get(p) != after[p]}
    assert not [p for p in changed if TOKEN.encode() in p.read_bytes()]
