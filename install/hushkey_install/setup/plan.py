"""What a set-up will change: all of it known, and shown, before any of it is made."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from hushkey.errors import Permanent
from hushkey.system import paths, programs
from hushkey_install.common import output
from hushkey_install.common.context import Context
from hushkey_install.common.filechange import Change, temporary_folder, write_text
from hushkey_install.config import addhost, document
from hushkey_install.register import table
from hushkey_install.register.registration import Registration
from hushkey_install.setup import questions
from hushkey_install.setup.questions import Answers, Flags, Secret
from hushkey_install.setup.target import Target
from hushkey_install.tools import purposes


class Plan(NamedTuple):
    """One set-up. ``pattern`` is the rule's, ``host`` what tools are told."""

    target: Target
    pattern: str
    host: str
    identity: str
    client: str
    #: what people type is kept, and nobody signs in
    typed: bool
    machine: bool
    change: Change
    secret: Secret | None
    signs_in: bool
    #: the tools that are to be registered, and those that are or will be
    tools: tuple[Registration, ...]
    registered: tuple[Registration, ...]

    def __bool__(self) -> bool:
        return bool(self.change or self.secret or self.signs_in or self.tools)

    def show(self, environ: Mapping[str, str], *, whole: bool) -> None:
        """Print it; *whole*: with every line that tools' own files get.

        In words of what has not been done: nobody has agreed to it yet.
        """
        if self.change:
            output.diff(document.shown(self.change).diff())
        if self.secret:
            output.say(f"the token for {self.host} will be kept, encrypted", err=True)
        if self.signs_in:
            whom = f", as client {self.client}" if self.client else ""
            about = "be asked for a token for" if self.machine else "sign you in to"
            output.say(
                f"identity {self.identity} will {about} {self.host}{whom}", err=True
            )
        for tool in self.tools:
            output.say(f"{tool.name} will ask hushkey", err=True)
        if whole and self.tools:
            with changed(environ, self.change) as there:
                for tool in self.tools:
                    hosts = self.hosts(tool, there)
                    tool.plan(there, hosts, sure=True).run(dry_run=True)

    def hosts(self, tool: Registration, environ: Mapping[str, str]) -> tuple[str, ...]:
        """Return what *tool* is registered for: the address as given, if it has a path.

        What git clones is no registry, and the rule's own path is part of the address.
        """
        git = self.target.kind == purposes.GIT
        if self.target.path and tool.takes_paths and not git:
            return tool.words_for(environ, self.target.host, self.target.path)
        return tool.words_for(environ, self.host, "")


def make(answers: Answers, flags: Flags, environ: Mapping[str, str]) -> Plan:
    """Return what *answers* come to; a person is asked for what is still missing."""
    change = _config(answers, environ)
    with changed(environ, change) as there:
        context = Context(there)
        target = answers.found.target
        rule = context.config.rule_for(target.request)
        if rule is None:
            missing = context.config.missing_for(target.request)
            raise Permanent(f"{target.host} would still lack {missing or 'a rule'}")
        identity = rule.identity
        silent = identity.typed or identity.machine
        used = silent or context.is_used(identity)
        installed = _installed(environ)
        host = target.host if rule.pattern.startswith("*.") else rule.pattern
        made = Plan(
            target,
            rule.pattern,
            host,
            identity.name,
            identity.client_id,
            identity.typed,
            identity.machine,
            change,
            answers.secret,
            signs_in=flags.login and not identity.typed and bool(change or not used),
            tools=(),
            registered=(),
        )
        chosen = questions.tools(answers.found, flags, installed)
        named = [t for t in table.REGISTRATIONS if t.name in chosen]
        due = [t for t in named if t.plan(there, made.hosts(t, there), sure=True).due()]
        return made._replace(tools=tuple(due), registered=tuple(named))


def _config(answers: Answers, environ: Mapping[str, str]) -> Change:
    """Return the change to the config: identity, host, and where the key lives."""
    source = paths.config_file(environ)

    def edit(doc: Any) -> None:
        if answers.key_file:
            document.put(doc, ["settings", "key_store"], "file")
        if plan:
            addhost.write(doc, *plan)

    plan = addhost.planned(answers.given) if answers.given else None
    return document.edited(source, "set it up", edit)


def _installed(environ: Mapping[str, str]) -> list[str]:
    """Return the tools that are here and that may be offered."""
    found = (t.name for t in table.REGISTRATIONS if t.kind)
    return [name for name in found if programs.find(name, environ)]


@contextmanager
def changed(environ: Mapping[str, str], change: Change) -> Iterator[dict[str, str]]:
    """Give an environment in which *change* has been made, to look at."""
    if not change:
        yield dict(environ)
        return
    with temporary_folder() as folder:
        path = os.path.join(folder, "config.toml")
        write_text(path, change.after, 0o600)
        yield {**environ, "HUSHKEY_CONFIG": path}
