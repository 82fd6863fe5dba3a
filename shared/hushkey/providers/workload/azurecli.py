"""``azure-cli``: whoever is signed in to ``az`` on this machine.

``az`` owns that sign-in: ``logout`` here forgets a token, and ends nothing there.
"""

from __future__ import annotations

import json
import time

from hushkey.errors import Permanent, plain
from hushkey.model import Grant
from hushkey.providers import clouds
from hushkey.providers.checks import text
from hushkey.providers.workload import assertions
from hushkey.providers.workload.kind import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from hushkey.model import Identity
    from hushkey.providers.workload.kind import Context
    from hushkey.system.proofs import Needs

#: seconds; it takes one or two to start
_PATIENCE = 20.0
#: without colours, and without asking a person whether to install something
_QUIET = {"AZURE_CORE_NO_COLOR": "true", "AZURE_CORE_ONLY_SHOW_ERRORS": "true"}


class AzureCli(Kind):
    """Azure's command line."""

    name = "azure-cli"
    keys = {"tenant": clouds.tenant, "subscription": text}  # noqa: RUF012 - read only

    def proof(self, table: Mapping[str, Any]) -> Needs:
        return (), (("program:az",),)

    def depends(self, table: Mapping[str, Any]) -> tuple[str, ...]:
        return ("AZURE_CONFIG_DIR",)

    def words(self, identity: Identity) -> str:
        tenant = identity.option("tenant")
        return (
            f"`az account get-access-token`{f' in tenant {tenant}' if tenant else ''}"
        )

    def mint(self, context: Context) -> Grant:
        words = ["az", "account", "get-access-token", "--output", "json"]
        words += ["--resource", context.resource]
        for key in ("tenant", "subscription"):
            if named := context.identity.option(key):
                words += [f"--{key}", named]
        try:
            printed = assertions.printed(
                words, {**context.environ, **_QUIET}, _PATIENCE
            )
        except Permanent as error:
            if "AADSTS" not in error.what and "az login" in error.what:
                error.hint = "run `az login` as the user that this runs as"
            raise
        return _grant(context, printed)


def _grant(context: Context, printed: str) -> Grant:
    try:
        found = json.loads(printed)
    except (ValueError, RecursionError):
        found = None
    token = found.get("accessToken") if isinstance(found, dict) else None
    if not isinstance(token, str) or not token:
        raise Permanent(f"az printed no token: {plain(type(found).__name__, 40)}")
    # expiresOn is local time without a zone; older ones print nothing else.
    end = found.get("expires_on")
    lifetime = end - time.time() if type(end) is int else None
    return Grant(token, expires_in=lifetime or 300, scopes=context.rule.scopes)
