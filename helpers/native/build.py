"""Compiling hushkey-git-client while a wheel is built, where there is a C compiler.

The wheel is for one platform then, and for any Python 3. Without a compiler, or on
Windows, it is as before, for every platform: `hushkey install git` does without the
client (`hushkey_install.register.gitdoor`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PROGRAM = "hushkey-git-client"
_SOURCE = "helpers/native/git_client.c"
#: seconds
_PATIENCE = 60
_OPTIONS = ("-std=c99", "-O2", "-Wall", "-Wextra", "-fstack-protector-strong")


class Client(BuildHookInterface[Any]):
    """The hook that hatchling calls before and after each wheel."""

    _folder = ""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the client and add it to the wheel's programs (*build_data*)."""
        compiler = "" if os.name == "nt" else shutil.which("cc")
        if not compiler:
            self.app.display_info(f"{_PROGRAM} is left out: there is no cc")
            return
        self._folder = tempfile.mkdtemp()
        program = os.path.join(self._folder, _PROGRAM)
        source = os.path.join(self.root, _SOURCE)
        try:
            done = subprocess.run(
                [compiler, *_OPTIONS, "-o", program, source],
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=_PATIENCE,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            self.app.display_warning(f"{_PROGRAM} is left out: {error}")
            return
        if done.returncode:
            self.app.display_warning(f"{_PROGRAM} is left out: {done.stderr}")
            return
        # Our packages stay where pure ones go: hushkey-python looks for them there.
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"
        build_data["shared_scripts"][program] = _PROGRAM

    def finalize(self, version: str, build_data: dict[str, Any], artifact: str) -> None:
        """Remove what was compiled."""
        if self._folder:
            shutil.rmtree(self._folder)
