"""The exchange of Amazon ECR: a registry's password for 12 hours, user ``AWS``."""

from __future__ import annotations

import re
from binascii import Error, a2b_base64

from hushkey.errors import Permanent
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
    from typing import Any

    from hushkey.net.http import Network

USER = "AWS"
#: docs.aws.amazon.com/general/latest/gr/ecr.html: registry, and its API's endpoint
_HOSTS = (
    (
        re.compile(r"[0-9]{12}\.dkr\.ecr\.([a-z0-9-]+)\.(amazonaws\.com(?:\.cn)?)"),
        "https://api.ecr.{region}.{suffix}",
    ),
    (
        re.compile(r"[0-9]{12}\.dkr\.ecr-fips\.([a-z0-9-]+)\.(amazonaws\.com)"),
        "https://ecr-fips.{region}.{suffix}",
    ),
    (
        re.compile(r"[0-9]{12}\.dkr-ecr\.([a-z0-9-]+)\.on\.(aws)"),
        "https://ecr.{region}.api.{suffix}",
    ),
)
_TARGET = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"


def ecr(asked: Context, network: Network, now: float) -> Secret:
    """Return the password of the registry *asked* for.

    GetAuthorizationToken (docs.aws.amazon.com/AmazonECR/latest/APIReference), in the
    region that the registry's name tells. Raises Refused, Permanent or Transient.
    """
    there = _place(asked)
    signer = aws.keys(asked, there, network)
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": _TARGET}
    with network.session() as session:
        url = f"{there.endpoint}/"
        answer = aws.call(session, url, b"{}", headers, signer, "ecr", there, now)
    data = aws.checked(answer, json_of(answer), signer, asked)
    found = data.get("authorizationData")
    first = found[0] if isinstance(found, list) and found else None
    given: dict[str, Any] = first if isinstance(first, dict) else {}
    user, _, password = _decoded(given.get("authorizationToken")).partition(":")
    if user != USER or not is_visible(password):
        raise Permanent(f"{asked.host}: the answer of ECR holds no password")
    end = given.get("expiresAt")
    return Secret(USER, password, aws.left(end, answer, now, asked.host))


def _decoded(value: Any) -> str:
    try:
        return a2b_base64(value).decode("ascii")
    except (Error, ValueError, TypeError):
        return ""


def _place(asked: Context) -> aws.Place:
    for shape, endpoint in _HOSTS:
        if found := shape.fullmatch(asked.host):
            region, suffix = found.groups()
            suffix = "amazonaws.com" if suffix == "aws" else suffix
            url = endpoint.format(region=region, suffix=found[2])
            return aws.place(region, suffix, url, asked)
    return aws.place("", "", "", asked)


def _faults(host: str, options: Mapping[str, str]) -> str | None:
    """Return what is wrong with *host* or *options*; see Exchange."""
    if any(shape.fullmatch(host) for shape, _ in _HOSTS):
        return None
    if {"region", "endpoint", "sts_endpoint"} <= options.keys():
        return None
    return (
        "is for ACCOUNT.dkr.ecr.REGION.amazonaws.com; another name needs `region`, "
        "`endpoint` and `sts_endpoint`"
    )


EXCHANGE = Exchange(
    ecr,
    USER,
    where="AWS's STS and ECR in its region",
    keys=aws.KEYS,
    faults=_faults,
    takes_proof=True,
)
