"""Replays tests/transcripts/*.txt against the installed programs, byte for byte.

A transcript is a conversation in one new home: `$ command` (run by a shell), what is
typed into it, then `-- stdout`, `-- stderr` and `-- exit N`. HOME stands for the home's
path, BIN for our programs' folder, VERSION for hushkey's. The home has a config for
git.test and a token in its store, see `machine`; `# ` lines on top say what the
conversation shows. With REWRITE_TRANSCRIPTS=1 in the environment the files are written
as things are now, to be read before the commit.
"""

import os
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pytest

from kit.oauth import BIN, Machine, grant

FOLDER = Path(__file__).parent / "transcripts"


class Exchange(NamedTuple):
    """One command and how it went."""

    command: str
    stdin: str
    stdout: str = ""
    stderr: str = ""
    code: int = 0

    def text(self) -> str:
        return (
            f"$ {self.command}\n{self.stdin}-- stdout\n{self.stdout}"
            f"-- stderr\n{self.stderr}-- exit {self.code}\n"
        )


def commands(text: str) -> Iterator[Exchange]:
    """Yield each command of a transcript with what is typed into it."""
    for block in f"\n{text}".split("\n$ ")[1:]:
        command, _, rest = block.partition("\n")
        typed, marker, _ = f"\n{rest}".partition("\n-- stdout\n")
        assert marker, f"no -- stdout after: {command}"
        yield Exchange(command, f"{typed[1:]}\n" if typed else "")


def comment(text: str) -> str:
    return text.partition("$ ")[0]


def replay(text: str, machine: Machine) -> str:
    """Return the transcript as it is today."""
    went = (_run(exchange, machine) for exchange in commands(text))
    return comment(text) + "\n".join(exchange.text() for exchange in went)


def _run(exchange: Exchange, machine: Machine) -> Exchange:
    done = subprocess.run(
        ["/bin/sh", "-c", exchange.command],
        input=exchange.stdin.encode(),
        capture_output=True,
        cwd=machine.home,
        env={**machine.environ, "LC_ALL": "C.UTF-8"},
        timeout=60,
        check=False,
        start_new_session=True,  # whoever runs the tests is not to be asked
    )
    out, err = (
        data.decode("utf-8", "backslashreplace")
        .replace(str(machine.home), "HOME")
        .replace(str(BIN), "BIN")
        .replace(f"(hushkey) {version('hushkey')}", "(hushkey) VERSION")
        for data in (done.stdout, done.stderr)
    )
    return exchange._replace(stdout=out, stderr=err, code=done.returncode)


@pytest.fixture
def machine(machine: Machine) -> Machine:
    machine.has(grant("at-kept", expires_in=None, refresh_token=""))
    return machine


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.txt")))
def test_transcript(name: str, machine: Machine) -> None:
    path = FOLDER / f"{name}.txt"
    before = path.read_text()

    now = replay(before, machine)

    if os.environ.get("REWRITE_TRANSCRIPTS"):
        path.write_text(now)
    assert now == before


def test_every_line_of_the_format_is_read() -> None:
    text = "# why\n\n$ cat\na\n\nb\n-- stdout\nx\n-- exit 0\n\n$ true\n-- stdout\n"

    assert comment(text) == "# why\n\n"
    assert [(e.command, e.stdin) for e in commands(text)] == [
        ("cat", "a\n\nb\n"),
        ("true", ""),
    ]
