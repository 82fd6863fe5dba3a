"""Gitea, and Forgejo, which Codeberg runs.

Sources: docs.gitea.com and forgejo.org "OAuth2 provider"; go-gitea/gitea
`models/auth/oauth2.go` (the built-in clients, since 1.21, and so in Forgejo),
`services/oauth2_provider/access_token.go`.
"""

from __future__ import annotations

from hushkey.providers.spec import Lookup
from hushkey.providers.specs.oauth2 import ForgeSpec


class Gitea(ForgeSpec):
    """codeberg.org, or the server at ``base_url``.

    Without a client of one's own it is the public one that these servers have
    registered for credential helpers, unless their administrator took it out.
    """

    name = "gitea"
    base_url = "https://codeberg.org"
    paths = {  # noqa: RUF012 - read only
        "authorization_endpoint": "/login/oauth/authorize",
        "token_endpoint": "/login/oauth/access_token",
    }
    required = ()
    client_id = "a4792ccc-144e-407e-86c9-5e7d8d9c3269"
    client_name = "git-credential-oauth"
    hint_parameter = ""
    announcement = "/.well-known/openid-configuration"
    scheme = "basic"
    lookups = (
        Lookup(
            "{base}/login/oauth/userinfo",
            id="sub",
            labels=("preferred_username", "name"),
        ),
    )
    register_path = "/user/settings/applications"
    register_fields = (
        '"Redirect URIs" http://127.0.0.1/ and untick "Confidential Client"; then '
        "copy the Client ID"
    )
    typed_path = "/user/settings/applications"
    typed_fields = (
        '"Generate New Token" with "repository: Read and Write"; then copy it'
    )
    realms: tuple[str, ...] = ("Gitea",)
    userinfo_path = "/login/oauth/userinfo"
    hints = {  # noqa: RUF012 - read only
        ("redirect", "server_error"): (
            "one client has one set of scopes: take its access back under "
            "{base}/user/settings/applications, then sign in again"
        ),
        ("", "unauthorized_client"): (
            'untick "Confidential Client" of the application, and check client_id: '
            "{base}/user/settings/applications"
        ),
        ("", "invalid_client"): (
            "the server has no such client: register one at "
            "{base}/user/settings/applications and set client_id"
        ),
    }
    given_up_hint = (
        "if the page showed an error: the server may lack client ID {client}; register "
        "one at {base}/user/settings/applications and set client_id. An error about "
        "https at 127.0.0.1 is a proxy's that rewrites redirects"
    )
    refusal_hint = (
        "check that the account may open {base}/{owner}: a repository that is not for "
        "it is a 404, too; what the sign-in may do is in "
        "{base}/user/settings/applications"
    )
