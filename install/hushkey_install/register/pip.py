"""Registering with pip: its own config file, and a `keyring` on PATH.

In a file and not on the command line, because the pip that installs build
requirements is another process, which gets no options (pip#12423). `subprocess`
and not `auto`, which asks nobody under --no-input.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import click

from hushkey.errors import HushkeyError, Permanent
from hushkey.model import Frozen
from hushkey.system import paths, programs
from hushkey_install.common import output
from hushkey_install.common.context import Context
from hushkey_install.common.filechange import Change
from hushkey_install.common.finding import FINE, PROBLEM, Finding
from hushkey_install.register import launcher
from hushkey_install.register.keyringchecks import (
    Look,
    check,
    importing,
    through_program,
)
from hushkey_install.register.launcher import Launcher
from hushkey_install.register.registration import Plan, Registration, show
from hushkey_install.register.settingsfile import SettingsFile
from hushkey_install.tools import purposes, pythontools
from hushkey_install.tools.installation import Installation
from hushkey_install.tools.pythontools import Client

SECTION, KEY = "global", "keyring-provider"
#: what install sets it to; and pip reads the variable before any file
WANTED, VARIABLE = "subprocess", "PIP_KEYRING_PROVIDER"
#: the commands that ask an index, each of which may have a section of its own
COMMANDS = ("install", "download", "wheel", "index", "lock")
#: between what several sections say
_PART = "\x1f"
_ETC = "/etc"
_PAST = "looks past the program keyring in its own folder"
_ANOTHER = (
    "name another folder on PATH: `hushkey install pip --launcher DIR`, or install "
    "hushkey with pipx"
)
#: instead of a key: a comment or an empty line, and one that goes on with a value
_NOTHING, _MORE = "#", "+"
#: a URL in any of the forms in which settings and variables list them
_URL = re.compile(r"""https?://[^\s"',\]]+""")


class KeyringProgram(Registration):
    """A tool that starts the program `keyring`, once one setting tells it to."""

    asks_keyring = True
    kind = purposes.PYTHON
    install_options = (
        click.option(
            "--launcher",
            metavar="DIR",
            default="",
            help="Where the program `keyring` goes; default: your first folder on "
            "PATH.",
        ),
    )

    def __init__(
        self,
        name: str,
        file: Callable[[Mapping[str, str]], SettingsFile],
        path: Callable[[Mapping[str, str]], str],
        *,
        wanted: str,
        look: Look,
        about: str,
        overruled: Callable[[Mapping[str, str]], str] = lambda _: "",
        past: Callable[[Mapping[str, str]], str] = lambda _: "",
    ) -> None:
        """*file* is its settings at *path*, where *wanted* makes it ask us.

        *look* finds what keeps it from asking; *about* is said once it asks us.
        *overruled* returns what it goes by instead, or nothing. *past* returns the
        folder on PATH in which it does not look for `keyring`, or nothing.
        """
        super().__init__(name)
        self._overruled = overruled
        self._past = past
        self._file = file
        self._path = path
        self._wanted = wanted
        self._look = look
        self._about = about

    def plan(
        self,
        environ: dict[str, str],
        hosts: tuple[str, ...],
        *,
        launcher: str = "",
        **more: Any,
    ) -> Plan:
        """Return what sets it, with a link in the folder *launcher*."""
        environ = Context(environ).environ
        past = self._past(environ)
        if launcher and past and _is_same(os.path.expanduser(launcher), past):
            raise Permanent(f"{self.name} {_PAST} ({past})", hint=_ANOTHER)
        file = self._file(environ)
        link = Launcher(_without(environ, past), self.name)
        change, hidden = file.setting(self._wanted), ""
        try:
            path = link.plan(launcher)
        except Permanent:
            # Other environments' tools ask what is in that folder, if that is us.
            if launcher or not past:
                raise
            link = Launcher(environ, self.name)
            path, hidden = link.plan(), f"the one in {past} does not: it {_PAST}"

        def apply() -> None:
            link.place(path)
            if change:
                file.keep(change)
            output.say(self._about, err=True)
            warn()

        def tidy() -> None:
            link.place(path)
            warn()

        def warn() -> None:
            hint = f"{hidden}; {_ANOTHER}" if hidden else ""
            for line in filter(None, (hint, self._overruled(environ))):
                output.say(f"note: {line}", err=True)

        return Plan(
            lambda: _shown("+", path, change),
            apply,
            tidy,
            due=lambda: bool(path or change),
        )

    def undo(
        self, environ: dict[str, str], hosts: tuple[str, ...], **more: Any
    ) -> Plan:
        """Return what takes the setting and the link back; no config is asked."""
        file, link = self._file(environ), Launcher(environ, self.name)
        change, path = file.undoing(), link.unneeded()

        def apply() -> None:
            link.remove(path)
            file.undo(change)

        return Plan(lambda: _shown("-", path, change), apply, apply)

    def urls_in_use(self, installation: Installation) -> Iterator[str]:
        """Yield the indexes that its settings and its variables name."""
        prefix = f"{self.name.upper()}_"
        texts = [
            value
            for name, value in installation.environ.items()
            if name.startswith(prefix) and "INDEX" in name
        ]
        with suppress(HushkeyError):
            texts.append(self._file(installation.environ).text())
        for text in texts:
            yield from _URL.findall(text)

    def files(self, environ: Mapping[str, str]) -> Iterator[str]:
        """Yield its own settings."""
        yield self._path(environ)

    def checks(self, installation: Installation) -> Iterator[Finding]:
        """Yield how it asks hushkey, and why that does not work."""
        return check(self.name, installation, self._look)


