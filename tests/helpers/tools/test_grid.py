"""Every tool of hushkey-answer, through the same grid of situations.

The requests are those that the real clients sent.
"""

import json
import os
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hushkey.system import locks
from hushkey_helpers import ANSWERS, REQUEST_BYTES, channel, table
from hushkey_helpers.answer import Answer
from hushkey_helpers.tools import bazel
from kit.oauth import BIN, Machine, OidcServer, Reply, grant

TOKEN = "at-c4nary"
#: what nobody but the tool that was asked may hear, in any situation but the good one
HOST = "git.test"


@dataclass(frozen=True)
class Case:
    """How a tool asks for HOST, what it hears then, and how it hears of failures."""

    argv: tuple[str, ...]
    good: str
    stdin: bytes = b""
    environ: Mapping[str, str] = field(default_factory=dict)
    foreign: str = ""
    foreign_code: int = 0
    #: an error's answer, around its line; empty: the line is on stderr
    error: str = ""
    aloud: bool = False  # the line of a protocol's error is on stderr as well
    code: int | None = None  # None: as the kind of error has it
    #: what the store holds for the host
    token: str = TOKEN


def exec_info(host: str) -> str:
    cluster = {"server": f"https://{host}/k8s", "certificate-authority-data": "x"}
    spec = {"cluster": cluster, "interactive": False}
    version = "client.authentication.k8s.io/v1"
    return json.dumps({"kind": "ExecCredential", "apiVersion": version, "spec": spec})


def cargo_get(host: str) -> bytes:
    registry = {
        "index-url": f"sparse+https://{host}/cargo/",
        "name": "f",
        "headers": ['WWW-Authenticate: Bearer realm="x"', "Date: today"],
    }
    request = {"v": 1, "registry": registry, "kind": "get", "operation": "read"}
    return json.dumps({**request, "args": ["--x"]}).encode() + b"\n"


def nuget_asks(host: str, **payload: bool) -> bytes:
    asked = {"Uri": f"https://{host}/v3/index.json", "IsRetry": False}
    request = {
        "RequestId": "r-1",
        "Type": "Request",
        "Method": "GetAuthenticationCredentials",
        "Payload": {**asked, "IsNonInteractive": True, **payload},
    }
    return json.dumps(request).encode() + b"\n"


def nuget_said(code: str) -> str:
    method = "GetAuthenticationCredentials"
    return (
        f'{{"RequestId": "r-1", "Type": "Response", "Method": "{method}", '
        f'"Payload": {{"ResponseCode": {code}}}}}\n'
    )


#: what the exchange `sts` gives
KEYS = json.dumps({"AccessKeyId": "A", "SecretAccessKey": TOKEN, "SessionToken": "s"})


