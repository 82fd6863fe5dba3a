"""Starting anew when the key is gone: everything sealed is moved aside."""

import os
import time

import click

from hushkey import paths, sealedfile, stashindex
from hushkey.errors import Permanent, StoreError
from hushkey_install.context import Context

_PARTS = ("tokens", "stash", "state")


def run(yes: bool) -> None:
    """Move sealed files (and a key file) into a folder of their own."""
    context = Context()
    folder = paths.data_folder(context.environ)
    paths.check_owner(folder)
    typed = len(list(stashindex.files(folder)))
    signed_in = len(sealedfile.sealed_files(folder)) - typed
    parts = [p for p in (*_PARTS, "key") if os.path.exists(os.path.join(folder, p))]
    if not parts:
        click.echo("there is nothing stored; nothing to reset", err=True)
        return
    aside = os.path.join(folder, time.strftime("before-reset-%Y%m%d-%H%M%S"))
    click.echo(
        f"{signed_in} stored sign-in(s) and {typed} typed credential(s) in {folder} "
        f"will be moved to {aside}; every identity is signed out",
        err=True,
    )
    if not yes and not click.confirm("start anew?", err=True):
        raise Permanent("nothing was changed")
    try:
        os.mkdir(aside, 0o700)
        for part in parts:
            os.replace(os.path.join(folder, part), os.path.join(aside, part))
    except OSError as error:
        raise StoreError(
            "unwritable", f"cannot move {folder}: {error.strerror}"
        ) from error
    click.echo("done; sign in again with `hushkey login`", err=True)
