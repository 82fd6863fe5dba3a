"""Programs of a fixed name, or without words, by which tools reach hushkey-answer.

Each is a script or plug-in of ours in the tool's own folder or in the data folder.
Nobody else's file of that name is touched.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping

from hushkey.errors import Permanent, StoreError
from hushkey.system import madefolders, ownership, paths
from hushkey_install.common.filechange import Change, read_text, remove, write_text
from hushkey_install.common.installrecord import InstallRecord, named

_MARK = "made by `hushkey install"


def folder(environ: Mapping[str, str]) -> str:
    """Return where the scripts are that tools name by their path."""
    return os.path.join(paths.data_folder(environ), "programs")


class Placed:
    """The file at *path*, which holds *text*; a program if it is *started*."""

    def __init__(
        self,
        environ: Mapping[str, str],
        tool: str,
        path: str,
        text: str = "",
        *,
        started: bool = False,
    ) -> None:
        self.path = path
        self._tool = tool
        self._wanted = text
        self._mode = 0o755 if started else 0o644
        self._install_record = InstallRecord(environ, named("program", path))

    def change(self) -> Change:
        """Return what makes it; raises Permanent where another file stands."""
        before = _text(self.path)
        if before is None:
            raise Permanent(
                f"{self.path} is there already and not ours", hint="move it away first"
            )
        made = self._wanted
        if before and before.split("\n")[2:] == made.split("\n")[2:]:
            made = before  # for another tool
        return Change(self.path, before, made)

    def place(self, change: Change) -> None:
        """Make *change*, and note who needs the file."""
        ownership.check_name(self.path)
        notes = self._install_record.read()
        tools = {*notes.get("tools", ()), self._tool}
        made = notes.get("folders") or list(madefolders.missing(self.path))
        self._install_record.write(
            {"path": self.path, "tools": sorted(tools), "folders": made}
        )
        if not change:
            return
        ownership.make_folder(os.path.dirname(self.path))
        try:
            write_text(self.path, change.after, self._mode)
        except OSError as error:
            raise StoreError(
                "unwritable", f"cannot write {self.path}: {error.strerror or error}"
            ) from error

    def unneeded(self) -> Change:
        """Return what takes it away: nothing if it is not ours, or needed further."""
        text = _text(self.path) or ""
        tools = set(self._install_record.read().get("tools", ()))
        return Change(self.path, text, text if tools - {self._tool} else "")

    def remove(self, change: Change) -> None:
        """Make *change*; the folders that `place` made go, if nothing is in them."""
        notes = self._install_record.read()
        if change:
            remove(self.path)
            madefolders.remove_empty(notes.get("folders", ()))
        rest = [tool for tool in notes.get("tools", ()) if tool != self._tool]
        self._install_record.write({**notes, "tools": rest} if rest else {})


class Door(Placed):
    """The script at *path* that starts *words*, and hands them what it is given."""

    def __init__(
        self, environ: Mapping[str, str], tool: str, path: str, words: tuple[str, ...]
    ) -> None:
        command = shlex.join(words)
        text = f'#!/bin/sh\n# {_MARK} {tool}`\nexec {command} "$@"\n'
        super().__init__(environ, tool, path, text, started=True)

    def change(self) -> Change:
        """Return what makes it; raises Permanent as well where no script can be."""
        if sys.platform == "win32":
            raise Permanent(f"{self._tool} needs a script, which Windows cannot start")
        return super().change()


def _text(path: str) -> str | None:
    """Return what the file holds, nothing if there is none; None: it is not ours."""
    if not os.path.lexists(path):
        return ""
    try:
        text = read_text(path)
    except OSError:
        return None
    return text if _MARK in text and not os.path.islink(path) else None
