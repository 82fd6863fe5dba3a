"""NuGet's plug-in: one process, many messages, in both directions."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from hushkey_helpers.answer import Answer
from hushkey_helpers.tools import nuget
from kit.oauth import BIN, Machine, OidcServer, grant

TOKEN = "at-c4nary"
ASKS = "GetAuthenticationCredentials"


def request(method: str, number: str = "r", **payload: object) -> dict[str, Any]:
    return {
        "RequestId": number,
        "Type": "Request",
        "Method": method,
        "Payload": payload,
    }


def asks(number: str = "r", host: str = "git.test", **more: object) -> dict[str, Any]:
    facts = {"IsRetry": False, "IsNonInteractive": True, "CanShowDialog": True}
    uri = f"https://{host}/v3/index.json"
    return request(ASKS, number, Uri=uri, **{**facts, **more})


def say(machine: Machine, message: object) -> Answer:
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return nuget.answer(["-Plugin"], lambda: data, machine.environ)


def payload(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.out)["Payload"]
    return found


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            request(
                "Handshake", ProtocolVersion="2.0.0", MinimumProtocolVersion="1.0.0"
            ),
            {"ResponseCode": "Success", "ProtocolVersion": "2.0.0"},
        ),
        (
            request(
                "Handshake", ProtocolVersion="4.0.0", MinimumProtocolVersion="3.0.0"
            ),
            {"ResponseCode": "Error"},
        ),
        (request("MonitorNuGetProcessExit", ProcessId=1), {"ResponseCode": "Success"}),
        (
            request("Initialize", ClientVersion="5.8.0", RequestTimeout="00:00:05"),
            {"ResponseCode": "Success"},
        ),
        (request("SetLogLevel", LogLevel="Debug"), {"ResponseCode": "Success"}),
        (request("Close"), {"ResponseCode": "Success"}),
        (request("GetOperationClaims"), {"Claims": ["Authentication"]}),
        (
            request(
                "GetOperationClaims", PackageSourceRepository=None, ServiceIndex=None
            ),
            {"Claims": ["Authentication"]},
        ),
        (
            request("GetOperationClaims", PackageSourceRepository="https://git.test"),
            {"Claims": []},
        ),
        (request("CopyFilesInPackage"), {"ResponseCode": "Error"}),
        (request(ASKS), {"ResponseCode": "Error"}),
    ],
)
def test_each_message_has_its_answer(
    machine: Machine, message: dict[str, Any], said: object
) -> None:
    answer = say(machine, message)

    assert payload(answer) == said
    whole = json.loads(answer.out)
    assert (whole["RequestId"], whole["Type"]) == ("r", "Response")
    assert whole["Method"] == message["Method"]


@pytest.mark.parametrize("kind", ["Response", "Progress", "Fault", "Cancel", 1, None])
def test_what_is_no_request_is_not_answered(machine: Machine, kind: object) -> None:
    answer = say(machine, {**asks(), "Type": kind})

    assert (answer.out, answer.lines) == (b"", ())


@pytest.mark.parametrize("depth", [1, 300])
def test_name_that_is_no_text_is_not_answered(machine: Machine, depth: int) -> None:
    """One that nests as deep as Python reads could not be written again."""
    name = b"[" * depth + b"]" * depth
    data = json.dumps(asks("NAME")).encode().replace(b'"NAME"', name)

    assert nuget.progress(data) == say(machine, data).out == b""


def test_line_that_cannot_be_read_ends_it(machine: Machine) -> None:
    script = (
        "from hushkey_helpers.answer import Answer\n"
        "from hushkey_helpers.tools import dialogue\n"
        "def fails(line): raise RecursionError\n"
        "dialogue.hold(lambda *_: Answer(), fails)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=b"x\n",
        env=machine.environ,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"")


def test_version_may_be_of_any_length(machine: Machine) -> None:
    said = say(machine, request("Handshake", MinimumProtocolVersion="9" * 5000))
    assert payload(said) == {"ResponseCode": "Error"}


def test_refused_password_is_renewed_once(home: Path) -> None:
    """Another one as young would be refused like it: no server is asked for ever."""
    with OidcServer() as server:
        machine = Machine(home, server.issuer)
        machine.configure()
        machine.has(grant("at-old", refresh_token="rt"), age=1800)
        server.grants(access_token="at-2")
        said = [payload(say(machine, asks()))]
        said += [payload(say(machine, asks(IsRetry=True))) for _ in range(3)]

        assert [each["Password"] for each in said] == ["at-old", *["at-2"] * 3]
        assert len(server.calls_to("/token")) == 1


@pytest.mark.parametrize(("silent", "asked"), [(True, 0), (False, 1)])
def test_person_is_asked_only_where_nuget_allows(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, silent: bool, asked: int
) -> None:
    from hushkey.acquire import session

    seen: list[bool] = []
    real = session.acquirer

    def acquirer(*words: Any, **more: Any) -> Any:
        seen.append(more["tool_may_ask"])
        return real(*words, **more)

    monkeypatch.setattr(session, "acquirer", acquirer)
    machine.environ["HUSHKEY_INTERACTIVE"] = "never"

    say(machine, asks(IsNonInteractive=silent))

    assert seen == [bool(asked)]


@contextmanager
def talking(machine: Machine) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Start the plug-in; its stdin and stdout."""
    process = subprocess.Popen(
        [str(BIN / "hushkey-answer"), "nuget", "-Plugin"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=machine.environ,
        start_new_session=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        with process.stdout, process.stdin:
            yield process.stdin, process.stdout
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait(10)


def test_one_process_answers_in_turn_and_ends_with_its_input(machine: Machine) -> None:
    machine.has(grant(TOKEN))
    messages = [
        {**request("Handshake", "hushkey"), "Type": "Response"},
        request("Handshake", "1", MinimumProtocolVersion="1.0.0"),
        request("GetOperationClaims", "2"),
        asks("3"),
        asks("4", "other.test"),
    ]
    with talking(machine) as (stdin, stdout):
        hello = json.loads(stdout.readline())
        for message in messages:
            stdin.write(json.dumps(message).encode() + b"\r\n")
        stdin.flush()
        said = [json.loads(stdout.readline()) for _ in messages[1:]]

    assert (hello["Type"], hello["Method"]) == ("Request", "Handshake")
    assert [each["RequestId"] for each in said] == ["1", "2", "3", "4"]
    assert said[2]["Payload"]["Password"] == TOKEN
    assert said[3]["Payload"] == {"ResponseCode": "NotFound"}


def test_nuget_hears_of_progress_while_a_server_does_not_answer(home: Path) -> None:
    with OidcServer() as server:
        machine = Machine(home, server.issuer)
        machine.configure()
        machine.has(grant(TOKEN, expires_in=1), age=3600)
        server.on("/token", server.hang)
        with talking(machine) as (stdin, stdout):
            stdout.readline()
            for number in ("1", "2"):
                stdin.write(json.dumps(asks(number)).encode() + b"\n")
            stdin.flush()
            said = [json.loads(stdout.readline()) for _ in range(2)]
            server.over.set()

    assert [(each["Type"], each["RequestId"]) for each in said] == [
        ("Progress", "1"),
        ("Progress", "2"),
    ]
