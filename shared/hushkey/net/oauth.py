"""Authlib's OAuth client on our terms, for sign-ins.

Bare, it follows redirects with the refresh token, sends ~/.netrc passwords to the
issuer and hands out error answers as tokens. A renewal is one form and does without
its import: `hushkey.net.http.Session.renew`.
"""

from __future__ import annotations

from authlib.integrations.requests_client import OAuth2Session

from hushkey.net import http

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from requests import Response

    from hushkey.net.http import Network


class Client(http.Session, OAuth2Session):  # type: ignore[misc]
    """Acts as one OAuth client; every request raises our outcomes."""

    def __init__(self, client_id: str, network: Network, **client: Any) -> None:
        super().__init__(network, client_id=client_id, **client)

    def parse_response_token(self, resp: Response) -> Any:
        """Return the token answer (code, device), or raise Refused."""
        # The parent would parse the body again; what we made of it counts. It
        # trips over an odd expires_at, which no RFC knows.
        self.token = {**http.token_of(resp), "expires_at": None}
        return self.token
