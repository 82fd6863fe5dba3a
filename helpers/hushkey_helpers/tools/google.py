"""Google's libraries and gcloud: an executable-sourced external account.

google.aip.dev/auth/4117. They merge stderr into stdout, so that nothing may stand on
it; an error is said in the protocol.
"""

from __future__ import annotations

from hushkey_helpers.answer import Answer
from hushkey_helpers.tools import command
from hushkey_helpers.tools.command import Asked, CommandTool, Served, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hushkey.errors import HushkeyError


_PREFIX = "urn:ietf:params:oauth:token-type:"
_TYPES = (f"{_PREFIX}jwt", f"{_PREFIX}id_token")


def parse(
    argv: list[str], _: Callable[[], bytes], environ: Mapping[str, str]
) -> Asked | Answer:
    """Read ``--host HOST``, and the kind of token that the account is set up for."""
    host = command.one_host(argv, "give `--host HOST`")
    if not host:
        raise Usage("no host is given", hint="give `--host HOST`")
    kind = environ.get("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE", _TYPES[0])
    if kind not in _TYPES:
        raise Usage(f"a token of type {kind} is not available", hint=f"use {_TYPES[0]}")
    return command.asked_for(host, kind=kind)


def render(served: Served) -> bytes:
    """Return the subject token."""
    expires = served.token.expires_at
    return command.json_line(
        {
            "version": 1,
            "success": True,
            "token_type": served.asked.words["kind"],
            "id_token": served.token.value,
            **({} if expires is None else {"expiration_time": expires}),
        }
    )


def _refused(error: HushkeyError, _: Asked | None) -> Answer:
    said = {"version": 1, "success": False, "code": "401", "message": error.line()}
    return Answer(command.json_line(said))


def _foreign(asked: Asked, _: str) -> Answer:
    message = f"{asked.host} is not served by hushkey"
    said = {"version": 1, "success": False, "code": "404", "message": message}
    return Answer(command.json_line(said))


TOOL = CommandTool(
    "hushkey-answer google",
    callers={"gcloud": "auth"},
    parse=parse,
    render=render,
    foreign=_foreign,
    refused=_refused,
    mute=True,
)


def answer(
    argv: list[str], read: Callable[[], bytes], environ: Mapping[str, str]
) -> Answer:
    """Answer one command line."""
    return command.answer(TOOL, argv, read, environ)
