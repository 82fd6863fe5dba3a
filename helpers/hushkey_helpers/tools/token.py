"""``hushkey token``: a token for a person, a script, and tools that print commands.

Claude Code (apiKeyHelper), Codex (auth.command), rclone (bearer_token_command), curl:
they run a command and take what it prints. stdin is never read: some leave an open
socket there. Nothing is ever printed beside the token, and an empty answer never ends
in exit code 0.
"""

from __future__ import annotations

from hushkey import origins
from hushkey.errors import Permanent
from hushkey_helpers.answer import Answer
from hushkey_helpers.tools import command
from hushkey_helpers.tools.command import Asked, CommandTool, Served, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _raw(served: Served) -> str:
    return served.token.value


def _bearer(served: Served) -> str:
    return f"Bearer {served.token.value}"


def _header(served: Served) -> str:
    return f"Authorization: Bearer {served.token.value}"


def _json(served: Served) -> str:
    import json

    return json.dumps(
        {
            "host": served.asked.host,
            "token": served.token.value,
            "expires_at": served.token.expires_at,
            "account": served.token.account.label,
            "source": served.token.source,
        }
    )


def _env(served: Served) -> str:
    """Return a line for a shell's ``eval``."""
    import shlex

    return f"export HUSHKEY_TOKEN={shlex.quote(served.token.value)}"


def _netrc(served: Served) -> str:
    """Return one entry of netrc(5), which knows no ports."""
    parts = origins.parse_origin("https", served.asked.request.host)
    host = parts[0] if parts else served.asked.request.host
    words = ("machine", host, "login", served.username, "password", served.token.value)
    if any(len(word.split()) != 1 for word in words):
        raise Permanent("netrc has no way to write this user name or token")
    return " ".join(words)


def _curl(served: Served) -> str:
    """Return a line of curl's config file (curl -K -)."""
    if served.rule.scheme == "basic":
        return f"user = {_quoted(f'{served.username}:{served.token.value}')}"
    return f"header = {_quoted(_header(served))}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


FORMATS: Mapping[str, Callable[[Served], str]] = {
    "raw": _raw,
    "bearer": _bearer,
    "json": _json,
    "header": _header,
    "env": _env,
    "netrc": _netrc,
    "curl": _curl,
}


def parse(
    argv: list[str], _: Callable[[], bytes], __: Mapping[str, str]
) -> Asked | Answer:
    """Read ``HOST [--format FORMAT]``; HOST may be a URL."""
    form, rest = "raw", iter(argv)
    words: list[str] = []
    for word in rest:
        name, equals, value = word.partition("=")
        if word == "--":
            words += rest
        elif name == "--format":
            form = value if equals else next(rest, "")
        elif word.startswith("-"):
            raise Usage(f"unknown option {word}")
        else:
            words.append(word)
    if len(words) != 1 or form not in FORMATS:
        raise Usage(
            "the command line is not right",
            hint=f"run `hushkey token HOST`, perhaps --format {'|'.join(FORMATS)}",
        )
    return command.asked_for(words[0], form=form)


def render(served: Served) -> bytes:
    """Return one line in the format that was asked for."""
    line = FORMATS[served.asked.words["form"]](served)
    return f"{line}\n".encode("utf-8", "surrogateescape")


TOOL = CommandTool(
    "hushkey-answer token",
    callers={"claude": "", "codex": "", "rclone": "", "curl": "", "hushkey": "token"},
    parse=parse,
    render=render,
)


def answer(
    argv: list[str], read: Callable[[], bytes], environ: Mapping[str, str]
) -> Answer:
    """Answer one command line."""
    return command.answer(TOOL, argv, read, environ)
