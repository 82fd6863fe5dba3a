"""A person at a terminal: a real one, on which a program asks and is answered."""

import fcntl
import os
import select
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

#: seconds for one program
_PATIENCE = 60
#: Ctrl-C, as a terminal sends it
INTERRUPT = "\x03"
#: Ctrl-D on an empty line, as a terminal sends it
END = "\x04"
_KEYS = (INTERRUPT, END)


class Talk(NamedTuple):
    """What was on the screen, how many questions were answered, and the exit code.

    ``seconds`` is how long it took, with a person who answers at once.
    """

    screen: str
    questions: int
    code: int
    seconds: float = 0.0


def talk(
    argv: Sequence[object],
    answers: Sequence[tuple[str, str]],
    environ: Mapping[str, str],
    folder: Path,
) -> Talk:
    """Run *argv* on a terminal of its own; *answers* are (end of a question, reply).

    They are given in their order, each when its question stands at the end of the
    screen. The program has to end by itself, with no other question.
    """
    master, slave = os.openpty()
    process = subprocess.Popen(
        [str(word) for word in argv],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**environ, "TERM": "dumb", "COLUMNS": "200"},
        cwd=folder,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(slave)
    began = time.monotonic()
    screen, given, end = "", 0, began + _PATIENCE
    try:
        while True:
            left = end - time.monotonic()
            assert left > 0, f"it waits: {screen[-2000:]}"
            if not select.select([master], [], [], min(left, 0.5))[0]:
                # One may come before the program waits; a person insists.
                if given and answers[given - 1][1] in _KEYS:
                    os.write(master, answers[given - 1][1].encode())
                continue
            try:
                data = os.read(master, 65536)
            except OSError:  # EIO: nobody has the other end any more
                break
            if not data:
                break
            screen += data.decode("utf-8", "replace").replace("\r\n", "\n")
            if given < len(answers):
                question, reply = answers[given]
                last = screen.rpartition("\n")[2]
                if question in last and last.endswith((": ", "]: ")):
                    os.write(
                        master,
                        reply.encode() if reply in _KEYS else f"{reply}\n".encode(),
                    )
                    given += 1
    finally:
        if process.poll() is None:
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait()
        os.close(master)
    return Talk(screen, given, process.returncode, time.monotonic() - began)