def _shown(sign: str, path: str, change: Change) -> bool:
    """Print what comes (+) or goes (-), a link at *path* too; False: nothing."""
    if path:
        launcher.show(sign, path)
    return show(change) or bool(path)


def settings_file(environ: Mapping[str, str]) -> SettingsFile:
    """Return pip's config file of this user."""
    return SettingsFile(environ, "pip", config_path(environ), edited, state_in)


def config_path(environ: Mapping[str, str]) -> str:
    """Return where pip keeps this user's settings (pip's "Configuration files")."""
    return _named_file(environ) or _user_file(environ)


def _user_file(environ: Mapping[str, str]) -> str:
    home = paths.home(environ)
    if sys.platform == "win32":
        return os.path.join(environ.get("APPDATA", home), "pip", "pip.ini")
    mac = os.path.join(home, "Library", "Application Support", "pip")
    if sys.platform == "darwin" and os.path.isdir(mac):
        return os.path.join(mac, "pip.conf")
    return os.path.join(paths.xdg_config(environ), "pip", "pip.conf")


def _named_file(environ: Mapping[str, str]) -> str:
    """Return the file that PIP_CONFIG_FILE puts in the user's place, or nothing."""
    named = environ.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        raise Permanent(
            f"PIP_CONFIG_FILE={os.devnull} keeps pip from reading any config",
            hint="unset it, or set PIP_KEYRING_PROVIDER=subprocess instead",
        )
    if named and not os.path.isabs(named):
        raise Permanent(
            "PIP_CONFIG_FILE is a relative path: what pip reads depends on its folder",
            hint="write it as an absolute path",
        )
    return named


class Place(Frozen):
    """Where pip finds its *provider*: a *path* and *section*, or a variable's name."""

    provider: str
    path: str
    section: str = ""

    def shown(self) -> str:
        """Return where it is, for a person."""
        return f"{self.path} [{self.section}]" if self.section else self.path


def effective(environ: Mapping[str, str], prefix: str, command: str) -> Place:
    """Return what pip in the environment *prefix* goes by for *command*.

    As pip has it ("Configuration", precedence): a variable, then the command's own
    section of any file, then [global]; of the files the environment's own before the
    user's before the system's. Raises what reading a file may raise.
    """
    if value := environ.get(VARIABLE, ""):
        return Place(value, VARIABLE)
    read = []
    for path in _files(environ, prefix):
        file = SettingsFile(environ, "pip", path, edited, value_in)
        read.append((path, file.text()))
    for section in (command, SECTION):
        for path, text in read:
            if value := value_in(text, section):
                return Place(value, path, section)
    return Place("", "")


def overruling(environ: Mapping[str, str], prefix: str) -> Place | None:
    """Return what keeps the pip in *prefix* from asking for one command or all."""
    for command in COMMANDS:
        found = effective(environ, prefix, command)
        if found.provider != WANTED:
            return found
    return None


def _files(environ: Mapping[str, str], prefix: str) -> Iterator[str]:
    """Yield the files that pip in *prefix* reads, the one that counts most first."""
    name = "pip.ini" if sys.platform == "win32" else "pip.conf"
    named = _named_file(environ)
    if named:
        yield named
    if prefix:
        yield os.path.join(prefix, name)
    home = paths.home(environ)
    if not os.path.exists(named):  # pip reads both until the named one is there
        yield _user_file(environ)
        legacy = "pip" if sys.platform == "win32" else ".pip"
        yield os.path.join(home, legacy, name)
    if sys.platform == "win32":
        yield os.path.join(environ.get("PROGRAMDATA", "C:\\ProgramData"), "pip", name)
    elif sys.platform == "darwin":
        yield f"/Library/Application Support/pip/{name}"
    else:
        yield os.path.join(_ETC, name)
        for folder in reversed(paths.xdg_config_dirs(environ)):
            yield os.path.join(folder, "pip", name)


