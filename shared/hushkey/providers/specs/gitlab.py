"""GitLab; endpoints: docs.gitlab.com/api/oauth2."""

from __future__ import annotations

from hushkey.providers.specs.oauth2 import ForgeSpec


class GitLab(ForgeSpec):
    """gitlab.com."""

    name = "gitlab"
    base_url = "https://gitlab.com"
    paths = {  # noqa: RUF012 - read only
        "authorization_endpoint": "/oauth/authorize",
        "token_endpoint": "/oauth/token",
        "device_authorization_endpoint": "/oauth/authorize_device",
    }
