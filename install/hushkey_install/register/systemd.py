"""Registering the agent with systemd: its sockets wait, it starts when one is used.

systemd.socket(5), systemd.service(5); only for who wants it: without it the first
helper that had to do real work starts the agent.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from hushkey.errors import Permanent
from hushkey.system import isolated, paths, programs
from hushkey_install.common import agentcontrol, output
from hushkey_install.common.filechange import Change, read_text, remove
from hushkey_install.register.registration import Plan, Registration

_NAMES = ("hushkey-agent.socket", "hushkey-agent.service")
_SOCKET = """\
# Written by `hushkey install agent`; `hushkey uninstall agent` takes it out.
[Unit]
Description=Sockets of the hushkey agent

[Socket]
ListenStream={folder}/agent
ListenStream={folder}/git
SocketMode=0600
DirectoryMode=0700

[Install]
WantedBy=sockets.target
"""
_SERVICE = """\
# Written by `hushkey install agent`; `hushkey uninstall agent` takes it out.
[Unit]
Description=The hushkey agent

[Service]
ExecStart={command}
"""
#: seconds for systemctl
_PATIENCE = 20


class Agent(Registration):
    """systemd, which listens for the agent; hosts make no difference."""

    farewell = "systemd no longer starts the agent"
    takes_hosts = True

    def plan(
        self, environ: dict[str, str], hosts: tuple[str, ...], **more: Any
    ) -> Plan:
        """Return what writes the units, and lets systemd listen."""
        if not sys.platform.startswith("linux"):
            raise Permanent("there is no systemd on this system")
        texts = _texts(environ)
        changes = [_change(environ, name, texts[name]) for name in _NAMES]

        def apply() -> None:
            for change in changes:
                change.apply(backup=False)
            agentcontrol.end(environ)  # it holds the sockets that systemd is to hold
            _systemctl(environ, "daemon-reload")
            _systemctl(environ, "enable", "--now", _NAMES[0])

        return Plan(lambda: _show(changes), apply)

    def files(self, environ: Mapping[str, str]) -> Iterator[str]:
        """Yield the units."""
        return (_path(environ, name) for name in _NAMES)

    def undo(
        self, environ: dict[str, str], hosts: tuple[str, ...], **more: Any
    ) -> Plan:
        """Return what takes the units out again."""
        changes = [_change(environ, name, "") for name in _NAMES]

        def apply() -> None:
            _systemctl(environ, "disable", "--now", *_NAMES)
            for change in changes:
                if change:
                    remove(change.path)
            _systemctl(environ, "daemon-reload")

        return Plan(lambda: _show(changes), apply)


AGENT = Agent("agent")


class WrittenCommand(NamedTuple):
    """How the installed unit starts the agent."""

    program: str
    is_isolated: bool

    @property
    def starts(self) -> bool:
        """Tell whether the program is there."""
        return os.path.isabs(self.program) and os.access(self.program, os.X_OK)


def written_command(environ: Mapping[str, str]) -> WrittenCommand | None:
    """Return what the installed unit of ours starts; None if there is no such unit."""
    try:
        lines = read_text(_path(environ, _NAMES[1])).splitlines()
    except OSError:
        return None
    if lines[:1] != _SERVICE.splitlines()[:1]:
        return None
    start = "ExecStart="
    command = [line.removeprefix(start) for line in lines if line.startswith(start)]
    try:
        words = shlex.split(command[-1].replace("%%", "%").replace("$$", "$"))
    except (LookupError, ValueError):
        words = []
    return WrittenCommand(words[0] if words else "program in it", "-I" in words[1:])


def _texts(environ: dict[str, str]) -> dict[str, str]:
    folder = paths.runtime_folder(environ)
    session = paths.xdg_runtime(environ)
    if session and folder == os.path.join(session, paths.APP):
        folder = f"%t/{paths.APP}"
    else:
        folder = folder.replace("%", "%%")
    command = " ".join(map(_quoted, isolated.words(agentcontrol.MODULE)))
    return {
        _NAMES[0]: _SOCKET.format(folder=folder),
        _NAMES[1]: _SERVICE.format(command=command),
    }


def _quoted(word: str) -> str:
    """Return one word of ExecStart= (systemd.service(5), "Command lines")."""
    for special, escaped in ("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$"):
        word = word.replace(special, escaped)
    return f'"{word}"'


def _change(environ: dict[str, str], name: str, text: str) -> Change:
    path = _path(environ, name)
    before = read_text(path) if os.path.exists(path) else ""
    return Change(path, before, text)


def _path(environ: Mapping[str, str], name: str) -> str:
    return os.path.join(paths.xdg_config(environ), "systemd", "user", name)


def _show(changes: list[Change]) -> bool:
    """Print the changes; False if there is none."""
    shown = [change.diff() for change in changes if change]
    if shown:
        output.block("".join(shown))
    return bool(shown)


def _systemctl(environ: dict[str, str], *words: str) -> None:
    """Run systemctl; where it cannot, say what is left to do."""
    program = programs.find("systemctl", environ)
    line = " ".join(("systemctl", "--user", *words))
    try:
        if program is None:
            raise OSError
        subprocess.run(
            [program, "--user", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        output.say(
            f"systemd's user manager is not reachable here; run: {line}", err=True
        )
