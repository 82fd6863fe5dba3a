"""Registering with pip: its own config file, and a `keyring` on PATH.

In a file and not on the command line, because the pip that installs build
requirements is another process, which gets no options (pip#12423). `subprocess`
and not `auto`, which asks nobody under --no-input.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import click

from hushkey.errors import HushkeyError, Permanent
from hushkey.system import paths
from hushkey_install.common import output
from hushkey_install.common.context import Context
from hushkey_install.common.filechange import Change
from hushkey_install.common.finding import NOTE, PROBLEM, Finding
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
from hushkey_install.tools import purposes
from hushkey_install.tools.installation import Installation
from hushkey_install.tools.pythontools import Client

SECTION, KEY = "global", "keyring-provider"
#: what install sets it to; and pip reads the variable before any file
WANTED, VARIABLE = "subprocess", "PIP_KEYRING_PROVIDER"
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
    ) -> None:
        """*file* is its settings at *path*, where *wanted* makes it ask us.

        *look* finds what keeps it from asking; *about* is said once it asks us.
        """
        super().__init__(name)
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
        file, link = self._file(environ), Launcher(environ, self.name)
        change, path = file.setting(self._wanted), link.plan(launcher)

        def apply() -> None:
            link.place(path)
            if change:
                file.keep(change)
            output.say(self._about, err=True)

        return Plan(
            lambda: _shown("+", path, change),
            apply,
            lambda: link.place(path),
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
    return SettingsFile(environ, "pip", config_path(environ), edited, value_in)


def config_path(environ: Mapping[str, str]) -> str:
    """Return where pip keeps this user's settings (pip's "Configuration files")."""
    named = environ.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        raise Permanent(
            f"PIP_CONFIG_FILE={os.devnull} keeps pip from reading any config",
            hint="unset it, or set PIP_KEYRING_PROVIDER=subprocess instead",
        )
    if os.path.isabs(named):
        return named
    home = paths.home(environ)
    if sys.platform == "win32":
        return os.path.join(environ.get("APPDATA", home), "pip", "pip.ini")
    mac = os.path.join(home, "Library", "Application Support", "pip")
    if sys.platform == "darwin" and os.path.isdir(mac):
        return os.path.join(mac, "pip.conf")
    return os.path.join(paths.xdg_config(environ), "pip", "pip.conf")


def value_in(text: str) -> str:
    """Return the provider that *text* sets for every pip command, or nothing."""
    rows = _lines(text)
    at = _settings(rows)
    if not at:
        return ""
    more = (rows[n][2].strip() for n in _continuing(rows, at[-1]))
    return "\n".join((_value(rows[at[-1]][2]), *more)).rstrip()


def edited(text: str, value: str) -> str:
    """Return *text* with the provider set to *value*; the rest stays as it is."""
    rows = _lines(text)
    lines = [line for *_, line in rows]
    end = "\r\n" if "\r\n" in text else "\n"
    if at := _settings(rows):
        gone = _continuing(rows, at[-1])
        lines[at[-1]] = _setting(value, _indent(lines[at[-1]]), end)
        return "".join(line for n, line in enumerate(lines) if n not in gone)
    heads = [n for n, row in enumerate(rows) if row[:2] == (SECTION, "")]
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
    return f"{text}{gap}[{SECTION}]{end}{_setting(value, '', end)}"


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


def _settings(rows: list[tuple[str, str, str]]) -> list[int]:
    """Return the numbers of the lines that set the provider; the last one counts."""
    return [n for n, row in enumerate(rows) if row[:2] == (SECTION, KEY)]


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
    """Yield what pip's setting is, and what that comes to."""
    mend = "hushkey install pip"
    provider, where = environ.get(VARIABLE, ""), VARIABLE
    if not provider:
        try:
            file = settings_file(environ)
            provider, where = value_in(file.text()), file.path
        except HushkeyError as error:
            yield Finding("pip-config", PROBLEM, f"pip: {error.line()}")
            return
    if provider == "disabled":
        text = f"pip: {where} says keyring-provider = disabled"
        yield Finding("pip-disabled", PROBLEM, text, mend)
    elif provider == "import":
        yield from importing(client, environ)
    elif provider == WANTED:
        yield from through_program(client, environ)
        version = client.version("pip")
        if version and _number(version) < (26, 2):
            text = f"pip {version} asks only for URLs with a user name: https://me@HOST"
            yield Finding("pip-user-name", NOTE, text)
    else:
        text = "pip: keyring-provider is auto, which asks nobody under --no-input"
        yield Finding("pip-auto", PROBLEM, text, mend)


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
)
