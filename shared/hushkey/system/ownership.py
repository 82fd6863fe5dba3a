"""The gate that every path goes through before it is written, or obeyed as config.

With another user's HOME (`sudo` with HOME kept) that user chose every link on the way,
and what the files say. So each component of a path is looked at by itself, from the
root on. A folder or a link may be passed if it is this user's or root's; then nobody
else can put another one in its place between the look and the use, either. On Windows
there are no owners to look at.
"""

from __future__ import annotations

import os
import stat

from hushkey.errors import StoreError

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_AS_IT_IS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
#: links in one path, as Linux counts them (path_resolution(7))
_MOST_LINKS = 40


def check_owner(path: str) -> str:
    """Return where *path* leads, links followed, if it is this user's to write.

    A link of this user's (or root's) to what this user owns is followed, so that a
    folder of dotfiles stays one. Raises StoreError ``foreign`` where a folder or link
    on the way is another user's, or what is there already is not this user's own:
    nothing may be written then. What does not exist is judged by what is around it;
    root's own folders are everybody's ground (/tmp, /home).
    """
    if not hasattr(os, "geteuid"):
        return os.path.realpath(path)
    place, status = _walk(path, "so nothing is written there")
    if status is not None and status.st_uid != os.geteuid():
        raise foreign(place, "so nothing is written there")
    return place


def check_name(path: str) -> None:
    """Raise as `check_owner` unless the name *path* may be taken away or replaced.

    A link that has this name is itself meant, not what it leads to.
    """
    if not hasattr(os, "geteuid"):
        return
    why = "so nothing is changed there"
    folder, _ = _walk(os.path.dirname(path), why)
    place = os.path.join(folder, os.path.basename(path))
    try:
        status = os.lstat(place)
    except OSError:
        return
    if status.st_uid != os.geteuid():
        raise foreign(place, why)


def check_private(folder: str, forbidden: int = _OTHERS_WRITE) -> None:
    """Raise StoreError unless *folder*, if it exists, is this user's alone.

    ``foreign`` as `check_owner`; ``open`` where others have one of the *forbidden*
    permissions. It may be a folder that hushkey did not make (HUSHKEY_DATA_DIR=/tmp),
    so it is not narrowed; one that others can only read serves, as each file of ours
    is closed by itself.
    """
    _check_closed(check_owner(folder), forbidden)


def _check_closed(folder: str, forbidden: int) -> None:
    try:
        mode = os.stat(folder).st_mode
    except OSError:
        return
    if not hasattr(os, "geteuid") or not mode & forbidden:
        return
    import shlex  # noqa: PLC0415 - only for the error

    hint = f"run `chmod 700 {shlex.quote(folder)}`"
    if mode & stat.S_ISVTX:  # /tmp and its kin
        hint = "point HUSHKEY_DATA_DIR or HUSHKEY_RUNTIME_DIR to a private folder"
    what = f"{folder} is open to others, so nothing is written there"
    raise StoreError("open", what, hint=hint, path=folder)


def make_folder(folder: str) -> None:
    """Create *folder* and what is missing above it, each 0700 whatever the umask is.

    What is there keeps its mode. Raises StoreError ``foreign`` as `check_owner`,
    ``unwritable`` where it cannot be made.
    """
    try:
        check_owner(folder)
        _make(folder)
        check_owner(folder)
    except OSError as error:
        raise StoreError(
            "unwritable",
            f"cannot write to {folder}: {error.strerror or error}",
            hint="make the folder writable, or point HUSHKEY_DATA_DIR elsewhere",
        ) from error


def make_private(folder: str, forbidden: int = _OTHERS_WRITE) -> None:
    """Create *folder* as `make_folder`, and look at it as `check_private`."""
    make_folder(folder)
    check_private(folder, forbidden)


def make_inside(folder: str) -> None:
    """Create *folder*, which is in the data folder, as `make_private` both of them.

    The data folder may be root's if *folder* is this user's already.
    """
    around = os.path.dirname(folder)
    if os.path.isdir(folder):
        _check_closed(around, _OTHERS_WRITE)
    else:
        make_private(around)
    make_private(folder)


def _make(folder: str) -> None:
    """Create *folder* and its missing parents, all 0700 (XDG says so too)."""
    parent = os.path.dirname(folder)
    if not os.path.isdir(parent):
        _make(parent)
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise
    else:
        os.chmod(folder, 0o700)  # the umask may have taken more away


def create(path: str, flags: int) -> int:
    """Return the file *path*, opened to be written: mode 0600 whatever the umask is.

    *flags* say what becomes of one that is there (O_EXCL, O_TRUNC); a link is not
    followed. For folders that the gate let pass; raises OSError.
    """
    descriptor = os.open(path, flags | os.O_WRONLY | os.O_CREAT | _AS_IT_IS, 0o600)
    if hasattr(os, "fchmod"):
        try:
            os.fchmod(descriptor, 0o600)
        except OSError:
            os.close(descriptor)
            raise
    return descriptor


