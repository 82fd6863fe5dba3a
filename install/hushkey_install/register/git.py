"""Registering with git: per host an empty ``helper =`` line, then ours.

The empty line resets the list, so that no globally configured helper stores
our tokens (gitcredentials(7); measured on git 2.39 and 2.55). Between the two is the
line that asks the agent by git's own client (`gitdoor`). Hosts with path
rules also get useHttpPath, since git sends no path otherwise. Ours is the helper's
absolute path: a program that a desktop starts has a shorter PATH than a shell.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import click

from hushkey import origins
from hushkey.errors import HushkeyError, Permanent
from hushkey_install.common import output, typedsecrets
from hushkey_install.common.context import Context
from hushkey_install.common.filechange import Change, drop_backup, remove
from hushkey_install.common.finding import Finding
from hushkey_install.common.installrecord import InstallRecord, replaced, restored
from hushkey_install.config import document
from hushkey_install.register import ci, gitchecks, gitdoor, gitsections
from hushkey_install.register.registration import Plan, Registration, show
from hushkey_install.tools import githelpers, purposes
from hushkey_install.tools.gitfile import Git, exactly
from hushkey_install.tools.installation import Installation


class GitRegistration(Registration):
    """git, by helper lines in its global file."""

    farewell = ""
    takes_hosts = True
    kind = purposes.GIT
    trial = "git clone {origin}/OWNER/REPOSITORY"
    install_options = (
        click.option(
            "--ci",
            is_flag=True,
            help="In a pipeline's job: its own token opens its own server.",
        ),
    )

    def plan(
        self,
        environ: dict[str, str],
        hosts: tuple[str, ...],
        *,
        sure: bool = False,
        **more: Any,
    ) -> Plan:
        """Return what registers every host of the user's config, and *hosts*.

        With the option ``ci`` in *more*, the job's own server, too; its registries
        get their rules, for the tools that ask for them. *sure*: somebody is signed
        in by then, or a password is kept.
        """
        context = Context(environ)
        if not more.get("ci"):
            return _plan(context, hosts, sure=sure)
        job = ci.patterns(environ)
        left = list(_left_to_others(context, job[0]))
        own = [pattern for pattern in job[:1] if pattern not in left]
        made = _plan(context, hosts, own, sure=True, may_be_none=bool(left))
        return _with_config(ci.change(context, job, left), made)

    def undo(
        self, environ: dict[str, str], hosts: tuple[str, ...], **more: Any
    ) -> Plan:
        """Return what takes it out, of *hosts* or all; no config is asked for it."""
        return _undo(environ, hosts)

    def files(self, environ: Mapping[str, str]) -> Iterator[str]:
        """Yield git's global file."""
        yield Git(dict(environ)).path

    def checks(self, installation: Installation) -> Iterator[Finding]:
        """Yield what keeps git from asking us, and who else is handed tokens."""
        return gitchecks.check(
            installation,
            partial(self.install, (), False),
            lambda section: self.uninstall((section,), False),
        )

    def urls_in_use(self, installation: Installation) -> Iterator[str]:
        """Yield the remotes of this repository, and what git asks us for."""
        return gitchecks.urls_in_use(installation)


GIT = GitRegistration("git")


def _left_to_others(context: Context, pattern: str) -> Iterator[str]:
    """Say what others gave git for *pattern*; yield it if that is for everywhere.

    Nothing of it is changed: the runner takes out what it wrote.
    """
    git = Git(context.environ)
    try:
        folder = os.getcwd()
    except OSError:  # it was deleted
        folder = "/"
    if helper := ci.served(context, git, pattern):
        output.say(
            f"note: {pattern} is left out: another helper answers git there, {helper}",
            err=True,
        )
        yield pattern
    elif given := ci.in_repository(git, pattern, folder):
        output.say(
            f"note: the runner gave this repository {given} for {pattern}; that stays",
            err=True,
        )


def _with_config(change: Change, plan: Plan) -> Plan:
    """Return *plan* with the *change* of the config before it."""

    def shown() -> bool:
        return any([show(document.shown(change)), plan.show()])

    def apply() -> None:
        if change:
            document.save(change)
        plan.apply()

    return Plan(shown, apply)


