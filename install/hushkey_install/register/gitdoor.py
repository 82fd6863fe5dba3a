"""The line that lets git ask the agent by a C program, in front of our helper.

No Python is started for a token that is good. Whatever else there is costs nothing but
time: the line says nothing then, and git asks the helper behind it. It must not say
anything wrong either, so it

- does `get` only: `store` is for our helper;
- asks only where the caller's environment is the one that it was written in, since
  the program sends none, and who asks for a trace gets our own helper's;
- connects only to a socket of this user's in this user's folder, neither of them a
  link, as our own helper does (`protocol.is_safe`);
- waits for a tenth of a second: a stopped agent never answers;
- passes an answer on when it is whole, never half a token;
- believes only an agent that says its number first (`protocol.number`).

The last three are done by hushkey-git-client (helpers/native), which a wheel has that
was built where a C compiler is. Without it git's own client asks, `git
credential-cache`. That one has no deadline, and copies an answer in pieces of 1 KiB as
they come, so `timeout` and the shell do what it does not: two processes more. Asked to
`store` where nobody listens, it starts git's own daemon on our socket, which keeps the
token (builtin/credential-cache.c, FLAG_SPAWN).
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
from collections.abc import Mapping

from hushkey.errors import HushkeyError
from hushkey.system import ownership, paths, programs
from hushkey_helpers.agent import git_socket, protocol
from hushkey_helpers.agent import start as starting
from hushkey_install.common import ownprograms
from hushkey_install.tools import githelpers

#: seconds for an answer; hushkey-git-client has the same
PATIENCE = "0.1"
#: git runs a helper's line by the shell that it was built with; this one mostly
_SHELL = "/bin/sh"
#: seconds for the two programs and the shell to be tried
_TRIAL = 5
#: `timeout` takes fractions (busybox's does not), and says this when time is over
_TIMED_OUT = 124
#: what stands between quotes as it is
_PLAIN = re.compile(r"[\w/.,:=+@-]*", re.ASCII)
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

#: `set +x`: an exported SHELLOPTS would write the token to stderr
_LINE = (
    '!f() {{ set +x; test "$1" = get && test "{asked}" = {own} '
    "&& test -O {folder} && test ! -h {folder} "
    "&& test -O {socket} && test ! -h {socket} && {ask}; :; }} 2>/dev/null; f"
)
#: `printf` is the shell's own, and nothing is started once the shell has the answer
_BY_GIT = (
    "a=$(exec {patient} credential-cache --socket {socket} --timeout {number} get) "
    "&& case $a in {mark}={number}[!0-9]*) printf '%s\\n' \"$a\";; esac"
)
_BEGINNING = "!f() { set +x; "


def is_door(value: str) -> bool:
    """Tell whether a helper *value* is such a line, of this or another hushkey."""
    by_git = f" {git_socket.MARK}=" in value
    return value.startswith(_BEGINNING) and (by_git or githelpers.asks_by_client(value))


def line(environ: Mapping[str, str]) -> str:
    """Return the line for *environ*; nothing where there is no agent to be asked.

    Nor is there one where a program that it needs is missing, or where others may
    change what is on the way to the socket.
    """
    folder = "" if starting.refusal(environ) else protocol.folder(environ)
    if not folder or not _is_closed(folder):
        return ""
    # As the agent is started, whoever starts it (`starting.start`).
    session = paths.session_variables(environ)
    known = {**environ, **session}
    socket = shlex.quote(os.path.join(folder, "git"))
    ask = _ask(socket, protocol.number(known), environ)
    if not ask:
        return ""
    stripped = {name: session.get(name, "") for name in protocol.SESSION_VARS}
    values = {name: known.get(name, "") for name in protocol.PLACE_VARS}
    asked = [
        _variable(name, stripped.get(name, "")) for name in (*values, "HUSHKEY_LOG")
    ]
    return _LINE.format(
        asked="|".join([*asked, "${HUSHKEY_AGENT#on}"]),
        own=shlex.quote("|".join([*values.values(), "", ""])),
        folder=shlex.quote(folder),
        socket=socket,
        ask=ask,
    )


def _ask(socket: str, number: int, environ: Mapping[str, str]) -> str:
    """Return the words that ask at *socket*, by the first client that runs here."""
    client = ownprograms.beside(githelpers.CLIENT, githelpers.HELPER, environ)
    if client and _can_run(shlex.quote(client), environ):
        return f"exec {shlex.quote(client)} {socket} {number} get"
    git, timeout = (programs.find(name, environ) for name in ("git", "timeout"))
    if not git or not timeout:
        return ""
    patient = f"{shlex.quote(timeout)} {PATIENCE} {shlex.quote(git)}"
    if not _can_run(f"{patient} --exec-path", environ):
        return ""
    return _BY_GIT.format(
        patient=patient, socket=socket, number=number, mark=git_socket.MARK
    )


def _variable(name: str, otherwise: str) -> str:
    """Return what the shell reads of *name*; *otherwise* stands for a stripped one."""
    plain = otherwise and _PLAIN.fullmatch(otherwise)
    return f"${{{name}:-{otherwise}}}" if plain else f"${name}"


def _is_closed(folder: str) -> bool:
    """Tell whether nobody else can put a socket into *folder*, made or not yet."""
    try:
        real = ownership.check_owner(folder)
    except (HushkeyError, OSError):
        return False
    place = real
    while True:
        try:
            status = os.lstat(place)
        except FileNotFoundError:
            pass  # `starting.start` makes it for this user alone
        except OSError:
            return False
        else:
            shared = status.st_mode & _OTHERS_WRITE
            sticky = status.st_mode & stat.S_ISVTX and place != real
            if status.st_uid not in (0, os.geteuid()) or (shared and not sticky):
                return False
        if place == os.path.dirname(place):
            return True
        place = os.path.dirname(place)


def _can_run(command: str, environ: Mapping[str, str]) -> bool:
    """Tell whether the shell and *command* do what the line asks of them."""
    script = f'test "$(command -v printf)" = printf && exec {command}'
    try:
        done = subprocess.run(
            [_SHELL, "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=dict(environ),
            timeout=_TRIAL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode in (0, _TIMED_OUT)
