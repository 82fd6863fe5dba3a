"""The socket for git's own C client: `git credential-cache --socket`.

builtin/credential-cache.c writes ``action=...``, ``timeout=...`` and git's request,
closes its half, and copies what comes until the end. Only `get` is answered, only
with a token that is good now, and never with ``quit``: an empty answer lets git go on
to its next helper, which is the full one. `store` and `erase` mean nothing here.
"""

from __future__ import annotations

from hushkey_helpers.agent import protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hushkey_helpers.agent.answers import Answers

#: bytes; git's whole request with the two lines before it
MAX = 1024 * 1024


def answer(data: bytes, answers: Answers, began: float) -> bytes:
    """Return what to say to the whole request *data*; mostly nothing."""
    action, _, rest = data.partition(b"\n")
    timeout, _, request = rest.partition(b"\n")
    if action != b"action=get" or not timeout.startswith(b"timeout="):
        return b""
    reply = answers.quick(answers.own("git", "get", request, began))
    if reply is None or reply[:2] != (protocol.ANSWERED, b"0"):
        return b""
    return b"" if b"quit=" in reply[2] else reply[2]
