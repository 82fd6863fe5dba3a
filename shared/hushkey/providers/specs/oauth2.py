"""Any OAuth 2.0 server (RFC 6749), and what all of them have in common.

A forge that is nothing but data is a subclass in its own file: its ``base_url`` and
the ``paths`` of its endpoints below it.
"""

from __future__ import annotations

from hushkey.providers.checks import base_url, secure_url
from hushkey.providers.spec import ProviderSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from hushkey.model import Identity
    from hushkey.net.http import Network
    from hushkey.providers.base import Provider


class OAuthSpec(ProviderSpec):
    """A server with endpoints that are known or in the config, and no discovery."""

    keys = {  # noqa: RUF012 - read only
        "authorization_endpoint": secure_url,
        "token_endpoint": secure_url,
        "device_authorization_endpoint": secure_url,
        "revocation_endpoint": secure_url,
    }
    required: tuple[str, ...] = ("client_id",)

    def open(
        self,
        identity: Identity,
        network: Network,
        folder: str,
        environ: Mapping[str, str],
        claims: str,
        tenant: str,
    ) -> Provider:
        """Return Authlib's client for *identity*; see ProviderSpec."""
        from hushkey.providers.oidc import OAuthProvider

        return OAuthProvider(identity, network, folder, environ, self)

    def check_client(
        self,
        identity: Identity,
        network: Network,
        folder: str,
        environ: Mapping[str, str],
        redirect_uri: str,
    ) -> None:
        """Begin a sign-in and leave it; see ProviderSpec."""
        from hushkey.providers.clientcheck import ClientCheck

        ClientCheck(identity, network, folder, environ, self).run(redirect_uri)


class ForgeSpec(OAuthSpec):
    """A forge: one public server, and others that run the same software."""

    keys = {"base_url": base_url, **OAuthSpec.keys}  # noqa: RUF012 - read only


class OAuth2(OAuthSpec):
    """A server that only the config knows."""

    name = "oauth2"
    required = ("client_id", "token_endpoint")
    any_of = ("authorization_endpoint", "device_authorization_endpoint")