def mending(environ: Mapping[str, str], client: Client, place: Place) -> str:
    """Return the command after which *client* asks; what `hushkey install` cannot do.

    Empty where that can.
    """
    if place.path == VARIABLE:
        return f"unset {VARIABLE}"
    if client.prefix and os.path.dirname(place.path) == client.prefix:
        where = "--site"
    elif place.section in ("", SECTION) or place.path == config_path(environ):
        return ""
    else:
        where = "--user"
    program = shlex.quote(client.program)
    return f"{program} config {where} set {place.section}.{KEY} {WANTED}"


def mend(environ: Mapping[str, str], client: Client, place: Place) -> None:
    """Do in pip's file what the command of `mending` does."""
    own = os.path.dirname(place.path) == client.prefix
    path = place.path if own else config_path(environ)
    file = SettingsFile(environ, "pip", path, _within(place.section), value_in)
    file.setting(WANTED).apply()


def _within(section: str) -> Callable[[str, str], str]:
    return lambda text, value: _edited(text, value, section)


def scripts_of(prefix: str) -> str:
    """Return the folder of programs of the Python environment *prefix*, or nothing.

    Debian's own Python installs into another one than it is in (`sysconfig`, its
    scheme ``posix_local``).
    """
    if not prefix:
        return ""
    debian = os.path.join(prefix, "lib", "python3", "dist-packages")
    parts = ("local", "bin") if prefix == "/usr" and os.path.isdir(debian) else ("bin",)
    return os.path.join(prefix, *(("Scripts",) if sys.platform == "win32" else parts))


def past(environ: Mapping[str, str]) -> str:
    """Return the folder that the pip on PATH leaves out of its search, or nothing.

    pip starts no `keyring` of its own environment (its `network/auth.py`,
    ``get_keyring_provider``): one that it finds there first, it looks past.
    """
    client = pythontools.find("pip", environ)
    folder = scripts_of(client.prefix) if client else ""
    first = programs.find("keyring", environ) or ""
    return folder if folder and first.startswith(folder) else ""


def _without(environ: Mapping[str, str], folder: str) -> Mapping[str, str]:
    """Return *environ* with a PATH that lacks *folder*, if that is one."""
    if not folder:
        return environ
    entries = environ.get("PATH", "").split(os.pathsep)
    left = (entry for entry in entries if not _is_same(entry, folder))
    return {**environ, "PATH": os.pathsep.join(left)}


def _is_same(entry: str, folder: str) -> bool:
    return os.path.realpath(entry) == os.path.realpath(folder)


