"""The agent's own process: which functions answer for which tool.

One code path, two doors: these are the functions that the executables call.
"""

import os
import sys

from hushkey import isolated
from hushkey.agent import process
from hushkey_helpers import docker, git, keyring

#: the tool's name in a question -> who answers
TOOLS = {"docker": docker.answer, "git": git.answer, "keyring": keyring.answer}


def main(lock: int = -1) -> None:
    """Be the agent; *lock* is the descriptor of its lock, if it was handed over."""
    if not sys.flags.isolated:  # a unit that an older hushkey wrote
        words = isolated.words(__spec__.name, str(lock))
        os.execv(words[0], words)  # noqa: S606
    process.run(lock, TOOLS)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
