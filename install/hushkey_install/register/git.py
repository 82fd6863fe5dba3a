"""Registering with git: per host an empty ``helper =`` line, then ours.

The empty line resets the list, so that no globally configured helper stores
our tokens (gitcredentials(7); measured on git 2.39 and 2.55). Hosts with path
rules also get useHttpPath, since git sends no path otherwise.
"""

from __future__ import annotations

import os
import shlex
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import click

from hushkey import origins
from hushkey.errors import Permanent
from hushkey.system import programs
from hushkey_install.common import output
from hushkey_install.common.context import Context
from hushkey_install.common.filechange import Change, drop_backup, remove
from hushkey_install.common.finding import Finding
from hushkey_install.common.installrecord import InstallRecord, replaced, restored
from hushkey_install.config import document
from hushkey_install.register import ci, gitchecks
from hushkey_install.register.registration import Plan, Registration, show
from hushkey_install.tools import githelpers
from hushkey_install.tools.gitfile import Git
from hushkey_install.tools.installation import Installation

_HELPER = "git-credential-hushkey"


class GitRegistration(Registration):
    """git, by helper lines in its global file."""

    takes_hosts = True
    install_options = (
        click.option(
            "--ci",
            is_flag=True,
            help="In a pipeline's job: its own token opens its own server.",
        ),
    )

    def plan(
        self, environ: dict[str, str], hosts: tuple[str, ...], **more: Any
    ) -> Plan:
        """Return what registers every host of the user's config, and *hosts*.

        With the option ``ci`` in *more*, the job's own server, too; its registries
        get their rules, for the tools that ask for them.
        """
        context = Context(environ)
        if not more.get("ci"):
            return _plan(context, hosts)
        job = ci.patterns(environ)
        return _with_config(ci.change(context, job), _plan(context, hosts, job[:1]))

    def undo(
        self, environ: dict[str, str], hosts: tuple[str, ...], **more: Any
    ) -> Plan:
        """Return what takes all of it out; a wrong config is no hindrance."""
        return _undo(environ)

    def files(self, environ: Mapping[str, str]) -> Iterator[str]:
        """Yield git's global file."""
        yield Git(dict(environ)).path

    def checks(self, installation: Installation) -> Iterator[Finding]:
        """Yield what keeps git from asking us, and who else is handed tokens."""
        return gitchecks.check(installation, partial(self.install, (), False))

    def urls_in_use(self, installation: Installation) -> Iterator[str]:
        """Yield the remotes of this repository, and what git asks us for."""
        return gitchecks.urls_in_use(installation)


GIT = GitRegistration("git")


def _with_config(change: Change, plan: Plan) -> Plan:
    """Return *plan* with the *change* of the config before it."""

    def shown() -> bool:
        return any([show(document.shown(change)), plan.show()])

    def apply() -> None:
        if change:
            document.save(change)
        plan.apply()

    return Plan(shown, apply)


def _plan(context: Context, wanted: tuple[str, ...], job: Sequence[str] = ()) -> Plan:
    """Return the plan; *job* are patterns that have no rule yet."""
    sections = dict(_sections(context, wanted, job))
    if not sections:
        raise Permanent(
            "no host has an identity yet",
            hint="run `hushkey config add-host HOST` first, or name a built-in one: "
            "`hushkey install git dev.azure.com`",
        )
    git = Git(context.environ)
    helper = _helper(context.environ)
    paths_set: list[str] = []
    change = git.edited(lambda file: _add(git, file, sections, helper, paths_set))

    def apply() -> None:
        # Remembered first: what could not be undone is not done.
        _remember(context.environ, git, change, paths_set)
        change.apply()
        output.say(f"git asks hushkey for: {', '.join(sections)}", err=True)
        if git.version() < (2, 46):
            output.say(
                "note: a repository's own credential.helper still sees tokens with "
                "this git; from git 2.46 on they are marked as not to be kept",
                err=True,
            )

    return Plan(lambda: show(change), apply)


def _undo(environ: dict[str, str]) -> Plan:
    """Return what takes ours out; exactly, if the file is as we left it."""
    git = Git(environ)
    record = _record(environ, git)
    current = git.text()
    before = restored(record, current) if record else None
    if before is not None:
        change = Change(git.path, current, before)
    else:
        change = git.edited(lambda file: _remove(git, file, record))

    def apply() -> None:
        drop_backup(git.path)
        change.apply(backup=False)
        if before == "" and not record["existed"]:
            remove(git.path)  # it was made by install
        InstallRecord(environ, "git").write({})
        output.say("git no longer asks hushkey", err=True)

    return Plan(lambda: show(change), apply, lambda: drop_backup(git.path))


