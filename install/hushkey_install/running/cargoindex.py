"""Where cargo's config says that a registry is: the URL of its index.

doc.rust-lang.org/cargo/reference/config.html: a variable goes before all files, and of
those the nearest counts, from the working directory upwards and then in CARGO_HOME.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from hushkey import origins
from hushkey.system import paths

#: bytes: a project's file, which anybody may have written
_MOST = 1024 * 1024


def variable(name: str) -> str:
    """Return the variable of the index of *name*, and of names that only look alike."""
    return f"CARGO_REGISTRIES_{_normal(name)}_INDEX"


def find(name: str, folder: str, environ: Mapping[str, str]) -> str:
    """Return the index of the registry *name* for cargo in *folder*, or nothing."""
    if index := environ.get(variable(name)):
        return index
    for path in _files(folder, environ):
        for key, table in _registries(path).items():
            index = table.get("index") if isinstance(table, dict) else None
            if _normal(key) == _normal(name) and isinstance(index, str):
                return index
    return ""


def is_at(index: str, host: str, path: str) -> bool:
    """Tell whether *index* is below *path* of the https *host*, port included."""
    try:
        wanted = origins.parse_url(f"https://{host}{path}")
        found = origins.parse_url(index.removeprefix("sparse+"))
    except ValueError:
        return False
    origin, place = (
        origins.parse_origin(each.protocol, each.host) for each in (found, wanted)
    )
    if found.protocol != "https" or not origin or origin != place:
        return False
    # cargo resolves dots before it asks: `team/../other` is not below `team`
    folder, above = origins.split_path(found.path), origins.split_path(wanted.path)
    if folder is None or above is None:
        return False
    return folder[: len(above)] == above


def _normal(name: str) -> str:
    return name.upper().replace("-", "_")


def _files(folder: str, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the files of cargo's config, the nearest first."""
    while True:
        yield from _of(os.path.join(folder, ".cargo"))
        above = os.path.dirname(folder)
        if above == folder:
            break
        folder = above
    home = environ.get("CARGO_HOME") or os.path.join(paths.home(environ), ".cargo")
    yield from _of(home)


def _of(folder: str) -> Iterator[str]:
    """Yield the one file that counts in *folder*: the one without an ending."""
    for name in ("config", "config.toml"):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            yield path
            return


def _registries(path: str) -> Mapping[str, Any]:
    """Return the registries of the file *path*; none if cargo cannot read it either."""
    try:
        with open(path, "rb") as file:
            content = tomllib.loads(file.read(_MOST).decode())
    except (OSError, ValueError, RecursionError):
        return {}
    found = content.get("registries")
    return found if isinstance(found, dict) else {}
