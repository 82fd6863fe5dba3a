"""The exchange at AWS's STS itself: the keys of a role, for AWS's own clients."""

from __future__ import annotations

import json
import re
from datetime import datetime

from hushkey.errors import Permanent
from hushkey.providers.exchange import aws
from hushkey.providers.exchange.base import Context, Exchange, Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from hushkey.net.http import Network

#: seconds: the most that every role allows (its MaxSessionDuration)
_KEYS_LIVE = 3600
#: AWS's own names; any other one is an STS of one's own
_AWS = re.compile(r"(.+\.)?(amazonaws\.com(\.cn)?|api\.aws)")


def sts(asked: Context, network: Network, now: float) -> Secret:
    """Return the keys of the role, as JSON; the host *asked* for is the STS.

    The members are those of AWS's ``credential_process`` (docs.aws.amazon.com/sdkref
    "Process credential provider"). Raises Refused, Permanent or Transient.
    """
    if asked.username:
        raise Permanent(
            f"{asked.host}: this identity has AWS keys, and STS takes a token",
            hint="give the host an identity that gives a JWT",
        )
    role = asked.options["role"]
    keys, answer = aws.assumed(
        asked, role, f"https://{asked.host}", network, _KEYS_LIVE
    )
    end = _moment(aws.tag(answer.text, "Expiration"))
    value = {
        "AccessKeyId": keys.id,
        "SecretAccessKey": keys.secret,
        "SessionToken": keys.session,
    }
    lifetime = aws.left(end, answer, now, asked.host)
    lifetime = _KEYS_LIVE if lifetime is None else lifetime
    return Secret(keys.id, json.dumps(value, separators=(",", ":")), lifetime)


def _moment(text: str) -> float | None:
    """Return what *text* (RFC 3339) says in epoch seconds; None if that is no time."""
    try:
        found = datetime.fromisoformat(text)
        return found.timestamp() if found.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _faults(host: str, options: Mapping[str, str]) -> str | None:
    """Return what is wrong with *host*: another service of AWS is no STS."""
    if not _AWS.fullmatch(host) or "sts" in re.split("[.-]", host):
        return None
    return "is for an STS, such as sts.eu-west-1.amazonaws.com"


EXCHANGE = Exchange(
    sts,
    "",
    where="the STS itself",
    keys={"role": aws.role},
    required=("role",),
    faults=_faults,
    takes_proof=True,
    tools=("aws",),
)