def _plan(
    context: Context,
    wanted: tuple[str, ...],
    job: Sequence[str] = (),
    *,
    sure: bool,
    may_be_none: bool = False,
) -> Plan:
    """Return the plan; *job* are patterns that have no rule yet."""
    git = Git(context.environ)
    # Whatever is there already is kept up to date, built-in hosts too.
    there = dict.fromkeys(gitsections.kept(context, git), False)
    typed = dict.fromkeys(_typed(context, wanted), False)
    new = dict(_sections(context, wanted, job)) | typed
    left = {} if sure else dict(_served(context, git, new.keys() - there.keys()))
    sections = there | {url: path for url, path in new.items() if url not in left}
    for url, why in left.items():
        output.say(f"note: {url} is left out: {why}", err=True)
    if not sections and may_be_none:
        return Plan(bool, lambda: None, due=bool)
    if not sections and not left:
        raise Permanent(
            "no host has an identity yet",
            hint="run `hushkey setup HOST`, or name a built-in one: "
            "`hushkey install git dev.azure.com`",
        )
    door = gitdoor.line(context.environ)
    ours = [*filter(None, [door]), gitsections.helper(context.environ)]
    paths_set: list[str] = []
    change = git.edited(lambda file: _add(git, file, sections, ours, paths_set))

    def apply() -> None:
        # Remembered first: what could not be undone is not done.
        _remember(context.environ, git, change, paths_set)
        change.apply()
        output.say(f"git asks hushkey for: {', '.join(sections)}", err=True)
        for url in typed.keys() & sections.keys():
            output.say(
                f"note: {url} has no identity: hushkey keeps what you type for it, "
                "encrypted",
                err=True,
            )
        if git.version() < (2, 46):
            output.say(
                "note: a repository's own credential.helper still sees tokens with "
                "this git; from git 2.46 on they are marked as not to be kept",
                err=True,
            )

    return Plan(lambda: show(change), apply, due=lambda: bool(change))


def _undo(environ: dict[str, str], hosts: tuple[str, ...]) -> Plan:
    """Return what takes ours out; exactly, if the file is as we left it."""
    git = Git(environ)
    record = _record(environ, git)
    current = git.text()
    urls = {gitsections.named(word): word for word in hosts}
    gone: list[str] = []
    left: list[str] = []

    def edit(file: str) -> None:
        gone.extend(_remove(git, file, record, urls))
        left.extend(section for section, _ in gitsections.registered(git, file))

    change = git.edited(edit)
    some = bool(urls) and bool(left)
    before = restored(record, current) if record and not some else None
    if before is not None and (not urls or gone):
        change = Change(git.path, current, before)

    def apply() -> None:
        drop_backup(git.path)
        if some:
            _remember(environ, git, change, [], ours=True)
        change.apply(backup=False)
        if not some:
            if before == "" and not record["existed"]:
                remove(git.path)  # it was made by install
            InstallRecord(environ, "git").write({})
        where = f" for {', '.join(gone)}" if some else ""
        output.say(f"git no longer asks hushkey{where}", err=True)

    def told() -> bool:
        for url in urls.keys() - {gitsections.normal(section) for section in gone}:
            output.say(f"git was not told to ask hushkey for {url}", err=True)
        return show(change)

    return Plan(told, apply, lambda: None if urls else drop_backup(git.path))


# -- what belongs there -----------------------------------------------------


def _sections(
    context: Context, wanted: tuple[str, ...], job: Sequence[str]
) -> Iterator[tuple[str, bool]]:
    """Yield (URL of a credential section, whether it needs the path).

    Azure DevOps has an organisation in the path, which decides the tenant.
    """
    by_url: dict[str, bool] = {}
    own = (rule for rule, _ in context.own_rules())
    chosen = [rule for rule in own if purposes.GIT in (rule.tools or (purposes.GIT,))]
    known = {rule.pattern: rule for rule in context.config.rules()}
    for word in wanted:
        if rule := known.get(word) or context.rule_or_none(word):
            chosen.append(rule)
    written_as = [(rule.pattern, rule.identity.tenants) for rule in chosen]
    for written, tenants in (*written_as, *((pattern, False) for pattern in job)):
        pattern = origins.parse_pattern(written)
        url = gitsections.url_of(pattern)
        by_url[url] = by_url.get(url, False) or bool(pattern.path) or tenants
    yield from by_url.items()


def _typed(context: Context, wanted: tuple[str, ...]) -> Iterator[str]:
    """Yield the URLs of the hosts that nobody signs in to: what is typed is kept."""
    patterns = {rule.pattern for rule in context.config.rules()}
    for word in wanted:
        if word not in patterns and context.rule_or_none(word) is None:
            yield gitsections.named(word)


