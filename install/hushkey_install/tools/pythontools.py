"""The user's Python tools: where each lives, and what its environment holds.

Only files are looked at: nothing of theirs is run or imported.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from hushkey.system import programs

_TRAMPOLINE = re.compile(rb"'''exec' \"?([^\"\n]+?/python[^\"/ ]*)")


class Client(NamedTuple):
    """One tool: its *program* on PATH, and the environment that it runs in.

    ``prefix`` is empty for what is no Python program (uv).
    """

    name: str
    program: str
    prefix: str

    def has(self, distribution: str) -> bool:
        """Tell whether *distribution* is installed where the tool runs."""
        return bool(self.version(distribution))

    def version(self, distribution: str) -> str:
        """Return the version of *distribution* there, or nothing."""
        return next((number for number, _ in self._found(distribution)), "")

    def folder(self, distribution: str) -> str:
        """Return the folder that *distribution* is installed in, or nothing."""
        return next((folder for _, folder in self._found(distribution)), "")

    def _found(self, distribution: str) -> Iterator[tuple[str, str]]:
        for folder in self._packages():
            for name in _listed(folder):
                found = name.lower().replace("_", "-")
                start, end = f"{distribution}-", ".dist-info"
                if found.startswith(start) and found.endswith(end):
                    number = found[len(start) : -len(end)]
                    if number[:1].isdigit():
                        yield number, folder

    def manager(self) -> str:
        """Return what made the environment: pipx, uv, poetry, venv, or nothing."""
        parts = os.path.realpath(self.prefix).split(os.sep)
        if os.path.exists(os.path.join(self.prefix, "uv-receipt.toml")):
            return "uv"
        if parts[-2:-1] == ["venvs"] and os.path.exists(
            os.path.join(self.prefix, "pipx_metadata.json")
        ):
            return "pipx"
        if "pypoetry" in parts:
            return "poetry"
        config = os.path.join(self.prefix, "pyvenv.cfg")
        return "venv" if self.prefix and os.path.exists(config) else ""

    def _packages(self) -> Iterator[str]:
        if not self.prefix:
            return
        library = os.path.join(self.prefix, "lib")
        for name in _listed(library):
            if name.startswith("python"):
                yield os.path.join(library, name, "site-packages")
        yield os.path.join(self.prefix, "Lib", "site-packages")


def find(name: str, environ: Mapping[str, str]) -> Client | None:
    """Return the tool *name* as PATH has it, or None."""
    program = programs.find(name, environ)
    return None if program is None else Client(name, program, prefix_of(program))


def prefix_of(program: str) -> str:
    """Return the environment of a Python *program*, as its first line has it."""
    try:
        with open(os.path.realpath(program), "rb") as file:
            head = file.read(1024)
    except OSError:
        return ""
    first, _, rest = head.partition(b"\n")
    if not first.startswith(b"#!"):
        return ""
    found = _TRAMPOLINE.match(rest)
    python = os.fsdecode(found[1] if found else first[2:].strip())
    if not os.path.isabs(python) or not os.path.basename(python).startswith("python"):
        return ""
    return os.path.dirname(os.path.dirname(python))


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
