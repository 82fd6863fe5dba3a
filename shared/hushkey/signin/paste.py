"""The redirect brought back by hand: a browser elsewhere, its last address pasted.

Only an address with exactly our redirect and our state is taken: a paste is as
hostile as any request. Nothing is echoed, for the address carries the code.
"""

from __future__ import annotations

import os
import re
import select
from urllib.parse import urlsplit

from hushkey.errors import Cancelled
from hushkey.signin import redirect

#: what `PasteReader` returns for a line over the limit; never a redirect
TOO_LONG = "\0"

# Cursor keys and the like: CSI, SS3, or Escape and one character.
_ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|[^\[O])", re.DOTALL)
_LONGEST_ESCAPE = 32
_PASTE_BEGINS, _PASTE_ENDS = b"\x1b[200~", b"\x1b[201~"
_ENTER, _BACKSPACE, _KILL, _END = b"\r\n", b"\x7f\x08", b"\x15", b"\x04"


def parse_redirect(text: str, redirect_uri: str, state: str) -> dict[str, str] | None:
    """Return the parameters of the pasted *text*, or None if it is not our redirect."""
    text = text.strip()
    if len(text) > redirect.LIMIT or not text.isprintable() or " " in text:
        return None
    try:
        given, ours = urlsplit(text), urlsplit(redirect_uri)
    except ValueError:
        return None
    # A browser shows the empty path as a slash, and a host in lower case.
    if (given.scheme, given.netloc.lower(), given.path or "/") != (
        ours.scheme,
        ours.netloc.lower(),
        ours.path or "/",
    ):
        return None
    answer = redirect.fields(given.query)
    if answer is None or not redirect.has_state(answer, state):
        return None
    return answer


class PasteReader:
    """Puts lines together from bytes typed or pasted in raw mode."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._rest = b""
        self._pasting = False
        self._too_long = False

    def read(self, fd: int) -> list[str]:
        """Return the lines that are complete in what *fd* has now, without waiting.

        Raises Cancelled for Ctrl-D on an empty line and for a terminal that hung up.
        """
        if not select.select([fd], [], [], 0)[0]:
            return []
        try:
            data = os.read(fd, 65_536)
        except OSError:
            data = b""
        if not data:
            raise Cancelled("the terminal was closed")
        return self.feed(data)

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that *data* completes."""
        lines: list[str] = []
        data = self._rest + data
        self._rest = b""
        at = 0
        while at < len(data):
            if data[at] == 0x1B:
                length = self._escape(data[at : at + _LONGEST_ESCAPE])
                if not length:  # its end comes with the next bytes
                    self._rest = data[at:]
                    break
                at += length
                continue
            line = self._character(data[at : at + 1])
            at += 1
            if line is not None:
                lines.append(line)
        return lines

    def _escape(self, data: bytes) -> int:
        """Return how long the escape sequence at the front is, 0 if it may go on."""
        found = _ESCAPE.match(data)
        if found is None:
            return 0 if len(data) < _LONGEST_ESCAPE else 1
        if found[0] in (_PASTE_BEGINS, _PASTE_ENDS):
            self._pasting = found[0] == _PASTE_BEGINS
        return found.end()

    def _character(self, char: bytes) -> str | None:
        """Take one byte; return the line if it ends one."""
        if char in _ENTER:
            return None if self._pasting else self._finish()
        if char in _BACKSPACE:
            del self._line[-1:]
        elif char in _KILL:
            self._line.clear()
        elif char in _END and not self._line and not self._pasting:
            raise Cancelled("cancelled with Ctrl-D")
        elif len(self._line) < redirect.LIMIT:
            self._line += char
        else:
            self._too_long = True
        return None

    def _finish(self) -> str:
        # What was cut off could still carry the state: never hand it on.
        line = TOO_LONG if self._too_long else self._line.decode("utf-8", "replace")
        self._line.clear()
        self._too_long = False
        return line
