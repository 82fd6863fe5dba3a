"""conda: an auth handler, by the plug-in that ``hushkey install conda`` places.

docs.conda.io/projects/conda/en/stable/dev-guide/plugins/auth_handlers.html. The plug-in
runs us with a channel's URL, waits for `PATIENCE`, and keeps the header until the end
that it is told. conda's person sees our stderr.
"""

from __future__ import annotations

from hushkey_helpers.tools import command
from hushkey_helpers.tools.command import CommandTool, Served

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hushkey_helpers.answer import Answer

#: seconds: longer than a person has for a sign-in, by default
PATIENCE = 600
#: seconds before a token's end from which on the plug-in asks again
MARGIN = 60


def render(served: Served) -> bytes:
    """Return the header's value, and until when it may be used (seconds, UTC)."""
    said: dict[str, object] = {"authorization": command.authorization(served)}
    if served.token.expires_at is not None:
        said["until"] = served.token.expires_at - MARGIN
    return command.json_line(said)


TOOL = CommandTool(
    "hushkey-answer conda",
    callers={"conda": "create env install search update upgrade"},
    parse=command.one_place,
    render=render,
    patience=PATIENCE,
    margin=MARGIN,
)


def answer(
    argv: list[str], read: Callable[[], bytes], environ: Mapping[str, str]
) -> Answer:
    """Answer one command line."""
    return command.answer(TOOL, argv, read, environ)
