"""Leaving: every registration taken out, and with --purge all that hushkey keeps."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from os.path import lexists

import click

from hushkey.config import rules
from hushkey.errors import HushkeyError, Permanent, StoreError
from hushkey.model import Frozen
from hushkey.store.datakey import open_data_key
from hushkey.store.keystores import open_key_store
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
from hushkey_install.common.context import Context
from hushkey_install.config import addhost
from hushkey_install.inspect import status
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
    environ = dict(os.environ)
    if purge and not (yes or dry_run or addhost.is_person()):
        raise Permanent(
            "nobody can be asked here, and nothing was changed",
            hint="run `hushkey uninstall --all --purge --yes`",
        )
    ownership.check_private(paths.data_folder(environ))
    leaving = _look(environ)
    for path in leaving.scripts:
        output.say(f"- {path}")
    if leaving.ok and not leaving.tools and not leaving.scripts:
        output.say("no tool was registered", err=True)
    if purge:
        _show_purge(environ, leaving)
    if dry_run:
        raise click.exceptions.Exit(0 if leaving.ok else 1)
    if purge and not yes:
        if not output.confirm("take hushkey out and delete all of this for good?"):
            raise Permanent("nothing was changed")
        yes = True  # of a tool's own question, too
    ok = _take_out(environ, leaving, yes=yes)
    (_purge if purge else agentcontrol.end)(environ)
    if not ok:
        raise click.exceptions.Exit(1)


class _Leaving(Frozen):
    """What there is to take out: the names of ``tools`` and completion ``scripts``.

    ``quiet`` are the tools that have nothing to show; ``ok`` tells whether each could
    be looked at.
    """

    tools: tuple[str, ...]
    quiet: tuple[str, ...]
    scripts: tuple[str, ...]
    ok: bool


def _look(environ: dict[str, str]) -> _Leaving:
    """Show what would be taken out of each tool; changes nothing."""
    tools: list[str] = []
    quiet: list[str] = []
    for tool in table.REGISTRATIONS:
        try:
            shown = tool.undo(environ, ()).show()
        except HushkeyError as error:
            output.say(f"hushkey: {tool.name}: {error.line()}", err=True)
            continue
        (tools if shown else quiet).append(tool.name)
    return _Leaving(
        tuple(tools),
        tuple(quiet),
        tuple(completionfile.written(environ)),
        len(tools) + len(quiet) == len(table.REGISTRATIONS),
    )


def _take_out(environ: dict[str, str], leaving: _Leaving, *, yes: bool) -> bool:
    """Take out every registration that was looked at; tell whether all went well."""
    ok = leaving.ok
    gone: list[str] = []
    for tool in table.REGISTRATIONS:
        if tool.name not in (*leaving.tools, *leaving.quiet):
            continue
        try:
            with tool.alone(environ):
                # Made again: a person may have thought for long.
                plan = tool.undo(environ, (), yes=yes)
                there = [path for path in tool.files(environ) if lexists(path)]
                if tool.name in leaving.tools:
                    plan.apply()
                    tool.say_farewell()
                else:
                    plan.tidy()
                gone += [path for path in there if not lexists(path)]
        except HushkeyError as error:
            output.say(f"hushkey: {tool.name}: {error.line()}", err=True)
            ok = False
    gone += completionfile.take_out(environ)
    madefolders.sweep(environ, gone)
    return ok


def _show_purge(environ: dict[str, str], leaving: _Leaving) -> None:
    """Say all that goes, for the one question: never a secret."""
    folder, config = paths.data_folder(environ), paths.config_file(environ)
    for path in (*datafolder.own(folder), *_files(config)):
        output.say(f"- {path}")
    kept = datafolder.counts(folder)
    if leaving.tools:
        output.say(f"tools: {', '.join(leaving.tools)}", err=True)
    if kept:
        sign_ins, logins = _names(environ)
        if sign_ins:
            output.say(f"signed in: {output.listed(sign_ins)}", err=True)
        if logins:
            output.say(f"typed: {output.listed(logins)}", err=True)
    whats = f"{kept}, the key to them," if kept else "the key"
    output.say(f"{whats} and the config go for good", err=True)


def _names(environ: dict[str, str]) -> tuple[list[str], list[str]]:
    """Return who is signed in, by identity, and what was typed for whom.

    As far as the config and the key can be read; the rest is only counted.
    """
    try:
        context = Context(environ)
    except HushkeyError:
        return [], []
    sign_ins = status.signed_in(context)
    return sign_ins, status.logins(context)


def _purge(environ: dict[str, str]) -> None:
    """Delete all that hushkey keeps."""
    folder, config = paths.data_folder(environ), paths.config_file(environ)
    made = madefolders.noted(environ)
    _sign_out()
    agentcontrol.end(environ)
    _drop_key(environ, folder)
    for path in (*datafolder.own(folder), *_files(config)):
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
