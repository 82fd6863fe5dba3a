"""Registering with Go: one entry of GOAUTH, in the file that `go env -w` writes.

`go help goauth`, `go help environment`. A GOAUTH that is not there means ``netrc``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping

from hushkey.errors import Permanent
from hushkey.system import paths
from hushkey_install.register.setting import (
    Form,
    Setting,
    SettingsRegistration,
    Setup,
    is_ours,
)
from hushkey_install.tools.keylines import KeyLines, packed, unpacked

_LINES = KeyLines(r"(?P<key>GOAUTH)=(?P<value>[^\r\n]*)")
_DEFAULT = "netrc"


def _without_ours(value: str) -> list[str]:
    return [part for part in value.split(";") if not is_ours(part)]


class GoRegistration(SettingsRegistration):
    """Go, by its own environment file."""

    programs = ("go",)
    overridden_by = ("GOAUTH",)
    about = "go asks hushkey for what a host refuses; it answers for hosts with a rule"

    def settings(self, setup: Setup) -> Iterable[Setting]:
        """Return the entries of GOAUTH, with ours as the last."""
        ours = setup.command("go")

        def wanted(text: str) -> str:
            before = unpacked(_LINES.value(text)).get("GOAUTH", "") or _DEFAULT
            kept = [] if before.strip() == "off" else _without_ours(before)
            return packed({"GOAUTH": ";".join((*kept, ours))})

        return [Setting(_file(setup.environ), wanted)]

    def form(self, environ: Mapping[str, str], words: tuple[str, ...]) -> Form:
        """Return the line of GOAUTH."""
        return Form(_LINES.edit, _LINES.value, _without)


def _without(text: str, _: str) -> str:
    said = unpacked(_LINES.value(text))
    if "GOAUTH" not in said:
        return text
    kept = ";".join(_without_ours(said["GOAUTH"]))
    return _LINES.edit(text, packed({"GOAUTH": kept} if kept else {}))


def _file(environ: Mapping[str, str]) -> str:
    named = environ.get("GOENV", "")
    if named == "off":
        raise Permanent("GOENV=off keeps go from reading any file", hint="unset GOENV")
    if os.path.isabs(named):
        return named
    home = paths.home(environ)
    if sys.platform == "win32":
        return os.path.join(environ.get("APPDATA", home), "go", "env")
    if sys.platform == "darwin":
        return os.path.join(home, "Library", "Application Support", "go", "env")
    return os.path.join(paths.xdg_config(environ), "go", "env")


GO = GoRegistration("go")
