"""Compiling hushkey-git-client while a wheel is built, where there is a C compiler.

The wheel is for one platform then, and for any Python 3. Without a compiler, or on
Windows, it is as before, for every platform: `hushkey install git` does without the
client (`hushkey_install.register.gitdoor`).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sysconfig
import tempfile
from contextlib import suppress
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging import tags

_PROGRAM = "hushkey-git-client"
_SOURCE = "helpers/native/git_client.c"
#: seconds
_PATIENCE = 60
_OPTIONS = ("-std=c99", "-O2", "-Wall", "-Wextra", "-fstack-protector-strong")


class Client(BuildHookInterface[Any]):
    """The hook that hatchling calls before and after each wheel."""

    #: of a build that fails, `finalize` is not called: it goes with this process then
    _folder: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the client and add it to the wheel's programs (*build_data*)."""
        compiler = "" if os.name == "nt" else shutil.which("cc")
        platform = _platform()
        if not compiler or not platform:
            why = f"there is no cc for {platform or 'this Python'}"
            self.app.display_info(f"{_PROGRAM} is left out: {why}")
            return
        self._folder = tempfile.TemporaryDirectory()
        program = os.path.join(self._folder.name, _PROGRAM)
        source = os.path.join(self.root, _SOURCE)
        failure = _failure([compiler, *_OPTIONS, "-o", program, source])
        if failure or not os.path.isfile(program):
            self.app.display_warning(f"{_PROGRAM} is left out: {failure or compiler}")
            return
        # Our packages stay where pure ones go: hushkey-python looks for them there.
        build_data["tag"] = f"py3-none-{platform}"
        build_data["shared_scripts"][program] = _PROGRAM

    def finalize(self, version: str, build_data: dict[str, Any], artifact: str) -> None:
        """Remove what was compiled."""
        if self._folder:
            self._folder.cleanup()


def _platform() -> str:
    """Return the platform's tag that installers take here, nothing if there is none.

    A Python of 32 bits tells the system's name for 64. It takes several names of Linux
    then, and uv only the oldest.
    """
    named = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    taken = tags.platform_tags()
    plain = [tag for tag in taken if tag == named or tag.startswith("linux_")]
    return plain[-1] if plain else ""


def _failure(command: list[str]) -> str:
    """Return why *command* failed, or nothing; it leaves no process behind."""
    try:
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                _, said = process.communicate(timeout=_PATIENCE)
            except BaseException:
                with suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return said or f"{command[0]} failed" if process.returncode else ""