def _asking(client: Client, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what pip's search for the program `keyring` comes to."""
    folder = past(environ)
    if folder and not programs.find("keyring", _without(environ, folder)):
        text = f"pip: {client.program} {_PAST}, and finds no other"
        yield _hidden(text, environ)
    else:
        yield from through_program(client, _without(environ, folder))


def _hidden(text: str, environ: Mapping[str, str]) -> Finding:
    command, mend = "hushkey install pip --launcher DIR", None
    with suppress(Permanent):
        if Launcher(_without(environ, past(environ)), "pip").plan():
            command, mend = "hushkey install pip", partial(PIP.install, (), False)
    return Finding("pip-keyring-hidden", PROBLEM, text, command, mend)


def _overruled(environ: Mapping[str, str]) -> str:
    """Return what keeps the pip on PATH from us, though it is registered."""
    client = pythontools.find("pip", environ)
    place = overruling(environ, client.prefix) if client else None
    if client is None or place is None or place.provider == "import":
        return ""
    command = mending(environ, client, place)
    return f"{place.shown()} counts more; run: {command}" if command else ""


def value_in(text: str, section: str = SECTION) -> str:
    """Return the provider that *section* of *text* sets, or nothing."""
    return _value_at(_lines(text), section)


def state_in(text: str) -> str:
    """Return what *text* says in all, for `edited` to put it back.

    The provider of every command, and then ``section=value`` for each section that
    says otherwise.
    """
    rows = _lines(text)
    usual = _value_at(rows, SECTION)
    others = {row[0]: "" for row in rows if row[1] == KEY and row[0] != SECTION}
    more = ((name, _value_at(rows, name)) for name in others)
    parts = [f"{name}={value}" for name, value in more if value != usual]
    return _PART.join((usual, *parts))


def _value_at(rows: list[tuple[str, str, str]], section: str) -> str:
    at = _settings(rows, section)
    if not at:
        return ""
    last = max(_continuing(rows, at[-1]), default=at[-1])
    # An empty line in between is one of the value's; a comment is not.
    more = (
        line.strip()
        for _, key, line in rows[at[-1] + 1 : last + 1]
        if key == _MORE or not line.strip()
    )
    return "\n".join((_value(rows[at[-1]][2]), *more)).rstrip()


def edited(text: str, value: str) -> str:
    """Return *text* with the provider set to *value*, as `state_in` writes it.

    What is wanted is wanted of the sections of single commands, too: pip takes their
    word first. The rest stays as it is.
    """
    usual, *parts = value.split(_PART)
    if value == WANTED:
        sections = {row[0] for row in _lines(text) if row[1] == KEY} - {SECTION}
        parts = [f"{name}={value}" for name in sorted(sections)]
    for name, _, one in (part.rpartition("=") for part in parts):
        text = _edited(text, one, name)
    return _edited(text, usual, SECTION)


def _edited(text: str, value: str, section: str) -> str:
    """Return *text* with the provider of *section* set to *value*."""
    rows = _lines(text)
    lines = [line for *_, line in rows]
    end = "\r\n" if "\r\n" in text else "\n"
    if at := _settings(rows, section):
        gone = _continuing(rows, at[-1])
        lines[at[-1]] = _setting(value, _indent(lines[at[-1]]), end)
        return "".join(line for n, line in enumerate(lines) if n not in gone)
    heads = [n for n, row in enumerate(rows) if row[:2] == (section, "")]
    if heads and value:
        head = lines[heads[0]]
        whole = head if head.endswith("\n") else head + end
        # The lines that follow would go on with ours if they were indented more.
        after = (line for _, key, line in rows[heads[0] + 1 :] if key != _NOTHING)
        indent = _indent(next(after, ""))
        lines[heads[0]] = whole + _setting(value, indent, end)
        return "".join(lines)
    if not value:
        return text
    gap = end if lines else ""
    gap = end + gap if lines and not lines[-1].endswith("\n") else gap
    return f"{text}{gap}[{section}]{end}{_setting(value, '', end)}"


def _setting(value: str, indent: str, end: str) -> str:
    """Return the line, or the lines, that set *value*; nothing for no value."""
    shown = value.replace("\n", f"{end}{indent}    ")
    return f"{indent}{KEY} = {shown}{end}" if value else ""


def _lines(text: str) -> list[tuple[str, str, str]]:
    """Return (section, key, line) of every line; the key of a header is empty.

    As Python's configparser reads pip's file: what is indented more than the
    setting before it goes on with its value.
    """
    found, section, depth = [], "", -1
    for line in text.splitlines(keepends=True):
        bare, key = line.strip(), _NOTHING
        if bare and bare[0] not in "#;":
            deep = len(_indent(line))
            if 0 <= depth < deep:
                key = _MORE
            elif bare.startswith("[") and "]" in bare:
                section, key, depth = bare[1 : bare.rindex("]")], "", -1
            else:
                name = bare.replace(":", "=").partition("=")[0]
                key = name.strip().lower().replace("_", "-").removeprefix("--")
                depth = deep
        found.append((section, key, line))
    return found


def _settings(rows: list[tuple[str, str, str]], section: str) -> list[int]:
    """Return the numbers of the lines that set it in *section*; the last one counts."""
    return [n for n, row in enumerate(rows) if row[:2] == (section, KEY)]


def _continuing(rows: list[tuple[str, str, str]], at: int) -> list[int]:
    """Return the numbers of the lines that go on with the setting in line *at*."""
    found = []
    for number, (_, key, _) in enumerate(rows[at + 1 :], start=at + 1):
        if key == _MORE:
            found.append(number)
        elif key != _NOTHING:
            break
    return found


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())] if line.strip() else ""


def _value(line: str) -> str:
    return line.replace(":", "=").partition("=")[2].strip()


def _look(client: Client, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what pip goes by, and what that comes to."""
    try:
        place = overruling(environ, client.prefix)
        command = mending(environ, client, place) if place else ""
    except HushkeyError as error:
        yield Finding("pip-config", PROBLEM, f"pip: {error.line()}")
        return
    if place is None:
        yield from _asking(client, environ)
        version = client.version("pip")
        if version and _number(version) < (26, 2):
            text = f"pip {version} asks only for URLs with a user name: https://me@HOST"
            yield Finding("pip-user-name", FINE, text)
        return
    if place.provider == "import":
        yield from importing(client, environ)
        return
    act: Callable[[], None] | None = partial(PIP.install, (), False)
    if command:
        act = partial(mend, environ, client, place) if place.section else None
    code, text = "pip-disabled", f"{place.shown()} says {KEY} = {place.provider}"
    if place.provider != "disabled":
        code, why = "pip-auto", "is auto, which asks nobody under --no-input"
        text = f"{KEY} {why}" + (f" ({place.shown()})" if place.provider else "")
    yield Finding(code, PROBLEM, f"pip: {text}", command or "hushkey install pip", act)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


PIP = KeyringProgram(
    "pip",
    settings_file,
    config_path,
    wanted=WANTED,
    look=_look,
    about="pip asks hushkey; a pip older than 26.2 only for URLs with a user name, "
    "any will do: https://me@HOST/simple/",
    overruled=_overruled,
    past=past,
)
