"""Leaving: every registration taken out, and with --purge all that hushkey keeps."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from os.path import lexists

import click

from hushkey.config import rules
from hushkey.errors import HushkeyError, Permanent, StoreError
from hushkey.store import typed_index
from hushkey.store.datakey import open_data_key
from hushkey.store.keystores import open_key_store
from hushkey.store.sealedfile import sealed_files
from hushkey.system import madefolders, ownership, paths
from hushkey_helpers.agent import start
from hushkey_install.commands import accounts
from hushkey_install.common import (
    agentcontrol,
    completionfile,
    datafolder,
    filechange,
    output,
)
from hushkey_install.register import table


@click.group(invoke_without_command=True, no_args_is_help=True)
@click.option("--all", "everything", is_flag=True, help="From every tool.")
@click.option(
    "--purge",
    is_flag=True,
    help="With --all: also sign out everywhere, and delete tokens, config, key and "
    "backups.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.pass_context
def uninstall(
    ctx: click.Context, everything: bool, purge: bool, yes: bool, dry_run: bool
) -> None:
    """Remove hushkey from a tool, or from all of them.

    \b
    To leave for good:
      hushkey uninstall --all --purge
      pipx uninstall hushkey
    """
    if ctx.invoked_subcommand:
        if everything or purge or yes or dry_run:
            raise click.UsageError("give the options after the tool's name")
        return
    if not everything:
        raise click.UsageError("name a tool, or --all")
    ok = _take_out(yes=yes, dry_run=dry_run)
    if purge:
        _purge(yes=yes, dry_run=dry_run)
    elif not dry_run:
        agentcontrol.end(dict(os.environ))
    if not ok:
        raise click.exceptions.Exit(1)


def _take_out(*, yes: bool, dry_run: bool) -> bool:
    """Take out every registration; tell whether each went well."""
    environ, ok, found = dict(os.environ), True, False
    gone: list[str] = []
    ownership.check_private(paths.data_folder(environ))
    for tool in table.REGISTRATIONS:
        try:
            with nullcontext() if dry_run else tool.alone(environ):
                plan = tool.undo(environ, (), yes=yes)
                shown = plan.show()
                if not dry_run:
                    there = [path for path in tool.files(environ) if lexists(path)]
                    (plan.apply if shown else plan.tidy)()
                    gone += [path for path in there if not lexists(path)]
        except HushkeyError as error:
            output.say(f"hushkey: {tool.name}: {error.line()}", err=True)
            ok = False
            continue
        found = found or shown
    scripts = completionfile.written(environ)
    for path in scripts:
        output.say(f"- {path}")
    if not dry_run:
        gone += completionfile.take_out(environ)
    madefolders.sweep(environ, gone)
    found = found or bool(scripts)
    if ok and not found:
        output.say("no tool was registered", err=True)
    return ok


def _purge(*, yes: bool, dry_run: bool) -> None:
    """Delete all that hushkey keeps, once it has been shown."""
    environ = dict(os.environ)
    folder, config = paths.data_folder(environ), paths.config_file(environ)
    ownership.check_private(folder)
    doomed = [*datafolder.own(folder), *_files(config)]
    typed = sum(1 for _ in typed_index.files(folder))
    signed_in = len(sealed_files(folder)) - typed
    for path in doomed:
        output.say(f"- {path}")
    output.say(
        f"{output.counted(signed_in, 'stored sign-in')} and "
        f"{output.counted(typed, 'typed credential')}, the key to them, and the config "
        "are deleted for good",
        err=True,
    )
    if dry_run:
        return
    if not yes and not output.confirm("delete them?"):
        raise Permanent(
            "sign-ins, key and config were kept; the tools no longer ask hushkey",
            hint="hushkey install TOOL",
        )
    made = madefolders.noted(environ)
    _sign_out()
    agentcontrol.end(environ)
    _drop_key(environ, folder)
    for path in (
        *datafolder.own(folder),
        *_files(config),
    ):  # signing out kept notes, too
        _delete(path)
    sockets = paths.runtime_folder(environ)
    with suppress(HushkeyError):
        for path in (start.lock_path(sockets), *start.left_behind(sockets)):
            filechange.remove(path)
    madefolders.remove_empty([*_usual(environ), *made])
    output.say("done; to remove the program: pipx uninstall hushkey", err=True)


def _usual(environ: dict[str, str]) -> Iterator[str]:
    """Yield those of hushkey's folders that nobody chose: no other program makes them.

    One that somebody chose goes only if it was noted as made.
    """
    places = {
        "HUSHKEY_DATA_DIR": paths.data_folder(environ),
        "HUSHKEY_CONFIG": os.path.dirname(paths.config_file(environ)),
        "HUSHKEY_RUNTIME_DIR": paths.runtime_folder(environ),
    }
    yield from (place for name, place in places.items() if not environ.get(name))


def _files(config: str) -> Iterator[str]:
    """Yield the config file and the backups of what hushkey has changed."""
    own = [config, config + filechange.BACKUP, config + ".draft"]
    environ = dict(os.environ)
    for tool in table.REGISTRATIONS:
        with suppress(HushkeyError):
            own += [filechange.backup_of(path) for path in tool.files(environ)]
    yield from (path for path in dict.fromkeys(own) if lexists(path))


def _sign_out() -> None:
    """Tell the servers, as far as they can be reached now."""
    try:
        accounts.logout(None, everyone=True, local=False)
    except HushkeyError as error:
        output.say(f"hushkey: {error.line()}", err=True)


def _drop_key(environ: dict[str, str], folder: str) -> None:
    """Delete the key where the config says that it is, and a key file in any case."""
    open_key_store("file", folder).drop()
    try:
        settings = rules.load(environ).settings
        if settings["key_store"] != "file":
            open_data_key(settings, folder, lambda: []).drop()
    except HushkeyError as error:
        output.say(
            f"hushkey: the key stays in the keyring: {error.line()}; it opens nothing "
            "any more",
            err=True,
        )


def _delete(path: str) -> None:
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            ownership.check_name(path)
            shutil.rmtree(path)
        else:
            filechange.remove(path)
    except OSError as error:
        raise StoreError(
            "unwritable", f"cannot delete {path}: {error.strerror or error}"
        ) from error
