"""The agent's own process: which functions answer for which tool.

These are the functions that the executables call in the process of their caller.
"""

from __future__ import annotations

import os
import sys

from hushkey.system import isolated
from hushkey_helpers.agent import process
from hushkey_helpers.docker import helper as docker_helper
from hushkey_helpers.git import helper as git_helper
from hushkey_helpers.keyring import command

#: the tool's name in a question -> who answers
TOOLS = {
    "docker": docker_helper.answer,
    "git": git_helper.answer,
    "keyring": command.answer,
}


def main(lock: int = -1) -> None:
    """Be the agent; *lock* is the descriptor of its lock, if it was handed over."""
    if not sys.flags.isolated:  # a unit that an older hushkey wrote
        words = isolated.words("hushkey_helpers.agent", str(lock))
        os.execv(words[0], words)  # noqa: S606
    process.run(lock, TOOLS)
