"""One command line of hushkey-answer: whose URL it is about, and the token for it."""

from __future__ import annotations

import os
import time

import hushkey_helpers
from hushkey import origins, runtime
from hushkey.config import rules
from hushkey.errors import HushkeyError, Permanent, plain
from hushkey.model import Frozen, Request
from hushkey.system import paths
from hushkey.trace import event
from hushkey_helpers import channel
from hushkey_helpers.answer import Answer, explained
from hushkey_helpers.process import serve
from hushkey_helpers.tool import Tool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from hushkey.model import HostRule, Token
    from hushkey.tokenrequest import PromptOptions

#: seconds for which a failure is shared with the tool's next try: several of them run
#: a failing command 5 to 10 times
REMEMBERED = 10
#: a person needs so long (seconds) for a sign-in; a tool that waits less opens none
_SHORTEST_SIGN_IN = 30


class Usage(HushkeyError):
    """The command line is wrong."""

    exit_code = 2


class Asked(Frozen):
    """What a tool wants a token for.

    ``words`` are the tool's own, for the answer to it; ``challenges`` the values of
    ``WWW-Authenticate`` that it saw. ``may_ask``: a person may be asked; ``refused``:
    the host has refused what was given last.
    """

    request: Request
    words: Mapping[str, Any]
    challenges: tuple[str, ...] = ()
    may_ask: bool = True
    refused: bool = False

    @property
    def host(self) -> str:
        """Return its origin as people write it."""
        origin = origins.parse_origin(self.request.protocol, self.request.host)
        if origin is None:
            return plain(self.request.host, 80)
        return origins.origin_text(self.request.protocol, *origin)


def asked_for(url: str, challenges: tuple[str, ...] = (), **words: Any) -> Asked:
    """Return the question for *url*, perhaps a host alone; raises Permanent."""
    try:
        return Asked(origins.parse_url(url), words, challenges)
    except ValueError as error:
        where = url.partition("?")[0].partition("#")[0].rpartition("@")[2]
        raise Permanent(f"{plain(where, 80)!r}: {error}") from error


def one_place(
    argv: list[str], _: Callable[[], bytes], __: Mapping[str, str]
) -> Asked | Answer:
    """Read the only word, ``HOST/PATH`` or a URL; as `CommandTool.parse`."""
    if len(argv) != 1:
        raise Usage("the command line is not right", hint="give it HOST/PATH")
    return asked_for(argv[0])


class Served(Frozen):
    """The token for what was asked, and the user name that it goes with."""

    _secret = ("token",)
    asked: Asked
    rule: HostRule
    token: Token
    username: str


def authorization(served: Served) -> str:
    """Return the value of the Authorization header, in the host's scheme."""
    if served.rule.scheme != "basic":
        return f"Bearer {served.token.value}"
    from base64 import b64encode

    pair = f"{served.username}:{served.token.value}"
    return f"Basic {b64encode(pair.encode('utf-8', 'surrogateescape')).decode()}"


def rfc3339(epoch: float) -> str:
    """Return *epoch* (seconds, UTC) as RFC 3339 writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))


def object_in(data: bytes | str) -> Mapping[str, Any]:
    """Return the JSON object in *data*, an empty one for anything else."""
    import json

    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def json_line(value: object) -> bytes:
    """Return *value* as one line of JSON, escaped to ASCII."""
    import json

    return json.dumps(value).encode() + b"\n"


def one_host(argv: list[str], usage: str) -> str:
    """Return the value of the only option, ``--host``; nothing if it is not given."""
    words = [part for word in argv for part in word.split("=", 1)]
    if words and (len(words) != 2 or words[0] != "--host"):
        raise Usage("the command line is not right", hint=usage)
    return words[1] if words else ""


def not_served(asked: Asked, missing: str) -> Permanent:
    """Return the error that no rule covers what was asked, *missing* may say why."""
    return Permanent(
        f"{asked.host} is not served by hushkey: "
        + (f"it lacks {missing}" if missing else "no rule covers it"),
        hint=f"run `hushkey setup {asked.host}`",
    )


def _not_served(asked: Asked, missing: str) -> Answer:
    return Answer(lines=(not_served(asked, missing).line(),), code=1)


def _nothing_said(_: Asked) -> Answer | None:
    return None


def signed_out_by(asked: Asked) -> str:
    """Return what a tool's own sign-out has to say: it changes nothing of ours."""
    return f"the sign-in stays: run `hushkey logout {asked.host}` to end it"


def _refused(error: HushkeyError, _: Asked | None) -> Answer:
    return Answer(lines=(error.line(),), code=error.exit_code)


class CommandTool(Tool):
    """One tool of hushkey-answer.

    ``parse`` takes its words, a function that returns its stdin (bytes; nothing where
    its row says so), and the environment; it returns what is asked, or the `Answer` if
    that is not a token; raises HushkeyError. ``render`` makes the bytes for the tool.
    ``foreign`` is the answer for a URL that no rule covers (with the setting that a
    built-in one is missing, if that is why), ``refused`` the one for an error,
    ``settled`` the one for a URL of ours where no token is wanted; None: one is.

    ``mute``: whatever stands on stderr would break the answer. ``patience`` is how long
    the tool waits (seconds; 0: for ever), ``margin`` how much longer than usual a token
    must live (seconds).

    ``progress``: it holds a dialogue, each line of which is a request; the bytes that
    say that the one it is given is worked at, nothing where that needs no saying.
    """

    parse: Callable[[list[str], Callable[[], bytes], Mapping[str, str]], Asked | Answer]
    render: Callable[[Served], bytes]
    foreign: Callable[[Asked, str], Answer] = _not_served
    refused: Callable[[HushkeyError, Asked | None], Answer] = _refused
    settled: Callable[[Asked], Answer | None] = _nothing_said
    mute: bool = False
    patience: int = 0
    margin: int = 0
    progress: Callable[[bytes], bytes] | None = None


