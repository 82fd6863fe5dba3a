"""Doctor on our folders: whose they are, who else may look, what was left behind."""

import os
import shlex
import stat
from collections.abc import Iterator
from functools import partial

from hushkey import paths
from hushkey.errors import ConfigError
from hushkey_install.doctor.finding import NOTE, PROBLEM, Finding, Patient

_DAMAGED = ".damaged-"


def check(patient: Patient) -> Iterator[Finding]:
    """Yield folders of ours that are another user's, or open to others."""
    if not hasattr(os, "geteuid"):
        return
    try:
        folders = {
            "data": paths.data_folder(patient.environ),
            "runtime": paths.runtime_folder(patient.environ),
            "config": os.path.dirname(paths.config_file(patient.environ)),
        }
    except ConfigError as error:
        yield Finding("folder-wrong", PROBLEM, error.line())
        return
    for name, folder in folders.items():
        # The config folder holds no secret that others may not read.
        yield from _folder(name, folder, 0o022 if name == "config" else 0o077)


def _folder(name: str, folder: str, forbidden: int) -> Iterator[Finding]:
    try:
        status = os.stat(folder)
    except FileNotFoundError:
        return  # made when it is needed
    except OSError as error:
        yield Finding(
            "folder-unreadable",
            PROBLEM,
            f"the {name} folder {folder} cannot be read: {error.strerror}",
        )
        return
    if not stat.S_ISDIR(status.st_mode):
        yield Finding("folder-wrong", PROBLEM, f"{folder} is not a folder")
    elif status.st_uid != os.geteuid():
        yield Finding(
            "folder-foreign",
            PROBLEM,
            f"the {name} folder {folder} belongs to another user (`sudo` with your "
            "HOME?): nothing is written there",
        )
    elif status.st_mode & forbidden:
        yield Finding(
            "folder-open",
            PROBLEM,
            f"the {name} folder {folder} is open to others",
            f"chmod {'go-w' if forbidden == 0o022 else '700'} {shlex.quote(folder)}",
            partial(os.chmod, folder, stat.S_IMODE(status.st_mode) & ~forbidden),
        )
    elif not os.access(folder, os.W_OK):
        yield Finding(
            "folder-unwritable",
            PROBLEM,
            f"the {name} folder {folder} cannot be written",
            f"chmod u+rwx {shlex.quote(folder)}",
            partial(os.chmod, folder, stat.S_IMODE(status.st_mode) | 0o700),
        )


def leftovers(patient: Patient) -> Iterator[Finding]:
    """Yield damaged files that were moved aside; nobody needs them any more."""
    try:
        data = paths.data_folder(patient.environ)
    except ConfigError:
        return
    found = [
        os.path.join(folder, name)
        for folder, _, names in os.walk(data)
        for name in names
        if _DAMAGED in name and "/before-reset" not in folder.replace(os.sep, "/")
    ]
    if found:
        yield Finding(
            "damaged-files",
            NOTE,
            f"{len(found)} damaged file(s) were moved aside and are of no more use",
            f"find {shlex.quote(data)} -name '*{_DAMAGED}*' "
            "! -path '*/before-reset*' -delete",
            partial(_delete, found),
        )


def _delete(found: list[str]) -> None:
    for path in found:
        os.unlink(path)
