"""A new start when the key is gone: everything sealed is moved aside."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack

from hushkey.errors import Permanent, StoreError
from hushkey.store import sealedfile
from hushkey.system import locks, ownership, paths
from hushkey_install.common import agentcontrol, datafolder, output

_PARTS = ("tokens", "stash", "state", "key")
#: seconds to wait for each process that is using the store
_PATIENCE = 10
#: in which order a process takes them; another order would wait in a circle
_KINDS = ("unlock", ".sign-in", ".change", "stash", "key")


def run(yes: bool) -> None:
    """Move sealed files (and a key file) into a folder of their own.

    Needs no config: it is what helps when nothing else does.
    """
    folder = paths.data_folder(os.environ)
    ownership.check_private(folder)
    if not _present(folder):
        output.say("there is nothing stored; nothing to reset", err=True)
        return
    aside = os.path.join(folder, time.strftime("before-reset-%Y%m%d-%H%M%S"))
    output.say(
        f"{datafolder.counts(folder) or 'the key'} in {folder} will be moved "
        f"to {aside}; every identity is signed out",
        err=True,
    )
    if not yes and not output.confirm("start over?"):
        raise Permanent("nothing was changed")
    with ExitStack() as stack:
        for path in _locks(folder):
            stack.enter_context(locks.held(path, _PATIENCE))
        _move(folder, aside)
    agentcontrol.dismiss(dict(os.environ))
    output.say("done; sign in again with `hushkey login`", err=True)


def _present(folder: str) -> list[str]:
    return [p for p in _PARTS if os.path.exists(os.path.join(folder, p))]


def _move(folder: str, aside: str) -> None:
    try:
        ownership.make_folder(aside)
        for part in _present(folder):
            os.replace(os.path.join(folder, part), os.path.join(aside, part))
    except OSError as error:
        raise StoreError(
            "unwritable", f"cannot move {folder}: {error.strerror}"
        ) from error


def _locks(folder: str) -> list[str]:
    """Return every lock that a user of the store may hold, in their order."""
    place = os.path.join(folder, "locks")
    names = {"key.lock", "stash.lock"}
    tokens = os.path.join(folder, "tokens", "")
    for path in sealedfile.sealed_files(folder):
        if path.startswith(tokens):
            stem = os.path.basename(path).removesuffix(sealedfile.SUFFIX)
            names |= {f"{stem}.sign-in.lock", f"{stem}.change.lock"}
    if os.path.isdir(place):
        names |= {name for name in os.listdir(place) if name.endswith(".lock")}
    return [os.path.join(place, name) for name in sorted(names, key=_rank)]


def _rank(name: str) -> tuple[int, str]:
    stem = name.removesuffix(".lock")
    kinds = (n for n, kind in enumerate(_KINDS) if stem.endswith(kind))
    return next(kinds, 0), name
