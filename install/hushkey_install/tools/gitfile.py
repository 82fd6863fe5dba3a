"""git's own file, edited by git itself on a copy.

The copy replaces the file when it is complete: several `git config` calls on
the file itself would leave it half-changed if one of them failed.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress

from hushkey.errors import Permanent, StoreError, Transient
from hushkey.system import paths, programs
from hushkey_install.common.filechange import (
    Change,
    read_text,
    temporary_folder,
    write_text,
)

#: seconds for one `git config`
_PATIENCE = 30
#: seconds for all helpers of a host to say what they have
_HELPERS_PATIENCE = 10
#: git and Git Credential Manager ask nobody then (gitcredentials(7), GCM's docs), nor
#: do we, nor has a helper a display or a browser to open
_ASKS_NOBODY = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "false",
    "SSH_ASKPASS": "false",
    "GCM_INTERACTIVE": "never",
    "HUSHKEY_INTERACTIVE": "never",
    "DISPLAY": "",
    "WAYLAND_DISPLAY": "",
    "BROWSER": "false",
}
#: what makes git believe that it is in a repository
_REPOSITORY = frozenset(("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR"))
#: what git-config(1) takes for more than itself in a value's pattern (regex(7))
_SPECIAL, _ESCAPED = re.compile(r"[][\\.^$*+?(){}|]"), r"\\\g<0>"


def exactly(value: str) -> str:
    """Return the pattern of git-config(1) that *value* fits, and nothing else."""
    return f"^{_SPECIAL.sub(_ESCAPED, value)}$"


class Git:
    """git's own editor of its own file."""

    def __init__(self, environ: dict[str, str]) -> None:
        found = programs.find("git", environ)
        if found is None:
            raise Permanent("git is not on PATH", hint="install git first")
        self._git = found
        self._environ = environ
        self.path = self._global_file()

    def version(self) -> tuple[int, ...]:
        words = self._output("version").split()
        numbers = words[2].split(".")[:2] if len(words) > 2 else []
        return tuple(int(n) for n in numbers if n.isdigit())

    def text(self) -> str:
        """Return what the file holds."""
        try:
            return read_text(self.path)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise StoreError("denied", f"cannot read {self.path}: {error}") from error

    def edited(self, edit: Callable[[str], object]) -> Change:
        """Return the change that *edit* makes to a copy of the file."""
        before = self.text()
        with temporary_folder() as folder:
            copy = os.path.join(folder, "config")
            write_text(copy, before, 0o600)
            edit(copy)
            return Change(self.path, before, read_text(copy))

    def keys(self, file: str) -> list[str]:
        """Return every credential.*.helper key in *file*, once."""
        pattern = r"^credential\..*helper$"
        found = self._output(
            "config", "--file", file, "--name-only", "--get-regexp", pattern
        )
        return list(dict.fromkeys(found.split("\n")[:-1]))

    def values(self, file: str, key: str) -> list[str]:
        """Return the values of *key* in order."""
        found = self._output("config", "--file", file, "-z", "--get-all", key)
        return found.split("\0")[:-1]

    def run(self, file: str, *words: str, check: bool = True) -> None:
        """Run one `git config` on *file*."""
        done = self._start("config", "--file", file, *words)
        if check and done.returncode:
            raise Permanent(f"git config failed: {done.stderr.strip()}")

    def listing(self, *words: str, folder: str | None = None) -> str:
        """Return what `git config` says in *folder*, or outside any repository."""
        environ = self._environ
        if folder is None:
            environ = {k: v for k, v in environ.items() if k not in _REPOSITORY}
        return self._start(
            "config", *words, folder=folder or "/", environ=environ
        ).stdout

    def has_password(self, protocol: str, host: str) -> bool:
        """Tell whether a helper of the user's has a password for *host*.

        git asks them as it would for a fetch, outside any repository; whatever would
        ask a person is told not to. One that says nothing in time has none.
        """
        environ = {k: v for k, v in self._environ.items() if k not in _REPOSITORY}
        environ |= _ASKS_NOBODY
        question = f"protocol={protocol}\nhost={host}\n\n"
        argv = [self._git, "-c", "credential.interactive=false", "credential", "fill"]
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=environ,
                start_new_session=True,  # no terminal to ask on; ended as a whole
            )
        except OSError:
            return False
        with process:
            try:
                out, _ = process.communicate(question.encode(), _HELPERS_PATIENCE)
            except subprocess.TimeoutExpired:
                _end(process)
                return False
        found = re.search(rb"^password=(.+)$", out, re.MULTILINE)
        return found is not None

    def exec_path(self) -> str:
        """Return the folder where git looks for its own programs."""
        return self._output("--exec-path").strip()

    def _output(self, *words: str) -> str:
        """Return what git says, nothing where there is none (its exit code 1)."""
        done = self._start(*words)
        if done.returncode not in (0, 1):
            said = done.stderr.strip().rpartition("\n")[2]
            raise Permanent(f"git {words[0]} failed: {said}", hint="fix that first")
        return done.stdout

    def _start(
        self,
        *words: str,
        folder: str | None = None,
        environ: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [self._git, *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="surrogateescape",
                timeout=_PATIENCE,
                check=False,
                cwd=folder,
                env=self._environ if environ is None else environ,
            )
        except subprocess.TimeoutExpired as error:
            raise Transient(f"git gave no answer within {_PATIENCE} s") from error
        except OSError as error:
            raise Permanent(f"cannot run {self._git}: {error.strerror}") from error

    def _global_file(self) -> str:
        """Return the file that `git config --global` writes (git-config(1))."""
        named = self._environ.get("GIT_CONFIG_GLOBAL", "")
        if os.path.isabs(named):
            return named
        plain = os.path.join(paths.home(self._environ), ".gitconfig")
        below = os.path.join(paths.xdg_config(self._environ), "git", "config")
        return below if os.path.exists(below) and not os.path.exists(plain) else plain


def _end(process: subprocess.Popen[bytes]) -> None:
    """End *process* and what it started."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
