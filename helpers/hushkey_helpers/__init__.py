"""The programs that tools start for a credential, and the agent behind them.

What a program must know before it loads anything else stands here, since this file is
read by all of them: one row of `PROGRAMS` for each tool. The rest of what hushkey knows
of a tool is its `Tool`, listed in `hushkey_helpers.table`.

Tools that take a command with words need no program of their own: ``hushkey-answer
NAME`` answers them, by the module `hushkey_helpers.tools`.NAME, and one row of
`ANSWERS` says what has to be known before that is loaded.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    #: the tool's name, here and in the log; the module with its `main` and `answer`;
    #: the first words of a command line that the agent is asked about (none: any);
    #: what ends a request on stdin, as `read` takes it (None: nothing is read there;
    #: dialogue: line after line, and the agent is not asked);
    #: the variables that its answer depends on, beside those of
    #: `hushkey_helpers.agent.protocol`
    Row = tuple[str, str, tuple[str, ...], str | None, tuple[str, ...]]

#: program -> row
PROGRAMS: "dict[str, Row]" = {
    "git-credential-hushkey": (
        "git",
        "hushkey_helpers.git.helper",
        ("get", "store", "erase"),
        "blank",
        (
            "GIT_CONFIG_GLOBAL",
            "GIT_CONFIG_PARAMETERS",
            "GIT_CONFIG_SYSTEM",
            "GIT_SSL_CAINFO",
            "GIT_SSL_CAPATH",
            "GIT_SSL_CERT",
            "GIT_SSL_KEY",
            "GIT_SSL_NO_VERIFY",
        ),
    ),
    "docker-credential-hushkey": (
        "docker",
        "hushkey_helpers.docker.helper",
        ("get",),
        "end",
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

#: the program that answers the tools of `ANSWERS`, each by its name
ANSWER = "hushkey-answer"
#: tool -> what ends its request on stdin, what it is told before it is asked, and the
#: variables that its answer depends on
ANSWERS: "dict[str, tuple[str | None, bytes, tuple[str, ...]]]" = {
    "token": (None, b"", ()),
    "aws": (None, b"", ()),
    "bazel": ("end", b"", ()),
    "cargo": ("line", b'{"v":[1]}\n', ()),
    "conda": (None, b"", ()),
    "go": ("end", b"", ()),
    "google": (None, b"", ("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE",)),
    "kubectl": (None, b"", ("KUBERNETES_EXEC_INFO",)),
    "nuget": (
        "dialogue",
        b'{"RequestId":"hushkey","Type":"Request","Method":"Handshake","Payload":'
        b'{"ProtocolVersion":"2.0.0","MinimumProtocolVersion":"1.0.0"}}\n',
        (),
    ),
    "pnpm": (None, b"", ()),
    "terraform": (None, b"", ()),
    "yarn": (None, b"", ()),
}
#: first word of a command line -> the tool that puts it there in place of our words,
#: which come in its request
OWN_WORDS = {"--cargo-plugin": "cargo"}


def row(program: str) -> "Row":
    """Return the row of *program*: ``hushkey-answer NAME`` for one of `ANSWERS`."""
    tool = program.removeprefix(f"{ANSWER} ")
    if tool == program:
        return PROGRAMS[program]
    ends, _, environ = ANSWERS[tool]
    return tool, f"{__name__}.tools.{tool}", (), ends, environ


#: bytes; one more is read, so that whoever parses it sees that it is too long
REQUEST_BYTES = 1024 * 1024


def read(descriptor: int, ends: str) -> bytes:
    """Read one request, to the end of stdin or one byte too many.

    *ends* names what ends it before that: a ``blank`` line, a ``line``; or ``end``.
    """
    data = bytearray()
    seen = 0  # where no empty line can begin before
    while len(data) <= REQUEST_BYTES:
        if ends == "blank" and (
            data.find(b"\n\n", seen) >= 0
            or data.find(b"\n\r\n", seen) >= 0
            or data[:1] == b"\n"
            or data[:2] == b"\r\n"
        ):
            break
        if ends == "line" and data.find(b"\n", seen) >= 0:
            break
        seen = max(0, len(data) - 2)
        piece = os.read(descriptor, 65536)
        if not piece:
            break
        data += piece
    return bytes(data)
