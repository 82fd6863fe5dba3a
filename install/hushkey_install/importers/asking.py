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
from hushkey_helpers.docker import registries
from hushkey_install.common import output
from hushkey_install.importers import dockerauths, gitstore, libsecret
from hushkey_install.importers.entry import Entry, confirm, store
from hushkey_install.tools import githelpers
from hushkey_install.tools.gitfile import Git

#: the sources, by the name that the command knows them by
SOURCES = {module.NAME: module for module in (gitstore, libsecret, dockerauths)}


def run(wanted: tuple[str, ...], *, yes: bool, dry_run: bool) -> list[HushkeyError]:
    """Take over what the person says yes to; return what failed, all of it told."""
    config = rules.load(os.environ)
    ownership.check_private(paths.data_folder(os.environ))  # where it all would go
    failed: list[HushkeyError] = []
    with output.progress("looking for what other helpers keep"):
        found = list(_found(wanted or tuple(SOURCES), failed))
    new = [entry for entry in found if not _skipped(config, entry)]
    if not new:
        output.say("there is nothing to take over", err=True)
    elif dry_run or not (yes or _is_person()):
        for entry in new:
            output.say(f"{entry.source}: {entry.shown()}")
        if not dry_run:
            raise Permanent("nobody can be asked here", hint="run it with --yes")
    else:
        _take(new, yes, failed)
    return failed


def _take(new: list[Entry], yes: bool, failed: list[HushkeyError]) -> None:
    """Store all first: a later one may be kept in the place of one before it."""
    stored: list[tuple[Entry, str]] = []
    for entry in new:
        question = f"{entry.source}: take over {entry.shown()}?"
        if yes or output.confirm(question):
            try:
                stored.append((entry, store(entry, os.environ)))
            except HushkeyError as error:
                _note("", error, failed)
    kept: list[Entry] = []
    for entry, said in stored:
        try:
            confirm(entry, said, os.environ)
        except HushkeyError as error:
            _note("", error, failed)
        else:
            output.say(f"{entry.source}: {entry.shown()}")
            kept.append(entry)
    _say_what_is_left(kept)


def _note(about: str, error: HushkeyError, failed: list[HushkeyError]) -> None:
    output.say(f"hushkey: {about}{error.line()}", err=True)
    failed.append(error)


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


def _found(names: tuple[str, ...], failed: list[HushkeyError]) -> Iterator[Entry]:
    """Yield what the sources hold; one that fails is named, the others count."""
    for name in names:
        try:
            yield from SOURCES[name].entries(os.environ)
        except HushkeyError as error:
            _note(f"{name}: ", error, failed)


def _skipped(config: Config, entry: Entry) -> bool:
    """Tell whether an identity serves the host, so that no secret is needed."""
    try:
        rule = next(filter(None, map(config.rule_for, _requests(entry))), None)
    except (ValueError, HushkeyError):
        return False
    if rule is None or rule.built_in or rule.identity.typed:
        return False
    output.say(
        f"{entry.source}: {entry.shown()}: left out, identity {rule.identity.name} "
        "serves that host",
        err=True,
    )
    return True


def _requests(entry: Entry) -> list[Request]:
    if entry.tool == "docker":
        registry = registries.parse(entry.host)
        # The Hub's own tokens are nobody else's.
        return registry.requests() if registry and not registry.holds_token else []
    return [origins.parse_url(f"{entry.protocol}://{entry.host}/{entry.path}")]


def _is_person() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()
