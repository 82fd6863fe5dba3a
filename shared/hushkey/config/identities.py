"""One ``[identity.NAME]`` table with everything that defaults and presets add.

What names a token file (issuer and client id) is known here, before any
provider's code: the check of a config and its compiled form must agree on it.
"""

from __future__ import annotations

from hushkey.model import Identity
from hushkey.providers import clouds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_FIELDS = ("provider", "account", "client_id", "scopes")
#: the providers that keep nothing in a token file
_FILELESS = ("static",)


def compiled(table: Mapping[str, Any], endpoints: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `Identity` that *table* stands for.

    *endpoints* are those of the presets, by provider.
    """
    provider = table["provider"]
    client_id = table.get("client_id", "")
    if provider == "entra":
        client_id = client_id or clouds.DEFAULT_CLIENT_ID
        cloud = f"https://{clouds.host_of(table.get('cloud', ''))}"
        table = {"issuer": table.get("authority", cloud), **table}
    return {
        "provider": provider,
        "account": table.get("account", ""),
        "client_id": client_id,
        "scopes": tuple(table.get("scopes", ())),
        "options": {
            **endpoints.get(provider, {}),
            **{k: v for k, v in table.items() if k not in _FIELDS},
        },
    }


def token_file(
    name: str, table: Mapping[str, Any], endpoints: Mapping[str, Any]
) -> tuple[str, str] | None:
    """Return what names the token file of the identity *name*; None if it has none.

    *table* is checked: its values are of the kinds that they have to be.
    """
    if table["provider"] in _FILELESS:
        return None
    identity = Identity(name, **compiled(table, endpoints))
    return identity.issuer, identity.client_id
