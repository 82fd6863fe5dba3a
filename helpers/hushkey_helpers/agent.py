"""The agent's own process: which functions answer for which tool.

One code path, two doors: these are the functions that the executables call.
"""

from hushkey.agent import process
from hushkey_helpers import docker, git, keyring

#: the tool's name in a question -> who answers
TOOLS = {"docker": docker.answer, "git": git.answer, "keyring": keyring.answer}


def main(lock: int = -1) -> None:
    """Be the agent; *lock* is the descriptor of its lock, if it was handed over."""
    process.run(lock, TOOLS)
