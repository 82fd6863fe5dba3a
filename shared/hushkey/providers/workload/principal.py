"""``service-principal``: an application of Entra's with a secret or a certificate."""

from __future__ import annotations

import re

from hushkey.errors import Permanent, plain
from hushkey.providers import clouds
from hushkey.providers.checks import absolute_path, flag, one_of
from hushkey.providers.workload import secrets
from hushkey.providers.workload.kind import Kind, from_environ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from hushkey.model import Grant, Identity
    from hushkey.providers.workload.kind import Context
    from hushkey.system.proofs import Needs

#: of a PEM file (RFC 7468)
_KEY, _CERTIFICATE = (
    re.compile(f"-----BEGIN {label}-----[^-]+-----END {label}-----")
    for label in ("(?:(?:RSA|EC|ENCRYPTED) )?PRIVATE KEY", "CERTIFICATE")
)


class ServicePrincipal(Kind):
    """Entra, by what only the application's holder has."""

    name = "service-principal"
    keys = {  # noqa: RUF012 - read only
        "tenant": clouds.tenant,
        "cloud": one_of(*clouds.HOSTS),
        "secret_from": secrets.secret_from,
        "certificate": absolute_path,
        "passphrase_from": secrets.secret_from,
        "send_chain": flag,
    }
    one_of = ("secret_from", "certificate")

    def proof(self, table: Mapping[str, Any]) -> Needs:
        if "certificate" in table:
            return (), ((f"file:{table['certificate']}",),)
        return secrets.proof(table["secret_from"])

    def depends(self, table: Mapping[str, Any]) -> tuple[str, ...]:
        return from_environ(
            table,
            tenant="AZURE_TENANT_ID",
            client_id="AZURE_CLIENT_ID",
            cloud="AZURE_AUTHORITY_HOST",
        )

    def words(self, identity: Identity) -> str:
        tenant = identity.option("tenant") or "AZURE_TENANT_ID"
        client = identity.client_id or "AZURE_CLIENT_ID"
        place = identity.option("secret_from")
        by = secrets.words(place) if place else identity.option("certificate")
        return f"Entra's tenant {tenant} as client {client}, by {by}"

    def mint(self, context: Context) -> Grant:
        from hushkey.providers.workload import entra

        tenant = context.needed("tenant", "AZURE_TENANT_ID")
        client_id = context.identity.client_id or context.needed(
            "client_id", "AZURE_CLIENT_ID"
        )
        return entra.token(
            context, _credential(context), tenant=tenant, client_id=client_id
        )


def _credential(context: Context) -> Any:
    """Return what MSAL signs with; see its ``client_credential``."""
    identity, environ = context.identity, context.environ
    if place := identity.option("secret_from"):
        return secrets.read(place, environ)
    path = identity.option("certificate")
    phrase = identity.option("passphrase_from")
    more: dict[str, Any] = {}
    if phrase:
        more["passphrase"] = secrets.read(phrase, environ)
    content = secrets.read_file(path)
    if b"-----BEGIN " not in content:
        chain = (
            {"public_certificate": True} if identity.options.get("send_chain") else {}
        )
        return {"private_key_pfx_path": path, **chain, **more}
    # The order in such files differs; MSAL makes the SHA-256 thumbprint itself.
    key, certificates = (
        "\n".join(part.group() for part in pattern.finditer(content.decode("latin-1")))
        for pattern in (_KEY, _CERTIFICATE)
    )
    if not key or not certificates:
        raise Permanent(
            f"{plain(path)} has no {'certificate' if key else 'private key'}",
            hint="put both into it: the key and the certificate, PEM",
        )
    return {"private_key": key, "public_certificate": certificates, **more}
