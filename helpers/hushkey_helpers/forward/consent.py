"""May that machine have tokens for this host? Asked once for each host and forward.

``--only`` answers in advance. Else a window asks: the program that SSH_ASKPASS names,
as ssh-add(1) has it confirm the use of a key, or the desktop's own dialog. Else the
terminal, if nothing else has it; else another one, by `hushkey forward allow`. Whatever
does not say yes means no.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress

from hushkey import origins
from hushkey.errors import Permanent, plain
from hushkey.system import programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hushkey.model import Request
    from hushkey.origins import Pattern

#: seconds for the answer
PATIENCE = 120
#: what the far side says of itself must not look like the question: kdialog and the
#: desktop's notifications read a text with a tag in it as HTML
_MARKUP = str.maketrans("<>&", "()+")


class Consent:
    """The answers of one forward, *to* a machine; *only* are host patterns.

    *ask_terminal* asks a question there and returns the answer; None: it is taken.
    *ask_elsewhere* waits for what another terminal says about a host, to a question,
    until nobody waits any more; it returns None if nothing was said.
    """

    def __init__(
        self,
        to: str,
        only: tuple[str, ...],
        environ: Mapping[str, str],
        ask_terminal: Callable[[str], bool] | None = None,
        ask_elsewhere: Callable[[str, str, Callable[[], bool]], bool | None]
        | None = None,
    ) -> None:
        self._to = to
        self._only = [origins.parse_pattern(text) for text in only]
        self._environ = environ
        self._ask_terminal = ask_terminal
        self._ask_elsewhere = ask_elsewhere
        self._said: dict[str, bool] = {}
        self._unsaid: dict[str, float] = {}
        self._notified: set[str] = set()
        self._turn = threading.Lock()

    def known(self, request: Request, host: str) -> bool | None:
        """Return what was said about *host*; None: nobody was asked yet."""
        if self._only:
            return any(_covers(pattern, request) for pattern in self._only)
        return self._said.get(host)

    def ask(
        self,
        request: Request,
        host: str,
        who: str,
        gone: Callable[[], bool] = bool,
        tell: Callable[[str], object] = bool,
    ) -> bool:
        """Ask for *host*, on behalf of *who*, unless it has been; raises Permanent.

        *gone* tells that nobody waits any more, *tell* takes a line for who does.
        """
        began = time.monotonic()
        with self._turn:
            known = self.known(request, host)
            if known is None:
                if self._unsaid.get(host, -1.0) >= began:
                    raise self._nobody(host)  # whoever waited behind it waited as long
                known = self._said[host] = self._ask(host, who, gone, tell)
        return known

    def _nobody(self, host: str) -> Permanent:
        return Permanent(
            f"nobody could be asked whether {plain(self._to, 80)} may have tokens "
            f"for {host}",
            hint=f"start it again with `hushkey forward --only {host}`",
        )

    def _elsewhere(
        self,
        host: str,
        question: str,
        gone: Callable[[], bool],
        tell: Callable[[str], object],
    ) -> bool:
        """Return what another terminal says; raises Permanent if it says nothing."""
        if self._ask_elsewhere is None:
            raise self._nobody(host)
        command = f"hushkey forward allow {host}"
        tell(f"waiting for a consent; run `{command}`")
        if host not in self._notified:
            self._notified.add(host)
            notify(f"{question} To allow it, run: {command}", self._environ)
        said = self._ask_elsewhere(host, question, gone)
        if said is None:
            if not gone():
                self._unsaid[host] = time.monotonic()
            raise self._nobody(host)
        return said

    def _ask(
        self,
        host: str,
        who: str,
        gone: Callable[[], bool],
        tell: Callable[[str], object],
    ) -> bool:
        question = (
            f"May {plain(self._to, 80)} have tokens for {plain(host, 80)} until "
            f"hushkey forward ends? {plain(who, 120)} asks for one."
        ).translate(_MARKUP)
        words = dialog(question, self._environ)
        if not words:
            if self._ask_terminal is not None:
                return self._ask_terminal(question)
            return self._elsewhere(host, question, gone, tell)
        environ = {**self._environ, "SSH_ASKPASS_PROMPT": "confirm"}
        try:
            done = subprocess.run(
                words,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=PATIENCE,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0


def dialog(question: str, environ: Mapping[str, str]) -> list[str]:
    """Return the command that asks *question* in a window; none if there is none."""
    named = environ.get("SSH_ASKPASS", "")
    if os.path.isabs(named):
        return [named, question]
    if sys.platform == "darwin" and (program := programs.find("osascript", environ)):
        script = (
            'on run argv\ndisplay dialog (item 1 of argv) with title "hushkey" '
            'buttons {"No", "Yes"} default button "No" cancel button "No"\nend run'
        )
        return [program, "-e", script, question]
    if not (environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")):
        return []
    if program := programs.find("kdialog", environ):
        return [program, "--title", "hushkey", "--yesno", question]
    if program := programs.find("zenity", environ):
        shown = ["--title=hushkey", "--no-markup", f"--text={question}"]
        return [program, "--question", "--default-cancel", *shown]
    return []


def notify(text: str, environ: Mapping[str, str]) -> None:
    """Show *text* as a notification of the desktop, if there is one that can."""
    if not (environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")):
        return
    if program := programs.find("notify-send", environ):
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                [program, "--app-name=hushkey", "hushkey", text],
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=5,
                check=False,
            )


def _covers(pattern: Pattern, request: Request) -> bool:
    """Tell whether *pattern* covers *request*; what may be read in two ways, no."""
    origin = origins.parse_origin(request.protocol, request.host)
    path = origins.split_path(request.path)
    if origin is None or path is None or pattern.scheme != request.protocol:
        return False
    host, port = origin
    if pattern.wild:
        host = "" if host.startswith("[") else host.partition(".")[2]
    if (host, port) != (pattern.host, pattern.port):
        return False
    depth = len(pattern.path)
    return origins.place(path[:depth]) == origins.place(pattern.path)
