"""Microsoft Entra's client credentials, on MSAL's confidential client.

learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow: a
secret, a signed assertion of our own (certificate), or somebody else's assertion that
the application trusts (workload identity federation).
"""

from __future__ import annotations

from urllib.parse import urlsplit

import msal

from hushkey.errors import HushkeyError, Permanent, plain
from hushkey.model import Grant
from hushkey.net import answers
from hushkey.net.discovery import Discovery
from hushkey.providers import clouds
from hushkey.providers.msal_http import Wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hushkey.providers.workload.kind import Context

_AUTHORITY = "AZURE_AUTHORITY_HOST"


def token(context: Context, credential: Any, *, tenant: str, client_id: str) -> Grant:
    """Return a token for the client *client_id* in *tenant*.

    *credential* is MSAL's ``client_credential``. Raises Transient or Permanent.
    """
    scope = context.resource_scope
    if not clouds.is_tenant(tenant):
        raise Permanent(f"{plain(tenant, 80)} is not the id or domain of a tenant")
    authority = f"https://{_host(context)}/{tenant}"
    network = context.network()
    document = Discovery(f"{authority}/v2.0", network, context.folder, of_entra=True)
    with Wire(network, telemetry=True) as wire:
        wire.serve(document)
        try:
            app = msal.ConfidentialClientApplication(
                client_id,
                client_credential=credential,
                authority=authority,
                http_client=wire,
                instance_discovery=False,
            )
            result = app.acquire_token_for_client([scope])
        except HushkeyError:
            raise
        except Exception as error:
            # Its text may hold the key or the assertion.
            raise Permanent(
                f"MSAL cannot use this credential ({type(error).__name__})",
                hint="check the certificate, its private key and its passphrase",
            ) from error
        if "access_token" not in result:
            raise wire.outcome(result)
        if fault := answers.type_fault(wire.answer):
            raise fault
        found = answers.token(wire.answer) or {}
    return Grant(
        str(found["access_token"]),
        expires_in=found["expires_in"],
        scopes=context.rule.scopes,
    )


def _host(context: Context) -> str:
    """Return where Entra signs in: it is sent the assertion, so it has to be known."""
    if cloud := context.identity.option("cloud"):
        return clouds.host_of(cloud)
    named = context.environ.get(_AUTHORITY, "").strip()
    if not named:
        return clouds.host_of("")
    try:
        parts = urlsplit(named if "://" in named else f"https://{named}")
        host = parts.netloc.lower() if parts.scheme == "https" else ""
    except ValueError:
        host = ""
    if not clouds.cloud_of(host):
        raise Permanent(
            f"{_AUTHORITY} names {plain(named, 100)}, which is none of Microsoft's",
            hint="nothing was sent there; write `cloud` in config.toml",
        )
    return clouds.host_of(clouds.cloud_of(host))
