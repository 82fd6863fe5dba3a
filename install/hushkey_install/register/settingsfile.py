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
    *without* returns a text in which the setting, changed since, no longer names us;
    it is given what the setting was before. Its notes are called *record*; where they
    are lost, *unnoted* returns a text without what of ours would do harm there.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        tool: str,
        path: str,
        edit: Edit,
        value: Callable[[str], str],
        without: Edit = lambda text, _: text,
        unnoted: Callable[[str], str] = lambda text: text,
    ) -> None:
        self.path = path
        self._edit = edit
        self._value = value
        self._without = without
        self._unnoted = unnoted
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

    def anew(self, wanted: Callable[[str], str]) -> tuple[str, Change]:
        """Return the text without ours, and the change that sets *wanted* of that.

        So the setting follows our program's path, and what is noted as its old value
        is never ours.
        """
        text, base = self.text(), self.undoing().after
        try:
            after = self._edited(base, wanted(base))
            same = self._value(after) == self._value(text)
        except ValueError as error:
            raise self._wrong(error) from error
        return base, Change(self.path, text, text if same else after)

    def keep(self, change: Change, before: str | None = None) -> None:
        """Make *change*, and note how to take it back: to *before*, if it is known."""
        notes = self._notes()
        if before is not None:
            existed = notes["existed"] if notes else os.path.lexists(self.path)
            notes = {"existed": existed, "value": self._value(before)}
        elif notes:
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
            return Change(self.path, text, self._unnoted(text))
        before = restored(notes, text)
        if before is None:
            try:
                if self._value(text) == notes["set"]:
                    before = self._edited(text, notes["value"])
                else:  # the user's own by now
                    before = self._without(text, notes["value"])
            except ValueError as error:
                raise self._wrong(error) from error
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
            raise self._wrong(error) from error

    def _wrong(self, error: ValueError) -> Permanent:
        return Permanent(
            f"{self.path} cannot be understood: {error}", hint="fix it first"
        )
