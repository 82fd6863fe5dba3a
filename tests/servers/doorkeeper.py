"""A GitLab-like forge: Doorkeeper, the engine of GitLab's sign-in, and git."""

import contextlib
import json
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

from servers.apache import make_bare
from servers.authority import Authority
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

SCRIPT = Path(__file__).with_name("doorkeeper.ru")
CLIENT_ID = "hushkey-client"
SCOPES = "read_repository write_repository openid profile"
PASSWORD = "x"  # what the visitor types


class Doorkeeper(Server):
    """Two people, alice and bob; a public client with a loopback redirect.

    A refresh ends the old access token at once, and a used refresh token is dead
    (400 `invalid_grant`), as at GitLab. Unknown scopes and redirects get an HTML page.
    """

    def __init__(self, authority: Authority, life: int = 7200) -> None:
        self.authority = authority
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self._life = life
        self._folder = short_folder("forge")
        self._program: Program | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start with one repository, contoso/app.git."""
        puma = find_program("puma")
        ruby = [find_program("ruby"), "-e", 'gem "doorkeeper-openid_connect"']
        if subprocess.run(
            ruby, capture_output=True, timeout=60, check=False
        ).returncode:
            gem = "ruby-doorkeeper-openid-connect"
            raise Missing(f"{gem} is not installed: apt-get install {gem}")
        make_bare(self._repositories, "contoso/app")
        self.set_life(self._life)
        spec = {
            "base": self.url,
            "folder": str(self._repositories),
            "database": str(self._folder / "forge.sqlite3"),
            "log": str(self._log),
            "settings": str(self._folder / "settings.json"),
            "users": {"alice": PASSWORD, "bob": PASSWORD},
            "clients": [
                {
                    "uid": CLIENT_ID,
                    "redirect": "http://127.0.0.1/",
                    "scopes": SCOPES,
                    "confidential": False,
                },
                {
                    "uid": "confidential",
                    "redirect": "http://127.0.0.1/",
                    "scopes": SCOPES,
                    "confidential": True,
                },
            ],
        }
        file = self._folder / "forge.json"
        file.write_text(json.dumps(spec))
        tls = f"key={self.authority.key_file}&cert={self.authority.certificate_file}"
        argv = [puma, "-q", "-t", "4:16", "-b"]
        argv += [f"ssl://127.0.0.1:{self.port}?{tls}", str(SCRIPT)]
        environ = clean_environ(
            FORGE=str(file),
            HOME=str(self._folder),
            GIT_CONFIG_NOSYSTEM="1",
            LC_ALL="C.UTF-8",
        )
        self._program = Program(argv, self._folder / "stderr", environ=environ)
        self._program.wait_until(
            lambda: answers(self.port), "Doorkeeper to answer", seconds=60
        )

    def stop(self) -> None:
        """End it and leave nothing behind."""
        if self._program is not None:
            self._program.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def set_life(self, seconds: int) -> None:
        """Let the next access tokens live so long."""
        (self._folder / "settings.json").write_text(json.dumps({"life": seconds}))

    def reset(self) -> None:
        """Be as new: nobody has signed in, empty log, the usual lifetime."""
        self.set_life(self._life)
        make_bare(self._repositories, "contoso/app")
        self._log.write_text("")
        tables = ("oauth_access_grants", "oauth_access_tokens", "oauth_openid_requests")
        for table in tables:
            self._change(f"DELETE FROM {table}")

    def expire(self) -> None:
        """Let three hours pass for every access token."""
        column = "created_at = datetime(created_at, '-3 hours')"
        self._change(f"UPDATE oauth_access_tokens SET {column}")

    def _change(self, statement: str) -> None:
        file = self._folder / "forge.sqlite3"
        with (
            contextlib.closing(sqlite3.connect(file, timeout=10)) as database,
            database,
        ):
            database.execute(statement)

    @property
    def _repositories(self) -> Path:
        return self._folder / "repositories"

    @property
    def _log(self) -> Path:
        return self._folder / "log.jsonl"

    def log(self) -> list[dict[str, Any]]:
        """One record per request, in the order of their ends."""
        if not self._log.exists():
            return []
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def grants(self, grant: str) -> list[int]:
        """The statuses of every token request of one grant type."""
        return [r["status"] for r in self.log() if r["grant"] == grant]

    def people(self) -> set[str]:
        """Who was let in to a repository."""
        return {r["user"] for r in self.log() if r["user"]}

    def url_of(self, name: str) -> str:
        return f"{self.url}/{name}.git"