def replace(
    path: str, data: bytes, *, mode: int = 0o600, folder: str = "", durable: bool = True
) -> None:
    """Put *data* in place of what *path* holds: whole, or not at all.

    It is written in *folder*, on the same file system, beside *path* if not given;
    *durable* is for what must outlive a power cut. For folders that the gate let
    pass; raises OSError, and then nothing has changed and nothing is left behind.
    """
    name = f".hushkey-{os.urandom(6).hex()}.new"  # fits wherever *path*'s does
    temporary = os.path.join(folder or os.path.dirname(path), name)
    descriptor = create(temporary, os.O_EXCL)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(descriptor)
        if mode != 0o600:
            os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:  # half of it would only take the room of a full disk
        try:  # noqa: SIM105 - contextlib costs more than the whole answer may
            os.unlink(temporary)
        except OSError:
            pass  # the disk has worse troubles
        raise


def open_own(path: str) -> int:
    """Return the file *path*, opened to be read, if it is a plain one of this user's.

    What another user wrote is not believed: raises StoreError ``foreign``; OSError
    for what cannot be opened, a link among it.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)  # a pipe keeps nobody waiting
    descriptor = os.open(path, flags | _AS_IT_IS)
    status = os.fstat(descriptor)
    mine = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
    if mine and stat.S_ISREG(status.st_mode):
        return descriptor
    os.close(descriptor)
    if mine:
        raise OSError(0, "not a plain file", path)
    raise foreign(path, "so it is not believed")


def check_trusted(path: str) -> os.stat_result | None:
    """Return the status of the file *path*, None for none, if others cannot change it.

    As ssh_config(5): raises StoreError ``foreign`` where it is neither this user's nor
    root's, or somebody else's link or folder is on the way; ``open`` where group or
    others may write it, or may put another file into its folder.
    """
    if not hasattr(os, "geteuid"):
        return _status(path)
    place, status = _walk(path, "so it does not count")
    if status is None:
        # A link of the kernel's (/dev/fd/3) leads where no path does.
        status = _status(path)
        if status is not None and status.st_uid not in (0, os.geteuid()):
            raise foreign(path, "so it does not count")
    if status is None or not stat.S_ISREG(status.st_mode):
        return status
    if status.st_mode & _OTHERS_WRITE:
        raise _changeable(place)
    folder = os.path.dirname(place)
    around = _status(folder)
    if around and around.st_mode & _OTHERS_WRITE and not around.st_mode & stat.S_ISVTX:
        raise _changeable(folder)
    return status


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _walk(path: str, why: str) -> tuple[str, os.stat_result | None]:
    """Return where *path* leads, and what is there (None: nothing that can be seen).

    Raises StoreError ``foreign`` at the first component that is neither this user's
    nor root's.
    """
    at, links = os.sep, 0
    status = os.lstat(at)
    trusted = {0, os.geteuid(), status.st_uid}  # whoever owns / can do as root can
    names = path.split(os.sep)[::-1]
    while names:
        name = names.pop()
        if name in ("", os.curdir):
            continue
        here = os.path.dirname(at) if name == os.pardir else os.path.join(at, name)
        try:
            status = os.lstat(here)
        except OSError:  # not there, or not ours to look at
            return os.path.join(here, *names[::-1]), None
        is_link = stat.S_ISLNK(status.st_mode)
        if status.st_uid not in trusted:
            whole = os.path.normpath(os.path.join(here, *names[::-1]))
            if is_link or not _leads_home(here, whole):
                raise foreign(here, why)
        if not is_link:
            at = here
            continue
        links += 1
        if links > _MOST_LINKS:
            raise StoreError("unwritable", f"{path} leads through a loop of links")
        target = os.readlink(here)
        at = os.sep if os.path.isabs(target) else at
        names += target.split(os.sep)[::-1]
    return at, os.lstat(at) if stat.S_ISLNK(status.st_mode) else status


def _leads_home(folder: str, whole: str) -> bool:
    """Tell whether *whole* goes through *folder* to this user's home or into it.

    The home that the system gave: the administrator chose that place, whoever owns
    what is around it.
    """
    import pwd

    try:
        given = os.path.realpath(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:
        return False
    return given.startswith(folder + os.sep) and f"{whole}/".startswith(f"{given}/")


def foreign(path: str, why: str) -> StoreError:
    """Return the error that *path* is another user's, *why* says what follows."""
    owner = owner_of(path)
    hint = f"run as {owner or 'its owner'}, or use `sudo -H`"
    if owner == "root":
        hint = "if `sudo` left it there, `hushkey doctor` says how it becomes yours"
    shown = f" ({owner})" if owner else ""
    return StoreError(
        "foreign",
        f"{path} belongs to another user{shown}, {why}",
        hint=hint,
        path=path,
    )


def owner_of(path: str) -> str:
    """Return the name, else the number, of who owns *path*; nothing if unknown."""
    try:
        uid = os.lstat(path).st_uid
    except OSError:
        return ""
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return f"user {uid}"


def _changeable(path: str) -> StoreError:
    import shlex  # noqa: PLC0415 - only for the error

    return StoreError(
        "open",
        f"{path} can be changed by others, so it does not count",
        hint=f"run `chmod go-w {shlex.quote(path)}`",
        path=path,
    )
