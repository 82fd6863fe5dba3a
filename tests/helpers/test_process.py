import os
import signal
import subprocess
import sys
import time

import pytest

PROLOGUE = """
import os, sys, subprocess, time
from hushkey.errors import StoreError
from hushkey_helpers.answer import Answer
from hushkey_helpers.process import serve
def read(descriptor):
    return os.read(descriptor, 100)
"""


def served(
    body: str, *words: str, stdin: bytes = b"", redirect: str = ""
) -> "subprocess.CompletedProcess[bytes]":
    """Run a helper whose answer is *body*; *redirect* is what the shell does."""
    code = f"{PROLOGUE}\ndef answer(argv, request, environ):\n    {body}\n"
    shell = ["/bin/sh", "-c", f'exec "$@" {redirect}', "sh"]
    return subprocess.run(
        [*shell, sys.executable, "-c", code + "serve(answer, read)", *words],
        input=stdin,
        capture_output=True,
        timeout=30,
        check=False,
    )


def test_answer_goes_to_stdout_and_lines_to_stderr() -> None:
    done = served("return Answer(b'out\\n', ('one', 'two'), 3)")

    assert done.stdout == b"out\n"
    assert done.stderr == b"hushkey: one\nhushkey: two\n"
    assert done.returncode == 3


def test_words_and_environment_are_handed_over() -> None:
    done = served("return Answer(repr((argv, 'PATH' in environ)).encode())", "get", "x")

    assert done.stdout == b"(['get', 'x'], True)"


def test_request_is_read_only_when_asked_for() -> None:
    assert served("return Answer(request())", stdin=b"asked").stdout == b"asked"
    assert served("return Answer(b'unasked')", stdin=b"asked").stdout == b"unasked"


@pytest.mark.parametrize(
    "noise",
    [
        pytest.param("print('noise', flush=True)", id="print"),
        pytest.param("os.write(1, b'noise')", id="descriptor 1"),
        pytest.param("subprocess.run(['echo', 'noise'])", id="a child"),
        pytest.param("sys.__stdout__.write('noise')", id="sys.__stdout__"),
    ],
)
def test_noise_never_reaches_stdout(noise: str) -> None:
    done = served(f"{noise}; return Answer(b'clean')")

    assert done.stdout == b"clean"


def test_child_that_stays_keeps_no_stdout_open() -> None:
    """git waits for whoever holds the pipe: a browser must not."""
    began = time.monotonic()

    done = served(
        "subprocess.Popen(['/bin/sleep', '5']); return Answer(b'done')",
        redirect="2>/dev/null",
    )

    assert done.stdout == b"done"
    assert time.monotonic() - began < 4


def test_known_error_is_one_line() -> None:
    done = served("raise StoreError('denied', 'no\\nentry')")

    assert (done.stdout, done.returncode) == (b"", 1)
    assert done.stderr == b"hushkey: no entry\n"


def test_unknown_error_shows_its_type_alone() -> None:
    done = served("raise RuntimeError('token=s3cret')")

    assert (done.stdout, done.returncode) == (b"", 1)
    assert done.stderr == (
        b"hushkey: internal error (RuntimeError); please report it\n"
    )


def test_interruption_says_nothing() -> None:
    done = served("raise KeyboardInterrupt")

    assert (done.stdout, done.stderr, done.returncode) == (b"", b"", 130)


def test_stuck_thread_keeps_no_process() -> None:
    done = served(
        "import threading; threading.Thread(target=time.sleep, args=(60,)).start();"
        " return Answer(b'done')"
    )

    assert done.stdout == b"done"


def test_long_answer_is_written_whole() -> None:
    assert len(served("return Answer(b'x' * 500_000)").stdout) == 500_000


# -- streams that are not there --------------------------------------------------


def test_closed_stdout_loses_the_answer_and_nothing_else() -> None:
    done = served("return Answer(b'secret', ('line',))", redirect=">&-")

    assert done.stderr == b"hushkey: line\n"
    assert done.returncode == 1


def test_closed_stderr_is_no_reason_to_fail() -> None:
    done = served("print('x'); return Answer(b'out', ('line',))", redirect="2>&-")

    assert (done.stdout, done.returncode) == (b"out", 0)


def test_closed_stdin_is_an_empty_request() -> None:
    done = served("return Answer(repr(request()).encode())", redirect="<&-")

    assert done.stdout == b"b''"


def test_everything_closed_is_survived() -> None:
    done = served(
        "f = open('/dev/null'); print('x'); return Answer(b'out', ('l',))",
        redirect="<&- >&- 2>&-",
    )

    assert (done.stdout, done.stderr, done.returncode) == (b"", b"", 1)


def test_next_file_does_not_get_the_number_of_a_closed_stream() -> None:
    body = "return Answer(str(open('/dev/null').fileno() > 2).encode())"

    assert served(body, redirect="<&- 2>&-").stdout == b"True"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_full_stdout_is_a_failure() -> None:
    done = served("return Answer(b'out')", redirect=">/dev/full")

    assert (done.stderr, done.returncode) == (b"", 1)


def test_reader_that_has_gone_is_a_failure() -> None:
    read, write = os.pipe()
    os.close(read)
    code = f"{PROLOGUE}\nserve(lambda *_: Answer(b'out'), read)"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdout=write,
            stderr=subprocess.PIPE,
            timeout=30,
            check=False,
        )
    finally:
        os.close(write)

    assert done.returncode != -signal.SIGPIPE
    assert (done.stderr, done.returncode) == (b"", 1)
