"""Terraform and OpenTofu: a credentials helper.

developer.hashicorp.com/terraform/internals/credentials-helpers. The last words are the
verb and the host, perhaps with a port. Nothing of a failure is shown: stderr goes to
Terraform's own log, and it goes on without a token.
"""

from __future__ import annotations

from hushkey_helpers.answer import Answer
from hushkey_helpers.tools import command
from hushkey_helpers.tools.command import Asked, CommandTool, Served, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def parse(
    argv: list[str], _: Callable[[], bytes], __: Mapping[str, str]
) -> Asked | Answer:
    """Read ``get HOST[:PORT]``; ``store`` and ``forget`` change nothing."""
    if len(argv) < 2 or argv[-2] not in ("get", "store", "forget"):
        raise Usage("the command line is not right", hint="see `hushkey help`")
    if argv[-2] == "store":
        return Answer(lines=("hushkey signs in by itself: nothing was stored",), code=1)
    return command.asked_for(argv[-1], verb=argv[-2])


def _settled(asked: Asked) -> Answer | None:
    if asked.words["verb"] != "forget":
        return None
    return Answer(lines=(command.signed_out_by(asked),))


def render(served: Served) -> bytes:
    """Return the token, as JSON."""
    return command.json_line({"token": served.token.value})


TOOL = CommandTool(
    "hushkey-answer terraform",
    callers={
        "terraform": "apply destroy get init plan providers",
        "tofu": "apply destroy get init plan providers",
    },
    parse=parse,
    render=render,
    foreign=lambda _, __: Answer(b"{}\n"),
    settled=_settled,
    stderr_shown_by=(),
)


def answer(
    argv: list[str], read: Callable[[], bytes], environ: Mapping[str, str]
) -> Answer:
    """Answer one command line."""
    return command.answer(TOOL, argv, read, environ)
