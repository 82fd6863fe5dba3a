"""A machine to reach by SSH: a real sshd on loopback, for the user who runs this.

Whoever comes there finds a home in the demonstration's folder and an environment
without a config, and nobody signed in. Keys, host key and settings are in that folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from hushkey_install.demo.service import Service

#: where systems have sshd; a user's PATH seldom has that
_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/sbin", "/opt/homebrew/sbin")
#: an sshd that runs as root wants this folder, which its init script makes
_SEPARATED = Path("/run/sshd")
_SERVER = """\
HostKey {folder}/host
AuthorizedKeysFile {folder}/key.pub
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitUserRC no
PrintMotd no
PrintLastLog no
PidFile none
# sshd begins in the home that passwd(5) names, which is not to be touched.
ForceCommand cd $HOME && exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"
SetEnv {variables}
"""
_CLIENT = """\
Host far
HostName 127.0.0.1
Port {port}
IdentityFile {folder}/key
IdentitiesOnly yes
IdentityAgent none
UserKnownHostsFile {folder}/known
GlobalKnownHostsFile none
BatchMode yes
ForwardAgent no
"""


@dataclass(frozen=True)
class Programs:
    """OpenSSH's, by their absolute paths."""

    ssh: str
    sshd: str
    keygen: str


def find_programs() -> Programs | str:
    """Return OpenSSH's programs, or the name of the first that is not here."""
    entries = os.environ.get("PATH", os.defpath).split(os.pathsep)
    absolute = [entry for entry in entries if os.path.isabs(entry)]
    path, found = os.pathsep.join([*absolute, *_FOLDERS]), []
    for name in ("ssh", "sshd", "ssh-keygen"):
        if not (program := shutil.which(name, path=path)):
            return name
        found.append(program)
    return Programs(*found)


class SshServer(Service):
    """The machine ``far``; *environment* is what its sessions find."""

    module: ClassVar[str] = "hushkey_install.demo.sshprocess"

    def __init__(
        self, folder: Path, programs: Programs, environment: Mapping[str, str]
    ) -> None:
        super().__init__(folder)
        self.home = folder / "home"
        self._programs = programs
        self._environment = environment
        self._made = False

    def settings(self) -> dict[str, object]:
        """Return what the process needs to know; write what sshd reads."""
        self.home.mkdir(mode=0o700, exist_ok=True)
        keygen = [
            self._programs.keygen,
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            "",
            "-f",
        ]
        for name in ("host", "key"):
            subprocess.run(
                [*keygen, str(self.folder / name)],
                check=True,
                capture_output=True,
                timeout=30,
            )
        variables = " ".join(f'"{k}={v}"' for k, v in self._environment.items())
        config = self.folder / "sshd.conf"
        config.write_text(_SERVER.format(folder=self.folder, variables=variables))
        if os.geteuid() == 0:
            with suppress(FileExistsError):
                _SEPARATED.mkdir(mode=0o755)
                self._made = True
        log = self.folder / "sshd.log"
        words = [self._programs.sshd, "-i", "-f", config, "-E", log]
        return {"words": [str(word) for word in words]}

    def start(self) -> None:
        """Start it, and write what ssh needs in order to find it."""
        super().start()
        port = self.facts["port"]
        key = (self.folder / "host.pub").read_text().strip()
        (self.folder / "known").write_text(f"[127.0.0.1]:{port} {key}\n")
        self.client.write_text(_CLIENT.format(folder=self.folder, port=port))

    def stop(self) -> None:
        """End it, and take the folder away that it made."""
        super().stop()
        if self._made:
            self._made = False
            with suppress(OSError):
                _SEPARATED.rmdir()

    @property
    def client(self) -> Path:
        """The settings of an ssh that wants to get there, for `ssh -F`."""
        return self.folder / "ssh.conf"

    def refusal(self) -> str:
        """Return why nobody gets in, empty if one does: a locked account, a nologin."""
        try:
            done = subprocess.run(
                [self._programs.ssh, "-F", self.client, "far", "true"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=20,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "it does not answer"
        if not done.returncode:
            return ""
        said = (done.stderr + done.stdout).strip().splitlines()[-1:]
        return said[0] if said else f"it ends with code {done.returncode}"
