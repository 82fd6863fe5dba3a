"""The conversation of `hushkey import`: what was found, what to take, how it went."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from hushkey import origins
from hushkey.config import rules
from hushkey.config.rules import Config
from hushkey.errors import HushkeyError, Permanent
from hushkey.model import Request
from hushkey.system import ownership, paths
from hushkey_install.common import output
from hushkey_install.importers import dockerauths, gitstore, libsecret
from hushkey_install.importers.entry import Entry, keep
from hushkey_install.tools import githelpers
from hushkey_install.tools.gitfile import Git

#: the sources, by the name that the command knows them by
SOURCES = {module.NAME: module for module in (gitstore, libsecret, dockerauths)}


def run(wanted: tuple[str, ...], *, yes: bool, dry_run: bool) -> int:
    """Take over what the person says yes to; return the exit code."""
    config = rules.load(os.environ)
    ownership.check_private(paths.data_folder(os.environ))  # where it all would go
    found = list(_found(wanted or tuple(SOURCES)))
    new = [entry for entry in found if not _skipped(config, entry)]
    if not new:
        output.say("there is nothing to take over", err=True)
        return 0
    if dry_run or not (yes or _is_person()):
        for entry in new:
            output.say(f"{entry.source}: {entry.shown()}")
        if dry_run:
            return 0
        raise Permanent("nobody can be asked here", hint="run it with --yes")
    return _take(new, yes)


def _take(new: list[Entry], yes: bool) -> int:
    kept: list[Entry] = []
    failed = False
    for entry in new:
        question = f"{entry.source}: take over {entry.shown()}?"
        if not (yes or output.confirm(question)):
            continue
        try:
            keep(entry, os.environ)
        except HushkeyError as error:
            output.say(f"hushkey: {error.line()}", err=True)
            failed = True
            continue
        output.say(f"{entry.source}: {entry.shown()}")
        kept.append(entry)
    _say_what_is_left(kept)
    return int(failed)


def _say_what_is_left(kept: list[Entry]) -> None:
    """Name what still holds the secrets: nothing of others is ever deleted here."""
    if not kept:
        return
    names = dict.fromkeys(entry.source for entry in kept)
    left = [place for name in names for place in SOURCES[name].places(os.environ)]
    output.say(
        f"{len(kept)} taken over; they are still in {', '.join(left)}: delete them "
        "there when you no longer need them",
        err=True,
    )
    if any(entry.tool == "git" and not _git_asks_us(entry) for entry in kept):
        output.say(
            "git asks hushkey for them after `git config --global --add "
            "credential.helper hushkey`",
            err=True,
        )


def _git_asks_us(entry: Entry) -> bool:
    request = Request(entry.protocol, entry.host, entry.path, entry.user)
    try:
        return githelpers.chain(Git(dict(os.environ)), request).has_ours
    except HushkeyError:
        return True  # without git there is nobody to be told


def _found(names: tuple[str, ...]) -> Iterator[Entry]:
    """Yield what the sources hold; one that fails is named, the others count."""
    for name in names:
        try:
            yield from SOURCES[name].entries(os.environ)
        except HushkeyError as error:
            output.say(f"hushkey: {name}: {error.line()}", err=True)


def _skipped(config: Config, entry: Entry) -> bool:
    """Tell whether an identity serves the host, so that no secret is needed."""
    address = f"{entry.protocol}://{entry.host.rpartition('://')[2]}/{entry.path}"
    try:
        rule = config.rule_for(origins.parse_url(address))
    except (ValueError, HushkeyError):
        return False
    if rule is None or rule.built_in:
        return False
    output.say(
        f"{entry.source}: {entry.shown()}: left out, identity {rule.identity.name} "
        "serves that host",
        err=True,
    )
    return True


def _is_person() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()
