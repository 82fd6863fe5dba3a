"""One setting in a tool's own config file: shown, made, and taken back exactly."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from hushkey.errors import Permanent, StoreError
from hushkey_install.common.filechange import Change, drop_backup, read_text, remove
from hushkey_install.common.installrecord import (
    InstallRecord,
    replaced,
    restored,
    whole,
)

Edit = Callable[[str, str], str]


class SettingsFile:
    """The file at *path* of *tool*.

    *edit* returns a text with the setting at a value (the text's own where it is
    empty: without the setting); *value* returns what the setting is in a text.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        tool: str,
        path: str,
        edit: Edit,
        value: Callable[[str], str],
    ) -> None:
        self.path = path
        self._edit = edit
        self._value = value
        self._install_record = InstallRecord(environ, tool)

    def text(self) -> str:
        """Return what the file holds, nothing if there is none yet."""
        try:
            return read_text(self.path)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise StoreError(
                "unwritable",
                f"cannot read {self.path}: {error.strerror or error}",
                hint="nothing was changed",
            ) from error

    def setting(self, wanted: str) -> Change:
        """Return the change that sets it to *wanted*."""
        text = self.text()
        return Change(self.path, text, self._edited(text, wanted))

    def keep(self, change: Change) -> None:
        """Make *change*, and note how to take it back."""
        notes, before = self._notes(), None
        if notes:
            before = restored(notes, change.before)
        if before is None:
            before = change.before
            notes = {
                "existed": os.path.lexists(self.path),
                "value": self._value(before),
            }
        self._install_record.write(  # first: it can be undone
            {
                "path": self.path,
                "existed": notes["existed"],
                "value": notes["value"],
                "set": self._value(change.after),
                **replaced(before, change.after),
            }
        )
        change.apply()

    def undoing(self) -> Change:
        """Return the change that takes back ours, whatever else was edited since."""
        notes, text = self._notes(), self.text()
        if not notes:
            return Change(self.path, text, text)
        before = restored(notes, text)
        if before is None:
            before = text  # where the value is the user's own by now
            if self._value(text) == notes["set"]:
                before = self._edited(text, notes["value"])
        return Change(self.path, text, before)

    def undo(self, change: Change) -> None:
        """Make *change*; a file that install made, and that is empty, goes."""
        notes = self._notes()
        if notes and not notes["existed"] and not change.after:
            remove(self.path)
        elif change:
            change.apply(backup=False)
        drop_backup(self.path)
        self._install_record.write({})

    def _notes(self) -> dict[str, Any]:
        """Return what was noted about this file; nothing for any other one."""
        notes = self._install_record.read()
        if isinstance(notes.get("after"), str):  # hushkey 0.1.0
            notes["set"] = self._value(notes["after"])
        return whole(notes, self.path, {"existed": bool, "value": str, "set": str})

    def _edited(self, text: str, value: str) -> str:
        try:
            return self._edit(text, value)
        except ValueError as error:
            raise Permanent(
                f"{self.path} cannot be understood: {error}", hint="fix it first"
            ) from error
