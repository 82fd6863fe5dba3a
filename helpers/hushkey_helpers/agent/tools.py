"""The agent's own process: who answers for which tool.

These are the functions that the executables call in the process of their caller.
"""

from __future__ import annotations

import os
import sys

from hushkey import runtime
from hushkey.system import isolated
from hushkey_helpers import table
from hushkey_helpers.agent import process


def main(lock: int = -1) -> None:
    """Be the agent; *lock* is the descriptor of its lock, if it was handed over."""
    if not sys.flags.isolated:  # a unit that an older hushkey wrote
        words = isolated.words("hushkey_helpers.agent", str(lock))
        os.execv(words[0], words)  # noqa: S606
    runtime.tool_of = table.tool_of
    process.run(lock, {tool.name: tool.answer() for tool in table.TOOLS})
