"""pnpm from 11 on: a token helper (pnpm.io/npmrc, ``tokenHelper``).

It is run with our words, and what it prints is the whole Authorization header. pnpm 12
drops stderr, and goes on without a token; it waits for 60 s.
"""

from __future__ import annotations

from hushkey_helpers.tools import command
from hushkey_helpers.tools.command import CommandTool, Served

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hushkey_helpers.answer import Answer


def render(served: Served) -> bytes:
    """Return the value of the header."""
    return f"{command.authorization(served)}\n".encode()


TOOL = CommandTool(
    "hushkey-answer pnpm",
    callers={"pnpm": "add audit dlx fetch i install publish update"},
    parse=command.one_place,
    render=render,
    patience=60,
    stderr_shown_by=(),
)


def answer(
    argv: list[str], read: Callable[[], bytes], environ: Mapping[str, str]
) -> Answer:
    """Answer one command line."""
    return command.answer(TOOL, argv, read, environ)
