"""Registering with uv: its own config file, and a `keyring` on PATH."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from hushkey.errors import HushkeyError, Permanent
from hushkey.system import paths
from hushkey_install.common.finding import PROBLEM, Finding
from hushkey_install.register import pip
from hushkey_install.register.keyringchecks import through_program
from hushkey_install.register.pip import Place
from hushkey_install.register.settingsfile import SettingsFile
from hushkey_install.tools.pythontools import Client

KEY = "keyring-provider"
#: what install sets it to; and uv reads the variable before any file
WANTED, VARIABLE = "subprocess", "UV_KEYRING_PROVIDER"
NO_CONFIG = "UV_NO_CONFIG"
#: the file of a project, and uv's table in it
PROJECT, TOOL = "pyproject.toml", ("tool", "uv")
#: the table of `uv pip` alone, whose word comes first there
PIP = "pip"
#: between what is said for uv and for `uv pip`
_PART = "\x1f"


def settings_file(environ: Mapping[str, str]) -> SettingsFile:
    """Return uv's config file of this user."""
    return SettingsFile(environ, "uv", config_path(environ), edited, state_in)


def config_path(environ: Mapping[str, str]) -> str:
    """Return where uv keeps this user's settings (uv's "Configuration files")."""
    return _named_file(environ) or _user_file(environ)


def _user_file(environ: Mapping[str, str]) -> str:
    if os.name == "nt":
        base = environ.get("APPDATA", paths.home(environ))
        return os.path.join(base, "uv", "uv.toml")
    return os.path.join(paths.xdg_config(environ), "uv", "uv.toml")


def _named_file(environ: Mapping[str, str]) -> str:
    """Return the one file that UV_CONFIG_FILE lets uv read, or nothing."""
    named = environ.get("UV_CONFIG_FILE", "")
    if named and not os.path.isabs(named):
        raise Permanent(
            "UV_CONFIG_FILE is a relative path: what uv reads depends on its folder",
            hint="write it as an absolute path",
        )
    return named


def effective(environ: Mapping[str, str], folder: str, table: str = "") -> Place:
    """Return what uv goes by in *folder*; *table* is `pip` for `uv pip`.

    As uv has it ("Configuration files"): a variable, then the project's file, the
    user's and the system's, unless UV_CONFIG_FILE names the only one or UV_NO_CONFIG
    forbids all. Raises ValueError for what is no TOML.
    """
    if value := environ.get(VARIABLE, ""):
        return Place(value, VARIABLE)
    if _reads_none(environ):
        return Place("", NO_CONFIG)
    read = [(path, _table(path)) for path in _files(environ, folder)]
    for name in (table, "") if table else ("",):
        for path, found in read:
            given = found.get(name, {}).get(KEY) if name else found.get(KEY)
            if given:
                return Place(str(given), path, name)
    return Place("", "")


def overruling(environ: Mapping[str, str], folder: str) -> Place | None:
    """Return what keeps `uv` or `uv pip` in *folder* from asking, or None."""
    for table in ("", PIP):
        found = effective(environ, folder, table)
        if found.provider != WANTED:
            return found
    return None


def mending(environ: Mapping[str, str], place: Place) -> str:
    """Return the command after which uv asks; nothing if `hushkey install` will do."""
    if place.path in (VARIABLE, NO_CONFIG):
        return f"unset {place.path}"
    if place.path in ("", config_path(environ), *_system_files(environ)):
        return ""
    return f"edit {place.path}"


def mend(environ: Mapping[str, str], place: Place) -> None:
    """Let the file that counts say what is wanted."""
    table = TOOL if os.path.basename(place.path) == PROJECT else ()
    path = (*table, PIP) if place.section else table
    file = SettingsFile(environ, "uv", place.path, _within(path), value_in)
    file.setting(WANTED).apply()


def _within(path: tuple[str, ...]) -> Callable[[str, str], str]:
    def edit(text: str, value: str) -> str:
        document = _parsed(text)
        node: Any = document
        for name in path:
            node = node[name]
        node[KEY] = value
        return tomlkit.dumps(document)

    return edit


def _reads_none(environ: Mapping[str, str]) -> bool:
    """Tell whether uv reads no file at all; a named one it reads in any case."""
    off = environ.get(NO_CONFIG, "").lower() in ("1", "t", "true", "y", "yes", "on")
    return off and not environ.get("UV_CONFIG_FILE")


