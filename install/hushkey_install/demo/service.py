"""A server in a process of its own, which cannot outlive the one that started it.

The parent writes one line of JSON settings to the child's standard input and
keeps that pipe open; the child answers with one line of JSON when it listens.
When the pipe closes, for whatever reason, the child ends: even `kill -9` of the
parent leaves no server behind. Settings travel by pipe because the argument
list of a process is everybody's to read.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, ClassVar, Protocol, Self

from hushkey.system import isolated

START_SECONDS = 60.0
STOP_SECONDS = 5.0


class ServiceError(Exception):
    """A server of the demonstration did not start."""


class Service:
    """The parent's side: start, stop, and read what the server has logged."""

    module: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def settings(self) -> dict[str, object]:
        """Return what the child needs to know; it is sent by pipe."""
        raise NotImplementedError

    @property
    def pid(self) -> int | None:
        """The running child's process id."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the child and wait until it listens."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                isolated.words(self.module),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                # Ctrl-C in the terminal is the parent's to handle, in order.
                start_new_session=True,
            )
        try:
            self.facts = self._introduce(self._process)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the child: politely, then by force. Stopping twice is fine."""
        process, self._process = self._process, None
        if process is None:
            return
        _close(process.stdin)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        finally:
            _close(process.stdout)

    def log(self) -> list[dict[str, Any]]:
        """Return the requests that the server has answered, oldest first."""
        try:
            lines = self._trace.read_text().splitlines()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _trace(self) -> Path:
        return self.folder / "requests.jsonl"

    @property
    def _errors(self) -> Path:
        return self.folder / "errors.log"

    def _introduce(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        settings = {**self.settings(), "journal": str(self._trace)}
        line = _exchange(process, json.dumps(settings).encode() + b"\n")
        if not line:
            last = self._errors.read_text(errors="replace").strip().splitlines()[-1:]
            why = last[0] if last else f"no answer within {START_SECONDS:.0f} s"
            raise ServiceError(f"{self.module} did not start: {why}")
        facts: dict[str, Any] = json.loads(line)
        return facts


def _exchange(process: subprocess.Popen[bytes], settings: bytes) -> bytes:
    """Send *settings*; return the ready line, empty if none came in time."""
    assert process.stdin and process.stdout  # noqa: S101 - both are pipes, see start
    try:
        process.stdin.write(settings)
        process.stdin.flush()
    except BrokenPipeError:
        return b""
    readable, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    return process.stdout.readline() if readable else b""


def _close(stream: IO[bytes] | None) -> None:
    if stream:
        # The child may have ended first; what it did not read is of no use now.
        with suppress(BrokenPipeError):
            stream.close()


class Trace:
    """The child's log: one JSON object a line, written before the answer is sent."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)
        self._lock = threading.Lock()

    def write(self, entry: Mapping[str, object]) -> None:
        """Append *entry*, with the time."""
        with self._lock:
            self._file.write(json.dumps({"time": time.time(), **entry}) + "\n")


class Server(Protocol):
    """What both of our servers are, by courtesy of werkzeug."""

    def serve_forever(self) -> None: ...


def run(build: Callable[[dict[str, Any]], tuple[Server, dict[str, object]]]) -> None:
    """Be the child: read the settings, *build* the server, report, serve."""
    settings = json.loads(sys.stdin.buffer.readline())
    server, facts = build(settings)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()
    server.serve_forever()


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)
