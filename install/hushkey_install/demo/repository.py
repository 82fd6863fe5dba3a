"""The repository that the demonstration serves, made on the fly by plain git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

# A few commits in the form that `git fast-import` reads. Author and times are
# fixed, so that the ids are the same on every machine.
PERSON = "Demo <demo@hushkey.test>"
START = 1_767_225_600
STORY = [
    ("README.md", "# hello\n\nA repository that wants a token.\n", "Say hello"),
    ("quiet.txt", "Nobody is asked twice.\n", "Promise to be quiet"),
    ("README.md", "# hello\n\nServed by git http-backend.\n", "Say who serves it"),
]


def create(git: Path, projects: Path, name: str) -> None:
    """Make the bare repository *name* with a handful of commits."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
    }

    def run(*words: str, feed: bytes = b"") -> None:
        subprocess.run(
            [git, *words],
            input=feed,
            capture_output=True,
            check=True,
            cwd=projects,
            env=environment,
            timeout=30,
        )

    run("init", "--quiet", "--bare", "--initial-branch=main", name)
    run("-C", name, "fast-import", "--quiet", feed=_stream().encode())


def _stream() -> str:
    return "".join(
        f"commit refs/heads/main\ncommitter {PERSON} {START + 3600 * hour} +0000\n"
        f"{_data(message)}M 100644 inline {path}\n{_data(text)}"
        for hour, (path, text, message) in enumerate(STORY)
    )


def _data(text: str) -> str:
    return f"data {len(text.encode())}\n{text}\n"
