"""Microsoft Entra ID, and authorities that are like it: through MSAL."""

from __future__ import annotations

from hushkey.providers import clouds
from hushkey.providers.checks import one_of, secure_url
from hushkey.providers.spec import ProviderSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from hushkey.model import Identity
    from hushkey.net.http import Network
    from hushkey.providers.base import Provider


class Entra(ProviderSpec):
    """Microsoft Entra ID."""

    name = "entra"
    keys = {  # noqa: RUF012 - read only
        "tenant": clouds.tenant,
        "cloud": one_of(*clouds.HOSTS),
        "authority": secure_url,
    }
    implied_by = "tenant"
    needs_scopes = True
    client_id = clouds.DEFAULT_CLIENT_ID
    redirect_uri = "http://localhost"
    #: a page for an administrator's approval, or of a policy, never leads back here
    given_up_hint = (
        "if Microsoft's page named a policy, a device or an administrator, ask yours "
        "about client ID {client}"
    )
    tenants = True
    keeps_old = True
    #: Azure Artifacts takes any; URLs and settings in the wild have this one
    keyring_user = "VssSessionToken"

    def options(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """Return the issuer: the authority, or where the cloud signs people in."""
        cloud = f"https://{clouds.host_of(table.get('cloud', ''))}"
        return {"issuer": table.get("authority", cloud)}

    def open(
        self,
        identity: Identity,
        network: Network,
        folder: str,
        environ: Mapping[str, str],
        claims: str,
        tenant: str,
    ) -> Provider:
        """Return MSAL's client for *identity*; see ProviderSpec."""
        from hushkey.providers.entra import EntraProvider

        return EntraProvider(identity, network, folder, claims, tenant)
