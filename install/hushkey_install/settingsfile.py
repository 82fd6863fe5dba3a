"""One setting in a tool's own config file: shown, made, and taken back exactly."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress

from hushkey.errors import Permanent, StoreError
from hushkey_install import screen
from hushkey_install.change import Change, read_text
from hushkey_install.ledger import Ledger

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
        self._ledger = Ledger(environ, tool)

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
        notes = self._ledger.read()
        if notes.get("path") != self.path or notes.get("after") != change.before:
            notes = {
                "path": self.path,
                "existed": os.path.lexists(self.path),
                "before": change.before,
                "value": self._value(change.before),
            }
        self._ledger.write({**notes, "after": change.after})  # first: it can be undone
        change.apply()

    def undoing(self) -> Change:
        """Return the change that takes back ours, whatever else was edited since."""
        notes, text = self._ledger.read(), self.text()
        if notes.get("path") != self.path:
            return Change(self.path, text, text)
        if notes["after"] == text:
            return Change(self.path, text, notes["before"])
        if self._value(text) != self._value(notes["after"]):
            return Change(self.path, text, text)  # the user's own by now
        return Change(self.path, text, self._edited(text, notes["value"]))

    def undo(self, change: Change) -> None:
        """Make *change*; a file that install made, and that is empty, goes."""
        notes = self._ledger.read()
        if notes and not notes["existed"] and not change.after:
            with suppress(FileNotFoundError):  # the user was faster
                os.unlink(self.path)
        elif change:
            change.apply()
        self._ledger.write({})

    def _edited(self, text: str, value: str) -> str:
        try:
            return self._edit(text, value)
        except ValueError as error:
            raise Permanent(
                f"{self.path} cannot be understood: {error}", hint="mend it first"
            ) from error


def show(change: Change) -> bool:
    """Print *change* as a diff; False if there is none."""
    if change:
        screen.block(change.diff())
    return bool(change)