# -- what belongs there -----------------------------------------------------


def _sections(
    context: Context, wanted: tuple[str, ...], job: Sequence[str]
) -> Iterator[tuple[str, bool]]:
    """Yield (URL of a credential section, whether it needs the path).

    Azure DevOps has an organisation in the path, which decides the tenant.
    """
    by_url: dict[str, bool] = {}
    chosen = [rule for rule, _ in context.own_rules()]
    known = {rule.pattern: rule for rule in context.config.rules()}
    chosen += [known.get(url) or context.rule(url)[0] for url in wanted]
    written_as = [(rule.pattern, rule.identity.tenants) for rule in chosen]
    for written, tenants in (*written_as, *((pattern, False) for pattern in job)):
        pattern = origins.parse_pattern(written)
        host = f"*.{pattern.host}" if pattern.wild else pattern.host
        port = (
            ""
            if pattern.port == origins.DEFAULT_PORTS[pattern.scheme]
            else pattern.port
        )
        url = f"{pattern.scheme}://{host}{f':{port}' if port else ''}"
        by_url[url] = by_url.get(url, False) or bool(pattern.path) or tenants
    yield from by_url.items()


def _helper(environ: dict[str, str]) -> str:
    """Return the helper's name, or its path where git would not find it."""
    if programs.find(_HELPER, environ):
        return "hushkey"
    beside = os.path.join(sysconfig.get_path("scripts"), _HELPER)
    if not os.access(beside, os.X_OK):
        raise Permanent(
            f"{_HELPER} is not on PATH", hint="add hushkey's bin folder to PATH"
        )
    return f"!{shlex.quote(beside)}"


def _add(
    git: Git,
    file: str,
    sections: dict[str, bool],
    helper: str,
    paths_set: list[str],
) -> None:
    """Add what is missing; *paths_set* gets the useHttpPath keys that are new."""
    for url, needs_path in sections.items():
        key = f"credential.{url}.helper"
        if git.values(file, key)[-2:] != ["", helper]:
            _drop(git, file, key)
            git.run(file, "--add", key, "")
            git.run(file, "--add", key, helper)
        needed = f"credential.{url}.useHttpPath"
        if needs_path and not git.values(file, needed):
            paths_set.append(needed)
        if needs_path:
            git.run(file, needed, "true")


def _remove(git: Git, file: str, record: dict[str, Any]) -> None:
    """Take out our helper lines, and the useHttpPath that we set."""
    for key in git.keys(file):
        needs_path = key.removesuffix("helper") + "useHttpPath"
        if _drop(git, file, key) and needs_path in record.get("paths", ()):
            git.run(file, "--unset-all", needs_path, check=False)


def _drop(git: Git, file: str, key: str) -> bool:
    """Take our pair of lines out of *key*; tell whether it was there."""
    values = git.values(file, key)
    ours = [n for n, value in enumerate(values) if githelpers.is_ours(value)]
    if not ours:
        return False
    gone = {
        n
        for number in ours
        for n in (number, number - 1)
        if not values[n] or n == number
    }
    kept = [value for n, value in enumerate(values) if n not in gone]
    if not kept:
        git.run(file, "--unset-all", key)
        return True
    # Replaced in place: where a section stands decides when its helper is asked.
    git.run(file, "--replace-all", key, kept[0])
    for value in kept[1:]:
        git.run(file, "--add", key, value)
    return True


# -- what we did ------------------------------------------------------------


def _remember(
    environ: dict[str, str], git: Git, change: Change, paths_set: list[str]
) -> None:
    """Note what uninstall restores; an earlier note counts as far as it is true."""
    earlier = _record(environ, git)
    before = restored(earlier, change.before) if earlier else change.before
    if before is None:  # edited since: what the person wrote stays, what we wrote goes
        before = git.edited(lambda file: _remove(git, file, earlier)).after
    record = {
        "path": change.path,
        "existed": earlier.get("existed", os.path.lexists(change.path)),
        "paths": [*earlier.get("paths", ()), *paths_set],
        **replaced(before, change.after),
    }
    InstallRecord(environ, "git").write(record)


def _record(environ: dict[str, str], git: Git) -> dict[str, Any]:
    """Return what install noted about git's file, or nothing."""
    return InstallRecord(environ, "git").about(git.path, {"existed": bool})
