"""The program called `keyring` that leads to hushkey-keyring.

pip, uv, pdm, pipx and build start `keyring` from PATH. jaraco's own program of
that name is never overwritten: ours is a symbolic link in a folder before it.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from hushkey.errors import Permanent, StoreError
from hushkey.system import ownership, programs
from hushkey_helpers.keyring.command import is_ours
from hushkey_install.common import output, ownprograms
from hushkey_install.common.filechange import remove
from hushkey_install.common.installrecord import InstallRecord
from hushkey_install.tools import pythontools
from hushkey_install.tools.pythontools import Client

_PROGRAM = "hushkey-keyring"
_NAME = "keyring"
_RECORD = "keyring-launcher"
#: what stands beside the `bin` of an environment: venv's and conda's own files
_ENVIRONMENTS = ("pyvenv.cfg", "conda-meta")
_CHOOSE = "name a folder that is on PATH before it: --launcher DIR"


class Launcher:
    """Where the link is or will be, for one *tool* that needs it."""

    def __init__(self, environ: Mapping[str, str], tool: str) -> None:
        self._environ = environ
        self._tool = tool
        self._install_record = InstallRecord(environ, _RECORD)

    def plan(self, wanted: str = "") -> str:
        """Return the path of the link to make, nothing if one serves already.

        Raises Permanent where no folder will do: *wanted*, else the first one
        of the user's on PATH that comes before every other `keyring`.
        """
        if sys.platform == "win32":
            raise Permanent("the launcher is a symbolic link: not on Windows yet")
        if wanted:
            return self._plan_in(os.path.abspath(os.path.expanduser(wanted)))
        for folder in _folders(self._environ):
            path = os.path.join(folder, _NAME)
            if os.path.lexists(path) and not _is_stale(path):
                if os.path.isfile(path) and leads_here(path):
                    return ""
                exists = os.path.exists(path)
                what = "is the first keyring on PATH" if exists else "exists already"
                raise Permanent(f"{path} {what} and is not ours", hint=_CHOOSE)
            if self._is_the_user_s(folder):
                return path
        raise Permanent(
            "no folder of yours is on PATH",
            hint="add one, such as ~/.local/bin, or name one: --launcher DIR",
        )

    def _plan_in(self, folder: str) -> str:
        path = os.path.join(folder, _NAME)
        if os.path.lexists(path) and not _is_stale(path):
            if _serves(path):
                return ""
            raise Permanent(f"{path} exists already and is not ours", hint=_CHOOSE)
        first = programs.find(_NAME, self._environ)
        before = list(_folders(self._environ))
        if folder not in before:
            raise Permanent(f"{folder} is not on PATH", hint="add it to PATH first")
        if first and before.index(_folder_of(first)) < before.index(folder):
            if leads_here(first):
                return ""
            raise Permanent(f"{first} comes first on PATH", hint=_CHOOSE)
        return path

    def place(self, path: str) -> None:
        """Make the link at *path*, if it is not nothing, and note who needs it."""
        notes = self._install_record.read()
        if path:
            _link(self._environ, path)
            notes = {"path": path, "tools": notes.get("tools", [])}
        if notes:
            tools = sorted({*notes.get("tools", ()), self._tool})
            self._install_record.write({**notes, "tools": tools})

    def unneeded(self) -> str:
        """Return the path of our link if no other tool needs it, else nothing."""
        notes = self._install_record.read()
        path = str(notes.get("path", ""))
        if notes.get("tools") != [self._tool] or os.path.basename(path) != _NAME:
            return ""
        made = os.path.isabs(path) and os.path.islink(path)
        return path if made and is_ours(path) else ""

    def remove(self, path: str) -> None:
        """Take the link at *path* away, and the note that this tool needs it."""
        if path:
            remove(path)
        notes = self._install_record.read()
        rest = [tool for tool in notes.get("tools", ()) if tool != self._tool]
        self._install_record.write({**notes, "tools": rest} if rest else {})

    def _is_the_user_s(self, folder: str) -> bool:
        """Tell whether *folder* is one for the user's programs, not one environment's.

        conda's base is on PATH only until another environment is activated.
        """
        home = os.path.abspath(self._environ.get("HOME", os.path.expanduser("~")))
        inside = os.path.commonpath([home, folder]) == home
        marks = (os.path.join(os.path.dirname(folder), mark) for mark in _ENVIRONMENTS)
        one_s = any(map(os.path.exists, marks))
        return inside and not one_s and os.access(folder, os.W_OK)


class Broken(NamedTuple):
    """A link of ours at *path* to a hushkey that has gone; *target* is there now."""

    path: str
    target: str

    def command(self) -> str:
        """Return what lets it lead to us again, as `mend` does."""
        return shlex.join(["ln", "-sfn", self.target, self.path])

    def mend(self, environ: Mapping[str, str]) -> None:
        """Make the link anew, if nothing else has come there since."""
        _link(environ, self.path)


def broken(environ: Mapping[str, str]) -> Broken | None:
    """Return the link of ours that leads nowhere, where a shell looks past it."""
    for folder in _folders(environ):
        path = os.path.join(folder, _NAME)
        if _is_stale(path):
            return Broken(path, _target(environ))
        if programs.find(path, environ):
            return None
    return None


def is_off_path(environ: Mapping[str, str]) -> bool:
    """Tell whether our link is where it was made, beside programs not on PATH."""
    path = str(InstallRecord(environ, _RECORD).read().get("path", ""))
    beside = os.path.join(os.path.dirname(path), "hushkey")
    there = os.path.isabs(path) and _serves(path) and os.path.exists(beside)
    return there and programs.find("hushkey", environ) is None


def leads_here(program: str) -> bool:
    """Tell whether the `keyring` at *program* asks hushkey: it is ours, or has us.

    keyring's own program asks the backends of its environment; the words that pip says
    it knows from 25.2 on.
    """
    if is_ours(program):
        return True
    client = Client(_NAME, program, pythontools.prefix_of(program))
    version = client.version(_NAME).split(".")[:2]
    known = all(map(str.isdigit, version)) and [*map(int, version)] >= [25, 2]
    return known and client.has("hushkey")


def _folders(environ: Mapping[str, str]) -> Iterator[str]:
    for entry in environ.get("PATH", "").split(os.pathsep):
        if os.path.isabs(entry):
            yield os.path.abspath(entry)


def _link(environ: Mapping[str, str], path: str) -> None:
    """Make the link at *path*, in place of one of ours that leads nowhere."""
    ownership.check_name(path)
    ownership.make_folder(os.path.dirname(path))
    try:
        if _is_stale(path):
            remove(path)
        os.symlink(_target(environ), path)
    except OSError as error:
        raise StoreError(
            "unwritable",
            f"cannot make {path}: {error.strerror or error}",
            hint="choose another folder: --launcher DIR",
        ) from error


def _folder_of(program: str) -> str:
    return os.path.abspath(os.path.dirname(program))


def _serves(path: str) -> bool:
    """Tell whether the program at *path* leads to us; one that is gone does not."""
    return os.path.isfile(path) and is_ours(path)


def _is_stale(path: str) -> bool:
    """Tell whether *path* is a link of ours to a hushkey that has gone."""
    if not os.path.islink(path) or os.path.exists(path):
        return False
    return os.path.basename(os.readlink(path)) == _PROGRAM


def _target(environ: Mapping[str, str]) -> str:
    found = ownprograms.find(_PROGRAM, environ)
    if not found:
        raise Permanent(f"{_PROGRAM} is not installed", hint="install hushkey again")
    return found


def show(sign: str, path: str) -> None:
    """Print a link that comes (+) or goes (-)."""
    output.say(f"{sign}{path} -> {_PROGRAM}")
