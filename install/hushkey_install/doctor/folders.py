"""Doctor on our folders: whose they are, who else may look, what was left behind."""

from __future__ import annotations

import os
import shlex
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from hushkey.errors import ConfigError, HushkeyError, StoreError
from hushkey.system import ownership, paths
from hushkey_install.common import datafolder, output
from hushkey_install.common.filechange import backup_of, holds_secret, read_text, remove
from hushkey_install.common.finding import NOTE, PROBLEM, Finding
from hushkey_install.config import document
from hushkey_install.register import table
from hushkey_install.tools.installation import Installation

_DAMAGED = ".damaged-"
#: what chmod is told, by the permissions that others may not have
_CHMOD = {0o077: "700", 0o022: "go-w", 0o002: "o-w"}
#: bytes that a change of a token file may need
_ROOM = 64 * 1024
#: bytes below which a disk is almost full
_LITTLE = 16 * 1024 * 1024
#: the ending of the files that hold tokens; of so many each is named
_SEALED, _SHOWN = ".sealed", 3
#: folders in the data folder that are written for each renewal
_INNER = ("locks", "tokens")
_CHOOSING = {
    "data": "HUSHKEY_DATA_DIR",
    "runtime": "HUSHKEY_RUNTIME_DIR",
    "config": "HUSHKEY_CONFIG",
}
_VARIABLES = ("DATA_DIR", "RUNTIME_DIR", "CONFIG")


def check(installation: Installation) -> Iterator[Finding]:
    """Yield folders of ours that are another user's, or open to others."""
    if not hasattr(os, "geteuid"):
        return
    environ = installation.environ
    try:
        data, runtime = paths.data_folder(environ), paths.runtime_folder(environ)
        config = os.path.dirname(paths.config_file(environ))
    except ConfigError as error:
        yield Finding("folder-wrong", PROBLEM, error.line())
        return
    # A folder that somebody chose may serve others as well: not ours to close.
    chosen = {v: bool(environ.get(f"HUSHKEY_{v}")) for v in _VARIABLES}
    yield from _folder("data", data, 0o077, chosen=chosen["DATA_DIR"])
    yield from _inside_open(data, runtime)
    if _owner(runtime) in (-1, os.geteuid()) or runtime not in datafolder.own(data):
        yield from _folder("runtime", runtime, 0o077, chosen=chosen["RUNTIME_DIR"])
    # The config folder holds no secret that others may not read.
    yield from _folder("config", config, 0o022, chosen=chosen["CONFIG"])
    home = paths.home(environ)
    for around in dict.fromkeys((*_above(data, home), *_above(config, home))):
        yield from _folder("outer", around, stat.S_IWOTH, chosen=False)


def _folder(
    name: str, folder: str, forbidden: int, *, chosen: bool
) -> Iterator[Finding]:
    try:
        place = paths.check_owner(folder)
        status = os.stat(folder)
    except FileNotFoundError:
        return  # made when it is needed
    except StoreError as error:
        if name != "outer" and not (name == "config" and _is_roots(folder)):
            text = f"the {name} folder: {error.what} (`sudo` with your HOME?)"
            words = ["sudo", "chown", "-hR", str(os.geteuid()), folder]
            mine = error.path == folder and not chosen  # all around it is
            yield Finding(
                "folder-foreign", PROBLEM, text, shlex.join(words) if mine else ""
            )
        return
    except OSError as error:
        yield Finding(
            "folder-unreadable",
            PROBLEM,
            f"the {name} folder {folder} cannot be read: {error.strerror}",
        )
        return
    quoted = shlex.quote(folder)
    if not stat.S_ISDIR(status.st_mode):
        yield Finding("folder-wrong", PROBLEM, f"{folder} is not a folder")
    elif status.st_mode & forbidden:
        common = status.st_mode & stat.S_ISVTX  # /tmp and its kin
        command = f"chmod {_CHMOD[forbidden]} {quoted}"
        mode = stat.S_IMODE(status.st_mode) & ~forbidden
        yield Finding(
            "folder-open",
            PROBLEM,
            f"the {name} folder {folder} is open to others"
            + ("; choose one of its own" if common else ""),
            "" if common else command,
            None if common or chosen else partial(_chmod, place, mode),
        )
    elif name != "outer" and os.statvfs(place).f_flag & os.ST_RDONLY:
        yield Finding(
            "folder-unwritable",
            PROBLEM,
            f"the {name} folder {folder} is on a read-only file system; make that "
            f"writable, or let {_CHOOSING[name]} name another place",
        )
    elif name != "outer" and not (
        status.st_mode & stat.S_IWUSR and os.access(folder, os.W_OK)
    ):
        yield Finding(
            "folder-unwritable",
            PROBLEM,
            f"the {name} folder {folder} cannot be written",
            f"chmod u+rwx {quoted}",
            partial(_chmod, place, stat.S_IMODE(status.st_mode) | 0o700),
        )
    elif name == "data":
        yield from _room(folder, place)
        yield from _not_ours(place)


