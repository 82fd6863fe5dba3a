"""Registering with pnpm: a token helper for each registry.

pnpm.io/npmrc#url-tokenhelper. From version 11 on it may have words, and stands in a
file that pnpm alone reads; before, it is a path, in npm's own file, of which npm warns.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from hashlib import blake2s

from hushkey.errors import Permanent
from hushkey.system import paths
from hushkey_install.register import door
from hushkey_install.register.door import Door
from hushkey_install.register.setting import (
    Form,
    Setting,
    SettingsRegistration,
    Setup,
    is_ours,
)
from hushkey_install.tools import nodepackages
from hushkey_install.tools.keylines import KeyLines, packed, unpacked

_LINES = KeyLines(r"(?P<key>//[^\s=]+:tokenHelper)[ \t]*=[ \t]*(?P<value>[^\r\n]*)")
#: the first version that takes words
_WORDS = 11
#: with one of these in a helper, pnpm 11 and 12 run no command
_REFUSED = re.compile(r"""[$%`"']""")
#: these, too, the older ones read otherwise, or their shell
_UNSAFE = re.compile(r"""[\s$%`"'#;\\&|<>()*?!{}\[\]^]""")


class PnpmRegistration(SettingsRegistration):
    """pnpm, by the file of this user that its version reads."""

    takes_hosts = takes_paths = several = True
    sample = "npm.example.com/team"
    programs = ("pnpm",)
    about = "pnpm asks hushkey for a token of these registries"

    def settings(self, setup: Setup) -> Iterable[Setting]:
        """Return a line for each registry."""
        ours = {}
        for word in setup.some_words():
            value = _command(setup, word)
            if not _takes(setup, value):
                value = _door(setup, word).path
                if found := _UNSAFE.search(value):
                    what = f"`{found[0]}` in it"
                    raise Permanent(f"{value}: pnpm takes no path with {what}")
            ours[f"//{setup.place(word)}/:tokenHelper"] = value

        def wanted(text: str) -> str:
            return packed(unpacked(_LINES.value(text)) | ours)

        return [Setting(_file(setup.environ), wanted)]

    def form(self, environ: Mapping[str, str], words: tuple[str, ...]) -> Form:
        """Return the lines that set a helper."""
        return Form(_LINES.edit, _LINES.value, _without)

    def doors(self, setup: Setup) -> Iterable[Door]:
        """Return a program for each registry for which pnpm takes no words."""
        for word in setup.words:
            if not _takes(setup, _command(setup, word)):
                yield _door(setup, word)


def _without(text: str, before: str) -> str:
    now, old = unpacked(_LINES.value(text)), unpacked(before)
    kept = {
        key: old.get(key, "") if _is_ours(value) else value
        for key, value in now.items()
    }
    return _LINES.edit(text, packed({k: v for k, v in kept.items() if v}))


def _is_ours(value: str) -> bool:
    return is_ours(value) or os.path.basename(value).startswith("pnpm-hushkey-")


def _command(setup: Setup, word: str) -> str:
    return " ".join((setup.program, "pnpm", setup.place(word)))


def _takes(setup: Setup, command: str) -> bool:
    """Tell whether pnpm runs *command*; with one that it refuses, nothing at all.

    It splits at spaces, and knows no quotes.
    """
    words = len(setup.program.split()) == 1 and not _REFUSED.search(command)
    return words and not _is_old(setup.environ)


def _door(setup: Setup, word: str) -> Door:
    place = setup.place(word)
    name = f"pnpm-hushkey-{blake2s(place.encode(), digest_size=8).hexdigest()}"
    path = os.path.join(door.folder(setup.environ), name)
    return Door(setup.environ, "pnpm", path, (setup.program, "pnpm", place))


def _is_old(environ: Mapping[str, str]) -> bool:
    """Tell whether pnpm takes no words, as far as its package tells."""
    return 0 < nodepackages.major("pnpm", ("pnpm",), environ) < _WORDS


def _file(environ: Mapping[str, str]) -> str:
    home = paths.home(environ)
    if _is_old(environ):
        named = environ.get("NPM_CONFIG_USERCONFIG", "")
        return named if os.path.isabs(named) else os.path.join(home, ".npmrc")
    if sys.platform == "win32":
        local = environ.get("LOCALAPPDATA", os.path.join(home, "AppData", "Local"))
        return os.path.join(local, "pnpm", "config", "auth.ini")
    folder = paths.xdg_config(environ)
    if sys.platform == "darwin" and folder == os.path.join(home, ".config"):
        folder = os.path.join(home, "Library", "Preferences")
    return os.path.join(folder, "pnpm", "auth.ini")


PNPM = PnpmRegistration("pnpm")
