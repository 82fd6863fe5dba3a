"""The stage: a folder, two servers, a config; set up, and cleared to the last file.

What the story's programs read and write is in the folder: hushkey's config and
tokens, git's config, the repositories. Nothing of the user's is touched.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from hushkey.system import isolated
from hushkey_install.common.filechange import temporary_place
from hushkey_install.demo import repository, visitor
from hushkey_install.demo.commands import GRACE, Commands
from hushkey_install.demo.gitserver import GitServer
from hushkey_install.demo.idserver import IdentityServer
from hushkey_install.demo.interruption import undisturbed
from hushkey_install.demo.sshserver import Programs, SshServer

REPOSITORY = "hello.git"
MARK = "HUSHKEY_DEMO"
OURS = ("git", "hushkey", "python")

CONFIG = """\
[settings]
key_store = "file"   # a throwaway key: your keyring is left alone
agent = false        # no background process
min_lifetime = {min_lifetime}     # tokens live for {access_seconds} seconds here
sign_in_timeout = {sign_in_seconds}

[identity.demo]
provider = "oidc"
issuer = "{issuer}"
client_id = "{client_id}"
redirect_uri = "{redirect_uri}"

[host."{host}"]
identity = "demo"
scopes = ["openid", "git"]
"""

GIT_CONFIG = """\
[credential]
\thelper = hushkey
\tuseHttpPath = true
[user]
\tname = Demo
\temail = demo@hushkey.test
[gc]
\tauto = 0
[maintenance]
\tauto = false
"""


class Stage:
    """Everything that must be gone afterwards; a context manager."""

    min_lifetime = 5
    sign_in_seconds = 120

    def __init__(self, git: Path, programs: Path, access_seconds: int) -> None:
        self.git = git
        self.programs = programs
        self.folder = Path(
            tempfile.mkdtemp(prefix="hushkey-demo-", dir=temporary_place())
        )
        self.work = self.folder / "work"
        self.identity = IdentityServer(self.folder / "identity", access_seconds)
        self._served: GitServer | None = None
        self._far: SshServer | None = None
        self.commands = Commands(self.folder, {})

    @property
    def served(self) -> GitServer:
        """The git server, which needs the identity server's address first."""
        assert self._served  # noqa: S101 - set by __enter__
        return self._served

    def __enter__(self) -> Self:
        try:
            self._set_up()
        except BaseException:
            self.clear()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    @property
    def url(self) -> str:
        """Where the repository is."""
        return self.served.url(REPOSITORY)

    @property
    def config(self) -> str:
        """The config file that hushkey reads in the demonstration."""
        return CONFIG.format(
            min_lifetime=self.min_lifetime,
            access_seconds=self.identity.access_seconds,
            sign_in_seconds=self.sign_in_seconds,
            issuer=self.identity.issuer,
            client_id=self.identity.client_id,
            redirect_uri=self.identity.redirect_uri,
            host=self.served.host,
        )

    def reach(self, programs: Programs) -> SshServer:
        """Start the machine ``far``, on which there is no config and nobody."""
        folder = self.folder / "far"
        self._far = SshServer(folder, programs, self._far_environment(folder))
        self._far.start()
        return self._far

    def cast(self, columns: int, scripted: bool, forced: bool = False) -> None:
        """Let a scripted visitor do the signing in, or the user's own browser.

        *forced*: even where hushkey would think that nobody sees a browser. What
        the programs print is to fit into *columns*.
        """
        environment = self._environment() | {"COLUMNS": str(columns)}
        if scripted:
            environment |= self._visitor()
        if scripted or forced:
            environment["HUSHKEY_INTERACTIVE"] = "browser"
        self.commands = Commands(self.folder, environment)

    def leftovers(self) -> list[int]:
        """Return the programs of the story that still run, by process id.

        They are known by a variable that only their environment has. A browser
        has it too if the sign-in started it; but that is the user's to close.
        """
        found = []
        for process in psutil.process_iter(["name"]):
            with suppress(psutil.Error):
                ours = (process.info["name"] or "").startswith(OURS)
                if ours and process.environ().get(MARK) == str(self.folder):
                    found.append(process.pid)
        return found

    def servers(self) -> list[int]:
        """Return the servers that still run, by process id."""
        services = (self.identity, self._served, self._far)
        return [service.pid for service in services if service and service.pid]

    def clear(self) -> None:
        """End every process and remove every file; may be called again."""
        with undisturbed():
            self.commands.end()
            self._end_leftovers()
            if self._far:
                self._far.stop()
            if self._served:
                self._served.stop()
            self.identity.stop()
            self._remove_folder()

    def _end_leftovers(self) -> None:
        """End our processes, also those that they start while they are looked for."""
        until = time.monotonic() + GRACE
        while (left := self.leftovers()) and time.monotonic() < until:
            for pid in left:
                with suppress(psutil.Error):
                    process = psutil.Process(pid)
                    process.kill()
                    process.wait(2)

    def _remove_folder(self) -> None:
        """Remove all files, also those that a program writes while it is ended."""
        until = time.monotonic() + GRACE
        while True:
            shutil.rmtree(self.folder, ignore_errors=True)
            if not self.folder.exists() or time.monotonic() > until:
                return
            self._end_leftovers()
            time.sleep(0.05)

    def _set_up(self) -> None:
        for name in ("home", "work", "data", "run"):
            (self.folder / name).mkdir(mode=0o700)
        self.identity.start()
        self._served = GitServer(
            self.folder / "git", self.git, self.identity.introspection
        )
        self.served.start()
        repository.create(self.git, self.served.projects, REPOSITORY)
        (self.folder / "config.toml").write_text(self.config)
        (self.folder / "gitconfig").write_text(GIT_CONFIG)

    def _environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            # The user's own settings for git and hushkey stay out of this.
            if not name.startswith(("GIT_", "HUSHKEY_")) and name != "SSH_ASKPASS"
        }
        return {
            **kept,
            MARK: str(self.folder),
            "PATH": os.pathsep.join([str(self.programs), kept.get("PATH", os.defpath)]),
            "HUSHKEY_CONFIG": str(self.folder / "config.toml"),
            "HUSHKEY_DATA_DIR": str(self.folder / "data"),
            "HUSHKEY_RUNTIME_DIR": str(self.folder / "run"),
            "HUSHKEY_AGENT": "off",
            "GIT_CONFIG_GLOBAL": str(self.folder / "gitconfig"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_SSL_CAINFO": str(self.served.authority),
            "GIT_TERMINAL_PROMPT": "0",
            "no_proxy": "127.0.0.1",
            "NO_PROXY": "127.0.0.1",
        }

    def _far_environment(self, folder: Path) -> dict[str, str]:
        """Return what a session on ``far`` has; its home is no user's own."""
        here = self._environment()
        git = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "GIT_SSL_CAINFO")
        kept = (MARK, "PATH", *git, "GIT_TERMINAL_PROMPT", "no_proxy", "NO_PROXY")
        return {
            **{name: here[name] for name in kept},
            "HOME": str(folder / "home"),
            "HUSHKEY_SYSTEM_CONFIG": "off",
            "HUSHKEY_DATA_DIR": str(folder / "home" / "data"),
            "HUSHKEY_RUNTIME_DIR": str(folder / "home" / "run"),
            "HUSHKEY_AGENT": "off",
        }

    def _visitor(self) -> dict[str, str]:
        return {
            # The user's own browser would need the user's own HOME: its profile.
            "HOME": str(self.folder / "home"),
            "BROWSER": shlex.join(isolated.words(visitor.__name__)),
            visitor.VISITS: str(self.folder / "visits.jsonl"),
        }
