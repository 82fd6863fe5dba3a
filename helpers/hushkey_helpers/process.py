"""One process of a helper: argv and stdin in, one write to stdout, an exit code.

The only file here that touches the process. stdout belongs to the tool: while
anything else runs, file descriptor 1 leads to stderr, so that no library and
no browser can write into the protocol; the answer goes out in one write when
it is complete.
"""

from __future__ import annotations

import os
import sys

from hushkey.errors import plain
from hushkey.trace import event
from hushkey_helpers import PROGRAMS
from hushkey_helpers.answer import Answer, failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from hushkey_helpers.answer import Answerer

#: the exit code of a program that does not know the words it was given
_USAGE = 2


def serve(
    answer: Answerer,
    read: Callable[[int], bytes],
    request: bytes | None = None,
    after_work: Callable[[], None] | None = None,
) -> None:
    """Answer one call of this process, and end it.

    *read* reads the request from a file descriptor; it is only called if the
    action needs a request, and the client has not read the *request* before.
    *after_work* is called once an answer is out that took more than a look.
    """
    out = begun(answer)

    def asked() -> bytes:
        return read(0) if request is None else request

    _finish(answered(answer, asked), out, after_work)


def begun(answer: Answerer) -> int:
    """Put stdout aside, begin the trace, and return the descriptor to answer at."""
    out = _guarded_stdout()
    if os.environ.get("HUSHKEY_LOG"):
        _begin_trace(_name_of(answer))
    return out


def answered(answer: Answerer, read: Callable[[], bytes]) -> Answer:
    """Return the answer to this command line and what *read* returns."""
    try:
        result = answer(sys.argv[1:], read, os.environ)
    except KeyboardInterrupt:
        result = Answer(code=130)
    except Exception as error:
        result = failed(error)
    event("answered" if result.out else "answered-nothing", status=result.code)
    return result


def _name_of(answer: Answerer) -> str:
    """Return the name of the tool that *answer* is for."""
    names = {module: name for name, module, *_ in PROGRAMS.values()}
    module = answer.__module__
    return names.get(module) or module.rpartition(".")[2]


def _begin_trace(tool: str) -> None:
    from hushkey.system import tracefile

    if line := tracefile.begin(tool, os.environ):
        os.write(2, f"hushkey: {line}\n".encode())


def _guarded_stdout() -> int:
    """Put stdout aside and let descriptor 1 lead to stderr; -1 if there is none.

    A stream that the caller closed is replaced first: the next file to be opened
    would get its number, and with it what is meant for a person or a tool.
    """
    closed = [number for number in (0, 1, 2) if not _is_open(number)]
    for _ in closed:
        os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    out = -1 if 1 in closed else os.dup(1)
    os.dup2(2, 1)
    return out


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _finish(result: Answer, out: int, after_work: Callable[[], None] | None) -> None:
    """Write what there is to say, and leave without waiting for stuck threads."""
    code = write(result, out)
    if result.instead:
        code = _become(result, out)
    elif after_work and "hushkey.acquire.acquirer" in sys.modules and not code:
        after_work()
    os._exit(code)


def write(result: Answer, out: int) -> int:
    """Write what *result* has to say, to descriptor *out*; return the exit code."""
    text = "".join(f"hushkey: {plain(line, 1000)}\n" for line in result.lines)
    code = result.code
    for descriptor, data in ((2, text.encode("utf-8", "replace")), (out, result.out)):
        if not write_all(descriptor, data):
            code = code or 1
    return code


def write_all(descriptor: int, data: bytes) -> bool:
    """Write *data*; False if nobody listens any more."""
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]  # EBADF where there is none
    except OSError:
        return False
    return True


def _become(result: Answer, out: int) -> int:
    """Turn into the other program, with the stdout that we put aside."""
    program, environ = result.instead[0], result.environ
    environ = os.environ if environ is None else environ
    if out >= 0:
        os.dup2(out, 1)
    else:
        os.close(1)
    try:
        if sys.platform == "win32":
            # exec returns to the caller at once there, and the answer would be lost
            code = os.spawnve(os.P_WAIT, program, result.instead, environ)  # noqa: S606
        elif result.otherwise is None:
            os.execve(program, result.instead, environ)  # noqa: S606
        else:
            code = _waited(os.posix_spawn(program, result.instead, environ))
    except OSError as error:
        line = f"hushkey: cannot start {plain(program)}: {error.strerror}\n"
        os.write(2, line.encode("utf-8", "replace"))
        return 1
    if code != _USAGE or result.otherwise is None:
        return code
    try:
        answer = result.otherwise()
    except Exception as error:
        answer = failed(error)
    return write(answer, 1)


def _waited(child: int) -> int:
    """Return the exit code of the process *child*, as a shell counts it."""
    try:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except KeyboardInterrupt:  # which the child had, too
        return 130
    return code if code >= 0 else 128 - code
