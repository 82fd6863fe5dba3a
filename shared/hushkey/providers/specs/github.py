"""GitHub; endpoints: docs.github.com "Authorizing OAuth apps"."""

from __future__ import annotations

from hushkey.providers.specs.oauth2 import ForgeSpec


class GitHub(ForgeSpec):
    """github.com."""

    name = "github"
    base_url = "https://github.com"
    paths = {  # noqa: RUF012 - read only
        "authorization_endpoint": "/login/oauth/authorize",
        "token_endpoint": "/login/oauth/access_token",
        "device_authorization_endpoint": "/login/device/code",
    }
