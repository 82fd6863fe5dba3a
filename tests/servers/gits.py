"""The gits that the suite is tried with: the system's, and a newer one."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from servers.process import CACHE, Missing, clean_environ, find_program

NEWER = CACHE / "git-trixie"


@dataclass(frozen=True)
class Git:
    """One git: `argv` starts it, `environ` is what this git needs beyond that."""

    name: str
    version: tuple[int, ...]
    argv: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def carries_bearer(self) -> bool:
        """Since 2.46 a helper may answer with authtype and credential."""
        return self.version >= (2, 46)

    def run(
        self,
        *arguments: str | Path,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: bytes = b"",
        seconds: float = 60,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run it without terminal or askpass; `environ` is added to a clean one."""
        base = clean_environ(
            GIT_CONFIG_NOSYSTEM="1", GIT_TERMINAL_PROMPT="0", LC_ALL="C"
        )
        merged = base | dict(self.environ) | dict(environ or {})
        if "PATH" in self.environ and "PATH" in (environ or {}):
            merged["PATH"] = f"{environ_path(self)}{os.pathsep}{merged['PATH']}"
        return subprocess.run(
            [*self.argv, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            cwd=cwd,
            env=merged,
            timeout=seconds,
            check=False,
        )


def environ_path(git: Git) -> str:
    """The folder of a git that is not the system's."""
    return str(Path(git.argv[0]).parent)


def system_git() -> Git:
    path = find_program("git")
    return Git("system", _version([path], {}), (path,))


def newer_git() -> Git:
    """Debian trixie's git, unpacked by tests/prepare."""
    path = NEWER / "usr" / "bin" / "git"
    if not path.exists():
        raise Missing("the newer git is not there: run tests/prepare")
    environ = {
        "GIT_EXEC_PATH": str(NEWER / "usr" / "lib" / "git-core"),
        "GIT_TEMPLATE_DIR": str(NEWER / "usr" / "share" / "git-core" / "templates"),
        "PATH": f"{path.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    return Git("newer", _version([str(path)], environ), (str(path),), environ)


def _version(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[int, ...]:
    text = subprocess.run(
        [*argv, "version"],
        check=True,
        capture_output=True,
        text=True,
        env=clean_environ() | dict(environ),
    ).stdout
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    if found is None:
        raise Missing(f"{argv[0]} does not say its version: {text!r}")
    return tuple(int(part) for part in found.groups() if part)
