"""The socket for git's own C client: `git credential-cache --socket`.

builtin/credential-cache.c writes ``action=...``, ``timeout=...`` and git's request,
closes its half, and copies what comes until the end. Only `get` is answered, only
with a token that is good now, and never with ``quit``: an empty answer lets git go on
to its next helper, which is the full one. `store` and `erase` mean nothing here.

The client sends nothing of its environment. The line that `hushkey install git` writes
compares it with the one that it was written in, and says the number of that one as its
timeout, which means nothing to `get`. An agent of the same place and environment has
the same number and says it first, as a key that git does not know: any other listener,
and half an answer, is told by that.
"""

from __future__ import annotations

from hushkey_helpers.agent import protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hushkey_helpers.agent.answers import Answers

#: bytes; git's whole request with the two lines before it
MAX = 1024 * 1024
#: the key of the answer's first line
MARK = "hushkey"


def answer(data: bytes, answers: Answers, began: float) -> bytes:
    """Return what to say to the whole request *data*; mostly nothing."""
    action, _, rest = data.partition(b"\n")
    timeout, _, request = rest.partition(b"\n")
    if action != b"action=get" or not timeout.startswith(b"timeout="):
        return b""
    reply = answers.known(answers.own("git", "get", request, began))
    if reply is None or reply[:2] != (protocol.ANSWERED, b"0"):
        return b""
    _, _, text, lines = reply
    if not text or lines or b"quit=" in text:
        return b""  # what is said to the person is ours to say
    mine = timeout == b"timeout=%d" % answers.number
    return b"%s=%d\n%s" % (MARK.encode(), answers.number, text) if mine else text