def _room(folder: str, place: str) -> Iterator[Finding]:
    """Yield that the disk of the data folder is full, or nearly so."""
    command = f"df -h {shlex.quote(folder)}"
    free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
    if why := _lacks_room(place):
        text = f"no room in {folder}: {why}; no sign-in or renewal can be kept"
        yield Finding("disk-full", PROBLEM, text, command)
    elif free < _LITTLE:
        text = f"the disk of {folder} is almost full: {free // 1024} KiB are left"
        yield Finding("disk-low", NOTE, text, command)


def _not_ours(data: str) -> Iterator[Finding]:
    """Yield what is another user's in the data folder, or no folder where one belongs.

    A lock or a token that `sudo` left behind stops every renewal.
    """
    own = [*datafolder.own(data)]
    inner = [os.path.join(p, n) for p, f, names in _walked(data) for n in (*f, *names)]
    foreign = [p for p in (*own, *inner) if _owner(p) not in (-1, os.geteuid())]
    if foreign:
        one = foreign[0]
        if len(foreign) > 1:
            one = f"{output.counted(len(foreign), 'file')} in {data}"
        few = len(foreign) <= _SHOWN
        tops = [
            top for top in own if any(f"{p}/".startswith(f"{top}/") for p in foreign)
        ]
        whose = ["-h" if few else "-hR", str(os.geteuid())]
        yield Finding(
            "file-foreign",
            PROBLEM,
            f"another user owns {one} ({_owners(foreign)}; `sudo` with your HOME?): no "
            "sign-in or renewal can be kept",
            shlex.join(["sudo", "chown", *whose, *(foreign if few else tops)]),
        )
    for name in _INNER:
        path = os.path.join(data, name)
        if os.path.lexists(path) and not os.path.isdir(path):
            text = f"{path} is not a folder: no sign-in or renewal can be kept"
            yield Finding("folder-wrong", PROBLEM, text, f"rm {shlex.quote(path)}")


def _owners(foreign: list[str]) -> str:
    """Return the names of who owns them."""
    return ", ".join(sorted({ownership.owner_of(path) for path in foreign}))


def _walked(data: str) -> list[tuple[str, list[str], list[str]]]:
    """Return the steps of `os.walk` through what is ours in *data*, and no link."""
    own = [path for path in datafolder.own(data) if not os.path.islink(path)]
    return [step for path in own for step in os.walk(path)]


def _owner(path: str) -> int:
    """Return whose *path* is, -1 where it is gone."""
    try:
        return os.lstat(path).st_uid
    except OSError:
        return -1


def _inside_open(data: str, runtime: str) -> Iterator[Finding]:
    """Yield what of ours in the data folder others may change, or may read of tokens.

    Whatever is wrong with the folder itself: one `--fix` is for all of it. The
    *runtime* folder may be in it, and is looked at by itself.
    """
    try:
        place = paths.check_owner(data)
    except StoreError:
        return  # has a finding of its own
    walked = _walked(place)
    yield from _folders_open(place, [f for f, _, _ in walked if f != runtime])
    sealed = [
        os.path.join(folder, name)
        for folder, _, names in walked
        for name in names
        if name.endswith(_SEALED)
    ]
    yield from _files_open(place, sealed)


def _folders_open(data: str, folders: list[str]) -> Iterator[Finding]:
    """Yield that others may change *folders* of ours: nothing is kept in them then."""
    found = [path for path in folders if os.stat(path).st_mode & 0o022]
    if found:
        yield Finding(
            "folder-open",
            PROBLEM,
            f"others may change {_named(data, found, 'folder')}",
            shlex.join(["chmod", "go-w", *found]),
            partial(_close_folders, found),
        )


