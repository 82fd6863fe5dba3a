"""Registering with NuGet and dotnet: a plug-in, by a variable.

learn.microsoft.com/nuget/reference/extensibility/nuget-cross-platform-plugins. The
program has a name that every version takes; one variable tells them of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from hushkey_install.common.finding import NOTE, Finding
from hushkey_install.register import door
from hushkey_install.register.door import Door
from hushkey_install.register.setting import Setting, SettingsRegistration, Setup
from hushkey_install.tools.installation import Installation

_VARIABLE = "NUGET_PLUGIN_PATHS"


class NugetRegistration(SettingsRegistration):
    """NuGet and dotnet, by a program of a fixed name."""

    programs = ("dotnet", "nuget")
    overridden_by = ("NUGET_(NETFX|NETCORE)_PLUGIN_PATHS",)

    def settings(self, setup: Setup) -> Iterable[Setting]:
        """Return none: no file of NuGet's names a plug-in."""
        return ()

    def doors(self, setup: Setup) -> Iterable[Door]:
        """Return the program that NuGet starts with ``-Plugin``."""
        words = (setup.program, "nuget")
        return [Door(setup.environ, self.name, _door(setup.environ), words)]

    def said(self, setup: Setup) -> str:
        """Return the variable that has to be set."""
        path = _door(setup.environ)
        return f"set, where NuGet is to ask hushkey:\n  {_VARIABLE}={path}"

    def checks(self, installation: Installation) -> Iterator[Finding]:
        """Yield also that the variable is missing here."""
        yield from super().checks(installation)
        environ = installation.environ
        path = _door(environ)
        named = environ.get(_VARIABLE, "").split(";")  # on every system
        if any(each.path == path for each in self._doors(environ)) and (
            path not in named
        ):
            text = f"nuget: {_VARIABLE} does not name {path} here; hushkey is not asked"
            yield Finding("nuget-variable", NOTE, text)


def _door(environ: Mapping[str, str]) -> str:
    return os.path.join(door.folder(environ), "nuget-plugin-hushkey")


NUGET = NugetRegistration("nuget")
