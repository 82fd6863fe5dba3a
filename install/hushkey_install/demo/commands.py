"""The commands of the story: real programs, each in a process group of its own.

Every one has a deadline, and whatever is still running at the end is ended by
the group that was made for it, never by name.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

TICK = 0.02
GRACE = 2.0


@dataclass(frozen=True)
class Command:
    """What to run, and where."""

    words: Sequence[str | Path]
    folder: Path


@dataclass(frozen=True)
class Done:
    """A command that has ended: `code` is None if it was ended by us."""

    code: int | None
    output: str
    seconds: float


class Commands:
    """Runs commands in one *environment*; their output goes to files in *folder*."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._running: list[subprocess.Popen[bytes]] = []
        self._numbers = count(1)

    def run(
        self,
        commands: Sequence[Command],
        seconds: float,
        installation: Callable[[], bool] = lambda: True,
    ) -> list[Done]:
        """Run *commands* at once; end those that outlast *seconds* or patience."""
        began = time.monotonic()
        started = [self._start(command) for command in commands]
        ended: dict[int, float] = {}
        while len(ended) < len(started):
            spent = time.monotonic() - began
            for process, _ in started:
                if process.pid not in ended and process.poll() is not None:
                    ended[process.pid] = spent
            if spent > seconds or not installation():
                break
            time.sleep(TICK)
        self.end()
        return [
            Done(
                process.returncode if process.pid in ended else None,
                output.read_text(errors="replace").strip(),
                ended.get(process.pid, time.monotonic() - began),
            )
            for process, output in started
        ]

    def end(self) -> None:
        """End what still runs, with all that it has started in its group."""
        for signum in (signal.SIGTERM, signal.SIGKILL):
            alive = [process for process in self._running if process.poll() is None]
            for process in alive:
                # Not yet waited for, so the number is still this process's own.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signum)
            until = time.monotonic() + GRACE
            for process in alive:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, until - time.monotonic()))
        self._running.clear()

    def _start(self, command: Command) -> tuple[subprocess.Popen[bytes], Path]:
        # A file, not a pipe: a browser that inherits it cannot make us wait.
        output = self._folder / f"output-{next(self._numbers)}.txt"
        with output.open("wb") as stream:
            process = subprocess.Popen(
                command.words,
                cwd=command.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        self._running.append(process)
        return process, output
