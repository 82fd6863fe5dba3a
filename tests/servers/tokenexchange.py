"""A real OpenID server that takes a pipeline's assertions, and the pipeline beside it.

    with TokenExchange() as server:
        server.url       the issuer: RFC 8693 and RFC 7523 for the client "robot"
        server.pipeline  plays GitHub Actions (/github) and Azure Pipelines (/azure)

Both take the request token "job-secret" and sign for whatever audience is asked.
"""

import json
import shutil
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from servers.issuer import MODULES
from servers.process import (
    Missing,
    Program,
    Server,
    find_program,
    short_folder,
    started_node,
)

SCRIPT = Path(__file__).with_name("token-exchange.mjs")
REQUEST_TOKEN = "job-secret"


class TokenExchange(Server):
    """panva's oidc-provider with the grants of machines."""

    def __init__(self) -> None:
        self.url = ""
        self.pipeline = ""
        self._folder: Path | None = None
        self._program: Program | None = None

    def start(self) -> None:
        if not (MODULES / "oidc-provider").is_dir():
            raise Missing("npm's oidc-provider is not there: run tests/prepare")
        node = find_program("node", package="nodejs npm")
        self._folder = short_folder("exchange")
        argv = [node, "--no-warnings", str(SCRIPT), str(MODULES)]
        program, line = started_node(argv, self._folder)
        self._program = program
        if not line:
            output = program.output()
            self.stop()
            raise RuntimeError(f"token-exchange did not start\n{output}")
        ready = json.loads(line)
        self.url, self.pipeline = ready["issuer"], ready["pipeline"]

    def stop(self) -> None:
        if self._program is not None:
            self._program.stop()
            self._program = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def assertion(self, **claims: object) -> str:
        """A token of the pipeline's: ``audience``, ``sub``, ``iat``, ``exp``."""
        asked = {"audience": self.url, **claims}
        found = self._json(f"/sign?{urlencode(asked)}")
        return str(found["value"])

    def log(self, path: str = "") -> list[dict[str, Any]]:
        """What was asked of either, /exchange among it."""
        rows = self._json("/log")
        return [row for row in rows if path in ("", row["path"])]

    def forget_log(self) -> None:
        request = urllib.request.Request(f"{self.pipeline}/log", method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    @property
    def github(self) -> dict[str, str]:
        """The variables of a job of GitHub Actions that may ask for tokens."""
        return {
            "GITHUB_ACTIONS": "true",
            "CI": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.pipeline}/github?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN,
        }

    def _json(self, path: str) -> Any:
        with urllib.request.urlopen(self.pipeline + path, timeout=10) as answer:
            return json.load(answer)

    def knows(self, token: str) -> bool:
        """Whether *token* is one that the issuer gave, and is alive (RFC 7662)."""
        form = urlencode({"token": token, "client_id": "robot"}).encode()
        url = f"{self.url}/token/introspection"
        with urllib.request.urlopen(url, form, timeout=10) as answer:
            return bool(json.load(answer)["active"])
