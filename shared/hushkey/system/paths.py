"""Where hushkey keeps its things; `hushkey.system.ownership` looks whose they are.

The folders are platformdirs'. On Linux and the other XDG systems they are worked
out here, because importing platformdirs costs more than the whole answer "not ours"
may take; elsewhere it is asked. `xdg_config` is where other tools keep theirs.
"""

from __future__ import annotations

import os
import stat
import sys

from hushkey.errors import ConfigError
from hushkey.system.ownership import check_owner as check_owner
from hushkey.system.ownership import make_private as make_private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

APP = "hushkey"
#: names the session's D-Bus, where the OS keyring is
BUS = "DBUS_SESSION_BUS_ADDRESS"
#: the name of a forwarded socket in the runtime folder
UPSTREAM = "upstream"
#: where logind makes the folder that it names in XDG_RUNTIME_DIR (pam_systemd(8))
_RUN_USER = "/run/user"


def config_file(environ: Mapping[str, str]) -> str:
    """Return the absolute path of config.toml, which need not exist.

    Raises ConfigError for a relative HUSHKEY_CONFIG: a path that depends on
    the working directory would let a cloned repository redirect a token.
    """
    override = _override(environ, "HUSHKEY_CONFIG")
    folder = override or _folder(environ, "XDG_CONFIG_HOME", ".config", "config")
    return override or os.path.join(folder, "config.toml")


def system_config_file(environ: Mapping[str, str]) -> str:
    """Return the path of the administrator's config.toml, nothing where there is none.

    HUSHKEY_SYSTEM_CONFIG names another file, or is ``off``. XDG_CONFIG_DIRS does not
    count: the file is to be root's. On Windows any user could make the folder.
    """
    named = environ.get("HUSHKEY_SYSTEM_CONFIG", "")
    if named == "off" or (sys.platform == "win32" and not named):
        return ""
    if sys.platform == "darwin":
        base = "/Library/Application Support"
    else:
        base = "/etc/xdg"
    override = _override(environ, "HUSHKEY_SYSTEM_CONFIG")
    return override or os.path.join(base, APP, "config.toml")


def data_folder(environ: Mapping[str, str]) -> str:
    """Return the absolute path of the folder for tokens and locks."""
    override = _override(environ, "HUSHKEY_DATA_DIR")
    return override or _folder(environ, "XDG_DATA_HOME", ".local/share", "data")


def runtime_folder(environ: Mapping[str, str]) -> str:
    """Return the absolute path of the folder for sockets."""
    if override := _override(environ, "HUSHKEY_RUNTIME_DIR"):
        return override
    own_data = environ.get("HUSHKEY_DATA_DIR", "")
    base = xdg_runtime(environ) if own_data else session_folder(environ)
    if base and os.path.isdir(base):
        return os.path.join(base, APP)
    return os.path.join(data_folder(environ), "run")


def may_have_upstream(environ: Mapping[str, str]) -> bool:
    """Tell, by one look, whether there may be what `upstream` returns."""
    if named := environ.get("HUSHKEY_UPSTREAM", ""):
        return named != "off"
    try:
        return os.path.lexists(os.path.join(runtime_folder(environ), UPSTREAM))
    except ConfigError:
        return False  # who needs the folder says what is wrong with it


def upstream(environ: Mapping[str, str]) -> str:
    """Return the socket that `hushkey forward` has made here, nothing if there is none.

    HUSHKEY_UPSTREAM names it, or is ``off``; else it is ``upstream`` in the runtime
    folder. Not one that somebody else could have put there: with its folder it is this
    user's or root's (a container's root may use anybody's that was handed to it), and
    others can write neither. Raises ConfigError for one that is named and is not that.
    """
    if sys.platform == "win32" or environ.get("HUSHKEY_UPSTREAM", "") == "off":
        return ""
    named = _override(environ, "HUSHKEY_UPSTREAM")
    path = named or os.path.join(runtime_folder(environ), UPSTREAM)
    try:
        inside = os.lstat(path)
        around = os.lstat(os.path.dirname(path))
    except OSError:
        if named:
            raise ConfigError(
                f"there is no socket at {named} (HUSHKEY_UPSTREAM)"
            ) from None
        return ""
    user = os.geteuid()
    trusted = {user, 0} if named else {user}
    mine = (user == 0 and bool(named)) or {inside.st_uid, around.st_uid} <= trusted
    kinds = stat.S_ISSOCK(inside.st_mode) and stat.S_ISDIR(around.st_mode)
    forbidden = 0o022 if named else 0o077
    if kinds and mine and not around.st_mode & forbidden:
        return path
    if named:
        raise ConfigError(
            f"{named} (HUSHKEY_UPSTREAM) is not a socket of yours in a folder that "
            "nobody else can write"
        )
    return ""


