"""Yarn from 3 on: what our plug-in of it asks.

yarnpkg.com/advanced/plugin-tutorial, ``getNpmAuthenticationHeader``. The plug-in is
`hushkey_install.register.yarn`'s: it hands on the registry's URL, keeps the answer for
a part of its life, and lets our stderr through. A registry of nobody is no error there:
Yarn asks for each one that holds packages in a scope.
"""

from __future__ import annotations

from hushkey_helpers.answer import Answer
from hushkey_helpers.tools import command
from hushkey_helpers.tools.command import CommandTool, Served

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def render(served: Served) -> bytes:
    """Return the value of the header, and when it ends (seconds, UTC), if it does."""
    answer: dict[str, object] = {"authorization": command.authorization(served)}
    if served.token.expires_at is not None:
        answer["expires"] = served.token.expires_at
    return command.json_line(answer)


TOOL = CommandTool(
    "hushkey-answer yarn",
    callers={"yarn": "add audit dlx install npm up"},
    parse=command.one_place,
    render=render,
    foreign=lambda _, __: Answer(b"{}\n"),
    patience=600,
)


def answer(
    argv: list[str], read: Callable[[], bytes], environ: Mapping[str, str]
) -> Answer:
    """Answer one command line."""
    return command.answer(TOOL, argv, read, environ)
