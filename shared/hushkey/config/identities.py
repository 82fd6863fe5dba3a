"""One ``[identity.NAME]`` table with everything that defaults and its provider add.

What names a token file (issuer and client id) is known here, before any
provider's code: the check of a config and its compiled form must agree on it.
"""

from __future__ import annotations

from hushkey.model import Identity
from hushkey.providers.registry import SPECS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_FIELDS = ("provider", "account", "client_id", "scopes")


def compiled(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `Identity` that *table* stands for."""
    spec = SPECS[table["provider"]]
    return {
        "provider": spec.name,
        "account": table.get("account", ""),
        "client_id": table.get("client_id", "") or spec.client_id,
        "scopes": tuple(table.get("scopes", ())),
        "default_scopes": () if "scopes" in table else spec.scopes,
        "options": {
            **spec.options(table),
            **{k: v for k, v in table.items() if k not in _FIELDS},
        },
        **spec.traits_of(table),
    }


def named(rule: Mapping[str, Any]) -> list[str]:
    """Return the names of the identities of a host's *rule*, the first choice first."""
    names = rule["identity"]
    return [names] if isinstance(names, str) else list(names)


def token_file(name: str, table: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return what names the token file of the identity *name*; None if it has none.

    *table* is checked: its values are of the kinds that they have to be.
    """
    identity = Identity(name, **compiled(table))
    return None if identity.typed else (identity.issuer, identity.client_id)
