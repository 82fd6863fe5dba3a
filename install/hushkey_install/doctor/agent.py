"""Doctor on the agent: its systemd unit, a frozen one, and a socket left behind."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from functools import partial

from hushkey.errors import HushkeyError, span
from hushkey.system import ownership, paths
from hushkey_helpers.agent import start as starting
from hushkey_install.common import agentcontrol
from hushkey_install.common.filechange import remove
from hushkey_install.common.finding import FINE, NOTE, PROBLEM, Finding
from hushkey_install.register import systemd
from hushkey_install.tools.installation import Installation

_INSTALL = "hushkey install agent"


def check(installation: Installation) -> Iterator[Finding]:
    """Yield that systemd starts the agent as hushkey no longer does, or not at all."""
    written = systemd.written_command(installation.environ)
    if written is None:
        yield from _process(installation.environ)
        return
    mend = partial(systemd.AGENT.install, (), False)
    if not written.starts:
        text = f"systemd cannot start the agent: there is no {written.program}"
        yield Finding("agent-unit-broken", PROBLEM, text, _INSTALL, mend)
    elif not written.is_isolated:
        text = "systemd starts the agent in a Python that obeys PYTHON* variables"
        yield Finding("agent-unit-old", NOTE, text, _INSTALL, mend)


def _process(environ: dict[str, str]) -> Iterator[Finding]:
    """Yield how the agent is that a helper has started; none has to run."""
    if sys.platform == "win32":
        return
    try:
        folder = paths.runtime_folder(environ)
    except HushkeyError:
        return  # has a finding of its own
    if facts := agentcontrol.ask(folder, "status"):
        since = span(int(facts.get("seconds", "0")))
        yield Finding("agent-runs", FINE, f"the agent has been running for {since}")
        return
    process = starting.holder(folder)
    if process > 0:
        yield Finding(
            "agent-frozen",
            PROBLEM,
            f"the agent (process {process}) gives no answer, so every tool waits for "
            "it first",
            "hushkey agent stop",
            partial(agentcontrol.end, environ),
        )
    elif found := _foreign_lock(folder, environ):
        yield found
    elif other := agentcontrol.in_the_way(folder):
        yield Finding("agent-no-place", NOTE, other)
    elif not process and (left := starting.left_behind(folder)):
        yield Finding(
            "agent-dead",
            NOTE,
            f"the agent was killed, and left {left[0]} behind; the next one replaces "
            "it",
            shlex.join(["rm", *left]),
            partial(_remove, left),
        )


def _foreign_lock(folder: str, environ: dict[str, str]) -> Finding | None:
    """Return that another user's lock keeps the agent from starting, or None.

    What is in the data folder has a finding of its own.
    """
    lock = starting.lock_path(folder)
    try:
        foreign = os.lstat(lock).st_uid != os.geteuid()
    except OSError:
        return None
    if not foreign or folder.startswith(paths.data_folder(environ) + os.sep):
        return None
    text = (
        f"{lock} belongs to another user ({ownership.owner_of(lock)}): no agent can "
        "start, and every tool takes longer"
    )
    command = shlex.join(["sudo", "chown", "-h", str(os.geteuid()), lock])
    return Finding("agent-lock-foreign", PROBLEM, text, command)


def _remove(sockets: list[str]) -> None:
    # A new agent may have come meanwhile.
    for path in filter(starting.is_left_behind, sockets):
        remove(path)
