"""What the core expects of an identity provider.

A provider speaks to one issuer as one client. It never asks a person anything
and never stores anything: it turns protocol answers into grants or raises one
of the outcomes of `hushkey.errors`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    from hushkey.model import Account, CodeFlow, DeviceCode, Grant, HostRule
else:
    Protocol = object


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
        """Prepare an authorization request.

        Whoever is asked to sign in is asked because the code can be redeemed
        afterwards: raises Transient or Permanent if the server does not answer.
        """

    def redeem_code(self, flow: CodeFlow, answer: Mapping[str, str]) -> Grant:
        """Check the parameters of the redirect and redeem the code.

        The caller has compared the state. Raises Cancelled for access_denied.
        """

    def begin_device(self, scopes: tuple[str, ...]) -> DeviceCode | None:
        """Ask for a device code; None where the server offers no device flow."""

    def poll_device(self, code: DeviceCode) -> Grant:
        """Ask once; raises Pending while the person is busy."""

    def revoke(self, refresh_token: str) -> bool:
        """Revoke a grant by its token; False where the server offers no revocation.

        An access token, where the server gave no refresh token.
        """

    def account(
        self, access_token: str, scopes: tuple[str, ...] = ()
    ) -> Account | None:
        """Return who it is that *access_token* with *scopes* is of; None: not known.

        At most one request, and no failure of it is an error.
        """


class Minter(Protocol):
    """A machine's way to a token: it proves itself, and there is nobody to ask."""

    def mint(self, rule: HostRule, host: str) -> Grant:
        """Return a token for *rule*, for the origin *host*.

        Raises Transient or Permanent. The grant has no refresh token: to renew is to
        mint again.
        """
