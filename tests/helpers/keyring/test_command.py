import json
import subprocess
from pathlib import Path

import pytest

from hushkey_helpers.answer import Answer
from hushkey_helpers.keyring import command
from kit.oauth import BIN, CANARY, Machine, grant

URL = "https://git.test/simple/"
TOKEN = f"at-{CANARY}"
NEVER = {"HUSHKEY_INTERACTIVE": "never"}
BARE = '[host."bare.test"]\nidentity = "corp"\nscopes = ["git"]\nbare = true\n'


@pytest.fixture
def machine(home: Path) -> Machine:
    made = Machine(home)
    made.configure(BARE)
    made.has(grant(TOKEN, refresh_token=""))
    made.environ["PATH"] = str(home / "bin")
    (home / "bin").mkdir()
    return made


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep in-process answers off the terminal of whoever runs the tests."""
    monkeypatch.setattr("hushkey_helpers.channel.tell", lambda *_: None)


def ask(machine: Machine, *words: str, **environ: str) -> Answer:
    return command.answer(
        list(words), lambda: b"", {**machine.environ, **NEVER, **environ}
    )


def real_keyring(
    machine: Machine, text: str = 'printf "%s\\n" "next:" "$@"', folder: str = "bin"
) -> Path:
    """Put a program called `keyring` on PATH that prints its words."""
    path = machine.home / folder / "keyring"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


# -- the forms that clients use --------------------------------------------------

PLAIN, PAIR = f"{TOKEN}\n", f"me\n{TOKEN}\n"


@pytest.mark.parametrize(
    ("words", "out"),
    [
        pytest.param(["get", URL, "me"], PLAIN, id="pip to 26.1, uv"),
        pytest.param(["get", URL, "me", "--mode", "creds"], PAIR, id="uv always"),
        pytest.param(["get", URL, "--mode", "creds"], f"oauth2\n{TOKEN}\n", id="uv"),
        pytest.param(["--mode=creds", "get", URL, "me"], PAIR, id="before, with ="),
        pytest.param(["--mode", "creds", "get", URL, "me"], PAIR, id="before"),
        pytest.param(["get", "--mode", "creds", URL, "me"], PAIR, id="between"),
        pytest.param(["--mode=creds", "get", URL, ""], f"oauth2\n{TOKEN}\n", id="pdm"),
        pytest.param(["--mode=password", "get", URL, "__token__"], PLAIN, id="pdm 2"),
        pytest.param(["get", "--", URL, "me"], PLAIN, id="--"),
        pytest.param(["get", URL], PLAIN, id="no user name at all"),
        pytest.param(["get", "bare.test:443", "me"], PLAIN, id="bare host"),
    ],
)
def test_get_answers_in_the_form_that_was_asked_for(
    machine: Machine, words: list[str], out: str
) -> None:
    answer = ask(machine, *words)

    assert (answer.out.decode(), answer.lines, answer.code) == (out, (), 0)


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        (["--mode=creds", "get", URL], {"username": "oauth2", "password": TOKEN}),
        (["--mode=creds", "get", URL, 'm"é'], {"username": 'm"é', "password": TOKEN}),
        (["get", URL, "me"], {"password": TOKEN}),
    ],
)
def test_json_is_what_pip_reads(
    machine: Machine, words: list[str], fields: dict[str, str]
) -> None:
    assert json.loads(ask(machine, "--output=json", *words).out) == fields


def test_user_name_with_a_line_break_is_refused(machine: Machine) -> None:
    answer = ask(machine, "--mode=creds", "get", URL, "a\nb")

    assert (answer.out, answer.code) == (b"", 1)


# -- what we cannot answer -------------------------------------------------------


def test_failure_is_one_line_and_1(machine: Machine) -> None:
    machine.configure('[host."new.test"]\nidentity = "corp"\nscopes = ["x"]\n')

    answer = ask(machine, "get", "https://new.test/simple/", "me")

    assert (answer.out, answer.code) == (b"", 1)
    assert len(answer.lines) == 1
    assert "run: hushkey login new.test" in answer.lines[0]


def test_internal_error_shows_its_type_alone(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(TOKEN)

    monkeypatch.setattr("hushkey_helpers.keyring.services.Service.token", fail)

    answer = ask(machine, "get", URL, "me")

    assert answer.lines == ("internal error (RuntimeError); please report it",)
    assert answer.code == 1


@pytest.mark.parametrize(
    ("operation", "says"),
    [("set", "did not store a password"), ("del", "hushkey logout corp")],
)
def test_set_and_del_of_ours_are_refused(
    machine: Machine, operation: str, says: str
) -> None:
    real_keyring(machine)

    answer = ask(machine, operation, URL, "me")

    assert (answer.out, answer.code, answer.instead) == (b"", 1, ())
    assert says in answer.lines[0]
    assert machine.stored() == [TOKEN]


# -- what is not ours ------------------------------------------------------------

FOREIGN = [
    ["get", "https://other.test/", "me"],
    ["--mode=creds", "--output=json", "get", "other.test"],
    ["set", "other", "me"],
    ["del", "other", "me"],
    ["--list-backends"],
    ["diagnose"],
    ["get", URL, "me", "more"],
    ["get", URL, "me", "--mode", "odd"],
    ["-b", "some.Backend", "get", URL, "me"],
    ["--keyring-path", "/x", "get", URL, "me"],
    ["--help"],
    [],
]


@pytest.mark.parametrize("words", FOREIGN, ids=" ".join)
def test_next_keyring_gets_the_same_words(machine: Machine, words: list[str]) -> None:
    path = real_keyring(machine)

    answer = ask(machine, *words)

    assert answer.instead == (str(path), *words)
    assert answer.environ is not None
    assert answer.environ[command.PASSED_ON] == "1"


@pytest.mark.parametrize("words", FOREIGN, ids=" ".join)
def test_without_a_next_keyring_nothing_is_2(
    machine: Machine, words: list[str]
) -> None:
    answer = ask(machine, *words)

    assert (answer.out, answer.instead) == (b"", ())
    assert answer.code == (0 if words == ["--help"] else 1)


def test_get_that_finds_nothing_is_silent(machine: Machine) -> None:
    assert ask(machine, "get", "https://other.test/", "me").lines == ()


def test_question_that_comes_back_ends_here(machine: Machine) -> None:
    real_keyring(machine)

    answer = ask(machine, "get", "other", "me", **{command.PASSED_ON: "1"})

    assert (answer.code, answer.instead) == (1, ())


def test_launchers_of_ours_are_passed_over(machine: Machine) -> None:
    folders = [machine.home / name for name in ("a", "b", "c", "bin")]
    for folder in folders[:3]:
        folder.mkdir()
    (folders[0] / "keyring").symlink_to(BIN / "hushkey-keyring")
    copy = folders[1] / "keyring"
    copy.write_bytes((BIN / "hushkey-keyring").read_bytes())
    copy.chmod(0o755)
    (folders[2] / "keyring").write_text("not a program")
    path = real_keyring(machine)

    answer = ask(machine, "get", "other", "me", PATH=":".join(map(str, folders)))

    assert answer.instead[0] == str(path)


def test_keyring_from_a_folder_with_our_name_is_not_ours(machine: Machine) -> None:
    path = real_keyring(machine, "# /home/me/hushkey_helpers/bin/python")

    assert ask(machine, "get", "other", "me").instead[0] == str(path)


@pytest.mark.parametrize("entry", ["", ".", "bin", "bin:", ":bin"])
def test_relative_places_on_path_are_not_looked_at(
    machine: Machine, entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_keyring(machine)
    real_keyring(machine, folder=".")
    monkeypatch.chdir(machine.home)

    assert ask(machine, "get", "other", "me", PATH=entry).instead == ()


def test_wrong_config_says_so_and_leaves_it_to_the_next(machine: Machine) -> None:
    machine.configure("[nonsense]\n")
    path = real_keyring(machine)

    answer = ask(machine, "get", URL, "me")

    assert answer.out == b""
    assert answer.instead == (str(path), "get", URL, "me")
    assert "unknown key" in answer.lines[0]


# -- a name without a scheme -----------------------------------------------------


def test_bare_host_that_nothing_proves_is_one_line_and_1(machine: Machine) -> None:
    real_keyring(machine)

    answer = ask(machine, "get", "git.test", "me")

    assert (answer.out, answer.code, answer.instead) == (b"", 1, ())
    (line,) = answer.lines
    assert "gave no token for a host's name alone" in line
    assert "(host git.test)" in line
    assert 'host."git.test".bare' in line


@pytest.mark.parametrize("proven", [False, True])
def test_bare_host_is_answered_if_its_connection_proves_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, proven: bool
) -> None:
    monkeypatch.setattr(
        "hushkey_helpers.keyring.proofs.by_connection", lambda *_: proven
    )

    answer = ask(machine, "get", "git.test", "me")

    assert answer.out.decode() == (PLAIN if proven else "")


@pytest.mark.parametrize("operation", ["set", "del"])
def test_set_and_del_of_a_bare_host_of_ours_are_refused(
    machine: Machine, operation: str
) -> None:
    real_keyring(machine)

    answer = ask(machine, operation, "git.test", "me")

    assert (answer.out, answer.code, answer.instead) == (b"", 1, ())


# -- the program -----------------------------------------------------------------


def program(
    machine: Machine, *words: str, stdin: bytes = b"", **environ: str
) -> "subprocess.CompletedProcess[bytes]":
    return machine.run("hushkey-keyring", *words, stdin=stdin, **NEVER, **environ)


def test_program_answers(machine: Machine) -> None:
    done = program(machine, "--mode=creds", "--output=json", "get", URL)

    assert json.loads(done.stdout)["password"] == TOKEN
    assert (done.stderr, done.returncode) == (b"", 0)


def test_program_becomes_the_next_one(machine: Machine) -> None:
    """Its stdin, stdout, stderr, words and exit code are the next one's."""
    real_keyring(machine, 'read x; echo "got $x $1 $4"; echo odd >&2; exit 7')

    done = program(machine, "set", "other", "me", "", stdin=b"typed\n")

    assert (done.stdout, done.stderr, done.returncode) == (
        b"got typed set \n",
        b"odd\n",
        7,
    )


