"""One user's desk: a config, a store, a PATH with our executables, real git."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from hushkey.acquire.acquirer import Acquirer
from hushkey.config import rules
from hushkey.store import tokenfile
from hushkey.system import paths
from hushkey.tokenrequest import PromptOptions, Session
from kit import canary
from kit.canary import Ear, Leak, Secret
from servers.apache import Apache
from servers.browser import Browser
from servers.gits import Git
from servers.issuer import Issuer
from servers.process import clean_environ

BIN = Path(sys.executable).parent
Done = subprocess.CompletedProcess[bytes]


class Seat:
    """Where somebody sits: a home with a config, a store and our executables."""

    folder: Path
    visitor: Browser
    ca_file: Path
    extra: Mapping[str, str]
    ear: Ear

    @property
    def environ(self) -> dict[str, str]:
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return clean_environ(
            HOME=str(home),
            PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}",
            HUSHKEY_CONFIG=str(self.folder / "config.toml"),
            HUSHKEY_DATA_DIR=str(self.folder / "data"),
            HUSHKEY_RUNTIME_DIR=str(self.folder / "run"),
            GIT_CONFIG_GLOBAL=str(self.folder / "gitconfig"),
            GIT_CONFIG_NOSYSTEM="1",
            GIT_SSL_CAINFO=str(self.ca_file),
            GIT_TERMINAL_PROMPT="0",
            **self.ear.environ,
            **self.visitor.environ,
        ) | dict(self.extra)

    def hushkey(self, *words: str, stdin: bytes = b"", **extra: str) -> Done:
        return self.start(str(BIN / "hushkey"), *words, stdin=stdin, **extra)

    def helper(self, action: str, text: str, **extra: str) -> Done:
        program = str(BIN / "git-credential-hushkey")
        return self.start(program, action, stdin=text.encode(), **extra)

    def start(self, *argv: str, stdin: bytes = b"", **extra: str) -> Done:
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            env=self.environ | extra,
            cwd=self.folder,
            timeout=120,
            check=False,
        )
        self.ear.hear(" ".join(argv), done.stdout, done.stderr)
        return done

    # -- the store, from inside ----------------------------------------------

    def acquirer(self) -> Acquirer:
        environ = self.environ
        config = rules.load(environ)
        folder = paths.data_folder(environ)
        return Acquirer(
            Session(config.settings, folder, environ, PromptOptions(), print)
        )

    def token_file(self, identity: str = "corp") -> tokenfile.TokenFile:
        config = rules.load(self.environ)
        return self.acquirer().file_of(config.identity(identity))

    def age(self, seconds: int, identity: str = "corp") -> None:
        """Let *seconds* pass for every token in the store."""
        with self.token_file(identity).change(timeout=10) as change:
            content = json.loads(change.cache.dumps())
            for row in content["tokens"]:
                row["obtained_at"] -= seconds
                row["expires_at"] -= seconds
            for row in content["refused"]:
                row["at"] -= seconds
            change.cache.__init__(content)  # type: ignore[misc]
            change.save()

    def tokens(self) -> list[str]:
        return [token.value for token in self.token_file().read().tokens()]

    def files(self) -> bytes:
        """Everything on the disk below the desk, for a search for secrets."""
        found = b""
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                found += path.read_bytes()
        return found


@dataclass
class Desk(Seat):
    """Where a person (or twenty of their processes) sits."""

    folder: Path
    issuer: Issuer
    apache: Apache
    visitor: Browser
    ca_file: Path
    extra: dict[str, str] = field(default_factory=dict)
    ear: Ear = field(init=False)

    def __post_init__(self) -> None:
        self.ear = Ear(self.folder.with_name(f"{self.folder.name}-ear"))

    def configure(
        self,
        *,
        settings: str = "",
        identity: str = "",
        hosts: str = "",
        key_store: str = "file",
    ) -> None:
        """Write the config, and register with git by `hushkey install git`."""
        host = f'[host."{self.apache.host}"]\nidentity = "corp"\nscopes = ["git"]\n'
        (self.folder / "config.toml").write_text(
            f'[settings]\nkey_store = "{key_store}"\nca_file = "{self.ca_file}"\n'
            f"{settings}\n"
            f'[identity.corp]\nprovider = "oidc"\nissuer = "{self.issuer.url}"\n'
            f'client_id = "hushkey"\n{identity}\n{hosts or host}'
        )
        # As after two seconds: an older file is compiled once and for all.
        then = time.time() - 60
        os.utime(self.folder / "config.toml", (then, then))
        done = self.hushkey("install", "git")
        assert done.returncode == 0, done.stderr

    def get(self, **extra: str) -> Done:
        """Ask our helper as git does."""
        text = f"protocol=https\nhost={self.apache.host}\n\n"
        return self.helper("get", text, **extra)

    def clone(self, git: Git, name: str, into: str) -> Done:
        done = git.run(
            "clone",
            "-q",
            self.apache.url_of(name),
            self.folder / into,
            environ=self.environ,
            cwd=self.folder,
        )
        self.ear.hear("git clone", done.stdout, done.stderr)
        return done

    def fetch_at_once(
        self, git: Git, clones: Sequence[str], **extra: str
    ) -> list[Done]:
        """Run `git fetch` in every clone at the same time."""

        def fetch(name: str) -> Done:
            environ = self.environ | extra
            done = git.run(
                "fetch", "-q", environ=environ, cwd=self.folder / name, seconds=150
            )
            self.ear.hear("git fetch", done.stdout, done.stderr)
            return done

        with ThreadPoolExecutor(len(clones)) as pool:
            return list(pool.map(fetch, clones))

    def clones(self, git: Git, number: int) -> list[str]:
        """Make *number* clones of one repository, the cheap way."""
        done = self.clone(git, "contoso/app", "clone-0")
        assert done.returncode == 0, done.stderr
        for index in range(1, number):
            copy = ["cp", "-r", "clone-0", f"clone-{index}"]
            subprocess.run(copy, check=True, cwd=self.folder)
        return [f"clone-{index}" for index in range(number)]

    # -- secrets ---------------------------------------------------------------

    def secrets(self) -> set[Secret]:
        """Every secret that came into the world while this desk was used."""
        key_file = self.folder / "data" / "key"
        return {*canary.of_issuer(self.issuer), *canary.of_key_file(key_file)}

    def leaks(self) -> list[Leak]:
        """Return where a secret is that must not be there."""
        files = canary.below(self.folder, self.folder / "data" / "key")
        return canary.leaks(self.secrets(), [*self.ear.places(), *files])
