"""GitLab: gitlab.com and self-managed ones.

Sources: docs.gitlab.com/api/oauth2, "GitLab as an OpenID Connect identity provider";
the engine behind them is Doorkeeper. The git routes look at Basic alone
(`Repositories::GitHttpClientController`).
"""

from __future__ import annotations

from hushkey.providers.checks import number
from hushkey.providers.spec import Lookup
from hushkey.providers.specs.oauth2 import ForgeSpec


class GitLab(ForgeSpec):
    """gitlab.com, or the server at ``base_url``."""

    name = "gitlab"
    keys = {**ForgeSpec.keys, "root_namespace_id": number}  # noqa: RUF012 - read only
    base_url = "https://gitlab.com"
    paths = {  # noqa: RUF012 - read only
        "authorization_endpoint": "/oauth/authorize",
        "token_endpoint": "/oauth/token",
        "device_authorization_endpoint": "/oauth/authorize_device",
        "revocation_endpoint": "/oauth/revoke",
    }
    #: the last two tell who signed in
    scopes = ("read_repository", "write_repository", "openid", "profile")
    implies = {  # noqa: RUF012 - read only
        "api": (
            "read_api",
            "read_user",
            "read_repository",
            "write_repository",
            "read_registry",
            "write_registry",
        ),
        "read_api": ("read_user", "read_repository", "read_registry"),
        "write_repository": ("read_repository",),
    }
    #: leads through the single sign-on of that top-level group (since 18.5)
    authorize_keys = ("root_namespace_id",)
    hint_parameter = ""
    git_user = "oauth2"  # lib/gitlab/auth.rb: an OAuth token with no other name
    scheme = "basic"
    lookups = (
        Lookup(
            "{base}/oauth/userinfo",
            id="sub",
            labels=("nickname", "preferred_username", "name"),
            scopes=("openid",),
        ),
        Lookup("{base}/api/v4/user", labels=("username",), scopes=("read_user", "api")),
        Lookup("{base}/oauth/token/info", id="resource_owner_id"),
    )
    register_path = "/-/user_settings/applications"
    register_fields = (
        '"Redirect URI" http://127.0.0.1/, untick "Confidential", tick the scopes '
        "read_repository, write_repository, openid and profile; then copy the "
        "Application ID"
    )
    typed_path = (
        "/-/user_settings/personal_access_tokens?name=hushkey"
        "&scopes=read_repository,write_repository"
    )
    typed_fields = 'choose an expiration date, "Create token"; then copy it'
    program = "glab"
    realms = ("GitLab",)
    header_mark = "X-Gitlab-Meta"
    userinfo_path = "/oauth/userinfo"
    hints = {  # noqa: RUF012 - read only
        ("", "invalid_client"): (
            'untick "Confidential" of the application, and check client_id: '
            "{base}/-/user_settings/applications"
        ),
        ("", "unauthorized_client"): (
            "check client_id and the application: {base}/-/user_settings/applications"
        ),
        ("", "invalid_scope"): (
            "tick the scopes of the config in the application: "
            "{base}/-/user_settings/applications"
        ),
    }
    given_up_hint = (
        "if GitLab's page showed an error: the application needs the redirect URI "
        "http://127.0.0.1/ and every scope of the config "
        "({base}/-/user_settings/applications)"
    )
    refusal_hint = (
        "check that the account may open {base}/{owner}; a group with SAML wants its "
        "own sign-in first: open that page, or set root_namespace_id; its registries "
        "take no OAuth token, but a personal, deploy or job token"
    )