def test_next_one_that_leads_back_ends(machine: Machine) -> None:
    real_keyring(machine, f'exec {BIN}/hushkey-keyring "$@"')

    done = program(machine, "get", "other", "me")

    assert (done.stdout, done.stderr, done.returncode) == (b"", b"", 1)


def test_next_one_that_does_not_start_is_a_line(machine: Machine) -> None:
    path = real_keyring(machine)
    path.write_text("#!/no/such/interpreter\n")

    done = program(machine, "get", "other", "me")

    assert done.returncode == 1
    assert b"cannot start" in done.stderr


#: the command line of a keyring before 25.2
OLDER = """
for word; do case $word in -*)
    echo "keyring: error: unrecognized arguments: $word" >&2; exit 2 ;;
esac; done
test "$1 $2 $3" = "get https://other.test/ me" && echo theirs
"""


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["--mode=creds", "--output=json", "get", "https://other.test/"], b""),
        (["--mode=creds", "get", "https://other.test/", ""], b""),
        (["get", "https://other.test/", "you", "--mode", "creds"], b""),
        (["get", "https://other.test/", "me", "--mode", "creds"], b"me\ntheirs\n"),
        (
            ["--mode=creds", "--output=json", "get", "https://other.test/", "me"],
            b'{"username": "me", "password": "theirs"}\n',
        ),
        (["get", "https://other.test/", "me"], b"theirs\n"),
    ],
)
def test_older_keyring_behind_us_is_asked_in_its_own_words(
    machine: Machine, words: list[str], out: bytes
) -> None:
    real_keyring(machine, OLDER)

    done = program(machine, *words)

    assert (done.stdout, done.returncode) == (out, 0 if out else 1)


