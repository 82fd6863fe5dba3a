"""The git server: `git http-backend` over HTTPS, for bearers of a good token.

This is the handle on it; the server itself runs in the process that
`gitprocess` describes.
"""

from __future__ import annotations

import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

from hushkey_install.demo.idserver import Introspection
from hushkey_install.demo.service import Service, ServiceError


class GitServer(Service):
    """Serves the bare repositories in `projects`; asks *introspection* each time."""

    module: ClassVar[str] = "hushkey_install.demo.gitprocess"

    def __init__(self, folder: Path, git: Path, introspection: Introspection) -> None:
        super().__init__(folder)
        self.projects = folder / "projects"
        self._git = git
        self._introspection = introspection

    def settings(self) -> dict[str, object]:
        """Return what the process needs to know."""
        self.projects.mkdir(exist_ok=True)
        return {
            "folder": str(self.folder),
            "projects": str(self.projects),
            "backend": str(find_backend(self._git)),
            "introspection": asdict(self._introspection),
            "scope": "git",
        }

    @property
    def host(self) -> str:
        """`127.0.0.1:PORT`, as the config file names it."""
        return f"127.0.0.1:{self.facts['port']}"

    @property
    def authority(self) -> Path:
        """The certificate that git must trust (GIT_SSL_CAINFO)."""
        return Path(self.facts["authority"])

    def url(self, name: str) -> str:
        """Return the address of the repository *name*."""
        return f"https://{self.host}/{name}"

    def refusals(self) -> int:
        """Count the requests whose token was refused."""
        return sum(
            entry["status"] == 401 and entry["scheme"] != "none" for entry in self.log()
        )


def find_backend(git: Path) -> Path:
    """Return git's http-backend, which some systems package apart."""
    found = subprocess.run(
        [git, "--exec-path"], capture_output=True, text=True, check=True, timeout=30
    )
    backend = Path(found.stdout.strip()) / "git-http-backend"
    if not backend.exists():
        raise ServiceError(
            f"this git has no {backend.name}; it is in the package git-daemon or "
            "git-core of some systems"
        )
    return backend
