"""Registering with Conan: a plug-in of one function, in a file of its own.

docs.conan.io/2/reference/extensions/authorization_plugins.html. There is room for one
plug-in only.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from hushkey.system import paths
from hushkey_install.register.setting import (
    Form,
    Setting,
    SettingsRegistration,
    Setup,
    whole_file,
    whole_form,
)

_MARK = "# made by `hushkey install conan`"
_PLUGIN = """\
{mark}
import json
import subprocess


def auth_remote_plugin(remote, user=None):
    words = [{program!r}, "token", remote.url, "--format", "json"]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    if done.returncode:
        return None, None
    told = json.loads(done.stdout)
    return user or told["account"] or "hushkey", told["token"]
"""


def _is_ours(text: str) -> bool:
    return text.startswith(_MARK)


class ConanRegistration(SettingsRegistration):
    """Conan, by its plug-in for remotes' credentials."""

    programs = ("conan",)
    overridden_by = (r"CONAN_(LOGIN_USERNAME|PASSWORD)(_\w+)?",)
    about = "conan asks hushkey for every remote; it answers for hosts with a rule"

    def settings(self, setup: Setup) -> Iterable[Setting]:
        """Return the whole file."""
        made = _PLUGIN.format(mark=_MARK, program=setup.program)
        home = setup.environ.get("CONAN_HOME", "")
        if not os.path.isabs(home):
            home = os.path.join(paths.home(setup.environ), ".conan2")
        folder = os.path.join(home, "extensions", "plugins")
        return [whole_file(os.path.join(folder, "auth_remote.py"), made, _is_ours)]

    def form(self, environ: Mapping[str, str], words: tuple[str, ...]) -> Form:
        """Return the whole file."""
        return whole_form(_is_ours)


CONAN = ConanRegistration("conan")
