"""Starting a browser: detached, without our streams, without waiting for it.

A child that holds our standard output makes git wait for it, and its words
("Opening in existing browser session.") break the protocol. A text browser would
run in the user's terminal, and the standard library's webbrowser finds one where
there is no display: so the programs are named here. That a browser was started
is never proof that a page was opened.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

from hushkey.errors import Permanent
from hushkey.system import programs

_WSL = (
    ["wslview", "%s"],
    ["powershell.exe", "-NoProfile", "-Command", "Start-Process '%s'"],
    ["explorer.exe", "%s"],
)
_DESKTOP = (
    ["xdg-open", "%s"],
    ["gio", "open", "%s"],
    ["firefox", "%s"],
    ["chromium", "%s"],
    ["chromium-browser", "%s"],
    ["google-chrome", "%s"],
    ["microsoft-edge", "%s"],
    ["x-www-browser", "%s"],
)


class Launch:
    """A browser command that was started, and the ones that could be tried next."""

    def __init__(
        self,
        process: subprocess.Popen[bytes] | None,
        rest: list[list[str]],
        environ: Mapping[str, str],
    ) -> None:
        self._process = process
        self._rest = rest
        self._environ = environ
        if process is not None:  # reaped in the background: no zombie, no wait
            threading.Thread(target=process.wait, daemon=True).start()

    def running(self) -> bool:
        """Tell whether the command has not ended yet."""
        return self._process is not None and self._process.poll() is None

    def failed(self) -> bool:
        """Tell, without waiting, whether the command has ended with an error."""
        if self._process is None or self._process.poll() in (None, 0):
            return False
        # explorer.exe ends with 1 when all is well
        return os.path.basename(str(self._process.args[0])) != "explorer.exe"  # type: ignore[index]

    def instead(self) -> Launch | None:
        """Start the next command that was named or is known, if there is one."""
        return _first(self._rest, self._environ)


def launch(
    url: str, environ: Mapping[str, str], platform: str = sys.platform
) -> Launch | None:
    """Start a browser on *url*; None where none may or can be started.

    `BROWSER` decides alone if it is set. Raises Permanent for a *url* that is not
    http or https: it goes to programs that would open anything.
    """
    check(url)
    url = url.translate(_TAME)
    if platform == "win32" and not environ.get("BROWSER"):
        return _startfile(url, environ)
    commands = [_filled(command, url) for command in _commands(environ, platform)]
    return _first(commands, environ)


# BROWSER may be a line for a shell. Percent-encoded, these mean the same to every
# server; "&" stays, for it parts the parameters.
_TAME = str.maketrans({c: f"%{ord(c):02X}" for c in "$();|*!{}^"})


def check(url: str) -> None:
    """Raise Permanent unless *url* is http(s) and holds nothing that parts words."""
    parts = urlsplit(url)
    unsafe = not url.isascii() or not url.isprintable() or set(url) & set(" \"'`<>\\")
    if parts.scheme not in ("http", "https") or not parts.hostname or unsafe:
        raise Permanent("the address of the sign-in page is not an http(s) URL")


def _commands(environ: Mapping[str, str], platform: str) -> list[list[str]]:
    """Return the commands to try, in order, with %s where the URL goes."""
    chosen = environ.get("BROWSER", "").strip()
    if chosen:
        return [words for text in chosen.split(os.pathsep) if (words := _words(text))]
    if platform == "darwin":
        return [["/usr/bin/open", "%s"]]
    commands: list[list[str]] = []
    if environ.get("WSL_DISTRO_NAME") or environ.get("WSL_INTEROP"):
        commands += _WSL
    if environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"):
        commands += _DESKTOP
    return commands


def _words(text: str) -> list[str]:
    """Split one command of BROWSER as a shell does; nothing if a shell could not."""
    try:
        words = shlex.split(text)
    except ValueError:
        return []
    if words and words[-1].endswith("&"):  # we detach by ourselves
        words[-1] = words[-1][:-1]
        words = words if words[-1] else words[:-1]
    if words and not any("%s" in word for word in words[1:]):
        words.append("%s")
    return words


def _filled(command: list[str], url: str) -> list[str]:
    return [command[0], *(word.replace("%s", url) for word in command[1:])]


def _first(commands: list[list[str]], environ: Mapping[str, str]) -> Launch | None:
    """Start the first of *commands* whose program is there and starts."""
    for at, (name, *arguments) in enumerate(commands):
        program = programs.find(name, environ)
        if program is None:
            continue
        try:
            process = _start([program, *arguments], environ)
        except OSError:
            continue
        return Launch(process, commands[at + 1 :], environ)
    return None


def _start(command: list[str], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        close_fds=True,
        cwd=os.path.abspath(os.sep),
        env=dict(environ),
        start_new_session=True,
    )


def _startfile(url: str, environ: Mapping[str, str]) -> Launch | None:
    if sys.platform == "win32":
        try:
            os.startfile(url)  # noqa: S606  a checked URL, and no shell
        except OSError:
            return None
    return Launch(None, [], environ)
