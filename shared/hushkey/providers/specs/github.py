"""GitHub: github.com, SUBDOMAIN.ghe.com and GitHub Enterprise Server.

Sources: docs.github.com "Authorizing OAuth apps", "Scopes for OAuth apps",
"Refreshing user access tokens", "REST API endpoints for revocation".
"""

from __future__ import annotations

from hushkey.providers.spec import Lookup
from hushkey.providers.specs.oauth2 import ForgeSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_PUBLIC = "https://github.com"


class GitHub(ForgeSpec):
    """github.com, or the server at ``base_url``."""

    name = "github"
    base_url = _PUBLIC
    domain = "ghe.com"
    paths = {  # noqa: RUF012 - read only
        "authorization_endpoint": "/login/oauth/authorize",
        "token_endpoint": "/login/oauth/access_token",
        "device_authorization_endpoint": "/login/device/code",
    }
    scopes = ("repo", "workflow")
    implies = {  # noqa: RUF012 - read only
        "repo": (
            "repo:status",
            "repo_deployment",
            "public_repo",
            "repo:invite",
            "security_events",
        ),
        "admin:repo_hook": ("write:repo_hook", "read:repo_hook"),
        "write:repo_hook": ("read:repo_hook",),
        "admin:org": ("write:org", "read:org"),
        "write:org": ("read:org",),
        "admin:public_key": ("write:public_key", "read:public_key"),
        "write:public_key": ("read:public_key",),
        "write:packages": ("read:packages",),
        "user": ("read:user", "user:email", "user:follow"),
    }
    hint_parameter = "login"
    hint_parameters = {"prompt": "select_account"}  # noqa: RUF012 - read only
    scheme = "basic"
    lookups = (Lookup("{api}/user", labels=("login",)),)
    register_path = "/settings/applications/new"
    register_fields = (
        'any name and homepage, "Authorization callback URL" http://127.0.0.1/, and '
        'tick "Enable Device Flow"; then copy the Client ID, no secret'
    )
    typed_path = "/settings/tokens/new?scopes=repo,workflow&description=hushkey"
    typed_fields = 'choose an expiration, "Generate token"; then copy it'
    program = "gh"
    realms = ("GitHub",)
    header_mark = "X-GitHub-Request-Id"
    hints = {  # noqa: RUF012 - read only
        ("", "device_flow_disabled"): (
            'the owner of the app ticks "Enable Device Flow" in its settings: '
            "{base}/settings/developers"
        ),
        ("", "incorrect_client_credentials"): (
            "GitHub wants the client's secret in the browser; without one it is "
            "`--method device`. Or check client_id: each GitHub server has its own"
        ),
        # device codes: HTTP 404 with this word, not one of RFC 8628's
        ("", "Not Found"): (
            "check client_id: each GitHub server has its own apps "
            "({base}/settings/developers)"
        ),
        ("", "redirect_uri_mismatch"): (
            'the app\'s "Authorization callback URL" has to be http://127.0.0.1/ '
            "({base}/settings/developers)"
        ),
        ("", "unverified_user_email"): (
            "verify your primary email address: {base}/settings/emails"
        ),
    }
    # "Authorizing OAuth apps" (the page of one app), "SAML and GitHub Apps"
    refusal_hint = (
        "have {owner} approve the app ({base}/settings/connections/applications/"
        "{client}) or install the GitHub App there; where {owner} enforces SAML, open "
        "{base}/orgs/{owner}/sso, then `hushkey login --force`"
    )

    def methods(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the device flow alone without a secret, which a code needs."""
        secret = "client_secret" in options or "client_secret_env" in options
        return () if secret else ("device",)

    def api_of(self, base: str) -> str:
        """Return the API: a host of its own, but for GitHub Enterprise Server."""
        host = base.removeprefix("https://")
        if base == _PUBLIC or host.partition(".")[2] == self.domain:
            return f"https://api.{host}"
        return f"{base}/api/v3"

    def credential_revocation(self, base: str) -> str:
        """Return the endpoint for tokens; Enterprise Server takes none of ours."""
        api = self.api_of(base)
        return "" if api.startswith(f"{base}/") else f"{api}/credentials/revoke"
