"""What every server here shares: a free port, a child process, a deadline."""

import contextlib
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from weakref import WeakSet

CACHE = Path(__file__).resolve().parents[2] / ".cache"
"""What tests/prepare fetched: node modules, a newer git."""

# What must never reach a program under test from the machine it runs on.
LEAKS = {
    "AWS_CA_BUNDLE",
    "BROWSER",
    "BUILDKITE",
    "CI",
    "CIRCLECI",
    "CODEBUILD_BUILD_ID",
    "COLUMNS",
    "CURL_CA_BUNDLE",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "DOCKER_CONFIG",
    "EDITOR",
    "FORCE_COLOR",
    "GNOME_KEYRING_CONTROL",
    "GOAUTH",
    "GOENV",
    "JENKINS_URL",
    "KUBECONFIG",
    "LINES",
    "NODE_EXTRA_CA_CERTS",
    "NO_COLOR",
    "PYTHONIOENCODING",
    "REGISTRY_AUTH_FILE",
    "REQUESTS_CA_BUNDLE",
    "TEAMCITY_VERSION",
    "TRAVIS",
    "VISUAL",
    "WAYLAND_DISPLAY",
}
LEAKING_PREFIXES = (
    "ANTHROPIC_",
    "AZURE_",
    "CARGO_",
    "CLAUDE_",
    "CODESPACE",
    "CODEX_",
    "GITHUB_",
    "GITLAB_",
    "GIT_",
    "HUSHKEY_",
    "KEYRING_",
    "MSAL_",
    "NPM_",
    "PIP_",
    "PYTHON_KEYRING_",
    "RCLONE_",
    "SSH_",
    "SSL_CERT_",
    "TF_",
    "TWINE_",
    "UV_",
    "VISITOR_",
    "XDG_",
)


class Missing(Exception):
    """Something that this machine lacks; the text says what and how to get it."""


def leaks(name: str) -> bool:
    """Whether this variable of the machine must be hidden from the tests."""
    return (
        name in LEAKS
        or name.startswith(LEAKING_PREFIXES)
        or name.upper().endswith("_PROXY")
    )


def clean_environ(**extra: str) -> dict[str, str]:
    """The machine's environment without anything that could change an outcome.

    No agent is started by it, so that none is left: who wants one says so.
    """
    kept = {name: value for name, value in os.environ.items() if not leaks(name)}
    return kept | {"HUSHKEY_AGENT": "off"} | extra


def find_program(name: str, *, package: str = "", also: Sequence[str] = ()) -> str:
    """Return the absolute path of a system program, or say how to get it."""
    folders = [*os.environ.get("PATH", "").split(os.pathsep), *also]
    folders += ["/usr/bin", "/usr/sbin", "/usr/lib/chromium"]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        raise Missing(f"{name} is not installed: apt-get install {package or name}")
    return os.path.abspath(found)


def free_port() -> int:
    """Return a free loopback port below those that outgoing connections take."""
    for port in random.sample(range(20000, 30000), 200):
        with socket.socket() as probe:
            # As servers do, so that a port in TIME_WAIT counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise Missing("no free port on loopback")


def wait_until(
    done: Callable[[], bool], what: str, *, seconds: float = 10, pause: float = 0.01
) -> None:
    """Return as soon as `done()`; TimeoutError with `what` after the deadline."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(pause)


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


def short_folder(kind: str, *, mode: int = 0o700) -> Path:
    """Make a folder whose path leaves room for a Unix socket's 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix=f"hk-{kind}-", dir="/tmp"))
    path.chmod(mode)
    return path


#: programs that were started and not stopped yet, each a session of its own
STARTED: "WeakSet[Program]" = WeakSet()


class Program:
    """A child process: started with a log file, ended by its own id, waited for."""

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        *,
        environ: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        read_stdout: bool = False,
    ) -> None:
        self.log = log
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=subprocess.PIPE if read_stdout else sink,
                stderr=sink,
                env=dict(clean_environ() if environ is None else environ),
                start_new_session=True,
            )
        STARTED.add(self)
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(stdin or b"")
                self._process.stdin.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def first_line(self, *, seconds: float = 20) -> bytes:
        """Read one line of standard output; empty if none comes in time."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            return b""
        return self._process.stdout.readline()

    def wait_until(
        self, done: Callable[[], bool], what: str, *, seconds: float = 10
    ) -> None:
        """Wait as wait_until does, but stop at once if the program has ended."""

        def look() -> bool:
            if not self.running:
                raise RuntimeError(f"{what}: the program ended\n{self.output()}")
            return done()

        wait_until(look, what, seconds=seconds)

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self, *, seconds: float = 5) -> None:
        """Ask it to end, insist after the deadline, and wait either way."""
        STARTED.discard(self)
        if self.running:
            self._process.terminate()
            # A stopped process sees no signal but SIGKILL until it goes on.
            self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def started_node(argv: Sequence[str], folder: Path) -> tuple[Program, bytes]:
    """Start a server of Node's; return it, and the first line that it says.

    Node 20 hangs at its start once in a thousand times (libuv's io_uring). The line is
    empty where it does not start at all.
    """
    environ = clean_environ(UV_USE_IO_URING="0")
    for _ in range(3):
        program = Program(argv, folder / "stderr", environ=environ, read_stdout=True)
        line = program.first_line()
        if line or not program.running:
            break
        program.stop()
    return program, line


class Server:
    """The manners of every server here: `with` starts and stops it."""

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
