"""Bitbucket Data Center.

Sources: Atlassian "Bitbucket OAuth 2.0 provider API" and "OAuth 2.0 provider system
properties"; Git Credential Manager for the user name.
"""

from __future__ import annotations

from hushkey.providers.spec import Lookup
from hushkey.providers.specs.bitbucket import Bitbucket


class BitbucketDataCenter(Bitbucket):
    """A Bitbucket Data Center of one's own, from 7.20 on."""

    name = "bitbucket-dc"
    base_url = ""
    paths = {  # noqa: RUF012 - read only
        "authorization_endpoint": "/rest/oauth2/latest/authorize",
        "token_endpoint": "/rest/oauth2/latest/token",
    }
    required = ("base_url", "client_id")
    scopes = ("REPO_WRITE",)
    implies = {  # noqa: RUF012 - read only
        "PROJECT_ADMIN": ("REPO_ADMIN", "REPO_WRITE", "REPO_READ"),
        "REPO_ADMIN": ("REPO_WRITE", "REPO_READ"),
        "REPO_WRITE": ("REPO_READ",),
        "REPO_READ": ("PUBLIC_REPOS",),
    }
    scope_fields = ("scope",)
    auth_method = "client_secret_post"
    hints = {  # noqa: RUF012 - read only
        ("", "invalid_client"): (
            "check client_id and client_secret: those of the incoming link"
        ),
    }
    git_user = "OAUTH_USERNAME"
    lookups = (
        Lookup("{base}/rest/api/latest/application-properties", header="X-AUSERNAME"),
    )
    register_path = "/plugins/servlet/applinks/listApplicationLinks"
    register_fields = (
        'an administrator: "Create link", "External application", "Incoming"; '
        '"Redirect URL" http://127.0.0.1:8400/, permission "Repositories: Write"; '
        "then copy Client ID and Client secret, and set redirect_uri to that URL"
    )
    typed_path = "/plugins/servlet/access-tokens/users/manage"
    typed_fields = '"Create token", "Repositories: Write"; then copy it'
    typed_user = "x-token-auth"
    realms = ("Atlassian Bitbucket",)
    refusal_hint = (
        "check that the account may read or write the repository "
        '({base}/account), and that the incoming link has "Repositories: Write"'
    )
    given_up_hint = (
        "if the page showed an error: Data Center refuses http redirects unless its "
        "administrator sets "
        "atlassian.oauth2.provider.skip.redirect.url.https.requirement=true"
    )
