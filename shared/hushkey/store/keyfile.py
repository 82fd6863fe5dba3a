"""The data key in a file: only where ``key_store = "file"`` says so."""

from __future__ import annotations

import os

from hushkey.errors import StoreError
from hushkey.system import ownership, paths


class KeyFile:
    """The key in a 0600 file of the user's."""

    def __init__(self, path: str) -> None:
        self.name = f"the key file {path}"
        self._path = path

    def get(self) -> str | None:
        try:
            with open(ownership.open_own(self._path), "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read(1024).decode("ascii", "replace").strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(
                "denied",
                f"cannot read {self._path}: {error.strerror}",
                hint="make it readable for you alone (mode 0600)",
            ) from error
        if hasattr(os, "getuid") and mode & 0o077:
            raise StoreError(
                "denied",
                f"{self._path} can be read by others",
                hint=f"run `chmod 600 {self._path}`, and sign in anew if unsure",
            )
        return text

    def put(self, text: str) -> None:
        paths.make_private(os.path.dirname(self._path))
        try:
            ownership.replace(self._path, text.encode("ascii"))
        except OSError as error:
            raise StoreError(
                "unwritable",
                f"cannot write {self._path}: {error.strerror}",
                hint="make room and check its permissions",
            ) from error

    def unlock(self) -> None:
        """Do nothing: a file is never locked."""

    def evidence(self) -> object:
        try:
            found = os.lstat(self._path)
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
