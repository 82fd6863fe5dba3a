"""What the programs of hushkey 0.1.0 import: those that are left start today's.

An installer replaces its own programs, but not copies of them, nor those of an
editable installation. 0.1.0's were Python scripts, which obey PYTHONPATH before their
own first line; so an isolated Python takes over, in the same process.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from hushkey.system import isolated
from hushkey_helpers.agent import client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_PROGRAMS = {
    "docker": "docker-credential-hushkey",
    "git": "git-credential-hushkey",
    "keyring": "hushkey-keyring",
}


def ask(tool: str, verbs: Sequence[str], *, ends_blank: bool | None) -> None:
    """Be today's program for *tool*; never returns. The rest is 0.1.0's own."""
    try:
        folder = os.getcwd()
    except OSError:
        folder = os.sep  # it was deleted: nothing there can matter
    words = isolated.words(__name__, _PROGRAMS[tool], folder, *sys.argv[1:])
    os.execv(words[0], words)  # noqa: S606


def main() -> None:
    """Be the program that the first word names, in the folder of the second."""
    del sys.argv[0]
    with suppress(OSError):  # isolated.words begins in /
        os.chdir(sys.argv.pop(1))
    client.start(sys.argv[0], "", ())


if __name__ == "__main__":
    main()
