"""Every provider that this version has, and the way from an identity to its own.

A new provider is a file under `hushkey.providers.specs` and a line here.
"""

from __future__ import annotations

from hushkey import origins
from hushkey.errors import Permanent
from hushkey.providers.specs import (
    bitbucket,
    bitbucket_dc,
    command,
    entra,
    forgejo,
    gitea,
    github,
    gitlab,
    google,
    huggingface,
    oauth2,
    oidc,
    static,
    workload,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from hushkey.model import Identity
    from hushkey.net.http import Network
    from hushkey.providers.base import Minter, Provider
    from hushkey.providers.spec import ProviderSpec
    from hushkey.tokenrequest import Session

#: by name, in the order in which they are listed to people
SPECS: Mapping[str, ProviderSpec] = {
    spec.name: spec
    for spec in (
        entra.Entra(),
        oidc.Oidc(),
        github.GitHub(),
        gitlab.GitLab(),
        gitea.Gitea(),
        forgejo.Forgejo(),
        bitbucket.Bitbucket(),
        bitbucket_dc.BitbucketDataCenter(),
        google.Google(),
        huggingface.HuggingFace(),
        oauth2.OAuth2(),
        command.Command(),
        static.Static(),
        workload.Workload(),
    )
}


def hosted(protocol: str, host: str) -> str:
    """Return which provider the server *host* is of, if its name says it; or nothing.

    Each such host is a server of its own: nothing of it is known but its kind.
    """
    origin = origins.parse_origin(protocol, host)
    if protocol != "https" or origin is None or origin[1] != 443:
        return ""
    domain = origin[0].partition(".")[2]
    named = (spec.name for spec in SPECS.values() if spec.domain == domain)
    return next(named, "") if domain else ""


def methods_of(identity: Identity) -> tuple[str, ...]:
    """Return the ways by which *identity* may and can be signed in; empty: all."""
    chosen = tuple(identity.options.get("flows", ()))
    possible = SPECS[identity.provider].methods(identity.options)
    both = tuple(m for m in chosen if m in possible)
    return both or possible or chosen


def client_words(provider: str, client_id: str) -> str:
    """Return as which client a *provider* signs people in, for a person."""
    spec = SPECS[provider]
    if not spec.is_shared(client_id):
        return client_id or "-"
    return f"{client_id}, which servers know as {spec.client_name}"


def open_provider(
    identity: Identity,
    session: Session,
    *,
    whole: bool = False,
    claims: str = "",
    tenant: str = "",
) -> Provider:
    """Return the provider of *identity* for *session*; imports it, contacts nobody.

    *whole*: all its requests together have ``silent_timeout`` seconds. *claims*
    (JSON) are asked for with every request, of *tenant* instead of the identity's
    own, where the provider has ``tenants``.

    Raises Permanent for providers that this version does not have.
    """
    spec = SPECS.get(identity.provider)
    if spec is None or spec.typed or spec.machine:
        raise Permanent(
            f"this version of hushkey has no provider {identity.provider} yet",
            hint="use provider oidc or oauth2, or a newer version",
        )
    from hushkey.net.http import Network

    network = Network(session.settings, session.environ, whole=whole)
    return spec.open(identity, network, session.folder, session.environ, claims, tenant)


def open_minter(
    identity: Identity,
    settings: Mapping[str, Any],
    folder: str,
    environ: Mapping[str, str],
) -> Minter:
    """Return what mints the tokens of the machine *identity*; contacts nobody.

    All its requests together have ``silent_timeout`` seconds. *folder* is where what
    servers publish about themselves is kept.
    """

    def network(seconds: float = 0) -> Network:
        from hushkey.net.http import Network

        end = min(seconds or settings["silent_timeout"], settings["silent_timeout"])
        return Network({**settings, "silent_timeout": end}, environ, whole=True)

    return SPECS[identity.provider].minter(identity, network, folder, environ)
