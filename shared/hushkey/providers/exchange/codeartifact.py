"""The exchange of AWS CodeArtifact: a token for the domain's repositories."""

from __future__ import annotations

import re

from hushkey.errors import Permanent
from hushkey.providers.checks import text
from hushkey.providers.exchange import aws
from hushkey.providers.exchange.base import (
    Context,
    Exchange,
    Secret,
    is_visible,
    json_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from hushkey.net.http import Network

USER = "aws"
#: docs.aws.amazon.com/codeartifact: DOMAIN-OWNER.d.codeartifact.REGION.amazonaws.com
_HOST = re.compile(
    r"([a-z][a-z0-9-]{0,48}[a-z0-9])-([0-9]{12})"
    r"\.d\.codeartifact\.([a-z0-9-]+)\.(amazonaws\.com)"
)


def codeartifact(asked: Context, network: Network, now: float) -> Secret:
    """Return a token for the domain of the host that is *asked* for.

    GetAuthorizationToken (docs.aws.amazon.com/codeartifact/latest/APIReference), of
    the service's own choice of 12 hours. Raises Refused, Permanent or Transient.
    """
    found = _HOST.fullmatch(asked.host)
    domain, owner, region, suffix = found.groups() if found else ("", "", "", "")
    url = f"https://codeartifact.{region}.{suffix}"
    there = aws.place(region, suffix, url, asked)
    signer = aws.keys(asked, there, network)
    named = {
        "domain": asked.options.get("domain", domain),
        "domain-owner": asked.options.get("owner", owner),
    }
    url = f"{there.endpoint}/v1/authorization-token?{aws.query(**named)}"
    headers = {"Content-Type": "application/json"}
    with network.session() as session:
        answer = aws.call(
            session, url, b"", headers, signer, "codeartifact", there, now
        )
    data = aws.checked(answer, json_of(answer), signer, asked)
    value = data.get("authorizationToken")
    if not is_visible(value):
        raise Permanent(f"{asked.host}: the answer of CodeArtifact holds no token")
    end = data.get("expiration")
    return Secret(USER, str(value), aws.left(end, answer, now, asked.host))


def _faults(host: str, options: Mapping[str, str]) -> str | None:
    """Return what is wrong with *host* or *options*; see Exchange."""
    needed = {"region", "endpoint", "sts_endpoint", "domain", "owner"}
    if _HOST.fullmatch(host) or needed <= options.keys():
        return None
    return (
        "is for DOMAIN-OWNER.d.codeartifact.REGION.amazonaws.com; another name needs "
        "`domain`, `owner`, `region`, `endpoint` and `sts_endpoint`"
    )


EXCHANGE = Exchange(
    codeartifact,
    USER,
    where="AWS's STS and CodeArtifact in its region",
    keys={**aws.KEYS, "domain": text, "owner": text},
    faults=_faults,
    takes_proof=True,
    tools=("python",),
)