def _served(
    context: Context, git: Git, urls: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Yield the *urls* for which other helpers have a password and we have nothing.

    To register us would silence them, and every fetch would begin to ask.
    """
    for url in urls:
        request = githelpers.request_of(url)
        try:
            rule = context.config.rule_for(request)
        except HushkeyError:
            continue  # its rules go by path
        if rule and not rule.identity.typed:
            if rule.identity.machine or context.is_used(rule.identity):
                continue
            cure = f"`hushkey login {rule.pattern}` first"
        else:
            if typedsecrets.tools_of(request.protocol, request.host, context.environ):
                continue
            cure = "`hushkey import` takes it over"
        others = githelpers.chain(git, request).others()
        if others and git.has_password(request.protocol, request.host):
            names = ", ".join(dict.fromkeys(helper.name for helper in others))
            yield url, f"{names} has a password for it, and hushkey nothing yet; {cure}"


def _add(
    git: Git,
    file: str,
    sections: dict[str, bool],
    ours: Sequence[str],
    paths_set: list[str],
) -> None:
    """Add what is missing; *paths_set* gets the useHttpPath keys that are new."""
    for url, needs_path in sections.items():
        key = f"credential.{url}.helper"
        _write(git, file, key, _with_ours(git.values(file, key), ours))
        needed = f"credential.{url}.useHttpPath"
        if needs_path and not git.values(file, needed):
            paths_set.append(needed)
        if needs_path:
            git.run(file, needed, "true")


def _with_ours(values: list[str], ours: Sequence[str]) -> list[str]:
    """Return *values* so that, from the last empty one on, git asks us alone.

    *ours* are the helper, and what asks the agent in front of it. Who wrote a line of
    their own that asks our agent keeps that one in its place.
    """
    start = len(values) - values[::-1].index("") if "" in values else 0
    tail = [value for value in values[start:] if not _is_written(value)]
    theirs = [value for value in tail if githelpers.is_socket(value)]
    if start and theirs == tail:
        kept = _without_ours(values[: start - 1])
    else:
        kept = [value for value in _without_ours(values) if value not in theirs]
    return [*kept, "", *(theirs or ours[:-1]), ours[-1]]


def _is_written(value: str) -> bool:
    """Tell whether a helper *value* is a line that install writes."""
    return githelpers.is_ours(value) or gitdoor.is_door(value)


def _remove(
    git: Git, file: str, record: dict[str, Any], urls: Collection[str] = ()
) -> list[str]:
    """Take out our helper lines, and the useHttpPath that we set; return of which.

    *urls* are the sections that are meant; none means all.
    """
    gone = []
    for key in git.keys(file):
        section = gitsections.section_of(key)
        if urls and gitsections.normal(section) not in urls:
            continue
        needs_path = key.removesuffix("helper") + "useHttpPath"
        if not _drop(git, file, key):
            continue
        gone.append(section)
        if needs_path in record.get("paths", ()):
            git.run(file, "--unset-all", needs_path, check=False)
    return gone


def _drop(git: Git, file: str, key: str) -> bool:
    """Take our pair of lines out of *key*; tell whether it was there."""
    values = git.values(file, key)
    if not any(map(_is_written, values)):
        return False
    _write(git, file, key, _without_ours(values))
    return True


def _without_ours(values: list[str]) -> list[str]:
    """Return *values* without our lines, and the empty one in front of each."""
    ours = [n for n, value in enumerate(values) if _is_written(value)]
    empty = {n - 1 for n in ours if n and not values[n - 1]}
    return [value for n, value in enumerate(values) if n not in empty.union(ours)]


def _write(git: Git, file: str, key: str, values: list[str]) -> None:
    """Let *key* have *values*, in their order; lines that stay are not touched."""
    there = git.values(file, key)
    if not values and there:
        git.run(file, "--unset-all", key)
        return
    # In place: where a section stands decides when its helper is asked.
    pairs = zip(there, values, strict=False)
    changed = {old: new for old, new in pairs if old != new}
    for old, new in changed.items():
        if there.count(old) == 1 and new not in changed:
            git.run(file, "--replace-all", key, new, exactly(old), check=False)
    if git.values(file, key) != values[: len(there)]:
        git.run(file, "--replace-all", key, values[0])
        there = values[:1]
    for value in values[len(there) :]:
        git.run(file, "--add", key, value)


# -- what we did ------------------------------------------------------------


def _remember(
    environ: dict[str, str],
    git: Git,
    change: Change,
    paths_set: list[str],
    *,
    ours: bool = False,
) -> None:
    """Note what uninstall restores; an earlier note counts as far as it is true.

    *ours*: without a note, our lines of before were made by an install, too.
    """
    earlier = _record(environ, git)
    before = restored(earlier, change.before) if earlier or ours else change.before
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