@pytest.mark.parametrize("code", [0, 1, 3])
def test_other_exit_codes_are_the_next_one_s(machine: Machine, code: int) -> None:
    real_keyring(machine, f'echo "$@"; exit {code}')

    done = program(machine, "--mode=creds", "get", "other.test")

    assert (done.stdout, done.returncode) == (b"--mode=creds get other.test\n", code)


def test_next_one_that_is_killed_is_no_success(machine: Machine) -> None:
    real_keyring(machine, "kill -9 $$")

    assert program(machine, "--mode=creds", "get", "other.test").returncode == 137


# -- switched off ----------------------------------------------------------------


@pytest.mark.parametrize("backend", ["null", "fail"])
@pytest.mark.parametrize("where", ["variable", "file", "file elsewhere"])
def test_keyring_that_is_switched_off_is_off_here_too(
    machine: Machine, backend: str, where: str
) -> None:
    name = f"keyring.backends.{backend}.Keyring"
    environ: dict[str, str] = {}
    if where == "variable":
        environ["PYTHON_KEYRING_BACKEND"] = name
    else:
        switch_off(machine, name, where)
        if where == "file elsewhere":
            environ["XDG_CONFIG_HOME"] = str(machine.home / where)

    for words in (["get", URL, "me"], ["--mode=creds", "--output=json", "get", URL]):
        done = program(machine, *words, stdin=b"", **environ)
        assert (done.stdout, done.stderr, done.returncode) == (b"", b"", 1)
    real_keyring(machine, 'echo "next: $1"')
    done = program(machine, "set", URL, "me", stdin=b"", **environ)
    assert done.stdout == b"next: set\n"


