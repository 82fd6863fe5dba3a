"""The conversation of `hushkey import`: what was found, what to take, how it went."""

import os
import sys
from collections.abc import Iterator

from hushkey import hosts, ownership, paths, sites
from hushkey.errors import HushkeyError, Permanent
from hushkey.model import Request
from hushkey.sites import Config
from hushkey_install import gitchain, screen
from hushkey_install.gitfile import Git
from hushkey_install.takeover import dockerauths, gitstore, libsecret
from hushkey_install.takeover.entry import Entry, keep

#: the sources, by the name that the command knows them by
SOURCES = {module.NAME: module for module in (gitstore, libsecret, dockerauths)}


def run(wanted: tuple[str, ...], *, yes: bool, dry_run: bool) -> int:
    """Take over what the person says yes to; return the exit code."""
    config = sites.load(os.environ)
    ownership.check_private(paths.data_folder(os.environ))  # where it all would go
    found = list(_found(wanted or tuple(SOURCES)))
    new = [entry for entry in found if not _skipped(config, entry)]
    if not new:
        screen.say("there is nothing to take over", err=True)
        return 0
    if dry_run or not (yes or _is_person()):
        for entry in new:
            screen.say(f"{entry.source}: {entry.shown()}")
        if dry_run:
            return 0
        raise Permanent("nobody can be asked here", hint="run it with --yes")
    return _take(new, yes)


def _take(new: list[Entry], yes: bool) -> int:
    kept: list[Entry] = []
    failed = False
    for entry in new:
        question = f"{entry.source}: take over {entry.shown()}?"
        if not (yes or screen.confirm(question)):
            continue
        try:
            keep(entry, os.environ)
        except HushkeyError as error:
            screen.say(f"hushkey: {error.line()}", err=True)
            failed = True
            continue
        screen.say(f"{entry.source}: {entry.shown()}")
        kept.append(entry)
    _say_what_is_left(kept)
    return int(failed)


def _say_what_is_left(kept: list[Entry]) -> None:
    """Name what still holds the secrets: nothing of others is ever deleted here."""
    if not kept:
        return
    names = dict.fromkeys(entry.source for entry in kept)
    left = [place for name in names for place in SOURCES[name].places(os.environ)]
    screen.say(
        f"{len(kept)} taken over; they are still in {', '.join(left)}: delete them "
        "there when you no longer need them",
        err=True,
    )
    if any(entry.tool == "git" and not _git_asks_us(entry) for entry in kept):
        screen.say(
            "git asks hushkey for them after `git config --global --add "
            "credential.helper hushkey`",
            err=True,
        )


def _git_asks_us(entry: Entry) -> bool:
    request = Request(entry.protocol, entry.host, entry.path, entry.user)
    try:
        return gitchain.chain(Git(dict(os.environ)), request).has_ours
    except HushkeyError:
        return True  # without git there is nobody to be told


def _found(names: tuple[str, ...]) -> Iterator[Entry]:
    """Yield what the sources hold; one that fails is named, the others count."""
    for name in names:
        try:
            yield from SOURCES[name].entries(os.environ)
        except HushkeyError as error:
            screen.say(f"hushkey: {name}: {error.line()}", err=True)


def _skipped(config: Config, entry: Entry) -> bool:
    """Tell whether an identity serves the host, so that no secret is needed."""
    address = f"{entry.protocol}://{entry.host.rpartition('://')[2]}/{entry.path}"
    try:
        site = config.site_for(hosts.parse_url(address))
    except (ValueError, HushkeyError):
        return False
    if site is None or site.origin != "user":
        return False
    screen.say(
        f"{entry.source}: {entry.shown()}: left out, identity {site.identity.name} "
        "serves that host",
        err=True,
    )
    return True


def _is_person() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()
