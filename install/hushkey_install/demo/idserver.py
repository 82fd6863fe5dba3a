"""The identity server: a real OpenID Connect provider on a loopback port.

This is the handle on it; the server itself, django-oauth-toolkit, runs in the
process that `idprocess` describes, so that nobody else pays for Django.
"""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from hushkey_install.demo.service import Service


@dataclass(frozen=True)
class Introspection:
    """Where, and as whom, a resource server may ask about a token (RFC 7662)."""

    url: str
    client_id: str
    client_secret: str


@dataclass(frozen=True)
class Tally:
    """What the server has seen: browser windows, and its token endpoint's answers."""

    windows: int = 0
    sign_ins: int = 0
    refreshes: int = 0
    refused: int = 0

    @property
    def requests(self) -> int:
        """All requests to the token endpoint."""
        return self.sign_ins + self.refreshes + self.refused

    def __sub__(self, before: Tally) -> Tally:
        return Tally(
            self.windows - before.windows,
            self.sign_ins - before.sign_ins,
            self.refreshes - before.refreshes,
            self.refused - before.refused,
        )


class IdentityServer(Service):
    """Signs in one user for one public client, and issues short-lived tokens.

    The client must use PKCE and may redirect to any loopback port under
    `http://127.0.0.1/callback`. Refresh tokens rotate; using a spent one ends
    the whole family.
    """

    module: ClassVar[str] = "hushkey_install.demo.idprocess"
    client_id = "hushkey-demo"
    redirect_uri = "http://127.0.0.1/callback"
    user = "demo"
    password = "hushkey"  # noqa: S105 - shown on the sign-in page itself

    def __init__(
        self,
        folder: Path,
        access_seconds: int = 300,
        refresh_seconds: int = 86400,
    ) -> None:
        super().__init__(folder)
        self.access_seconds = access_seconds
        self.refresh_seconds = refresh_seconds
        self._secret = secrets.token_urlsafe()

    def settings(self) -> dict[str, object]:
        """Return what the process needs to know."""
        return {
            "folder": str(self.folder),
            "access_seconds": self.access_seconds,
            "refresh_seconds": self.refresh_seconds,
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "user": self.user,
            "password": self.password,
            "introspection_secret": self._secret,
        }

    @property
    def issuer(self) -> str:
        """The issuer, known once the server has started."""
        return str(self.facts["issuer"])

    @property
    def introspection(self) -> Introspection:
        """What a resource server needs for checking tokens here."""
        return Introspection(f"{self.issuer}/introspect/", "git-server", self._secret)

    def tally(self) -> Tally:
        """Count what the trace holds so far."""
        log = self.log()
        granted = Counter(
            entry["grant_type"]
            for entry in log
            if "grant_type" in entry and entry["status"] == 200
        )
        return Tally(
            # A sign-in has one `state`: as many states, as many windows.
            windows=len({entry["window"] for entry in log if "window" in entry}),
            sign_ins=granted["authorization_code"],
            refreshes=granted["refresh_token"],
            refused=sum(
                "grant_type" in entry and entry["status"] != 200 for entry in log
            ),
        )
