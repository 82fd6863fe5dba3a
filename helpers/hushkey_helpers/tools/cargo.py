"""cargo: a credential provider (doc.rust-lang.org, "Credential Provider Protocol").

It runs us with a word of its own, whatever its config says behind the program, and
tells that in the request. We say our version first, cargo sends one request, a line of
JSON, and we answer with one. The token is the Authorization header as it is. An error
is said in the protocol.
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


def parse(
    _: list[str], read: Callable[[], bytes], __: Mapping[str, str]
) -> Asked | Answer:
    """Read the request: ``get``, ``login`` or ``logout``."""
    request = command.object_in(read())
    registry = request.get("registry")
    url = registry.get("index-url") if isinstance(registry, dict) else None
    kind = request.get("kind")
    if not isinstance(registry, dict) or not isinstance(url, str):
        return _error("other", "the request names no registry")
    if kind not in ("get", "login", "logout"):
        return _error("operation-not-supported")
    return command.asked_for(
        url.removeprefix("sparse+"), _challenges(registry.get("headers")), kind=kind
    )


def _challenges(headers: Any) -> tuple[str, ...]:
    lines = headers if isinstance(headers, list) else []
    pairs = (line.partition(":") for line in lines if isinstance(line, str))
    return tuple(v.strip() for n, _, v in pairs if n.lower() == "www-authenticate")


def render(served: Served) -> bytes:
    """Return the answer to ``get``: good for every operation, until its end.

    ``login`` hears that it is done.
    """
    if served.asked.words["kind"] == "login":
        return _ok({"kind": "login"})
    expires = served.token.expires_at
    cache = {"cache": "session"} if expires is None else {"cache": "expires"}
    return _ok(
        {
            "kind": "get",
            "token": command.authorization(served),
            **cache,
            **({} if expires is None else {"expiration": expires}),
            "operation_independent": True,
        }
    )


def _settled(asked: Asked) -> Answer | None:
    if asked.words["kind"] != "logout":
        return None
    return Answer(_ok({"kind": "logout"}), (command.signed_out_by(asked),))


def _ok(content: object) -> bytes:
    return command.json_line({"Ok": content})


def _error(kind: str, message: str = "") -> Answer:
    more = {"message": message, "caused-by": []} if message else {}
    return Answer(command.json_line({"Err": {"kind": kind, **more}}))


def _refused(error: HushkeyError, _: Asked | None) -> Answer:
    return _error("other", f"hushkey: {error.line()}")


TOOL = CommandTool(
    "hushkey-answer cargo",
    callers={"cargo": "add build fetch install login owner publish search update yank"},
    parse=parse,
    render=render,
    foreign=lambda _, __: _error("url-not-supported"),
    refused=_refused,
    settled=_settled,
)


def answer(
    argv: list[str], read: Callable[[], bytes], environ: Mapping[str, str]
) -> Answer:
    """Answer one command line."""
    return command.answer(TOOL, argv, read, environ)
