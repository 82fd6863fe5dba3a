"""NuGet: a cross-platform authentication plug-in.

learn.microsoft.com/nuget/reference/extensibility/nuget-cross-platform-plugins. One
process for a whole command; both sides send lines of JSON, requests among them, and
ours begins with a handshake. It waits for a few seconds, but longer for whoever says
that there is progress. It alone tells that a password was refused (``IsRetry``).
"""

from __future__ import annotations

from hushkey_helpers.answer import Answer
from hushkey_helpers.tools import command
from hushkey_helpers.tools.command import Asked, CommandTool, Served

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from hushkey.errors import HushkeyError

_VERSION = "2.0.0"
_ASKS = "GetAuthenticationCredentials"
#: requests that are heard and change nothing
_HEARD = ("Initialize", "SetLogLevel", "MonitorNuGetProcessExit", "Close")


def parse(
    _: list[str], read: Callable[[], bytes], __: Mapping[str, str]
) -> Asked | Answer:
    """Read one message: a request for a password, or what can be answered at once."""
    message = _request(read())
    method, payload = message.get("Method"), message.get("Payload")
    if not isinstance(method, str):
        return Answer()
    payload = payload if isinstance(payload, dict) else {}
    if method == "Handshake":
        known = _number(payload.get("MinimumProtocolVersion")) <= _number(_VERSION)
        more = {"ProtocolVersion": _VERSION} if known else {}
        return _response(message, "Success" if known else "Error", **more)
    if method in _HEARD:
        return _response(message, "Success")
    if method == "GetOperationClaims":
        # A source and its index are named where a plug-in is to serve that one alone.
        named = payload.get("PackageSourceRepository") is not None
        return _said(message, {"Claims": [] if named else ["Authentication"]})
    if method != _ASKS:
        return _response(message, "Error")
    uri = payload.get("Uri")
    if not isinstance(uri, str):
        return _response(message, "Error")
    asked = command.asked_for(uri, message=message)
    return asked.changed(
        may_ask=payload.get("IsNonInteractive") is not True,
        refused=payload.get("IsRetry") is True,
    )


def progress(data: bytes) -> bytes:
    """Return what keeps NuGet waiting for the answer to *data*; nothing if it is quick.

    An answer is expected within the ``RequestTimeout`` since the last such message.
    """
    message = _request(data)
    if message.get("Method") != _ASKS:
        return b""
    return _line(message, "Progress", {"Percentage": None})


def _request(data: bytes) -> Mapping[str, Any]:
    """Return the request in *data*, an empty one for any other message."""
    found = command.object_in(data)
    # What else stands for a name might not be written again: it can be of any depth.
    named = isinstance(found.get("RequestId"), str)
    return found if named and found.get("Type") == "Request" else {}


def _number(version: Any) -> tuple[int, ...]:
    parts = version[:40].split(".") if isinstance(version, str) else []
    return tuple(int(part) if part.isdecimal() else 0 for part in parts)


def _line(message: Mapping[str, Any], kind: str, payload: object) -> bytes:
    return command.json_line(
        {
            "RequestId": message.get("RequestId"),
            "Type": kind,
            "Method": message.get("Method"),
            "Payload": payload,
        }
    )


def _said(message: Mapping[str, Any], payload: object) -> Answer:
    return Answer(_line(message, "Response", payload))


def _response(message: Mapping[str, Any], code: str, **more: object) -> Answer:
    return _said(message, {"ResponseCode": code, **more})


def render(served: Served) -> bytes:
    """Return the user name, and the token as its password."""
    payload = {
        "ResponseCode": "Success",
        "Username": served.username or "hushkey",
        "Password": served.token.value,
        "AuthenticationTypes": ["Basic"],
    }
    return _line(served.asked.words["message"], "Response", payload)


def _foreign(asked: Asked, _: str) -> Answer:
    return _response(asked.words["message"], "NotFound")


def _refused(error: HushkeyError, asked: Asked | None) -> Answer:
    """Return an error, with its line: NuGet.exe shows stderr, and no ``Message``."""
    line = error.line()
    if asked is None:
        return Answer(lines=(line,))
    answer = _response(asked.words["message"], "Error", Message=f"hushkey: {line}")
    return Answer(answer.out, (line,))


TOOL = CommandTool(
    "hushkey-answer nuget",
    callers={"nuget": "install push restore", "dotnet": "add build nuget restore"},
    parse=parse,
    render=render,
    foreign=_foreign,
    refused=_refused,
    progress=progress,
)


def answer(
    argv: list[str], read: Callable[[], bytes], environ: Mapping[str, str]
) -> Answer:
    """Answer one message."""
    return command.answer(TOOL, argv, read, environ)
