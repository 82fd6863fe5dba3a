"""Go: a GOAUTH command (cmd/go, "GOAUTH environment variable").

Run without a URL before the first request, and again for each 4xx answer of any host,
with the URL, and the response on stdin; up to five at once. Go shows nothing of what
goes wrong.
"""

from __future__ import annotations

from hushkey import origins
from hushkey_helpers.answer import Answer
from hushkey_helpers.tools import command
from hushkey_helpers.tools.command import Asked, CommandTool, Served, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def parse(
    argv: list[str], read: Callable[[], bytes], _: Mapping[str, str]
) -> Asked | Answer:
    """Read the URL of a refused request; without one there is nothing to say yet."""
    if not argv:
        return Answer()
    if len(argv) != 1:
        raise Usage("the command line is not right", hint="Go gives one URL")
    lines = read().decode("latin-1").split("\n")
    fields = [line.partition(":") for line in lines[1:]]
    named = [v for name, _, v in fields if name.strip().lower() == "www-authenticate"]
    return command.asked_for(argv[0], tuple(value.strip() for value in named))


def render(served: Served) -> bytes:
    """Return the URLs that the header is for, all that the rule covers, and it."""
    request = served.asked.request
    depth = len(origins.parse_pattern(served.rule.pattern).path)
    segments = [part for part in request.path.split("/") if part][:depth]
    url = "/".join((f"{request.protocol}://{request.host}", *segments, ""))
    return f"{url}\n\nAuthorization: {command.authorization(served)}\n\n".encode()


TOOL = CommandTool(
    "hushkey-answer go",
    callers={"go": "build get install list mod run test"},
    parse=parse,
    render=render,
    foreign=lambda _, __: Answer(),
    stderr_shown_by=(),
)


def answer(
    argv: list[str], read: Callable[[], bytes], environ: Mapping[str, str]
) -> Answer:
    """Answer one command line."""
    return command.answer(TOOL, argv, read, environ)