def _close_folders(found: list[str]) -> None:
    for path in found:
        _chmod(path, stat.S_IMODE(os.stat(path).st_mode) & ~0o022)


def _files_open(data: str, sealed: list[str]) -> Iterator[Finding]:
    """Yield that others have permissions on files with tokens, if encrypted ones."""
    found = [path for path in sealed if _is_open(os.lstat(path).st_mode)]
    if not found:
        return
    yield Finding(
        "file-open",
        PROBLEM,
        f"others may read or change {_named(data, found, 'token file')}",
        shlex.join(["chmod", "600", *found[:_SHOWN]])
        if len(found) <= _SHOWN
        else f"find {shlex.quote(data)} -type f -name '*{_SEALED}' "
        "-exec chmod 600 {} +",
        partial(_close_all, found),
    )


def _named(data: str, found: list[str], what: str) -> str:
    """Return how many of *what* in the data folder were *found*; one by its path."""
    if len(found) == 1:
        return found[0]
    return f"{output.counted(len(found), what)} in {data}"


def _is_open(mode: int) -> bool:
    """Tell whether *mode* is of a file of ours: a link leads to one of others."""
    return stat.S_ISREG(mode) and bool(mode & 0o077)


def _close_all(found: list[str]) -> None:
    for path in found:
        # No link is followed that has come there since.
        with open(ownership.open_own(path), "rb") as file:
            os.fchmod(file.fileno(), 0o600)


def _lacks_room(folder: str) -> str:
    """Return why nothing can be written in *folder* though it may be, or nothing."""
    try:
        # Where the system has it, a file without a name: nothing is left or seen.
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(os.urandom(_ROOM))
            trial.flush()
            os.fsync(trial.fileno())
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def _above(folder: str, home: str) -> Iterator[str]:
    """Yield the folders between *home* and *folder*."""
    while (folder := os.path.dirname(folder)).startswith(home + os.sep):
        yield folder


def _is_roots(folder: str) -> bool:
    """Tell whether *folder* is root's, which may hold a config for everybody."""
    try:
        ownership.check_name(os.path.join(folder, "config.toml"))
        return os.stat(folder).st_uid == 0
    except (OSError, StoreError):
        return False


def _chmod(path: str, mode: int) -> None:
    os.chmod(paths.check_owner(path), mode)


def leftovers(installation: Installation) -> Iterator[Finding]:
    """Yield damaged files that were moved aside; nobody needs them any more."""
    try:
        data = paths.check_owner(paths.data_folder(installation.environ))
    except HushkeyError:
        return  # has a finding of its own
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
            f"{output.counted(len(found), 'damaged file')} moved aside; no use now",
            f"find {shlex.quote(data)} -name '*{_DAMAGED}*' "
            "! -path '*/before-reset*' -delete",
            partial(_delete, found),
        )


def backups(installation: Installation) -> Iterator[Finding]:
    """Yield copies of tools' files that an earlier install or config edit left.

    What holds a secret is a problem: its tool's own sign-out does not reach it.
    """
    own = ""
    with suppress(HushkeyError):
        own = backup_of(paths.config_file(installation.environ))
    for path in dict.fromkeys(map(backup_of, _files(installation))):
        try:
            text = read_text(path)
            # Of our own file it is known which keys hold a secret.
            secret = _masked(text) if path == own else holds_secret(text)
            ownership.check_name(path)
        except (OSError, HushkeyError):
            continue  # there is none, or none of this user's
        if secret:
            yield Finding(
                "backup-secret",
                PROBLEM,
                f"{path} is an old copy made by hushkey, and may hold a password",
                f"rm {shlex.quote(path)}",
                partial(remove, path),
            )


def _masked(config: str) -> bool:
    """Tell whether there is something in *config* that would not be shown."""
    try:
        return document.without_secrets(config) != config
    except ConfigError:
        return True


def _files(installation: Installation) -> Iterator[str]:
    """Yield the files of which hushkey has made backups."""
    environ = installation.environ
    for tool in table.REGISTRATIONS:
        with suppress(HushkeyError):
            yield from tool.files(environ)
    with suppress(HushkeyError):
        yield paths.config_file(environ)


def _delete(found: list[str]) -> None:
    for path in found:
        remove(path)
