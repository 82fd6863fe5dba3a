"""Any OpenID Connect server, found by its discovery document."""

from __future__ import annotations

from hushkey.providers.checks import secure_url
from hushkey.providers.specs.oauth2 import OAuthSpec


class Oidc(OAuthSpec):
    """An issuer (OpenID Connect Core 1.2); it tells its endpoints itself."""

    name = "oidc"
    keys = {"issuer": secure_url}  # noqa: RUF012 - read only
    required: tuple[str, ...] = ("issuer", "client_id")
    implied_by = "issuer"
    open_id = True
    keeps_old = True