def case(tool: str, host: str = HOST) -> Case:
    """Return how *tool* asks for *host*.

    ENDS and END stand for the token's end, BEFORE for a minute before it.
    """
    return {
        "token": Case((host,), f"{TOKEN}\n", foreign_code=1),
        "aws": Case(
            ("--host", host),
            '{"Version": 1, "AccessKeyId": "A", '
            f'"SecretAccessKey": "{TOKEN}", "SessionToken": "s", '
            '"Expiration": "ENDS"}\n',
            foreign_code=1,
            token=KEYS,
        ),
        "bazel": Case(
            ("get",),
            f'{{"headers": {{"Authorization": ["Bearer {TOKEN}"]}}, '
            '"expires": "ENDS"}\n',
            json.dumps({"uri": f"https://{host}/a/b.tgz"}).encode(),
            foreign="{}\n",
        ),
        "cargo": Case(
            ("--cargo-plugin",),
            f'{{"Ok": {{"kind": "get", "token": "Bearer {TOKEN}", '
            '"cache": "expires", "expiration": END, "operation_independent": true}}\n',
            cargo_get(host),
            foreign='{"Err": {"kind": "url-not-supported"}}\n',
            error='{"Err": {"kind": "other", "message": "hushkey: LINE", '
            '"caused-by": []}}\n',
            code=0,
        ),
        "conda": Case(
            (f"https://{host}/team",),
            f'{{"authorization": "Bearer {TOKEN}", "until": BEFORE}}\n',
            foreign_code=1,
        ),
        "go": Case(
            (f"https://{host}/m/@v/list",),
            f"https://{host}/\n\nAuthorization: Bearer {TOKEN}\n\n",
            b'HTTP/1.1 401 Unauthorized\nWww-Authenticate: Bearer realm="x"\n\n',
        ),
        "google": Case(
            ("--host", host),
            '{"version": 1, "success": true, "token_type": '
            f'"urn:ietf:params:oauth:token-type:jwt", "id_token": "{TOKEN}", '
            '"expiration_time": END}\n',
            foreign='{"version": 1, "success": false, "code": "404", "message": '
            f'"https://{host} is not served by hushkey"}}\n'.replace("https://", ""),
            error='{"version": 1, "success": false, "code": "401", "message": '
            '"LINE"}\n',
            code=0,
        ),
        "kubectl": Case(
            (),
            '{"apiVersion": "client.authentication.k8s.io/v1", "kind": '
            f'"ExecCredential", "status": {{"token": "{TOKEN}", '
            '"expirationTimestamp": "ENDS"}}\n',
            environ={"KUBERNETES_EXEC_INFO": exec_info(host)},
            foreign_code=1,
        ),
        "nuget": Case(
            ("-Plugin",),
            nuget_said(
                f'"Success", "Username": "oauth2", "Password": "{TOKEN}", '
                '"AuthenticationTypes": ["Basic"]'
            ),
            nuget_asks(host),
            foreign=nuget_said('"NotFound"'),
            error=nuget_said('"Error", "Message": "hushkey: LINE"'),
            aloud=True,
            code=0,
        ),
        "pnpm": Case((f"{host}/npm/",), f"Bearer {TOKEN}\n", foreign_code=1),
        "terraform": Case(("get", host), f'{{"token": "{TOKEN}"}}\n', foreign="{}\n"),
    }[tool]


each_tool = pytest.mark.parametrize("name", ANSWERS)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines that were said where the tool hides our stderr."""
    lines: list[str] = []
    monkeypatch.setattr(channel, "tell", lambda line, *_: lines.append(line))
    return lines


@pytest.fixture(autouse=True)
def _nobody_is_told(told: list[str]) -> None:
    """No test writes to the terminal of whoever runs it."""


def call(machine: Machine, name: str, made: Case) -> Answer:
    environ = {**machine.environ, "HUSHKEY_INTERACTIVE": "never", **made.environ}
    tool = table.answered(name)
    return tool.answer()(list(made.argv), lambda: made.stdin, environ)


def assert_says(answer: Answer, made: Case, *, code: int, about: str) -> None:
    """The failure is one line, where the tool's person reads it, without a secret."""
    if made.error:
        line = json.loads(json.dumps(answer.out.decode()))
        before, after = made.error.split("LINE")
        assert line.startswith(before)
        assert line.endswith(after)
        assert about in line
        assert [about in said for said in answer.lines] == [True] * made.aloud
    else:
        assert answer.out == b""
        (said,) = answer.lines
        assert about in said
        assert "\n" not in said
    assert answer.code == (code if made.code is None else made.code)
    assert TOKEN not in answer.out.decode() + "".join(answer.lines)


@each_tool
def test_ours_is_answered_byte_by_byte(name: str, machine: Machine) -> None:
    machine.has(grant(case(name).token))
    expires = machine.token_file().read().tokens()[0].expires_at
    assert expires is not None
    made = case(name)

    answer = call(machine, name, made)

    import time

    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires))
    good = made.good.replace("ENDS", ends).replace("END", str(expires))
    good = good.replace("BEFORE", str(expires - 60))
    assert (answer.out.decode(), answer.lines, answer.code) == (good, (), 0)


