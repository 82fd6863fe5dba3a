"""From an identity to the provider that speaks for it."""

from __future__ import annotations

from hushkey.errors import Permanent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from hushkey.model import Identity
    from hushkey.providers.base import Provider

_KNOWN = ("entra", "oidc", "oauth2", "github", "gitlab", "gitea", "bitbucket")


def can_serve(identity: Identity) -> bool:
    """Tell whether this version has the identity's provider."""
    return identity.provider in _KNOWN


def open_provider(
    identity: Identity,
    settings: Mapping[str, Any],
    folder: str,
    environ: Mapping[str, str],
    *,
    whole: bool = False,
    claims: str = "",
    tenant: str = "",
) -> Provider:
    """Return the provider of *identity*; imports it, contacts nobody.

    *whole*: all its requests together have ``silent_timeout`` seconds. *claims*
    (JSON) are asked for with every request, of *tenant* instead of the identity's
    own; only Entra's provider knows either.

    Raises Permanent for providers that this version does not have.
    """
    if not can_serve(identity):
        raise Permanent(
            f"this version of hushkey has no provider {identity.provider} yet",
            hint="use provider oidc or oauth2, or a newer version",
        )
    from hushkey.net.http import Network
    from hushkey.providers.oidc import OAuthProvider

    network = Network(settings, environ, whole=whole)
    if identity.provider == "entra":
        from hushkey.providers.entra import EntraProvider

        return EntraProvider(identity, network, folder, claims, tenant)
    return OAuthProvider(identity, network, folder, environ)
