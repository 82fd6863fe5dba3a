"""Where a person reads an error of ours, although the client hides our stderr.

pip from 26.2 on and pdm capture a keyring program's stderr and drop it, Terraform, Go
and pnpm that of theirs. What they cannot take away is the terminal; without one (CI),
their own stderr, on Linux.
"""

from __future__ import annotations

import os
import stat

from hushkey import runtime
from hushkey.errors import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from hushkey_helpers.tool import Tool


def tell(line: str, environ: Mapping[str, str], tool: Tool) -> None:
    """Show *line* to the person who uses *tool*, unless our own stderr will do that."""
    runtime.ensure_in_caller()
    if os.isatty(2) or _shows_stderr(tool):
        return
    from hushkey.signin import terminal

    if screen := terminal.open_terminal(environ):
        with screen:
            screen.line(line)
        return
    _write_beside(f"hushkey: {plain(line, 1000)}\n")


def _shows_stderr(tool: Tool) -> bool:
    """Tell whether the client prints what it captures."""
    if not tool.stderr_shown_by:
        return tool.stderr_shown_by is None
    try:
        return _stat_of(os.getppid())[0] in tool.stderr_shown_by
    except OSError:
        return False


def _stat_of(process: int) -> tuple[str, int]:
    """Return the name of *process* and its parent's id (proc(5)); raises OSError."""
    with open(f"/proc/{process}/stat", "rb") as file:
        head, _, tail = file.read(4096).rpartition(b")")
    return head.partition(b"(")[2].decode("ascii", "replace"), int(tail.split()[1])


def _client() -> int:
    """Return the process id of the client: the parent, or behind a shell that waits.

    pnpm 10 runs its helper through one, which has the same streams as we.
    """
    parent = os.getppid()
    name, before = _stat_of(parent)
    return before if name == "sh" else parent


def _write_beside(text: str) -> None:
    """Write to the client's own stderr, if it is a pipe that is not ours too.

    Not to a file: without O_APPEND there, the client would write over it.
    """
    try:
        path = f"/proc/{_client()}/fd/2"
        status = os.stat(path)
        if not stat.S_ISFIFO(status.st_mode) or os.path.samestat(status, os.fstat(2)):
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY
        descriptor = os.open(path, flags)
    except OSError:
        return
    try:
        os.write(descriptor, text.encode("utf-8", "replace"))
    except OSError:
        return  # full or closed: it was one more try
    finally:
        os.close(descriptor)
