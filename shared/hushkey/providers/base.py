"""What the core expects of an identity provider, and what passes between them.

A provider speaks to one issuer as one client. It never asks a person anything
and never stores anything: it turns protocol answers into grants or raises one
of the outcomes of `hushkey.errors`.
"""

from __future__ import annotations

from hushkey.model import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from dataclasses import KW_ONLY
    from typing import Any, Protocol

    from hushkey.errors import HushkeyError
    from hushkey.model import Account
else:
    Protocol = object


class CodeFlow(Frozen):
    """An authorization code request under way (RFC 6749 4.1, PKCE RFC 7636)."""

    _secret = ("data", "state", "url")
    url: str
    state: str
    redirect_uri: str
    #: what redeeming needs: verifier, nonce, scopes
    data: Mapping[str, Any]


class DeviceCode(Frozen):
    """A device authorization under way (RFC 8628 3.2); times in seconds."""

    _secret = ("data",)
    verification_uri: str
    user_code: str
    expires_in: float
    interval: float
    data: Mapping[str, Any]
    verification_uri_complete: str = ""


class Grant(Frozen):
    """What a token endpoint granted.

    ``expires_in`` is in seconds or None; ``scopes`` are the granted ones;
    ``account`` is None where the server named nobody (a refresh without an ID
    token). ``refresh_token`` is empty when the server sent none. ``fault`` is
    what is wrong with the answer beyond its refresh token, which must be saved
    all the same: the server may have rotated it.

    ``refresh_token`` is whatever the provider wants to be given back to renew:
    with MSAL, its own cache as JSON.
    """

    _secret = ("access_token", "refresh_token")
    access_token: str
    _: KW_ONLY
    refresh_token: str = ""
    expires_in: float | None = None
    scopes: tuple[str, ...] = ()
    account: Account | None = None
    claims: Mapping[str, Any] = {}
    fault: HushkeyError | None = None


class Pending(Exception):
    """The device code is not approved yet; *slow_down* asks for 5 s more."""

    def __init__(self, slow_down: bool = False) -> None:
        super().__init__("authorization pending")
        self.slow_down = slow_down


class Provider(Protocol):
    """One issuer, one client."""

    #: name the token file; compared byte for byte
    issuer: str
    client_id: str

    def refresh(self, refresh_token: str, scopes: tuple[str, ...]) -> Grant:
        """Redeem *refresh_token* for *scopes*, one network request."""

    def begin_code(
        self, scopes: tuple[str, ...], redirect_uri: str, login_hint: str
    ) -> CodeFlow:
        """Prepare an authorization request."""

    def redeem_code(self, flow: CodeFlow, answer: Mapping[str, str]) -> Grant:
        """Check the parameters of the redirect and redeem the code.

        The caller has compared the state. Raises Cancelled for access_denied.
        """

    def begin_device(self, scopes: tuple[str, ...]) -> DeviceCode | None:
        """Ask for a device code; None where the server offers no device flow."""

    def poll_device(self, code: DeviceCode) -> Grant:
        """Ask once; raises Pending while the person is busy."""

    def revoke(self, refresh_token: str) -> bool:
        """Revoke the grant at the server; False where it offers no revocation."""
