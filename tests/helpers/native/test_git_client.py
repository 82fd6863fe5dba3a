"""hushkey-git-client, compiled with the sanitizers of the compiler."""

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import do_without
from hushkey_helpers.agent import git_socket
from servers.process import short_folder

SOURCE = Path(__file__).parents[3] / "helpers/native/git_client.c"
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
SAFE = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
#: seconds: git_client.c's PATIENCE
PATIENCE = 0.1
ASKED = b"protocol=https\nhost=git.test\n"
ANSWER = b"hushkey=7\nusername=u\npassword=t\n"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        do_without("no C compiler is here")
        raise AssertionError
    program = str(tmp_path_factory.mktemp("client") / "client")
    subprocess.run([compiler, *STRICT, *SAFE, "-o", program, SOURCE], check=True)
    return program


@pytest.fixture(scope="module")
def place() -> Iterator[str]:
    folder = short_folder("client")
    yield os.path.join(folder, "git")
    shutil.rmtree(folder)


@contextlib.contextmanager
def agent(place: str, answer: bytes, *, holds: bool = False) -> Iterator[list[bytes]]:
    """Somebody at *place* who hears one request and says *answer*."""
    heard: list[bytes] = []
    done = threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen()

        def serve() -> None:
            with contextlib.suppress(OSError), listener.accept()[0] as link:
                link.settimeout(10)
                heard.append(b"".join(iter(lambda: link.recv(65536), b"")))
                link.sendall(answer)
                if holds:
                    done.wait(10)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield heard
        finally:
            done.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            os.unlink(place)


def ask(client: str, *words: str, stdin: bytes = ASKED) -> bytes:
    """Return what the client prints; it always ends well, and says nothing else."""
    done = subprocess.run(
        [client, *words], input=stdin, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def test_request_is_said_as_gits_own_client_does(client: str, place: str) -> None:
    with agent(place, ANSWER) as heard:
        assert ask(client, place, "7", "get") == ANSWER
    assert heard == [b"action=get\ntimeout=7\n" + ASKED]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(ANSWER[:-1], id="without its end"),
        pytest.param(b"hushkey=7\n", id="only the number"),
        pytest.param(ANSWER.replace(b"7", b"8"), id="another number"),
        pytest.param(ANSWER.replace(b"7", b"77"), id="a longer number"),
        pytest.param(ANSWER[10:], id="no number"),
        pytest.param(b"\n" + ANSWER, id="something before it"),
        pytest.param(b"\0" * 70, id="zeros"),
        pytest.param(
            ANSWER + b"x" * git_socket.MAX + b"\n", id="more than there can be"
        ),
    ],
)
def test_answer_that_is_not_whole_or_not_ours_is_not_printed(
    client: str, place: str, answer: bytes
) -> None:
    with agent(place, answer):
        assert ask(client, place, "7", "get") == b""


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.binary(max_size=300).map(lambda text: ANSWER + text),
    st.binary(max_size=300),
)
def test_any_bytes_go_through_whole_or_not_at_all(
    client: str, place: str, answer: bytes, asked: bytes
) -> None:
    with agent(place, answer) as heard:
        said = ask(client, place, "7", "get", stdin=asked)
    assert said == (answer if answer.endswith(b"\n") else b"")
    assert heard == [b"action=get\ntimeout=7\n" + asked]


@pytest.mark.parametrize("size", [git_socket.MAX - 1, git_socket.MAX])
def test_request_of_any_size_is_asked(client: str, place: str, size: int) -> None:
    with agent(place, ANSWER) as heard:
        said = ask(client, place, "7", "get", stdin=b"x" * size)
    # A loaded machine may not manage it in time; what arrives is right.
    assert said in (ANSWER, b"")
    if said:
        assert len(heard[0]) == size + len(b"action=get\ntimeout=7\n")


def test_request_that_is_too_large_is_not_asked(client: str, place: str) -> None:
    with agent(place, ANSWER) as heard:
        done = subprocess.Popen(
            [client, place, "7", "get"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert done.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            done.stdin.write(b"x" * (git_socket.MAX + 1))
        with contextlib.suppress(BrokenPipeError):
            done.stdin.close()
        assert done.stdout is not None
        assert done.stdout.read() == b""
        assert done.wait(60) == 0
        done.stdout.close()
    assert heard == []


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("get",),
        ("PLACE", "7"),
        ("PLACE", "7", "store"),
        ("PLACE", "7", "erase"),
        ("PLACE", "7", "get", "get"),
        ("PLACE", "7" * 60, "get"),
        ("PLACE", "7" * 100_000, "get"),
    ],
)
def test_other_words_reach_no_socket(
    client: str, place: str, words: tuple[str, ...]
) -> None:
    with agent(place, ANSWER) as heard:
        named = (place if word == "PLACE" else word for word in words)
        assert ask(client, *named, stdin=b"") == b""
    assert heard == []


@pytest.mark.parametrize("name", ["", "no-such-socket", "/tmp", "/" + "long" * 50])
def test_no_agent_there_says_nothing(client: str, name: str) -> None:
    assert ask(client, name, "7", "get") == b""


@pytest.mark.parametrize("answer", [b"", ANSWER[:-1], ANSWER])
def test_agent_that_goes_on_for_ever_costs_the_patience(
    client: str, place: str, answer: bytes
) -> None:
    with agent(place, answer, holds=True):
        began = time.monotonic()
        assert ask(client, place, "7", "get") == b""
        assert PATIENCE <= time.monotonic() - began < 10


def test_agent_that_hangs_up_at_once_is_no_answer(client: str, place: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen()
        thread = threading.Thread(target=lambda: listener.accept()[0].close())
        thread.start()
        assert ask(client, place, "7", "get", stdin=b"x" * 1_000_000) == b""
        thread.join()
    os.unlink(place)


def test_answer_that_is_begun_is_ended_whatever_it_takes(
    client: str, place: str
) -> None:
    answer = ANSWER[:-1] + b"t" * 200_000 + b"\n"
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with agent(place, answer), open(reader, "rb") as said:
        asking = subprocess.Popen(
            [client, place, "7", "get"], stdin=subprocess.PIPE, stdout=writer
        )
        os.close(writer)
        assert asking.stdin is not None
        asking.stdin.write(ASKED)
        asking.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            asking.wait(5 * PATIENCE)  # more than the pipe takes is left
        # A loaded machine may not begin in time.
        assert said.read() in (answer, b"")
        assert asking.wait(60) == 0


@pytest.mark.skipif(not hasattr(socket, "SO_PEERSEC"), reason="names of Linux's own")
def test_name_that_anybody_can_have_is_not_asked(client: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(b"\0" * 108)
        listener.listen()
        listener.setblocking(False)
        assert ask(client, "", "7", "get") == b""
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_full_queue_of_a_stopped_agent_is_not_waited_for(
    client: str, place: str
) -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(place)
        listener.listen(0)
        for _ in range(3):
            link = stack.enter_context(socket.socket(socket.AF_UNIX))
            link.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                link.connect(place)
        assert ask(client, place, "7", "get") == b""
    os.unlink(place)


def test_git_that_never_ends_its_request_costs_the_patience(
    client: str, place: str
) -> None:
    reader, writer = os.pipe()
    with agent(place, ANSWER) as heard:
        done = subprocess.run(
            [client, place, "7", "get"],
            stdin=reader,
            capture_output=True,
            timeout=60,
            check=False,
        )
    os.close(reader)
    os.close(writer)
    assert (done.returncode, done.stdout, heard) == (0, b"", [])