def _files(environ: Mapping[str, str], folder: str) -> Iterator[str]:
    """Yield the files that uv reads in *folder*, the one that counts most first."""
    if named := _named_file(environ):
        yield named
        return
    if project := _project_file(folder):
        yield project
    yield _user_file(environ)
    yield from _system_files(environ)


def _system_files(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the system's file, of which uv reads the first that is there."""
    folders = paths.xdg_config_dirs(environ)
    places = [os.path.join(folder, "uv", "uv.toml") for folder in folders]
    places.append("/etc/uv/uv.toml")
    yield from [p for p in places if os.path.exists(p)][:1]


def _project_file(folder: str) -> str:
    """Return the nearest uv.toml, or pyproject.toml with [tool.uv], or nothing."""
    while folder:
        own = os.path.join(folder, "uv.toml")
        if os.path.isfile(own):
            return own
        project = os.path.join(folder, PROJECT)
        if os.path.isfile(project) and _has_table(project):
            return project
        above = os.path.dirname(folder)
        folder = above if above != folder else ""
    return ""


def _has_table(project: str) -> bool:
    try:
        with open(project, "rb") as file:
            return TOOL[1] in tomllib.load(file).get(TOOL[0], {})
    except (OSError, ValueError, AttributeError):
        return False


def _table(path: str) -> Mapping[str, Any]:
    """Return uv's settings in the file at *path*; none if it is not there."""
    try:
        with open(path, "rb") as file:
            found: dict[str, Any] = tomllib.load(file)
    except OSError:
        return {}
    if os.path.basename(path) == PROJECT:
        found = found[TOOL[0]][TOOL[1]]
    return found


def value_in(text: str) -> str:
    """Return the provider that *text* sets, or nothing."""
    return str(_parsed(text).get(KEY, ""))


def state_in(text: str) -> str:
    """Return what *text* says for uv and for `uv pip`, for `edited` to put it back.

    As `pip.state_in`: two parts where the table `[pip]` says otherwise.
    """
    document = _parsed(text)
    usual = str(document.get(KEY, ""))
    found = document.get(PIP, {}).get(KEY)
    return usual if found in (None, usual) else f"{usual}{_PART}{found}"


def edited(text: str, value: str) -> str:
    """Return *text* with the provider set to *value*, as `state_in` has it.

    What is wanted is wanted of `uv pip`, too. Comments stay. Raises ValueError for
    what is no TOML.
    """
    document = _parsed(text)
    usual, _, in_pip = value.partition(_PART)
    if usual:
        document[KEY] = usual
    else:
        document.pop(KEY, None)
    table = document.get(PIP, {})
    if KEY in table and (in_pip or value == WANTED):
        table[KEY] = in_pip or value
    return tomlkit.dumps(document)


def _overruled(environ: Mapping[str, str]) -> str:
    """Return what keeps uv from us here, though it is registered."""
    try:
        place = overruling(environ, _here())
    except ValueError:
        return ""
    if place is None:
        return ""
    if place.path == NO_CONFIG:
        return f"{NO_CONFIG} keeps uv from reading any config; unset it, or set " + (
            f"{VARIABLE}={WANTED}"
        )
    command = mending(environ, place)
    return f"{place.shown()} counts more; run: {command}" if command else ""


def _parsed(text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise ValueError(str(error)) from error


def _look(client: Client, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what uv goes by here, and what that comes to."""
    try:
        place = overruling(environ, _here())
        command = mending(environ, place) if place else ""
    except (HushkeyError, ValueError) as error:
        yield Finding("uv-config", PROBLEM, f"uv: its config cannot be read: {error}")
        return
    if place is None:
        yield from through_program(client, environ)
        return
    text = "uv: keyring-provider is not subprocess, so uv asks no keyring"
    text += f" ({place.shown()})" if place.path else ""
    act: Callable[[], None] | None = partial(UV.install, (), False)
    if command:
        act = partial(mend, environ, place) if os.path.isabs(place.path) else None
    yield Finding("uv-disabled", PROBLEM, text, command or "hushkey install uv", act)


def _here() -> str:
    """Return the folder whose project uv would go by; nothing if it was deleted."""
    try:
        return os.getcwd()
    except OSError:
        return ""


UV = pip.KeyringProgram(
    "uv",
    settings_file,
    config_path,
    wanted=WANTED,
    look=_look,
    about="uv asks hushkey for URLs with a user name, any will do: https://me@HOST/; "
    'or for an [[index]] with authenticate = "always"',
    overruled=_overruled,
)
