"""The completion script where a shell looks for it: written, and taken out again."""

from __future__ import annotations

import os
from collections.abc import Mapping

from hushkey.errors import Permanent, StoreError
from hushkey.system import madefolders, paths
from hushkey_install.common.filechange import Change, read_text, remove
from hushkey_install.common.installrecord import InstallRecord, replaced, restored

_NAME = "completion"


def place(environ: Mapping[str, str], shell: str) -> str:
    """Return the file for *shell* (of `SHELLS` in commands/completing.py)."""
    if shell == "bash":  # bash-completion loads it by the command's name
        named = environ.get("BASH_COMPLETION_USER_DIR", "")
        base = os.path.join(paths.xdg_data(environ), "bash-completion")
        folder = named if os.path.isabs(named) else base
        return os.path.join(folder, "completions", "hushkey")
    if shell == "zsh":
        folder = os.path.join(paths.xdg_data(environ), "zsh", "site-functions")
        return os.path.join(folder, "_hushkey")
    if shell == "fish":  # which reads this folder by itself
        folder = os.path.join(paths.xdg_config(environ), "fish", "completions")
        return os.path.join(folder, "hushkey.fish")
    folder = os.path.join(paths.xdg_config(environ), "powershell")
    return os.path.join(folder, "hushkey-completion.ps1")


def write(environ: Mapping[str, str], shell: str, script: str) -> str:
    """Write *script* for *shell*, and return where; noted first, so it can be undone.

    Raises Permanent where a file that is not ours stands, and StoreError.
    """
    path, record = place(environ, shell), InstallRecord(environ, _NAME)
    notes = record.read()
    before = _text(path)
    if before and not _is_ours(notes.get(path), before):
        raise Permanent(
            f"{path} exists already and is not ours", hint="move it away first"
        )
    lacked = madefolders.before([path])
    record.write({**notes, path: replaced("", script)})
    Change(path, before, script).apply(backup=False)
    madefolders.note(environ, lacked)
    return path


def written(environ: Mapping[str, str]) -> list[str]:
    """Return the files of ours that are still as we wrote them."""
    found = InstallRecord(environ, _NAME).read()
    return [path for path, note in found.items() if _is_ours(note, _text(path))]


def take_out(environ: Mapping[str, str]) -> list[str]:
    """Delete the files that we wrote, and return them; one that was edited stays."""
    gone = written(environ)
    for path in gone:
        remove(path)
    InstallRecord(environ, _NAME).write({})
    return gone


def _is_ours(note: object, text: str) -> bool:
    return bool(text) and isinstance(note, dict) and restored(note, text) == ""


def _text(path: str) -> str:
    try:
        return read_text(path)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise StoreError(
            "unwritable", f"cannot read {path}: {error.strerror or error}"
        ) from error
