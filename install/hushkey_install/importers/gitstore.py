"""What git-credential-store keeps: one URL a line, in plain text (its manual)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from hushkey.errors import Permanent
from hushkey.system import paths
from hushkey_install.importers.entry import Entry

NAME = "git-store"
_MAX_BYTES = 4 * 1024 * 1024


def places(environ: Mapping[str, str]) -> list[str]:
    """Return the files that it reads without a `--file` (git-credential-store(1))."""
    home = paths.home(environ)
    files = [
        os.path.join(home, ".git-credentials"),
        os.path.join(paths.xdg_config(environ), "git", "credentials"),
    ]
    return [path for path in files if os.path.isfile(path)]


def entries(environ: Mapping[str, str]) -> Iterator[Entry]:
    """Yield every credential in those files; what is none is passed over."""
    for path in places(environ):
        try:
            with open(path, "rb") as file:
                data = file.read(_MAX_BYTES)
        except OSError as error:
            raise Permanent(f"cannot read {path}: {error.strerror}") from error
        for line in data.split(b"\n"):
            if entry := parse(line.decode("utf-8", "surrogateescape")):
                yield entry


def parse(line: str) -> Entry | None:
    """Return the credential in one *line*, or None if it holds none."""
    scheme, marker, rest = line.strip().partition("://")
    origin, _, path = rest.partition("/")
    login, at, host = origin.rpartition("@")
    user, colon, secret = login.partition(":")
    named = scheme.isascii() and scheme.replace("-", "").replace("+", "").isalnum()
    if not (marker and named and at and colon and (host or path)):
        return None
    return Entry(
        NAME,
        "git",
        protocol=scheme.lower(),
        host=unquote(host, errors="surrogateescape"),
        path=unquote(path, errors="surrogateescape"),
        user=unquote(user, errors="surrogateescape"),
        secret=unquote(secret, errors="surrogateescape"),
    )
