"""One run of a program for what it prints, and what may be shown of what it says."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time

from hushkey import runtime
from hushkey.errors import Permanent, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import IO

#: bytes that a program may print
MAX_BYTES = 64 * 1024
#: seconds in which what a program has written is read once it has ended
_DRAIN = 0.5


class Run:
    """A program that was started; ``output`` is what it printed, ``over`` too much."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        """Start it; raises Permanent where the system cannot."""
        runtime.ensure_may_block()
        try:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=os.path.abspath(os.sep),  # never where a repository may lie
                env=dict(environ),
                start_new_session=True,  # no terminal, and all of it can be ended
                creationflags=0x08000000 if sys.platform == "win32" else 0,
            )
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else ""
            raise Permanent(
                f"cannot start {plain(argv[0])}" + (f": {why}" if why else "")
            ) from error
        self.output = b""
        self.over = False
        self._said = b""
        self._readers = [
            threading.Thread(target=self._read, args=(pipe, keep), daemon=True)
            for pipe, keep in (
                (self._process.stdout, self._printed),
                (self._process.stderr, self._told),
            )
            if pipe is not None
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, pipe: IO[bytes], keep: Callable[[bytes], None]) -> None:
        try:
            while chunk := os.read(pipe.fileno(), 8192):
                keep(chunk)
        except (OSError, ValueError):
            return  # it was closed under us
        finally:
            pipe.close()

    def _printed(self, chunk: bytes) -> None:
        self.output += chunk
        if len(self.output) > MAX_BYTES:
            self.output, self.over = b"", True
            self._kill()

    def _told(self, chunk: bytes) -> None:
        self._said = (self._said + chunk)[-MAX_BYTES:]

    def wait(self, seconds: float) -> int | None:
        """Return the exit code; None: it was ended because the time was over."""
        until = time.monotonic() + seconds
        code = None
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._kill()
            self._process.wait()
        except BaseException:
            self._kill()  # Ctrl-C ends it with us
            raise
        for reader in self._readers:
            reader.join(max(min(_DRAIN, until - time.monotonic()), 0.05))
        if any(reader.is_alive() for reader in self._readers):
            self._kill()  # what it left behind holds its output open
        return code

    def _kill(self) -> None:
        """End the program, and what it has started."""
        try:
            if sys.platform == "win32":
                self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL)
        except OSError:
            return  # there is nobody any more

    def last_line(self, argv: Sequence[str], environ: Mapping[str, str]) -> str:
        """Return the last line on standard error, with nothing secret in it.

        Secret are what was printed, every argument that is no plain word, the values
        of variables named after secrets, and whatever looks like one.
        """
        text = self._said.decode("utf-8", "replace")
        lines = [line for line in map(plain, text.splitlines()) if line]
        if not lines:
            return ""
        printed = self.output.decode("utf-8", "replace").split()
        words = [part for word in argv[1:] for part in (word, word.partition("=")[2])]
        named = [value for name, value in environ.items() if _NAMED.search(name)]
        return without_secrets(lines[-1], [*printed, *words, *named])


_NAMED = re.compile(r"TOKEN|SECRET|PASS|KEY|CREDENTIAL|AUTH|COOKIE", re.IGNORECASE)
_ADDRESS = re.compile(r"://[^/\s@]+@")
_LONG = re.compile(r"[\w.~+=-]{20,}")
_KNOWN = re.compile(r"\b(?:gh[oprsu]_|github_pat_|glpat-|hv[sb]\.|ya29\.|AKIA|ASIA)\S+")
#: an id that administrators ask for, as Entra's correlation id
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def without_secrets(line: str, known: Sequence[str]) -> str:
    """Return *line* with ``***`` for the *known* secrets, and for what looks like one.

    That is a user part in a URL, a well-known beginning, or twenty characters without
    a blank among which there are both letters and digits, and which are no UUID.
    """
    for secret in sorted(set(known), key=len, reverse=True):
        if len(secret) >= 6 and not secret.isalpha():
            line = line.replace(secret, "***")
    line = _KNOWN.sub("***", _ADDRESS.sub("://***@", line))
    return _LONG.sub(_masked, line)


def _masked(found: re.Match[str]) -> str:
    text = found[0]
    mixed = any(map(str.isdigit, text)) and any(map(str.isalpha, text))
    return "***" if mixed and not _UUID.fullmatch(text.strip(".=")) else text
