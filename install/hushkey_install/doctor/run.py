"""Going through all topics, showing what was found, and fixing it on consent.

Exit codes: 0 nothing to fix (notes do not count), 1 there is, or was refused.
A topic is a function from an `Installation` to findings: `topics` lists them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator

import click

from hushkey.errors import HushkeyError, Permanent, plain, visible
from hushkey_install.common import output
from hushkey_install.common.finding import FINE, NOTE, PROBLEM, Finding
from hushkey_install.doctor import (
    agent,
    config,
    environment,
    folders,
    keys,
    machines,
    overriding,
    servers,
    signins,
)
from hushkey_install.register import table
from hushkey_install.tools.installation import Installation

#: it changes nothing, never prompts, and asks no server unless it is in `servers`
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
        environment.desktop,
        *overriding.TOPICS,
    )


_LONG = 600
#: the code of what kept a topic from looking
_TOPIC_FAILS = "topic-fails"


def make(
    *,
    fix: bool,
    yes: bool,
    as_json: bool,
    probe: bool = False,
    verbose: bool = False,
) -> int:
    """Show every finding, fix with *fix*; return the exit code.

    With *probe* the servers are asked, too; *verbose*: what is fine is shown.
    """
    if as_json and fix:
        raise click.UsageError("--json only looks; leave out --fix")
    with output.progress("asking the servers" if probe else "looking at the tools"):
        found = findings(probe=probe)
    if as_json:
        shown = [f for f in found if verbose or f.level != FINE]
        listed = [_row(f) for f in shown]
        output.say_json({"findings": listed})
    else:
        _show_all(found, verbose)
    if fix and any(f.mend for f in found):
        _mend_all(found, yes)
        found = findings(probe=probe)
        output.say(f"after fixing: {_summary(found)}")
    return 1 if any(f.level == PROBLEM for f in found) else 0


def findings(*, probe: bool = False) -> list[Finding]:
    """Return what every topic has to say, problems first, one for each cause."""
    looked_at = installation()
    every = (*topics(), *(servers.TOPICS if probe else ()))
    found = [each for topic in every for each in _of(topic, looked_at)]
    # Several topics may meet the same fault: the one that looked for it tells it, else
    # the first.
    unique: dict[str, Finding] = {}
    for finding in sorted(found, key=lambda f: f.code == _TOPIC_FAILS):
        unique.setdefault(finding.text, finding)
    order = (PROBLEM, NOTE, FINE)
    return sorted(_by_cause(unique.values()), key=lambda f: order.index(f.level))


def _by_cause(found: Iterable[Finding]) -> list[Finding]:
    """Return *found* with those of one cause as one, for all of their tools."""
    groups: dict[str, list[Finding]] = {}
    for number, finding in enumerate(found):
        groups.setdefault(finding.cause or str(number), []).append(finding)
    return [_as_one(group) for group in groups.values()]


def _as_one(group: list[Finding]) -> Finding:
    """Return the findings of one cause as one; a single one keeps its words."""
    if len(group) == 1:
        return group[0]
    # It counts for one tool at least, and what tells it for all comes first.
    chosen = min(group, key=lambda f: (f.level != PROBLEM, bool(f.tool)))
    names = ", ".join(dict.fromkeys(f.tool for f in group if f.tool))
    return chosen._replace(text=f"{names}: {chosen.cause}")


def _row(finding: Finding) -> dict[str, object]:
    """Return *finding* for programs."""
    return {
        "code": finding.code,
        "level": finding.level,
        "text": finding.text,
        "command": finding.command,
        "mend": finding.mend is not None,
    }


def _show_all(found: list[Finding], verbose: bool) -> None:
    for finding in found:
        if finding.level != FINE:
            _show(finding)
    for finding in found:
        if verbose and finding.level == FINE:
            output.say_fine(plain(finding.text, _LONG))
    output.say(_summary(found))


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
        yield Finding(_TOPIC_FAILS, PROBLEM, error.line())
    except OSError as error:
        name = error.filename or topic.__module__.rpartition(".")[2]
        yield Finding(_TOPIC_FAILS, PROBLEM, f"{name}: {error.strerror or error}")


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
    """Fix what can be fixed here, each after its own question."""
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
