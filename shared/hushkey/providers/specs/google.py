"""Google source hosting: googlesource.com, and Gerrits with Google's sign-in.

Sources: developers.google.com "OAuth 2.0 for iOS & Desktop Apps" (the secret of a
desktop client is none, and has to be sent), gerrit.googlesource.com/plugins/oauth.
"""

from __future__ import annotations

from hushkey.providers.spec import Registration
from hushkey.providers.specs.oidc import Oidc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_ISSUER = "https://accounts.google.com"


class Google(Oidc):
    """A Google account."""

    name = "google"
    keys = {}  # noqa: RUF012 - read only
    required = ("client_id",)
    any_of = ("client_secret", "client_secret_env")
    implied_by = ""
    scopes = ("https://www.googleapis.com/auth/gerritcodereview",)
    #: a refresh token comes only with the first, and again only with the second
    authorize_parameters = {  # noqa: RUF012 - read only
        "access_type": "offline",
        "prompt": "consent",
    }
    client_keys = {"client_secret": ""}  # noqa: RUF012 - read only
    hints = {  # noqa: RUF012 - read only
        ("", "invalid_client"): (
            "Google wants client_id and client_secret of a client of type Desktop app "
            "(https://console.cloud.google.com/auth/clients)"
        ),
        ("", "unauthorized_client"): (
            "the client has to be of type Desktop app "
            "(https://console.cloud.google.com/auth/clients)"
        ),
    }

    def options(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """Return the one issuer."""
        return {"issuer": _ISSUER}

    def methods(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Return all but the device flow, which wants another type of client."""
        return ("browser", "paste")

    def registration(self, table: Mapping[str, Any]) -> Registration | None:
        """Return where desktop clients are made."""
        return Registration(
            "https://console.cloud.google.com/auth/clients",
            'application type "Desktop app"; then copy Client ID and Client secret',
        )
