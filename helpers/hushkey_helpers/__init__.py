"""The programs that tools start for a credential, and the agent behind them.

What a program must know before it loads anything else stands here, since this file is
read by all of them: one row of `PROGRAMS` for each tool. The rest of what hushkey knows
of a tool is its `Tool`, listed in `hushkey_helpers.table`.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    #: the tool's name, here and in the log; the module with its `main` and `answer`;
    #: the first words of a command line that the agent is asked about; whether an
    #: empty line ends a request (None: nothing comes on stdin); the variables that its
    #: answer depends on, beside those of `hushkey_helpers.agent.protocol`
    Row = tuple[str, str, tuple[str, ...], bool | None, tuple[str, ...]]

#: program -> row
PROGRAMS: "dict[str, Row]" = {
    "git-credential-hushkey": (
        "git",
        "hushkey_helpers.git.helper",
        ("get", "store", "erase"),
        True,
        (),
    ),
    "docker-credential-hushkey": (
        "docker",
        "hushkey_helpers.docker.helper",
        ("get",),
        False,
        ("DOCKER_BUILDKIT",),
    ),
    # pip and uv say `get` first, or an option of its
    "hushkey-keyring": (
        "keyring",
        "hushkey_helpers.keyring.command",
        ("get", "--mode", "--mode=creds"),
        None,
        ("PYTHON_KEYRING_BACKEND",),
    ),
}


#: bytes; one more is read, so that whoever parses it sees that it is too long
REQUEST_BYTES = 1024 * 1024


def read(descriptor: int, *, ends_blank: bool) -> bytes:
    """Read one request: to an empty line or the end, or one byte too many."""
    data = bytearray()
    seen = 0  # where no empty line can begin before
    while len(data) <= REQUEST_BYTES:
        if ends_blank and (data.find(b"\n\n", seen) >= 0 or data[:1] == b"\n"):
            break
        seen = max(0, len(data) - 1)
        piece = os.read(descriptor, 65536)
        if not piece:
            break
        data += piece
    return bytes(data)
