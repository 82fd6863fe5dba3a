"""Bitbucket Cloud; sources: Atlassian "OAuth 2.0", "Bitbucket Cloud scopes"."""

from __future__ import annotations

from hushkey.providers.spec import Lookup
from hushkey.providers.specs.oauth2 import ForgeSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class Bitbucket(ForgeSpec):
    """bitbucket.org."""

    name = "bitbucket"
    base_url = "https://bitbucket.org"
    paths = {  # noqa: RUF012 - read only
        "authorization_endpoint": "/site/oauth2/authorize",
        "token_endpoint": "/site/oauth2/access_token",
    }
    scopes: tuple[str, ...] = ("repository:write",)
    implies = {  # noqa: RUF012 - read only
        "repository:write": ("repository",),
        "pullrequest": ("repository",),
        "pullrequest:write": ("pullrequest", "repository:write", "repository"),
        "project": ("repository",),
        "account:write": ("account",),
        "team:write": ("team",),
        "issue:write": ("issue",),
        "snippet:write": ("snippet",),
        "pipeline:write": ("pipeline",),
    }
    #: the plural before May 2026
    scope_fields: tuple[str, ...] = ("scope", "scopes")
    auth_method = "client_secret_basic"  # the document has no other
    hint_parameter = ""
    git_user = "x-token-auth"
    scheme = "basic"
    lookups = (
        Lookup(
            "https://api.bitbucket.org/2.0/user",
            id="account_id",
            labels=("username", "nickname", "display_name"),
            scopes=("account",),
        ),
    )
    register_path = "/account/settings/"
    register_fields = (
        'workspace settings, "OAuth consumers", "Add consumer": "Callback URL" '
        'http://127.0.0.1:8400/, permission "Repositories: Write"; then copy Key '
        "(client_id) and Secret (client_secret), and set redirect_uri to that URL"
    )
    client_keys = {  # noqa: RUF012 - read only
        "client_secret": "",
        "redirect_uri": "http://127.0.0.1:8400/",
    }
    typed_path = "https://id.atlassian.com/manage-profile/security/api-tokens"
    typed_fields = (
        '"Create API token with scopes", app Bitbucket, read:repository:bitbucket and '
        "write:repository:bitbucket; then copy it"
    )
    typed_user = "x-bitbucket-api-token-auth"
    hints = {  # noqa: RUF012 - read only
        ("", "invalid_client"): (
            "check client_id (Key) and client_secret (Secret) of the OAuth consumer"
        ),
    }
    refusal_hint = (
        "check that the account is in the workspace {base}/{owner}, which may demand "
        "two-step verification or allow few addresses, and that the consumer has "
        '"Repositories: Write"'
    )
    given_up_hint = (
        "if the page showed an error: redirect_uri has to begin with the consumer's "
        "Callback URL"
    )

    def methods(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Return all but the device flow, which there is none of."""
        return ("browser", "paste")
