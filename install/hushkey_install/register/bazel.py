"""Registering with Bazel: a credential helper for each host.

github.com/bazelbuild/proposals 2022-06-07-bazel-credential-helpers.md. The helper is a
path, without words.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from hushkey.errors import Permanent
from hushkey.system import paths
from hushkey_install.register import door
from hushkey_install.register.door import Door
from hushkey_install.register.setting import (
    Form,
    Setting,
    SettingsRegistration,
    Setup,
)
from hushkey_install.tools.keylines import KeyLines, packed, unpacked

_PROGRAM = "bazel-credential-hushkey"
_LINES = KeyLines(
    r"(?P<key>[ \t]*common[ \t]+--credential_helper=[^=\s]+)=(?P<value>\S+)"
)
#: a host that Bazel takes there; with any other in its bazelrc it runs no command
_LABEL = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
_SCOPE = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


class BazelRegistration(SettingsRegistration):
    """Bazel, by the bazelrc of this user."""

    takes_hosts = several = True
    sample = "cache.example.com"
    programs = ("bazel", "bazelisk")
    about = (
        "bazel asks hushkey for these hosts; run `hushkey uninstall bazel` before "
        "hushkey goes, or bazel warns and asks these hosts without a token"
    )

    def settings(self, setup: Setup) -> Iterable[Setting]:
        """Return a line for each host."""
        path = _door(setup.environ)
        if re.search(r"[\s'\"\\#]", path):  # what ends, quotes or comments words there
            what = "a space, a quote, a backslash or a # in it"
            raise Permanent(f"{path}: bazel takes no path with {what}")
        ours = {
            f"common --credential_helper={_scope(setup.host(word))}": path
            for word in setup.some_words()
        }

        def wanted(text: str) -> str:
            return packed(unpacked(_LINES.value(text)) | ours)

        file = os.path.join(paths.home(setup.environ), ".bazelrc")
        return [Setting(file, wanted)]

    def form(self, environ: Mapping[str, str], words: tuple[str, ...]) -> Form:
        """Return the lines that set a helper."""
        return Form(_LINES.edit, _LINES.value, _without)

    def doors(self, setup: Setup) -> Iterable[Door]:
        """Return the program that takes no words."""
        words = (setup.program, "bazel")
        return [Door(setup.environ, self.name, _door(setup.environ), words)]


def _without(text: str, before: str) -> str:
    now, old = unpacked(_LINES.value(text)), unpacked(before)
    kept = {
        key: old.get(key, "") if os.path.basename(value) == _PROGRAM else value
        for key, value in now.items()
    }
    return _LINES.edit(text, packed({k: v for k, v in kept.items() if v}))


def _scope(host: str) -> str:
    if not _SCOPE.fullmatch(host):
        raise Permanent(
            f"bazel takes no helper for {host}",
            hint="it takes names of letters, digits and hyphens, and IPv4 addresses",
        )
    return host


def _door(environ: Mapping[str, str]) -> str:
    return os.path.join(door.folder(environ), _PROGRAM)


BAZEL = BazelRegistration("bazel")
