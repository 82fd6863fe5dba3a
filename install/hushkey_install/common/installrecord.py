"""What install changed, kept so that uninstall takes back exactly that.

One small JSON file for each tool, in the data folder. One that another user wrote is
not believed. What the tool's file held beside our lines may be a password, so it is
not copied: only the lines that ours replaced, and a hash of the rest.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from difflib import SequenceMatcher
from hashlib import blake2s
from typing import Any

from hushkey.system import cachefile, ownership, paths
from hushkey_install.common.filechange import Change, remove


class InstallRecord:
    """The notes of one *tool*."""

    def __init__(self, environ: Mapping[str, str], tool: str) -> None:
        self._path = os.path.join(
            paths.data_folder(environ), "installed", f"{tool}.json"
        )

    def read(self) -> dict[str, Any]:
        """Return what was noted, nothing if there is none that can be believed."""
        return cachefile.read(self._path)

    def about(self, path: str, shape: Mapping[str, type]) -> dict[str, Any]:
        """Return the notes if they are `whole`, nothing if not."""
        return whole(self.read(), path, shape)

    def write(self, notes: Mapping[str, Any]) -> None:
        """Keep *notes*; none at all take the file away. StoreError if it cannot."""
        if notes:
            ownership.make_inside(os.path.dirname(self._path))
            Change(self._path, "", json.dumps(dict(notes))).apply(backup=False)
        else:
            remove(self._path)


def are_there(data: str) -> bool:
    """Tell whether anything is registered by the data folder *data*."""
    try:
        return bool(os.listdir(os.path.join(data, "installed")))
    except OSError:
        return False


def named(tool: str, path: str) -> str:
    """Return the name of the notes about one of the files of *tool*."""
    return f"{tool}-{_hash(path)}"


def whole(
    notes: dict[str, Any], path: str, shape: Mapping[str, type]
) -> dict[str, Any]:
    """Return *notes*, nothing where they are not about *path*, or lack what they need.

    *shape* is what they need: each key, and the type of its value.
    """
    complete = all(isinstance(notes.get(key), kind) for key, kind in shape.items())
    return notes if complete and notes.get("path") == path else {}


def replaced(before: str, after: str) -> dict[str, Any]:
    """Return the note from which `restored` makes *before* of *after*."""
    old, new = (text.splitlines(keepends=True) for text in (before, after))
    # What comes again and again in a long text (blank lines) anchors no match: each of
    # them compared with each costs the square of their number.
    changes = SequenceMatcher(None, old, new).get_opcodes()
    hunks = [
        [start, end, "".join(old[first:last])]
        for kind, first, last, start, end in changes
        if kind != "equal"
    ]
    return {"hash": _hash(after), "hunks": hunks}


def restored(note: Mapping[str, Any], text: str) -> str | None:
    """Return what *text* was before the change of *note*; None if that is of another.

    Also from notes of hushkey 0.1.0, which hold both texts.
    """
    try:
        if "before" in note and "after" in note:
            return str(note["before"]) if note["after"] == text else None
        if note["hash"] != _hash(text):
            return None
        lines = text.splitlines(keepends=True)
        for start, end, old in reversed(note["hunks"]):
            lines[start:end] = [old]
        return "".join(lines)
    except (LookupError, TypeError, ValueError):
        return None  # no note at all


def _hash(text: str) -> str:
    data = text.encode("utf-8", "surrogateescape")
    return blake2s(data, digest_size=16).hexdigest()
