"""Every kind of machine that the config can name; a new one is a file and a line."""

from __future__ import annotations

from hushkey.providers.workload.azurecli import AzureCli
from hushkey.providers.workload.exchange import Exchange
from hushkey.providers.workload.federated import Federated
from hushkey.providers.workload.idtoken import IdToken
from hushkey.providers.workload.jobtoken import JobTokens
from hushkey.providers.workload.managed import ManagedIdentity
from hushkey.providers.workload.principal import ServicePrincipal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from hushkey.providers.workload.kind import Kind

#: by name, in the order in which they are listed to people
KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        ServicePrincipal(),
        Federated(),
        ManagedIdentity(),
        Exchange(),
        IdToken(),
        JobTokens(),
        AzureCli(),
    )
}
