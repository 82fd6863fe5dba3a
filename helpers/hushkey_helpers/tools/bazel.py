"""Bazel: a credential helper.

github.com/bazelbuild/proposals 2022-06-07-bazel-credential-helpers.md. The URI comes as
JSON on stdin. Bazel waits for 10 s, and its server has no terminal, so nobody is asked.
"""

from __future__ import annotations

from hushkey_helpers.answer import Answer
from hushkey_helpers.tools import command
from hushkey_helpers.tools.command import Asked, CommandTool, Served, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def parse(
    argv: list[str], read: Callable[[], bytes], _: Mapping[str, str]
) -> Asked | Answer:
    """Read ``get`` and the URI."""
    if argv[-1:] != ["get"]:
        raise Usage("the command line is not right", hint="Bazel says `get`")
    uri = command.object_in(read()).get("uri")
    if not isinstance(uri, str):
        raise Usage("the request has no uri")
    return command.asked_for(uri)


def render(served: Served) -> bytes:
    """Return the header, and until when it is good."""
    answer: dict[str, object] = {
        "headers": {"Authorization": [command.authorization(served)]}
    }
    if served.token.expires_at is not None:
        answer["expires"] = command.rfc3339(served.token.expires_at)
    return command.json_line(answer)


TOOL = CommandTool(
    "hushkey-answer bazel",
    callers={"bazel": "build fetch run sync test", "bazelisk": "build fetch run test"},
    parse=parse,
    render=render,
    foreign=lambda _, __: Answer(b"{}\n"),
    patience=10,
)


def answer(
    argv: list[str], read: Callable[[], bytes], environ: Mapping[str, str]
) -> Answer:
    """Answer one command line."""
    return command.answer(TOOL, argv, read, environ)