def xdg_config(environ: Mapping[str, str]) -> str:
    """Return the folder in which programs keep their settings, on XDG systems."""
    return _xdg(environ, "XDG_CONFIG_HOME", ".config")


def xdg_data(environ: Mapping[str, str]) -> str:
    """Return the folder in which programs keep their data, on XDG systems."""
    return _xdg(environ, "XDG_DATA_HOME", ".local/share")


def xdg_config_dirs(environ: Mapping[str, str]) -> list[str]:
    """Return the folders of the system's settings, the one that counts most first."""
    named = environ.get("XDG_CONFIG_DIRS", "") or "/etc/xdg"
    return [folder for folder in named.split(os.pathsep) if os.path.isabs(folder)]


def xdg_runtime(environ: Mapping[str, str]) -> str:
    """Return the session's folder for sockets, nothing if none is named."""
    named = environ.get("XDG_RUNTIME_DIR", "")
    return named if os.path.isabs(named) else ""


def session_folder(environ: Mapping[str, str]) -> str:
    """Return XDG_RUNTIME_DIR, else the folder that it would name; nothing for none.

    cron, tox, sudo and some ssh servers strip the variable; what it names stays.
    """
    named = environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(named) and os.path.isdir(named):
        return named
    if sys.platform == "win32":
        return ""
    folder = f"{_RUN_USER}/{os.geteuid()}"
    try:
        found = os.lstat(folder)
    except OSError:
        return ""
    private = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
    return folder if private and found.st_uid == os.geteuid() else ""


def session_bus(environ: Mapping[str, str]) -> str:
    """Return the address of the session's D-Bus, nothing if none is named or found.

    Where nothing names it, it is where systemd has it: `bus` in the session's folder.
    """
    address = environ.get(BUS, "")
    if address or sys.platform == "win32":
        return address
    folder = session_folder(environ)
    path = os.path.join(folder, "bus")
    try:
        found = os.stat(path)
    except OSError:
        return ""
    ours = stat.S_ISSOCK(found.st_mode) and found.st_uid == os.geteuid()
    return f"unix:path={path}" if folder and ours else ""


def session_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that name the session, found where they were stripped."""
    found = {
        BUS: session_bus(environ),
        "XDG_RUNTIME_DIR": session_folder(environ),
    }
    return {name: value for name, value in found.items() if value}


def home(environ: Mapping[str, str]) -> str:
    """Return the home folder; HOME only counts when it is absolute."""
    named = environ.get("HOME", "")
    if os.path.isabs(named) or sys.platform == "win32":
        return named or os.path.expanduser("~")
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError as error:  # a container's user without an entry
        raise ConfigError("there is no home folder: set HOME") from error


def _override(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if value and not os.path.isabs(value):
        raise ConfigError(f"{name} must be an absolute path")
    return value


def _folder(environ: Mapping[str, str], xdg: str, below_home: str, kind: str) -> str:
    if sys.platform in ("win32", "darwin"):
        import platformdirs

        found = {
            "config": platformdirs.user_config_dir,
            "data": platformdirs.user_data_dir,
        }[kind](APP, appauthor=False)
        return str(found)
    return os.path.join(_xdg(environ, xdg, below_home), APP)


def _xdg(environ: Mapping[str, str], name: str, below_home: str) -> str:
    # The XDG specification: a relative path is invalid and must be ignored.
    base = environ.get(name, "").strip()
    return base if os.path.isabs(base) else os.path.join(home(environ), below_home)
