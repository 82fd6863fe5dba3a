"""A real OpenSSH server on loopback, and the home of a second Unix user behind it.

The user exists for that server alone: passwd(5) and shadow(5) with one more line are
put over the machine's own in a mount namespace, which ends with it. Only root can.
"""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from kit.oauth import BIN
from servers.process import (
    Missing,
    Program,
    Server,
    answers,
    clean_environ,
    find_program,
    free_port,
    short_folder,
)

#: nobody's numbers, and the names that belong to them there
FAR, OTHER = 64_931, 64_932
_CONFIGURATION = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin no
PidFile none
PrintMotd no
Subsystem sftp internal-sftp
SetEnv {variables}
{more}
"""


class SshServer(Server):
    """sshd with the users ``far`` and ``other``, whose homes are below ``users``."""

    def __init__(self, ca_file: Path, more: str = "") -> None:
        self.folder = short_folder("sshd", mode=0o755)
        self.users = short_folder("users", mode=0o755)
        self.ca_file = self.users / "ca.pem"
        shutil.copy(ca_file, self.ca_file)
        self.ca_file.chmod(0o644)
        self.port = free_port()
        self._more = more
        self._program: Program | None = None

    def start(self) -> None:
        if os.geteuid() != 0:
            raise Missing("only root can switch to another user")
        sshd = find_program("sshd", package="openssh-server", also=["/usr/sbin"])
        unshare = find_program("unshare", package="util-linux")
        self.ssh = find_program("ssh", package="openssh-client")
        if subprocess.run([unshare, "-m", "true"], capture_output=True).returncode:
            raise Missing("no mount namespace can be made here")
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        for name in ("host", "key"):
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f"]
            subprocess.run([*words, str(self.folder / name)], check=True)
        shutil.copy(self.folder / "key.pub", self.folder / "authorized")
        (self.folder / "authorized").chmod(0o644)
        host = (self.folder / "host.pub").read_text().strip()
        (self.folder / "known").write_text(f"[127.0.0.1]:{self.port} {host}\n")
        passwd, shadow = (
            Path("/etc/passwd").read_text(),
            Path("/etc/shadow").read_text(),
        )
        for name, number in (("far", FAR), ("other", OTHER)):
            home = self.home(name)
            self.empty(name)
            passwd += f"{name}:x:{number}:{number}::{home}:/bin/sh\n"
            shadow += f"{name}:*:19000:0:99999:7:::\n"
        (self.folder / "passwd").write_text(passwd)
        (self.folder / "shadow").write_text(shadow)
        (self.folder / "shadow").chmod(0o600)
        variables = " ".join(f'"{k}={v}"' for k, v in self.environ.items())
        (self.folder / "config").write_text(
            _CONFIGURATION.format(
                port=self.port,
                folder=self.folder,
                variables=variables,
                more=self._more,
            )
        )
        script = (
            f"mount --bind {self.folder}/passwd /etc/passwd && "
            f"mount --bind {self.folder}/shadow /etc/shadow && "
            f"exec {shlex.quote(sshd)} -D -e -f {self.folder}/config"
        )
        self._program = Program(
            [unshare, "-m", "/bin/sh", "-c", script],
            self.folder / "log",
            environ=clean_environ(),
        )
        self._program.wait_until(lambda: answers(self.port), "sshd to listen")

    def stop(self) -> None:
        if self._program is not None:
            self._program.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.users, ignore_errors=True)

    @property
    def environ(self) -> dict[str, str]:
        """What everybody's session has; nobody there has a config."""
        return {
            "PATH": f"{BIN}{os.pathsep}/usr/bin:/bin",
            "GIT_SSL_CAINFO": str(self.ca_file),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_NOSYSTEM": "1",
            "HUSHKEY_SYSTEM_CONFIG": "off",
            "HUSHKEY_AGENT": "off",
        }

    def home(self, name: str = "far") -> Path:
        return self.users / name

    def empty(self, name: str) -> None:
        """Give *name* a new home."""
        number = {"far": FAR, "other": OTHER}[name]
        shutil.rmtree(self.home(name), ignore_errors=True)
        self.home(name).mkdir(mode=0o700)
        os.chown(self.home(name), number, number)

    def words(self, user: str = "far") -> list[str]:
        """Return what goes behind `ssh`, without a command."""
        return [
            *("-F", "none", "-p", str(self.port), "-i", str(self.folder / "key")),
            *("-o", f"UserKnownHostsFile={self.folder}/known", "-o", "BatchMode=yes"),
            f"{user}@127.0.0.1",
        ]

    @property
    def socket(self) -> Path:
        """The well-known place of a forwarded socket of ``far``."""
        return self.home() / ".local/share/hushkey/run/upstream"

    def output(self) -> str:
        return self._program.output() if self._program else ""
