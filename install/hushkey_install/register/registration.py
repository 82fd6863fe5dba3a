"""How hushkey registers with a tool: shown first, then made, and taken back exactly."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import click

from hushkey.system import madefolders, ownership, paths
from hushkey_install.common import output
from hushkey_install.common.filechange import Change
from hushkey_install.common.finding import Finding
from hushkey_install.tools.installation import Installation

Option = Callable[[Any], Any]


class Plan:
    """What one `install` or `uninstall` is about to do.

    *show* prints it and tells whether there is anything; *apply* does it; *tidy* is
    what is done where there is nothing to show.
    """

    def __init__(
        self,
        show: Callable[[], bool],
        apply: Callable[[], object],
        tidy: Callable[[], object] = lambda: None,
        due: Callable[[], bool] = lambda: True,
    ) -> None:
        """*due* tells, without a word, whether *show* has something to show."""
        self.show = show
        self.apply = apply
        self.tidy = tidy
        self.due = due

    def run(self, *, dry_run: bool) -> bool:
        """Show it, and do it unless *dry_run*; tell whether there was anything."""
        shown = self.show()
        if not shown:
            output.say("nothing to change", err=True)
        if not dry_run:
            (self.apply if shown else self.tidy)()
        return shown


class Checked:
    """One tool by its *name*, and what doctor finds of it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def checks(self, installation: Installation) -> Iterator[Finding]:
        """Yield what doctor is to say of this tool.

        Like all of doctor it asks no server, changes nothing, and never prompts.
        """
        return iter(())

    def urls_in_use(self, installation: Installation) -> Iterator[str]:
        """Yield the URLs that the tool asks for here, us or others."""
        return iter(())


class Registration(Checked):
    """One tool, by its *name* in `hushkey install NAME`.

    ``install_options`` and ``uninstall_options`` are options of click's that only this
    tool has; their values are handed to `plan` and `undo`, which raise HushkeyError.
    """

    #: hosts may be named; else the tool asks for every host
    takes_hosts = False
    #: a path is part of what it calls one: a registry, a channel
    takes_paths = False
    #: what is named to it in an example; empty where nothing has to be
    sample = ""
    #: what kind of tool it is, of `purposes`, where `hushkey setup` may offer it
    kind = ""
    #: what a person may try with a host then; holds ``{host}`` or
    #: ``{origin}``
    trial = ""
    #: it asks a keyring, in one way or another
    asks_keyring = False
    #: what is said once it is taken out; empty where its plan says so, with the hosts
    farewell = "{name} no longer asks hushkey{where}"
    install_options: tuple[Option, ...] = ()
    uninstall_options: tuple[Option, ...] = ()

    def plan(
        self, environ: dict[str, str], hosts: tuple[str, ...], **more: Any
    ) -> Plan:
        """Return what registers hushkey: for *hosts*, or for all that it knows."""
        raise NotImplementedError

    def undo(
        self, environ: dict[str, str], hosts: tuple[str, ...], **more: Any
    ) -> Plan:
        """Return what takes that back: for *hosts*, or all of it."""
        raise NotImplementedError

    def alone(self, environ: Mapping[str, str]) -> AbstractContextManager[None]:
        """Return what keeps another `hushkey install` out while files change."""
        return nullcontext()

    def files(self, environ: Mapping[str, str]) -> Iterator[str]:
        """Yield the tool's own files that are changed, and may have a backup."""
        return iter(())

    def words_for(
        self, environ: Mapping[str, str], host: str, path: str
    ) -> tuple[str, ...]:
        """Return what `hushkey setup` names to it for the server at *host*.

        *path* is the one that the person gave, without a slash at its ends, or empty.
        """
        if not self.takes_hosts:
            return ()
        return (f"{host}/{path}" if path and self.takes_paths else host,)

    # -- what the command does ------------------------------------------------------

    def install(self, hosts: tuple[str, ...], dry_run: bool, **more: Any) -> None:
        """Register hushkey with the tool."""
        lacked = madefolders.before(self.files(os.environ))
        self._run(self.plan, hosts, dry_run, more)
        if not dry_run:
            madefolders.note(os.environ, lacked)

    def uninstall(self, hosts: tuple[str, ...], dry_run: bool, **more: Any) -> None:
        """Take out what install put in."""
        there = [path for path in self.files(os.environ) if os.path.lexists(path)]
        if self._run(self.undo, hosts, dry_run, more) and not dry_run:
            self.say_farewell(hosts)
        gone = [path for path in there if not os.path.lexists(path)]
        madefolders.sweep(os.environ, gone)

    def say_farewell(self, hosts: tuple[str, ...] = ()) -> None:
        """Say that it is taken out, of *hosts* alone if they are named."""
        if self.farewell:
            where = f" for {', '.join(hosts)}" if hosts else ""
            line = self.farewell.format(name=self.name, where=where)
            output.say(line, err=True)

    def _run(
        self,
        make: Callable[..., Plan],
        hosts: tuple[str, ...],
        dry_run: bool,
        more: Mapping[str, Any],
    ) -> bool:
        environ = dict(os.environ)
        # Where nothing can be noted, nothing is changed, nor is a note believed.
        ownership.check_private(paths.data_folder(environ))
        if hosts and not self.takes_hosts:
            raise click.UsageError("it asks for every host: name none")
        with nullcontext() if dry_run else self.alone(environ):
            return make(environ, hosts, **more).run(dry_run=dry_run)


def show(change: Change) -> bool:
    """Print *change* as a diff; False if there is none."""
    if change:
        output.diff(change.diff())
    return bool(change)
