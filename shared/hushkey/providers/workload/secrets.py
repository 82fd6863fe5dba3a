"""Secrets of clients: from a variable or a file, and never from the config itself."""

from __future__ import annotations

import os
import stat

from hushkey.errors import Permanent, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from hushkey.system.proofs import Needs

_MOST = 64 * 1024


def secret_from(value: Any) -> str | None:
    """Accept the place of a secret: ``env:NAME`` or ``file:/abs``."""
    word, _, rest = value.partition(":") if isinstance(value, str) else ("", "", "")
    good = (word == "env" and rest.isidentifier()) or (
        word == "file" and os.path.isabs(rest)
    )
    return None if good else '"env:NAME" or "file:/ABSOLUTE/PATH", never the secret'


def proof(value: str) -> Needs:
    """Return what proves that the secret at the place *value* is here."""
    word, _, rest = value.partition(":")
    return (), ((rest if word == "env" else f"file:{rest}",),)


def words(value: str) -> str:
    """Return where the secret is, for a person."""
    word, _, rest = value.partition(":")
    return f"the secret in the variable {rest}" if word == "env" else f"in {rest}"


def read(value: str, environ: Mapping[str, str]) -> str:
    """Return the secret at the place *value*; raises Permanent."""
    word, _, rest = value.partition(":")
    if word == "env":
        found = environ.get(rest, "")
        if not found:
            raise Permanent(
                f"the variable {rest} is not set",
                hint="`secret_from` in config.toml names it",
            )
        return found
    return read_file(rest).decode("utf-8", "replace").strip()


def read_file(path: str) -> bytes:
    """Return the content of the file of a secret; raises Permanent.

    It may be a link into a mounted folder, and root's, as orchestrators mount them;
    one that others could have replaced is not believed.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            data = file.read(_MOST + 1) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        raise Permanent(f"cannot read {plain(path)}: {error.strerror}") from error
    if not data or len(data) > _MOST:
        raise Permanent(f"{plain(path)} is not a file of 1 to {_MOST} bytes")
    if hasattr(os, "geteuid"):
        mine = status.st_uid in (0, os.geteuid())
        if not mine or status.st_mode & 0o022:
            raise Permanent(
                f"{plain(path)} can be changed by others",
                hint=f"let it be yours, and run `chmod go-w {plain(path)}`",
            )
    return data
