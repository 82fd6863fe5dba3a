"""The folders that hushkey made on its way to a file: they go when it goes.

Only what was not there before is noted, in one file of the data folder, and only what
is empty is removed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from hushkey.errors import HushkeyError, StoreError
from hushkey.model import Frozen
from hushkey.system import cachefile, ownership, paths

#: the file of the data folder in which they are noted
NOTES = "folders"
#: the names' ends of files that stay of a command that has changed nothing
_PASSING = (".compiled", ".lock", ".log")


def missing(path: str) -> Iterator[str]:
    """Yield the folders that have to be made for the file *path*, the deepest first."""
    below = os.path.dirname(path)
    while below != os.path.dirname(below) and not os.path.lexists(below):
        yield below
        below = os.path.dirname(below)


class Before(Frozen):
    """What was not there yet: *folders*, the deepest first, and *files*."""

    folders: tuple[str, ...]
    files: tuple[str, ...]


def before(files: Iterable[str]) -> Before:
    """Return what is not there of *files*, which may be made now."""
    absent = [path for path in files if not os.path.lexists(path)]
    return Before(tuple(f for path in absent for f in missing(path)), tuple(absent))


def before_own(environ: Mapping[str, str]) -> Before:
    """Return which folders of hushkey's own are not there; ConfigError as `paths`."""
    places = (
        paths.data_folder(environ),
        os.path.dirname(paths.config_file(environ)),
        paths.runtime_folder(environ),
    )
    return before(os.path.join(place, "any") for place in places).changed(files=())


def note_own(environ: Mapping[str, str], lacked: Before) -> None:
    """Remember as `note`, once the config was written or something is kept.

    A command that was stopped, or that changed nothing, leaves no note of that either.
    """
    with suppress(HushkeyError):
        data, config = paths.data_folder(environ), paths.config_file(environ)
        place = os.path.dirname(config)
        began = place in lacked.folders and os.path.isdir(place)
        if os.path.isdir(data) and lacked.folders and (began or _keeps_something(data)):
            note(environ, lacked)


def _keeps_something(folder: str) -> bool:
    """Tell whether there is a file in *folder* but locks, logs and the read config."""
    files = (name for _, _, names in os.walk(folder) for name in names)
    return not all(name.endswith(_PASSING) for name in files)


def note(environ: Mapping[str, str], lacked: Before) -> None:
    """Remember what of *lacked* is there now; StoreError if nothing can be kept."""
    made = [path for path in lacked.folders if os.path.isdir(path)]
    files = [path for path in lacked.files if os.path.lexists(path)]
    known = _read(environ)
    folders, all_files = {*known.folders, *made}, {*known.files, *files}
    if len(folders) + len(all_files) > len(known.folders) + len(known.files):
        _write(environ, sorted(folders), sorted(all_files))


def noted(environ: Mapping[str, str]) -> list[str]:
    """Return the folders that were noted, the deepest first."""
    return _deepest_first(_read(environ).folders)


def sweep(environ: Mapping[str, str], gone: Iterable[str]) -> None:
    """Remove the empty folders that we made; *gone* are files of ours that have gone.

    Of a file that was not noted, hushkey 0.1.0's, it is known that we made it, and not
    which folders.
    """
    gone, known = set(gone), _read(environ)
    lost = {f for path in gone - set(known.files) for f in _own(environ, path)}
    remove_empty(_deepest_first({*known.folders, *lost}))
    folders = [path for path in known.folders if os.path.isdir(path)]
    files = [path for path in known.files if path not in gone]
    if len(folders) + len(files) < len(known.folders) + len(known.files):
        _write(environ, folders, files)


def _notes(environ: Mapping[str, str]) -> str:
    return os.path.join(paths.data_folder(environ), NOTES)


def _read(environ: Mapping[str, str]) -> Before:
    found = cachefile.read(_notes(environ))
    return Before(_paths(found.get("folders")), _paths(found.get("files")))


def _write(environ: Mapping[str, str], folders: list[str], files: list[str]) -> None:
    path = _notes(environ)
    try:
        if folders or files:
            ownership.make_private(os.path.dirname(path))
            text = json.dumps({"folders": folders, "files": files})
            ownership.check_name(path)
            ownership.replace(path, text.encode())
        else:
            ownership.check_name(path)
            with suppress(FileNotFoundError):
                os.unlink(path)
    except OSError as error:
        raise StoreError(
            "unwritable", f"cannot change {path}: {error.strerror or error}"
        ) from error


def _paths(found: object) -> tuple[str, ...]:
    listed = found if isinstance(found, list) else []
    return tuple(f for f in listed if isinstance(f, str) and os.path.isabs(f))


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
