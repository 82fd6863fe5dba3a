"""The agent's own process: who answers for which tool.

These are the functions that the executables call in the process of their caller.
"""

from __future__ import annotations

import os
import sys
from functools import partial

from hushkey import runtime
from hushkey.system import isolated
from hushkey_helpers import ANSWERS, table
from hushkey_helpers.agent import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hushkey_helpers.answer import Answer


def main(lock: int = -1, step: int = 0) -> None:
    """Be the agent; *lock* is the descriptor of its lock, if it was handed over.

    It ends with the process *step*, if there is one.
    """
    if not sys.flags.isolated:  # a unit that an older hushkey wrote
        words = isolated.words("hushkey_helpers.agent", str(lock), str(step))
        os.execv(words[0], words)  # noqa: S606
    runtime.tool_of = table.tool_of
    tools = {tool.name: tool.answer() for tool in table.TOOLS}
    tools |= {name: partial(_answer, name) for name in ANSWERS}
    process.run(lock, tools, step)


def _answer(
    name: str,
    argv: list[str],
    read: Callable[[], bytes],
    environ: Mapping[str, str],
) -> Answer:
    """Answer for a tool that few people use: it is loaded when one is asked."""
    return table.answered(name).answer()(argv, read, environ)
