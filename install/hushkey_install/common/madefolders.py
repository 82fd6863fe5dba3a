"""The folders that hushkey made on its way to a file: they go when it goes.

Only what was not there before is noted, in one file of the data folder, and only what
is empty is removed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from hushkey.system import paths
from hushkey_install.common.installrecord import InstallRecord

_NAME = "folders"


def missing(path: str) -> Iterator[str]:
    """Yield the folders that have to be made for the file *path*, the deepest first."""
    below = os.path.dirname(path)
    while below != os.path.dirname(below) and not os.path.lexists(below):
        yield below
        below = os.path.dirname(below)


class Before(NamedTuple):
    """What was not there yet: *folders*, the deepest first, and *files*."""

    folders: tuple[str, ...]
    files: tuple[str, ...]


def before(files: Iterable[str]) -> Before:
    """Return what is not there of *files*, which may be made now."""
    absent = [path for path in files if not os.path.lexists(path)]
    return Before(tuple(f for path in absent for f in missing(path)), tuple(absent))


def note(environ: Mapping[str, str], lacked: Before) -> None:
    """Remember what of *lacked* is there now; StoreError if nothing can be kept."""
    made = [path for path in lacked.folders if os.path.isdir(path)]
    files = [path for path in lacked.files if os.path.lexists(path)]
    notes = InstallRecord(environ, _NAME)
    known = _read(notes)
    folders, all_files = {*known.folders, *made}, {*known.files, *files}
    if len(folders) + len(all_files) > len(known.folders) + len(known.files):
        notes.write({"folders": sorted(folders), "files": sorted(all_files)})


def noted(environ: Mapping[str, str]) -> list[str]:
    """Return the folders that were noted, the deepest first."""
    return _deepest_first(_read(InstallRecord(environ, _NAME)).folders)


def sweep(environ: Mapping[str, str], gone: Iterable[str]) -> None:
    """Remove the empty folders that we made; *gone* are files of ours that have gone.

    Of a file that was not noted, hushkey 0.1.0's, it is known that we made it, and not
    which folders.
    """
    notes, gone = InstallRecord(environ, _NAME), set(gone)
    known = _read(notes)
    lost = {f for path in gone - set(known.files) for f in _own(environ, path)}
    remove_empty(_deepest_first({*known.folders, *lost}))
    folders = [path for path in known.folders if os.path.isdir(path)]
    files = [path for path in known.files if path not in gone]
    if len(folders) + len(files) < len(known.folders) + len(known.files):
        notes.write({"folders": folders, "files": files} if folders or files else {})


def _read(notes: InstallRecord) -> Before:
    found = notes.read()
    lists = (found.get(key) for key in Before._fields)
    return Before(
        *(_paths(value) if isinstance(value, list) else () for value in lists)
    )


def _paths(found: list[Any]) -> tuple[str, ...]:
    return tuple(f for f in found if isinstance(f, str) and os.path.isabs(f))


def remove_empty(folders: Iterable[str]) -> None:
    """Remove the *folders* in which nothing is, in this order."""
    for path in folders:
        with suppress(OSError):
            os.rmdir(path)


def _own(environ: Mapping[str, str], path: str) -> Iterator[str]:
    """Yield the folders above *path* that are no other program's."""
    home = paths.home(environ)
    common = {home, paths.xdg_config(environ), os.path.join(home, ".config")}
    below = os.path.dirname(path)
    while below.startswith(home + os.sep) and below not in common:
        yield below
        below = os.path.dirname(below)


def _deepest_first(folders: Iterable[str]) -> list[str]:
    return sorted(folders, key=lambda path: (-path.count(os.sep), path))