@each_tool
def test_token_without_an_end_claims_none(name: str, machine: Machine) -> None:
    machine.has(grant(case(name).token, expires_in=None, refresh_token=""))

    answer = call(machine, name, case(name))

    assert answer.code == 0
    out = answer.out.decode()
    assert TOKEN in out
    assert not any(word in out for word in ("xpir", "until", "None", "null"))


@each_tool
def test_foreign_host_costs_nothing_and_gets_nothing(
    name: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.has(grant(case(name).token))
    monkeypatch.setattr("hushkey.acquire.session.acquirer", None)
    made = case(name, "other.test")

    answer = call(machine, name, made)

    assert (answer.out.decode(), answer.code) == (made.foreign, made.foreign_code)
    assert TOKEN not in answer.out.decode()
    if made.foreign_code:
        assert "other.test" in answer.lines[0]


@each_tool
@pytest.mark.parametrize(
    "host", ["git.test.evil.test", "git.test@evil.test", "xgit.test"]
)
def test_host_that_looks_alike_gets_nothing(
    name: str, machine: Machine, host: str
) -> None:
    machine.has(grant(case(name).token))

    answer = call(machine, name, case(name, host))

    assert TOKEN not in answer.out.decode()


@each_tool
def test_plain_http_gets_nothing(name: str, machine: Machine) -> None:
    machine.has(grant(case(name).token))
    made = case(name, "http://git.test")
    made = Case(
        tuple(word.replace("https://http://", "http://") for word in made.argv),
        "",
        made.stdin.replace(b"https://http://", b"http://"),
        {k: v.replace("https://http://", "http://") for k, v in made.environ.items()},
    )

    answer = call(machine, name, made)

    assert TOKEN not in answer.out.decode()


@each_tool
def test_nobody_signed_in_says_what_to_run(
    name: str, machine: Machine, told: list[str]
) -> None:
    made = case(name)

    answer = call(machine, name, made)

    assert_says(answer, made, code=3, about="hushkey login")
    if table.answered(name).stderr_shown_by == ():
        assert "hushkey login" in told[0]
    else:
        assert told == []


@each_tool
def test_wrong_config_is_named(name: str, machine: Machine) -> None:
    machine.has(grant(case(name).token))
    machine.configure("[settings2]\n")
    made = case(name)

    assert_says(call(machine, name, made), made, code=5, about="config check")


@each_tool
def test_server_that_fails_is_asked_once_by_many_tries(name: str, home: Path) -> None:
    """Tools run a failing command again and again."""
    with OidcServer() as server:
        machine = Machine(home, server.issuer)
        machine.configure()
        machine.has(grant(case(name).token, expires_in=1), age=3600)
        server.on("/token", Reply({}, 503))
        made = case(name)
        for _ in range(5):
            assert_says(call(machine, name, made), made, code=4, about="try again")
        assert len(server.calls_to("/token")) == 1


def test_tool_that_waits_for_so_long_hears_in_time_who_is_busy(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever holds the lock may have more time than a tool like Bazel."""
    monkeypatch.setattr(bazel, "TOOL", bazel.TOOL.changed(patience=3))
    machine.has(grant(TOKEN, expires_in=1), age=3600)
    made = case("bazel")
    with locks.held(machine.token_file().lock_path("change"), 5):
        began = time.monotonic()
        answer = call(machine, "bazel", made)

    assert time.monotonic() - began < 3
    assert_says(answer, made, code=4, about="has been busy")


@each_tool
def test_killed_by_its_tool_in_the_middle_it_loses_nothing(
    name: str, home: Path
) -> None:
    """The tool's patience ends while the identity server is silent."""
    asked, over = threading.Event(), threading.Event()

    def hangs(_: object) -> None:
        asked.set()
        over.wait(30)

    with OidcServer() as server:
        machine = Machine(home, server.issuer)
        machine.configure()
        machine.has(grant(TOKEN, expires_in=1), age=3600)
        before = machine.token_file().read().dumps()
        server.on("/token", hangs)
        made = case(name)
        victim = subprocess.Popen(
            [str(BIN / "hushkey-answer"), name, *made.argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**machine.environ, **made.environ},
            start_new_session=True,
        )
        try:
            assert victim.stdin
            victim.stdin.write(made.stdin)
            victim.stdin.close()
            victim.stdin = None
            assert asked.wait(30)
            victim.kill()  # a polite end waits for the renewal, and says so
            out, err = victim.communicate(timeout=30)
        finally:
            over.set()
            victim.kill()
            victim.wait()

        assert (out, err) == (ANSWERS[name][1], b"")
        with pytest.raises(ProcessLookupError):
            os.killpg(victim.pid, 0)  # nothing is left of what it started
        assert machine.token_file().read().dumps() == before
        if made.token == KEYS:
            return  # the keys of an exchange are renewed at another server
        server.grants(access_token="at-after")
        answer = call(machine, name, made)
        assert (answer.code, answer.lines) == (0, ())
        assert b"at-after" in answer.out
        assert len(server.calls_to("/token")) == 2


def test_go_s_first_run_costs_nothing_whatever_is_cached(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Go runs it before any request, for hosts that it does not name."""
    machine.has(grant(TOKEN))
    monkeypatch.setattr("hushkey.config.rules.load", None)
    monkeypatch.setattr("hushkey.acquire.session.acquirer", None)

    answer = call(machine, "go", Case((), ""))

    assert (answer.out, answer.lines, answer.code) == (b"", (), 0)


@each_tool
@pytest.mark.parametrize(
    "stdin", [b"", b"{", b"[]", b"\xff\x00", b'{"uri": 1}', b"x" * 100_000, b"[" * 9999]
)
@pytest.mark.parametrize("argv", [(), ("get",), ("\x1b[2J", "b", "c"), ("--host",)])
def test_garbage_is_an_error_of_one_line(
    name: str, machine: Machine, stdin: bytes, argv: tuple[str, ...]
) -> None:
    machine.has(grant(case(name).token))

    answer = call(machine, name, Case(argv, "", stdin))

    assert TOKEN not in answer.out.decode()
    assert len(answer.lines) <= 1
    assert "internal error" not in str(answer.lines) + answer.out.decode()


@each_tool
def test_program_answers_as_the_function_does(name: str, machine: Machine) -> None:
    machine.has(grant(case(name).token, expires_in=None, refresh_token=""))
    made = case(name)
    expected = call(machine, name, made).out
    greeting = ANSWERS[name][1]

    done = machine.run(
        "hushkey-answer", name, *made.argv, stdin=made.stdin, **made.environ
    )

    assert (done.stdout, done.stderr, done.returncode) == (greeting + expected, b"", 0)


@each_tool
def test_program_that_fails_keeps_its_streams_apart(
    name: str, machine: Machine
) -> None:
    made = case(name)

    done = machine.run(
        "hushkey-answer",
        name,
        *made.argv,
        stdin=made.stdin,
        HUSHKEY_INTERACTIVE="never",
        **made.environ,
    )

    if made.error:
        assert b"hushkey login" in done.stdout
        assert done.stderr.count(b"\n") == made.aloud
    else:
        assert done.stdout == b""
        assert done.stderr.count(b"\n") == 1
        assert done.returncode == 3


@pytest.mark.parametrize(
    "name", [name for name, (ends, *_) in ANSWERS.items() if ends is None]
)
def test_stdin_that_never_ends_is_not_waited_for(name: str, machine: Machine) -> None:
    machine.has(grant(case(name).token))
    made = case(name)
    reading, writing = os.pipe()
    try:
        done = subprocess.run(
            [str(BIN / "hushkey-answer"), name, *made.argv],
            stdin=reading,
            capture_output=True,
            env={**machine.environ, **made.environ},
            timeout=30,
            check=False,
        )
    finally:
        os.close(reading)
        os.close(writing)
    assert TOKEN.encode() in done.stdout


def cargo_says(kind: str, host: str = HOST) -> Case:
    stdin = cargo_get(host).replace(b'"kind": "get"', f'"kind": "{kind}"'.encode())
    return Case((), "", stdin)


def test_cargo_login_signs_in_and_hears_that_it_is_done(machine: Machine) -> None:
    nobody = call(machine, "cargo", cargo_says("login"))
    machine.has(grant(TOKEN))
    done = call(machine, "cargo", cargo_says("login"))

    assert b'"Err": {"kind": "other"' in nobody.out
    assert (done.out, done.lines) == (b'{"Ok": {"kind": "login"}}\n', ())


@pytest.mark.parametrize("signed_in", [True, False])
@pytest.mark.parametrize(
    ("name", "made", "out"),
    [
        ("cargo", cargo_says("logout"), b'{"Ok": {"kind": "logout"}}\n'),
        ("terraform", Case(("forget", HOST), ""), b""),
    ],
)
def test_sign_out_of_a_tool_changes_nothing_and_says_what_would(
    machine: Machine,
    name: str,
    made: Case,
    out: bytes,
    signed_in: bool,
    told: list[str],
) -> None:
    if signed_in:
        machine.has(grant(TOKEN))

    answer = call(machine, name, made)

    assert (answer.out, answer.code) == (out, 0)
    assert f"hushkey logout {HOST}" in answer.lines[0]
    assert told == ([] if name == "cargo" else list(answer.lines))
    assert machine.stored() == ([TOKEN] if signed_in else [])


@pytest.mark.parametrize("kind", ["login", "logout"])
def test_cargo_asks_the_next_one_about_a_foreign_registry(
    machine: Machine, kind: str
) -> None:
    answer = call(machine, "cargo", cargo_says(kind, "other.test"))

    assert answer.out == b'{"Err": {"kind": "url-not-supported"}}\n'


def test_cargo_runs_the_program_with_its_own_word_alone(machine: Machine) -> None:
    machine.has(grant(TOKEN, expires_in=None, refresh_token=""))
    stdin = case("cargo").stdin

    done = machine.run("hushkey-answer", "--cargo-plugin", stdin=stdin)

    assert done.stdout.startswith(b'{"v":[1]}\n{"Ok": {"kind": "get", ')
    assert (TOKEN.encode() in done.stdout, done.stderr) == (True, b"")


@pytest.mark.parametrize(
    "words", [(), ("nope",), ("../git",), ("token.py",), ("__init__",)]
)
def test_unknown_tool_is_wrong_usage(machine: Machine, words: tuple[str, ...]) -> None:
    done = machine.run("hushkey-answer", *words)

    assert (done.stdout, done.returncode) == (b"", 2)
    assert done.stderr.startswith(b"hushkey: usage: hushkey-answer TOOL")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    "name", [name for name, (ends, *_) in ANSWERS.items() if ends is not None]
)
def test_endless_request_is_cut(name: str, machine: Machine) -> None:
    made = case(name)

    done = machine.run(
        "hushkey-answer", name, *made.argv, stdin=b"x" * (REQUEST_BYTES + 10)
    )

    assert done.returncode in (0, 1, 2, 3)
    assert done.stderr.count(b"\n") <= 1


def test_cargo_says_no_word_of_its_settings(machine: Machine) -> None:
    """It starts "hushkey-answer cargo" without ``cargo``."""
    machine.has(grant(TOKEN))

    done = machine.run("hushkey-answer", "--cargo-plugin", stdin=cargo_get(HOST))

    hello, answer = done.stdout.splitlines()
    assert json.loads(hello) == {"v": [1]}
    assert json.loads(answer)["Ok"]["token"] == f"Bearer {TOKEN}"


def test_aws_hears_that_a_host_gives_no_keys(machine: Machine) -> None:
    machine.has(grant(TOKEN))

    assert_says(
        call(machine, "aws", case("aws")), case("aws"), code=1, about='exchange = "sts"'
    )
