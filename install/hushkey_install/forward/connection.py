"""One ssh connection that carries a socket, and takes it away at its end.

The connection is ssh's own master (ssh_config(5), ControlMaster): one authentication
for everything. Its command on the far side names the folder, waits for our end of its
standard input to close, however we end, and removes the socket. When the line is cut,
sshd closes that input, too.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from typing import IO, cast

from hushkey.errors import Permanent, Transient, plain
from hushkey.system import programs
from hushkey_install.forward.sshwords import SshWords

#: seconds to authenticate, with a person who types; and for what needs none
_CONNECT, _STEP = 180, 15
#: the far side's part, for any POSIX shell; the folder is `paths.runtime_folder`'s
_SCRIPT = r"""
umask 077
d=$HUSHKEY_RUNTIME_DIR; r=$XDG_RUNTIME_DIR
[ -d "$r" ] || r=/run/user/$(id -u)
if [ -z "$d" ]; then
  if [ -n "$HUSHKEY_DATA_DIR" ] && [ ! -d "$XDG_RUNTIME_DIR" ]; then
    d=$HUSHKEY_DATA_DIR/run
  elif [ -d "$r" ] && [ -w "$r" ]; then d=$r/hushkey
  elif [ "$(uname)" = Darwin ]; then d="$HOME/Library/Application Support/hushkey/run"
  else d=${XDG_DATA_HOME:-$HOME/.local/share}/hushkey/run; fi
fi
mkdir -p "$d" && chmod 700 "$d" || exit 1
s=$d/upstream
rm -f "$s"
echo "hushkey-socket $s"
read go || exit 0
i=$(ls -i "$s")
cat >/dev/null
[ "$(ls -i "$s" 2>/dev/null)" = "$i" ] && rm -f "$s"
exit 0
"""


class Connection:
    """The connection of *words*; *control* is its own socket's path here."""

    def __init__(
        self, words: SshWords, control: str, environ: Mapping[str, str]
    ) -> None:
        ssh = programs.find("ssh", environ)
        if ssh is None:
            raise Permanent("there is no ssh on PATH", hint="install OpenSSH's client")
        self._ssh = ssh
        self._words = words
        self._control = control
        self._environ = dict(environ)
        self._forward = ""
        # Ctrl-C ends the forward in order, which needs the connection.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._master = subprocess.Popen(
                [
                    *(self._ssh, "-M", "-S", control, "-T"),
                    *("-o", "ControlPersist=no", "-o", "RemoteCommand=none"),
                    *words.connection,
                    *("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"),
                    *(words.destination, f"exec /bin/sh -c '{_SCRIPT}'"),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self._environ,
            )
        finally:
            signal.signal(signal.SIGINT, before)
        self._out = cast("IO[bytes]", self._master.stdout)

    def open(self, socket: str) -> str:
        """Let a socket on the far side lead to *socket*; return its path there."""
        remote = self._place()
        self._forward = f"{remote}:{socket}"
        done = self._control_command("forward", "-R", self._forward)
        if done.returncode:
            self._forward = ""
            why = plain(done.stderr.decode("utf-8", "replace"), 200)
            raise Permanent(
                f"the server forwards no socket: {why or 'ssh gives no reason'}",
                hint="its sshd_config must not forbid AllowStreamLocalForwarding",
            )
        if self._master.stdin:
            self._master.stdin.write(b"go\n")
            self._master.stdin.flush()
        return remote

    def _place(self) -> str:
        """Return the path for the socket there, once the person is signed in."""
        out, data = self._out.fileno(), b""
        end = time.monotonic() + _CONNECT
        while (left := end - time.monotonic()) > 0:
            if not select.select([out], [], [], left)[0]:
                break
            piece = os.read(out, 4096)
            data += piece
            for line in data.split(b"\n")[:-1]:
                if line.startswith(b"hushkey-socket /"):
                    path = line.partition(b" ")[2].decode("utf-8", "replace")
                    if ":" not in path and path.isprintable():
                        return path
                    raise Permanent(f"{plain(path)} is not a path that ssh can forward")
            if not piece or len(data) > 65536:
                code = self._master.wait(_STEP)
                raise Transient(f"ssh ended with code {code}", hint="see what it says")
        raise Transient(f"ssh did not connect within {_CONNECT} s")

    def session(self) -> subprocess.Popen[bytes]:
        """Start what was typed: a shell or a command, on this connection."""
        words = self._words
        return subprocess.Popen(
            [
                *(self._ssh, "-S", self._control, "-o", "ControlMaster=no"),
                *("-o", "ClearAllForwardings=yes", *words.session),
                *(words.destination, *words.command),
            ],
            env=self._environ,
        )

    @property
    def is_alive(self) -> bool:
        """Whether ssh still runs."""
        return self._master.poll() is None

    def withdraw(self) -> None:
        """Take the socket away on the far side; the connection may go on."""
        if self._forward and self.is_alive:
            self._control_command("cancel", "-R", self._forward)
        self._forward = ""
        if self._master.stdin and not self._master.stdin.closed:
            self._master.stdin.close()

    def close(self) -> None:
        """End the connection, and whatever is left of it here."""
        try:
            self.withdraw()
            if self.is_alive:
                # The far side removes its socket, and ends.
                self._master.wait(3)
        except (OSError, subprocess.TimeoutExpired):
            self._forward = ""  # the line is cut: there is nobody to tell
        finally:
            if self.is_alive:
                self._master.terminate()
                try:
                    self._master.wait(3)
                except subprocess.TimeoutExpired:
                    self._master.kill()
                    self._master.wait()
            self._out.close()

    def _control_command(
        self, verb: str, *words: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Ask the connection for *verb*, without the user's own forwards."""
        return subprocess.run(
            [
                *(self._ssh, "-F", os.devnull, "-S", self._control),
                *("-O", verb, *words, self._words.destination),
            ],
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_STEP,
            check=False,
        )
