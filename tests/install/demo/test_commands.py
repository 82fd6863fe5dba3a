"""Commands run at once, have a deadline, and leave nobody behind."""

import sys
import time
from pathlib import Path

import psutil

from hushkey_install.demo.commands import Command, Commands


def python(folder: Path, text: str) -> Command:
    return Command([sys.executable, "-c", text], folder)


def test_run_gives_code_and_output(tmp_path: Path) -> None:
    """Each command's own code and words come back, in order."""
    commands = Commands(tmp_path, {})
    good, bad = commands.run(
        [
            python(tmp_path, "print('one')"),
            python(tmp_path, "raise SystemExit('two')"),
        ],
        seconds=30,
    )

    assert (good.code, good.output) == (0, "one")
    assert (bad.code, bad.output) == (1, "two")


def test_run_ends_a_group_at_the_deadline(tmp_path: Path) -> None:
    """A command that outlasts its time is ended, its children too."""
    child = "import time; time.sleep(60)"
    parent = (
        "import subprocess, sys; "
        f"p = subprocess.Popen([sys.executable, '-c', {child!r}]); "
        "print(p.pid, flush=True); p.wait()"
    )
    (done,) = Commands(tmp_path, {}).run([python(tmp_path, parent)], seconds=2)
    until = time.monotonic() + 5
    while _runs(int(done.output)) and time.monotonic() < until:
        time.sleep(0.02)

    assert done.code is None
    assert not _runs(int(done.output))


def test_run_ends_when_patience_does(tmp_path: Path) -> None:
    """The caller may give up before the deadline."""
    sleep = python(tmp_path, "import time; time.sleep(60)")
    (done,) = Commands(tmp_path, {}).run([sleep], 60, lambda: False)

    assert done.code is None
    assert done.seconds < 30


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
