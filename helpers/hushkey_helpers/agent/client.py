"""The first thing that a helper tries: the agent, if there is one.

Loads nothing but `os`, `sys` and `_socket`, so that a warm answer costs little more
than starting Python. Whatever is wrong with the agent, the answer is made in this
process instead, with the request that was read already: an agent that is absent,
frozen, another version's or another user's costs 250 ms at most.
"""

import os
import sys

from hushkey_helpers import ANSWER, ANSWERS, OWN_WORDS, read, row
from hushkey_helpers.agent import protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from hushkey_helpers.tool import Tool

#: seconds to connect and see the first frame
_PATIENCE = 0.25
#: seconds between two frames of an agent at work, and how many there may be
_HEARTBEAT, _MOST_HEARTBEATS = 3 * protocol.HEARTBEAT, 60


def start(program: str, packages: str, folders: "Sequence[str]") -> None:
    """Be *program*, in a Python that was started with ``-I -S``.

    *packages* and *folders* are `isolated.defer_site`'s.
    """
    if program == ANSWER:
        program = _tool_asked_for()
    tool, module, verbs, ends, _ = row(program)
    request = ask(tool, verbs, ends)
    import gc

    from hushkey import runtime
    from hushkey.system import isolated

    gc.disable()  # what lives for one answer only would look through its imports
    isolated.defer_site(packages, folders)
    runtime.tool_of = _tool_of
    __import__(module)
    found = sys.modules[module]
    if tool in ANSWERS:
        from hushkey_helpers.tools import command

        command.main(found.TOOL, request, _start_agent)
    found.main(request, _start_agent)


def _tool_asked_for() -> str:
    """Take the tool's name off the command line, and say what it wants to hear first.

    Ends the process where there is no such tool.
    """
    name = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    name = OWN_WORDS.get(name, name)
    if name not in ANSWERS:
        known = " ".join(ANSWERS)
        os.write(2, f"hushkey: usage: {ANSWER} TOOL ...; tools: {known}\n".encode())
        os._exit(0 if name in ("-h", "--help") else 2)
    if greeting := ANSWERS[name][1]:
        os.write(1, greeting)
    return f"{ANSWER} {name}"


def _tool_of(name: str) -> "Tool | None":
    from hushkey_helpers import table  # before a person is asked only

    return table.tool_of(name)


def _start_agent() -> None:
    """Let the next call be quick: what this one did took time."""
    try:
        from hushkey_helpers.agent import start as starting

        if not starting.refusal(os.environ):
            starting.start(os.environ, "hushkey_helpers.agent")
    except Exception:
        return  # the answer was given


def ask(tool: str, verbs: "Sequence[str]", ends: "str | None") -> "bytes | None":
    """Answer this call through the agent and end the process; else return stdin.

    *verbs* are the first words of a command line that the agent is asked about, none
    for any; *ends* tells what ends a request on stdin, None that nothing is read
    there; who holds a dialogue, does so itself. Returns None if nothing was read.
    """
    argv, environ = sys.argv[1:], os.environ
    switch = environ.get("HUSHKEY_AGENT", "").strip().lower()
    known = ends != "dialogue" and (not verbs or (argv and argv[0] in verbs))
    if not known or switch in ("off", "0", "false", "no"):
        return None
    folder = protocol.folder(environ)
    if not folder or environ.get("HUSHKEY_LOG"):  # who wants to see it, sees it all
        return None
    path = os.path.join(folder, "agent")
    if not protocol.is_safe(folder, path):
        return None
    data = None
    try:
        if ends is not None:
            data = read(0, ends)
        answer = _answer(path, tool, argv, data or b"")
        if answer is not None:
            _say(*answer)
    except KeyboardInterrupt:
        os._exit(130)
    except (OSError, ValueError):
        return data
    return data


def _answer(
    path: str, tool: str, argv: "list[str]", data: bytes
) -> "tuple[bytes, bytes, bytes] | None":
    """Return exit code, stdout and stderr, or None if the agent does not know."""
    import _socket  # 3 ms less than socket

    environ = os.environ
    known = [
        f"{name}={environ[name]}"
        for name in protocol.forwarded(tool)
        if name in environ
    ]
    words = [tool, str(len(argv)), *argv, *known]
    said = [word.encode("utf-8", "surrogateescape") for word in words]
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        if link.fileno() <= 2:
            return None  # a stream that our caller closed: not to be written to
        link.settimeout(_PATIENCE)
        link.connect(path)
        link.sendall(protocol.frame(protocol.installation(), data, *said))
        for _ in range(_MOST_HEARTBEATS):
            status, *fields = _frame(link)
            if status == protocol.ANSWERED and len(fields) == 3:
                return fields[0], fields[1], fields[2]
            if status != protocol.WORKING:
                return None
            link.settimeout(_HEARTBEAT)
    finally:
        link.close()
    return None


def _frame(link: "Any") -> "list[bytes]":
    data = bytearray()
    whole = protocol.HEADER
    while len(data) < whole:
        piece = link.recv(min(whole - len(data), 65536))
        if not piece:
            raise protocol.Garbage("the agent hung up")
        data += piece
        whole = protocol.size(bytes(data[: protocol.HEADER]))
    return protocol.fields(bytes(data)) or [b""]


def _say(code: bytes, out: bytes, lines: bytes) -> None:
    """Write what the agent said, and end."""
    failed = 0
    number = int(code)
    for descriptor, text in ((2, lines), (1, out)):
        try:
            left = memoryview(text)
            while left:
                left = left[os.write(descriptor, left) :]
        except OSError:
            failed = 1  # nobody listens any more
    os._exit(number or failed)
