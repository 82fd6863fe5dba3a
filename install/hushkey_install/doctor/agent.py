"""Doctor on the agent: its systemd unit, a frozen one, and a socket left behind."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Iterator
from functools import partial

from hushkey.errors import HushkeyError, span
from hushkey.system import paths
from hushkey_helpers.agent import start as starting
from hushkey_install.common import agentcontrol
from hushkey_install.common.filechange import remove
from hushkey_install.common.finding import FINE, NOTE, PROBLEM, Finding
from hushkey_install.register import systemd
from hushkey_install.tools.installation import Installation

_INSTALL = "hushkey install agent"


#: seconds for a program that listens to take a connection
_PATIENCE = 1


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
    elif not process and (left := list(_sockets(folder))):
        yield Finding(
            "agent-dead",
            NOTE,
            f"the agent was killed, and left {left[0]} behind; the next one replaces "
            "it",
            shlex.join(["rm", *left]),
            partial(_remove, left),
        )


def _sockets(folder: str) -> Iterator[str]:
    for name in ("agent", "git"):
        path = os.path.join(folder, name)
        try:
            status = os.lstat(path)
        except OSError:
            continue
        mine = stat.S_ISSOCK(status.st_mode) and status.st_uid == os.geteuid()
        if mine and _is_dead(path):
            yield path


def _is_dead(path: str) -> bool:
    """Tell whether nobody listens at the socket *path*.

    In a folder that somebody chose, another program's may have the same name.
    """
    import socket  # noqa: PLC0415 - seldom

    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(_PATIENCE)
        try:
            link.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False  # it is busy, or its path too long to be an agent's
    return False


def _remove(sockets: list[str]) -> None:
    for path in filter(_is_dead, sockets):  # a new agent may have come meanwhile
        remove(path)
