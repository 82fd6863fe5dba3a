"""Registering with uv: its own config file, and a `keyring` on PATH."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import tomlkit
from tomlkit.exceptions import TOMLKitError

from hushkey.errors import HushkeyError
from hushkey.system import paths
from hushkey_install.common.finding import PROBLEM, Finding
from hushkey_install.register import pip
from hushkey_install.register.keyringchecks import through_program
from hushkey_install.register.settingsfile import SettingsFile
from hushkey_install.tools.pythontools import Client

KEY = "keyring-provider"
#: what install sets it to; and uv reads the variable before any file
WANTED, VARIABLE = "subprocess", "UV_KEYRING_PROVIDER"


def settings_file(environ: Mapping[str, str]) -> SettingsFile:
    """Return uv's config file of this user."""
    return SettingsFile(environ, "uv", config_path(environ), edited, value_in)


def config_path(environ: Mapping[str, str]) -> str:
    """Return where uv keeps this user's settings (uv's "Configuration files")."""
    named = environ.get("UV_CONFIG_FILE", "")
    if os.path.isabs(named):
        return named
    if os.name == "nt":
        base = environ.get("APPDATA", paths.home(environ))
        return os.path.join(base, "uv", "uv.toml")
    return os.path.join(paths.xdg_config(environ), "uv", "uv.toml")


def value_in(text: str) -> str:
    """Return the provider that *text* sets, or nothing."""
    return str(_parsed(text).get(KEY, ""))


def edited(text: str, value: str) -> str:
    """Return *text* with the provider set to *value*; comments stay.

    Raises ValueError for what is no TOML.
    """
    document = _parsed(text)
    if value:
        document[KEY] = value
    else:
        document.pop(KEY, None)
    return tomlkit.dumps(document)


def _parsed(text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise ValueError(str(error)) from error


def _look(client: Client, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what uv's setting is, and what that comes to."""
    provider = environ.get(VARIABLE, "")
    try:
        file = settings_file(environ)
        provider = provider or value_in(file.text())
    except (HushkeyError, ValueError) as error:
        yield Finding("uv-config", PROBLEM, f"uv: its config cannot be read: {error}")
        return
    if provider != WANTED:
        text = "uv: keyring-provider is not subprocess, so uv asks no keyring"
        yield Finding("uv-disabled", PROBLEM, text, "hushkey install uv")
    else:
        yield from through_program(client, environ)


UV = pip.KeyringProgram(
    "uv",
    settings_file,
    config_path,
    wanted=WANTED,
    look=_look,
    about="uv asks hushkey for URLs with a user name, any will do: https://me@HOST/; "
    'or for an [[index]] with authenticate = "always"',
)
