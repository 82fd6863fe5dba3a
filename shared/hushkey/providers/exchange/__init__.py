"""What a host wants instead of the access token: one module for each kind.

A kind turns the access token into what the host's clients take, at that very host
and nowhere else. To add one, write its module and name it in `KINDS`; caching,
single flight and renewal are `hushkey.acquire.exchanged`'s, and the same for all.
"""

from __future__ import annotations

from hushkey.errors import Permanent
from hushkey.providers.exchange import acr, codeartifact, ecr, gar, sts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from hushkey.net.http import Network
    from hushkey.providers.exchange.base import Context, Exchange, Secret

#: exchange (the config's word) -> what does it
KINDS: Mapping[str, Exchange] = {
    "acr": acr.EXCHANGE,
    "ecr": ecr.EXCHANGE,
    "gar": gar.EXCHANGE,
    "codeartifact": codeartifact.EXCHANGE,
    "sts": sts.EXCHANGE,
}


def perform(kind: str, asked: Context, network: Network, now: float) -> Secret:
    """Exchange by *kind*; raises Permanent for a host without TLS."""
    if "://" in asked.host:
        raise Permanent(
            f"{asked.host}: a token is exchanged over https only",
            hint="take `http://` out of the host's pattern",
        )
    return KINDS[kind].act(asked, network, now)