def switch_off(machine: Machine, name: str, where: str = "file") -> None:
    """Write what `keyring --disable` writes; *where* is a folder, or the usual one."""
    base = ".config" if where == "file" else where
    path = machine.home / base / "python_keyring" / "keyringrc.cfg"
    path.parent.mkdir(parents=True)
    path.write_text(f"[backend]\ndefault-keyring={name}")


def test_keyring_itself_switches_us_off(machine: Machine) -> None:
    done = machine.run("keyring", "--disable")
    assert done.returncode == 0, done.stderr

    assert ask(machine, "get", URL, "me").out == b""


@pytest.mark.parametrize(
    ("in_variable", "in_file", "answers"),
    [
        ("hushkey_helpers.backend.Keyring", "keyring.backends.null.Keyring", True),
        ("keyring.backends.null.Keyring", "hushkey_helpers.backend.Keyring", False),
        ("keyring.backends.SecretService.Keyring", "", True),
        ("", "keyring.backends.macOS.Keyring", True),
    ],
)
def test_only_what_is_off_is_off_and_the_variable_counts_first(
    machine: Machine, in_variable: str, in_file: str, answers: bool
) -> None:
    switch_off(machine, in_file)

    out = ask(machine, "get", URL, "me", PYTHON_KEYRING_BACKEND=in_variable).out

    assert out == (PLAIN.encode() if answers else b"")


@pytest.mark.parametrize("text", ["", "[backend]\n", "nonsense", "\udcff[backend"])
def test_odd_keyringrc_switches_nothing_off(machine: Machine, text: str) -> None:
    switch_off(machine, "")
    path = machine.home / ".config" / "python_keyring" / "keyringrc.cfg"
    path.write_text(text, errors="surrogateescape")

    assert ask(machine, "get", URL, "me").out == PLAIN.encode()


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ((BIN / "hushkey-keyring").read_text(), True),
        (
            "#!/v/bin/python\nfrom hushkey_helpers.keyring import main\nmain()\n",
            True,
        ),
        ("#!/v/bin/python\nfrom keyring.cli import main\nmain()\n", False),
    ],
    ids=["of this version", "of 0.1.0", "of keyring"],
)
def test_our_program_is_known_under_any_name(
    tmp_path: Path, text: str, ours: bool
) -> None:
    path = tmp_path / "keyring"
    path.write_text(text)

    assert command.is_ours(str(path)) == ours


def test_folder_of_the_caller_brings_no_module(machine: Machine) -> None:
    evil = machine.home / "hushkey_helpers"
    evil.mkdir()
    (evil / "__init__.py").write_text("print('evil')")
    done = subprocess.run(
        [str(BIN / "hushkey-keyring"), "get", URL, "me"],
        capture_output=True,
        cwd=machine.home,
        env={**machine.environ, **NEVER, "PYTHONPATH": ":."},
        timeout=60,
        check=False,
    )

    assert done.stdout == f"{TOKEN}\n".encode(), done.stderr
