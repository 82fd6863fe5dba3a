"""Bitbucket Cloud; endpoints: Atlassian "OAuth 2.0" for Bitbucket Cloud."""

from __future__ import annotations

from hushkey.providers.specs.oauth2 import ForgeSpec


class Bitbucket(ForgeSpec):
    """bitbucket.org."""

    name = "bitbucket"
    base_url = "https://bitbucket.org"
    paths = {  # noqa: RUF012 - read only
        "authorization_endpoint": "/site/oauth2/authorize",
        "token_endpoint": "/site/oauth2/access_token",
    }
