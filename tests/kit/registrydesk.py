"""One user's desk with registries: a fake ACR before a real registry, real clients."""

import json
import os
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hushkey.acquire.acquirer import Acquirer
from hushkey.config import rules
from hushkey.system import paths
from hushkey.tokenrequest import PromptOptions, Session
from kit import canary
from kit.canary import Ear, Leak, Secret
from kit.desk import BIN, Done
from servers.acr import ISSUER, Acr, Signer, access_claims
from servers.authority import Authority
from servers.entra import ALICE, Detour, DetouredBrowser, Entra
from servers.process import clean_environ
from servers.registry import DockerRegistry, find_client, seed

HOST = "contoso.azurecr.io"
OTHER = "fabrikam.azurecr.io"
IMAGE = f"{HOST}/app:1"


def as_pull(verb: str) -> tuple[str, ...]:
    """Return the command line of our helper below a process called `docker pull`.

    That process is a shell: the kernel shows a script as its interpreter, while a
    program's first word is free to choose.
    """
    program = BIN / "docker-credential-hushkey"
    below = f"exec -a docker sh -c '\"{program}\" {verb}; exit $?' pull"
    return "bash", "-c", below


@dataclass
class RegistryDesk:
    """A person with nothing configured but the way to Microsoft's names."""

    folder: Path
    authority: Authority
    extra: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        self.ear = Ear(self.folder / "ear")
        self.entra = Entra(self.authority)
        self.registry = DockerRegistry(
            host=HOST, issuer=ISSUER, certificates=self.authority.ca_file
        )
        self.entra.start()
        self.registry.start()
        self.acr = Acr(self.authority, self.entra, self.registry.port)
        self.acr.start()
        self.detour = Detour(self.entra.routes() | self.acr.routes())
        self.detour.start()
        self.browser = DetouredBrowser(
            self.folder,
            user=ALICE.name,
            ca_file=self.authority.ca_file,
            proxy=self.detour.url,
        )
        scopes = ["repository:app:pull,push"]
        token = Signer(self.authority).sign(access_claims(HOST, "seed", scopes))
        seed(self.registry.port, "app", token=token)
        self.configure()

    def stop(self) -> None:
        for name in ("detour", "acr", "registry", "entra"):
            if server := getattr(self, name, None):
                server.stop()

    def configure(self, text: str = "", settings: str = "silent_timeout = 5") -> None:
        file = self.folder / "config.toml"
        file.write_text(
            f'[settings]\nkey_store = "file"\nca_file = "{self.authority.ca_file}"\n'
            f'proxy = "{self.detour.url}"\n{settings}\n{text}'
        )
        then = time.time() - 60  # as after two seconds: compiled once and for all
        os.utime(file, (then, then))

    @property
    def docker_config(self) -> Path:
        return self.folder / "docker" / "config.json"

    @property
    def environ(self) -> dict[str, str]:
        return (
            clean_environ(
                HOME=str(self.folder),
                PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}",
                HUSHKEY_CONFIG=str(self.folder / "config.toml"),
                HUSHKEY_DATA_DIR=str(self.folder / "data"),
                HUSHKEY_RUNTIME_DIR=str(self.folder / "run"),
                DOCKER_CONFIG=str(self.docker_config.parent),
                DOCKER_HOST="unix:///nowhere/docker.sock",
                HTTPS_PROXY=self.detour.url,
                SSL_CERT_FILE=str(self.authority.ca_file),
                **self.ear.environ,
                **self.browser.environ,
            )
            | self.extra
        )

    # -- what a person types ---------------------------------------------------

    def start_program(self, *argv: str, stdin: str = "", **extra: str) -> Done:
        done = subprocess.run(
            argv,
            input=stdin.encode(),
            capture_output=True,
            env=self.environ | extra,
            cwd=self.folder,
            timeout=120,
            check=False,
        )
        self.ear.hear(" ".join(argv), done.stdout, done.stderr)
        return done

    def leaks(self) -> list[Leak]:
        """Return where a secret is that must not be there.

        A registry's token is what our helper says; Entra's never leaves it, but to
        the registry.
        """
        secrets = {
            Secret("access_token" if kind == "registry token" else kind, value.encode())
            for kind, value in self.acr.secrets()
        }
        for kind, value in self.entra.secrets():
            shown = "Entra's token" if kind == "access_token" else kind
            secrets.add(Secret(shown, value.encode()))
        data, docker = self.folder / "data", self.docker_config.parent
        files = [*canary.below(data, data / "key"), *canary.below(docker, docker)]
        return canary.leaks(secrets, [*self.ear.places(), *files])

    def hushkey(self, *words: str, **extra: str) -> Done:
        return self.start_program(str(BIN / "hushkey"), *words, **extra)

    def client(self, name: str, *words: str, stdin: str = "", **extra: str) -> Done:
        """Run a client of Debian's."""
        return self.start_program(find_client(name), *words, stdin=stdin, **extra)

    def helper(self, verb: str, stdin: str = "", **extra: str) -> Done:
        """Run our helper below a `docker pull`, for which a person may be asked."""
        return self.start_program(*as_pull(verb), stdin=stdin, **extra)

    def get(self, host: str = HOST, **extra: str) -> Done:
        return self.helper("get", host, **extra)

    def secret(self, host: str = HOST) -> str:
        """The secret that the helper answers; it must answer."""
        done = self.get(host)
        assert done.returncode == 0, done.stdout + done.stderr
        return str(json.loads(done.stdout)["Secret"])

    def get_at_once(self, hosts: Sequence[str], **extra: str) -> list[Done]:
        with ThreadPoolExecutor(len(hosts)) as pool:
            return list(pool.map(lambda host: self.get(host, **extra), hosts))

    def register(self, *words: str) -> None:
        done = self.hushkey("install", "docker", *words)
        assert done.returncode == 0, done.stderr

    # -- the store, from inside --------------------------------------------------

    def age(self, seconds: int) -> None:
        """Let *seconds* pass for every token in every token file; no host refuses."""
        self._each(seconds, lambda row: True)

    def age_registry_tokens(self, seconds: int) -> None:
        """Let *seconds* pass for what registries gave, not for access tokens."""
        self._each(seconds, lambda row: "exchange" in row)

    def _each(self, seconds: int, which: Any) -> None:
        environ = self.environ
        config = rules.load(environ)
        folder = paths.data_folder(environ)
        acquirer = Acquirer(
            Session(config.settings, folder, environ, PromptOptions(), print)
        )
        for identity in config.identities().values():
            file = acquirer.file_of(identity)
            if identity.provider != "entra" or not os.path.exists(file.path):
                continue
            with file.change(timeout=10) as change:
                content = json.loads(change.cache.dumps())
                for row in filter(which, content["tokens"]):
                    row["obtained_at"] -= seconds
                    row["expires_at"] -= seconds
                content["refused"] = []
                change.cache.__init__(content)  # type: ignore[misc]
                change.save()
