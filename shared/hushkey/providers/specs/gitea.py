"""Gitea and Forgejo, as Codeberg runs it; endpoints: forgejo.org "OAuth2 provider"."""

from __future__ import annotations

from hushkey.providers.specs.oauth2 import ForgeSpec


class Gitea(ForgeSpec):
    """codeberg.org, where the config names no other server."""

    name = "gitea"
    base_url = "https://codeberg.org"
    paths = {  # noqa: RUF012 - read only
        "authorization_endpoint": "/login/oauth/authorize",
        "token_endpoint": "/login/oauth/access_token",
    }