def main(
    tool: CommandTool,
    request: bytes | None = None,
    after_work: Callable[[], None] | None = None,
) -> None:
    """Answer *tool*; *request* is what was read of stdin already."""
    if tool.mute:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    if tool.progress:
        from hushkey_helpers.tools import dialogue

        dialogue.hold(tool.answer(), tool.progress)

    def read(descriptor: int) -> bytes:
        return hushkey_helpers.read(descriptor, tool.ends) if tool.ends else b""

    serve(tool.answer(), read, request, after_work)


def answer(
    tool: CommandTool,
    argv: list[str],
    read: Callable[[], bytes],
    environ: Mapping[str, str],
) -> Answer:
    """Answer one command line of *tool*."""
    asked = None
    try:
        found = tool.parse(argv, read, environ)
        if isinstance(found, Answer):
            return found
        asked = found
        if _may_ask(tool):
            return _answered(tool, asked, environ)
        with runtime.Expected(_most(tool)):
            return _answered(tool, asked, environ)
    except Exception as error:
        return _failed(tool, explained(error), asked, environ)


def _answered(tool: CommandTool, asked: Asked, environ: Mapping[str, str]) -> Answer:
    config = rules.load(environ)
    rule = config.rule_for(asked.request)
    if rule is None:
        event("not-ours", host=asked.host)
        if made := forwarded(tool, asked, environ):
            return Answer(tool.render(made))
        return tool.foreign(asked, config.missing_for(asked.request))
    if (settled := tool.settled(asked)) is not None:
        _tell(tool, settled.lines, environ)
        return settled
    event("asked", rule=rule, host=asked.host, verb="get")
    return Answer(tool.render(served(tool, asked, rule, environ)))


def served(
    tool: CommandTool, asked: Asked, rule: HostRule, environ: Mapping[str, str]
) -> Served:
    """Return the token that *rule* gives *tool*; raises `hushkey.errors`."""
    from hushkey.acquire import session
    from hushkey.acquire.exchanged import ExchangedCredential

    if rule.identity.typed:
        raise Permanent(
            f"{asked.host} keeps what people type for git and docker, and no token",
            hint="give the host an identity with another provider",
        )
    acquirer = session.acquirer(
        environ,
        time.time() - REMEMBERED,
        asks_for=tool.name,
        limits=_limits(tool),
        tool_may_ask=_may_ask(tool) and asked.may_ask,
    )
    wanted = acquirer.wanted(
        rule, asked.host, request=asked.request, challenges=asked.challenges
    )
    lifetime = rule.min_lifetime or wanted.min_lifetime + tool.margin
    wanted = wanted.changed(min_lifetime=lifetime)
    credential = ExchangedCredential(acquirer, wanted)
    if asked.refused and (given := credential.fresh()):
        if rule.exchange:
            credential.forget()
        else:
            value, more = given.value, (asked.challenges, asked.request)
            acquirer.refuse(rule, asked.host, value, *more)
    token = credential.given(credential.token())
    username = rule.answer_user(token.username or rule.identity.git_user)
    return Served(asked, rule, token, username)


def forwarded(
    tool: CommandTool,
    asked: Asked,
    environ: Mapping[str, str],
) -> Served | None:
    """Return the token of the machine that the person sits at; None: it has none."""
    if not paths.may_have_upstream(environ):
        return None
    from hushkey.acquire import upstream

    def options() -> PromptOptions:
        from hushkey.acquire import session

        may_ask = _may_ask(tool) and asked.may_ask
        return session.options_of(environ, tool.name, tool_may_ask=may_ask)

    found = upstream.find(asked.request, environ, tool.name, options)
    if found is None:
        return None
    return Served(asked, found.rule, found.token, found.username)


def _may_ask(tool: CommandTool) -> bool:
    return not 0 < tool.patience < _SHORTEST_SIGN_IN


def _limits(tool: CommandTool) -> Mapping[str, int]:
    """Return the most that settings may be (seconds), so that the tool still waits."""
    if not tool.patience:
        return {}
    return dict.fromkeys(("silent_timeout", "sign_in_timeout"), _most(tool))


def _most(tool: CommandTool) -> int:
    """Return how long (seconds) an answer may take, so that it comes in time."""
    return max(1, tool.patience - 2)


def _tell(
    tool: CommandTool, lines: tuple[str, ...], environ: Mapping[str, str]
) -> None:
    """Show *lines* where the tool's person reads them, if it hides our stderr."""
    if tool.stderr_shown_by is not None:
        for line in lines:
            channel.tell(line, environ, tool)


def _failed(
    tool: CommandTool,
    error: HushkeyError,
    asked: Asked | None,
    environ: Mapping[str, str],
) -> Answer:
    if asked is not None:
        error = error.about(host=asked.host)
    _tell(tool, (error.line(),), environ)
    if tool.mute and (here := runtime.current()):
        here.lines.clear()
    return tool.refused(error, asked)
