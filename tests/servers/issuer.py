"""panva's oidc-provider as a test server: every knob, and the server's own log."""

import json
import shutil
import urllib.request
from pathlib import Path
from typing import Any

from servers.authority import Authority
from servers.process import (
    CACHE,
    Missing,
    Program,
    Server,
    find_program,
    short_folder,
    started_node,
)

SCRIPT = Path(__file__).with_name("oidc-provider.mjs")
MODULES = CACHE / "node" / "node_modules"
CLIENT_ID = "hushkey"

Record = dict[str, Any]


class Issuer(Server):
    """An OpenID Connect server: public client `hushkey`, PKCE, device flow, rotation.

    http on loopback, or TLS with an authority's leaf. `path` "/oidc" puts the issuer
    below a path. `settings` are those of oidc-provider.mjs, and may be changed by
    set() while it runs:

    access_ttl, refresh_ttl, id_ttl, device_ttl   seconds
    rotate                a refresh token is used once; a replay kills its family
    id_token_on_refresh   whether refresh answers carry an ID token
    every_audience        one refresh token serves every resource (else: one)
    token_format          "jwt", or "opaque"
    strict_offline        offline_access only where prompt=consent was sent
    decline               the person at the login page says no
    delay                 seconds before the token endpoint works
    pipeline              the issuer whose tokens are exchanged (RFC 8693), for `robot`
    answer                merged into every token answer; None takes a key away
    resources             {audience: "scope scope"}
    """

    def __init__(
        self,
        *,
        authority: Authority | None = None,
        path: str = "",
        host: str = "127.0.0.1",
        port: int = 0,
        **settings: Any,
    ) -> None:
        self.authority = authority
        self.path = path
        self.host = host
        self.port = port
        self.url = ""
        self._settings = settings
        self._admin = 0
        self._folder: Path | None = None
        self._program: Program | None = None
        self._secrets: list[Record] = []

    # -- its life

    def start(self) -> None:
        """Start; after a stop, on the same port with the same keys, but forgetful."""
        if not (MODULES / "oidc-provider").is_dir():
            raise Missing("npm's oidc-provider is not there: run tests/prepare")
        node = find_program("node", package="nodejs npm")
        if self._folder is None:
            self._folder = short_folder("issuer")
        options: Record = {
            "host": self.host,
            "port": self.port,
            "path": self.path,
            "log": str(self.log_file),
            "keys": str(self._folder / "keys.json"),
            "settings": self._settings,
        }
        if self.authority is not None:
            options["certificate"] = str(self.authority.certificate_file)
            options["key"] = str(self.authority.key_file)
        file = self._folder / "options.json"
        file.write_text(json.dumps(options))
        argv = [node, "--no-warnings", str(SCRIPT), str(MODULES), str(file)]
        program, line = started_node(argv, self._folder)
        self._program = program
        if not line:
            output = program.output()
            self.stop()
            raise RuntimeError(f"oidc-provider did not start\n{output}")
        ready = json.loads(line)
        self.url = ready["issuer"]
        self.port = ready["port"]
        self._admin = ready["admin"]

    def halt(self) -> None:
        """End the process but keep port, keys and log, for another start()."""
        if self._program is not None:
            self._program.stop()
            self._program = None

    def stop(self) -> None:
        """End it and leave nothing behind."""
        self.halt()
        if self._folder is not None:
            self._secrets = self.secrets()
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    @property
    def log_file(self) -> Path:
        assert self._folder is not None, "not started"
        return self._folder / "log.jsonl"

    def stderr(self) -> str:
        return self._program.output() if self._program else ""

    # -- its knobs

    def set(self, **settings: Any) -> None:
        """Change settings of the running server."""
        self._command("set", settings)

    def fail(
        self,
        kind: str,
        *,
        where: str = "token",
        times: int | None = None,
        status: int | None = None,
        retry_after: int | str | None = None,
        error: str | None = None,
        body: str | None = None,
    ) -> None:
        """Let an endpoint fail until heal(), or `times` times.

        kind: "status" (503, or `status`, with `retry_after`), "captive" (a portal's
        HTML with 200), "hang" (never an answer), "drop" (the connection), "lose"
        (the work is done, then the connection drops), "error" (an OAuth error in
        JSON, status 400). where: token, discovery, jwks, device, authorize,
        revocation, any.
        """
        fault = {
            "kind": kind,
            "where": where,
            "times": times,
            "status": status,
            "retry_after": retry_after,
            "error": error,
            "body": body,
        }
        present = {key: value for key, value in fault.items() if value is not None}
        self._command("set", {"fault": present})

    def heal(self) -> None:
        self._command("set", {"fault": None, "delay": 0})

    def reset(self) -> None:
        """As it was started: first settings, empty log, nobody has signed in."""
        self._command("reset")

    def forget(self, account: str | None = None) -> None:
        """Drop every token and session (of one account): refreshes are refused."""
        self._command("forget", {"account": account} if account else {})

    def rotate_keys(self, *, keep: bool = True) -> None:
        """Sign with a new key; the old one stays published if `keep`."""
        self._command("rotate_keys", {"keep": keep})

    # -- its log

    def log(self, event: str | None = None) -> list[Record]:
        """What the server wrote: token, authorization, login, declined, ..."""
        lines = self.log_file.read_text().splitlines()
        records: list[Record] = [json.loads(line) for line in lines]
        return [r for r in records if event is None or r["event"] == event]

    def secrets(self) -> list[Record]:
        """What it gave and was given: tokens, codes, verifiers, states."""
        if self._folder is None:
            return self._secrets  # until it stopped
        file = self.log_file.with_name(f"{self.log_file.name}.secrets")
        lines = file.read_text().splitlines() if file.exists() else []
        return [json.loads(line) for line in lines]

    def token_requests(
        self, grant_type: str | None = None, *, status: int | None = None
    ) -> list[Record]:
        """Every request to the token endpoint, faults included."""
        return [
            record
            for record in self.log("token")
            if (grant_type is None or record["grant_type"] == grant_type)
            and (status is None or record["status"] == status)
        ]

    def refreshes(self) -> int:
        """How many refresh requests came in, whatever the outcome."""
        return len(self.token_requests("refresh_token"))

    def sign_ins(self) -> int:
        """How many people completed the login page."""
        return len(self.log("login"))

    def _command(self, name: str, value: Record | None = None) -> Record:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._admin}/{name}",
            data=json.dumps(value or {}).encode(),
            method="POST",
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            result: Record = json.load(answer)
        return result
