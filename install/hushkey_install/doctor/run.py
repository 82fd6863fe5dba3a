"""Going through all topics, showing what was found, and mending it on consent.

Exit codes: 0 nothing to fix (notes do not count), 1 there is, or was refused.
A topic is a function from an `Installation` to findings: `topics` lists them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

import click

from hushkey.errors import HushkeyError, Permanent, plain, visible
from hushkey_install.common import output
from hushkey_install.common.finding import NOTE, PROBLEM, Finding
from hushkey_install.doctor import (
    agent,
    config,
    environment,
    folders,
    keys,
    machines,
    signins,
)
from hushkey_install.register import table
from hushkey_install.tools.installation import Installation

#: it asks no server, changes nothing, and never prompts
Topic = Callable[[Installation], Iterator[Finding]]


def topics() -> tuple[Topic, ...]:
    """Return every topic; a tool's own is its `Registration.checks`."""
    return (
        folders.check,
        config.check,
        config.incomplete,
        folders.leftovers,
        folders.backups,
        keys.check,
        *(tool.checks for tool in table.CHECKED),
        signins.check,
        machines.check,
        signins.refused,
        signins.clock,
        agent.check,
        environment.browser,
        environment.twice,
    )


_LONG = 600


def make(*, fix: bool, yes: bool, as_json: bool) -> int:
    """Show every finding, mend with *fix*; return the exit code."""
    if as_json and fix:
        raise click.UsageError("--json only looks; leave out --fix")
    found = findings()
    if as_json:
        listed = [f._asdict() | {"mend": f.mend is not None} for f in found]
        output.say_json({"findings": listed})
    else:
        for finding in found:
            _show(finding)
        output.say(_summary(found))
    if fix and any(f.mend for f in found):
        _mend_all(found, yes)
        found = findings()
        output.say(f"after fixing: {_summary(found)}")
    return 1 if any(f.level == PROBLEM for f in found) else 0


def findings() -> list[Finding]:
    """Return what every topic has to say, problems first."""
    looked_at = installation()
    found = [finding for topic in topics() for finding in _of(topic, looked_at)]
    unique = {(f.code, f.text): f for f in found}
    return sorted(unique.values(), key=lambda f: f.level != PROBLEM)


def installation() -> Installation:
    """Return this user's installation, seen from the working directory."""
    try:
        folder = os.getcwd()
    except OSError:  # it was deleted
        folder = "/"
    asking = (tool.name for tool in table.REGISTRATIONS if tool.asks_keyring)
    users = {tool.name: tool.urls_in_use for tool in table.REGISTRATIONS}
    return Installation(os.environ, folder, asking, users)


def _of(topic: Topic, looked_at: Installation) -> Iterator[Finding]:
    """Yield the findings of one topic; its own failure is one, too."""
    try:
        yield from topic(looked_at)
    except HushkeyError as error:
        yield Finding("topic-fails", PROBLEM, error.line())
    except OSError as error:
        name = error.filename or topic.__module__.rpartition(".")[2]
        yield Finding("topic-fails", PROBLEM, f"{name}: {error.strerror or error}")


def _show(finding: Finding) -> None:
    colour = "red" if finding.level == PROBLEM else "yellow"
    output.say_level(finding.level, colour, plain(finding.text, _LONG))
    if finding.command:
        output.say(f"  -> {_typeable(finding.command)}")


def _typeable(command: str) -> str:
    """Return *command*, unless what can be shown of it would name another thing."""
    if visible(command) == command:
        return command
    return "a name with characters that cannot be shown; --json has the command"


def _summary(found: list[Finding]) -> str:
    problems = sum(f.level == PROBLEM for f in found)
    notes = sum(f.level == NOTE for f in found)
    if not problems:
        told = output.counted(notes, "note")
        return f"nothing to fix ({told})" if notes else "nothing to fix"
    return f"{output.counted(problems, 'problem')}, {output.counted(notes, 'note')}"


def _mend_all(found: list[Finding], yes: bool) -> None:
    """Mend what can be mended here, each after its own question."""
    if not yes and not _is_person():
        raise Permanent(
            "nobody can be asked here", hint="run `hushkey doctor --fix --yes`"
        )
    done: set[str] = set()
    for finding in found:
        if finding.mend is None or finding.command in done:
            continue
        if not (yes or output.confirm(f"run `{finding.command}`?")):
            continue
        done.add(finding.command)
        try:
            finding.mend()
        except HushkeyError as error:
            output.say(f"hushkey: {error.line()}", err=True)
        except OSError as error:
            output.say(f"hushkey: {error.strerror or error}", err=True)


def _is_person() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()
