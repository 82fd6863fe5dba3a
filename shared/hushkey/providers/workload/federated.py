"""``federated``: an assertion of the pipeline or the cluster, taken by Entra."""

from __future__ import annotations

from hushkey.errors import HushkeyError, Permanent
from hushkey.providers import clouds
from hushkey.providers.checks import one_of, text
from hushkey.providers.workload import assertions
from hushkey.providers.workload.kind import Kind, from_environ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from hushkey.model import Grant, Identity
    from hushkey.providers.workload.kind import Context
    from hushkey.system.proofs import Needs

#: cloud -> the audience of assertions for it (learn.microsoft.com/entra/workload-id,
#: "Workload identity federation")
_AUDIENCES = {
    "": "api://AzureADTokenExchange",
    "public": "api://AzureADTokenExchange",
    "usgov": "api://AzureADTokenExchangeUSGov",
    "china": "api://AzureADTokenExchangeChina",
}


class Federated(Kind):
    """Entra, by an assertion that its application trusts."""

    name = "federated"
    #: azure-identity sends the assertion there instead (its workload_identity.py)
    ignores = ("AZURE_KUBERNETES_TOKEN_PROXY",)
    keys = {  # noqa: RUF012 - read only
        "tenant": clouds.tenant,
        "cloud": one_of(*clouds.HOSTS),
        "assertion": assertions.check,
        "audience": text,
    }

    def proof(self, table: Mapping[str, Any]) -> Needs:
        source, rest = assertions.source_of(table.get("assertion", "file"))
        return source.proof(rest)

    def depends(self, table: Mapping[str, Any]) -> tuple[str, ...]:
        return from_environ(
            table,
            tenant="AZURE_TENANT_ID",
            client_id="AZURE_CLIENT_ID",
            cloud="AZURE_AUTHORITY_HOST",
            assertion="AZURE_FEDERATED_TOKEN_FILE",
        )

    def words(self, identity: Identity) -> str:
        source, rest = self._source(identity)
        tenant = identity.option("tenant") or "AZURE_TENANT_ID"
        client = identity.client_id or "AZURE_CLIENT_ID"
        said = source.words(rest, self._audience(identity))
        return f"{said}, exchanged at Entra's tenant {tenant} as client {client}"

    def handed(self, identity: Identity, environ: Mapping[str, str]) -> tuple[str, ...]:
        """Return the variable with the assertion, where there is no other one."""
        return assertions.handed(identity.options.get("assertion"))

    def mint(self, context: Context) -> Grant:
        from hushkey.providers.workload import claims, entra

        source, rest = self._source(context.identity)
        audience = self._audience(context.identity)
        tenant = context.needed("tenant", "AZURE_TENANT_ID")
        client_id = context.identity.client_id or context.needed(
            "client_id", "AZURE_CLIENT_ID"
        )
        context.resource_scope  # noqa: B018 - before anything is asked for

        def attempt() -> Grant:
            assertion = source.read(rest, audience, context)
            if not assertions.is_jwt(assertion):
                raise Permanent(f"{source.words(rest, audience)}: not one signed token")
            try:
                return entra.token(
                    context,
                    {"client_assertion": assertion},
                    tenant=tenant,
                    client_id=client_id,
                )
            except HushkeyError as error:
                raise claims.refused(error, assertion, again=source.again) from error

        return claims.twice(attempt, again=source.again)

    def _source(self, identity: Identity) -> tuple[assertions.Source, str]:
        return assertions.source_of(identity.options.get("assertion", "file"))

    def _audience(self, identity: Identity) -> str:
        usual = _AUDIENCES[identity.option("cloud")]
        return identity.option("audience", usual)
