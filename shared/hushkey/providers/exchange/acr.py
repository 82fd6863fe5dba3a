"""The exchange of Azure Container Registry."""

from __future__ import annotations

import re

from hushkey.errors import HushkeyError, Permanent, Transient, plain
from hushkey.net import outcomes
from hushkey.providers.exchange.base import (
    Context,
    Exchange,
    Refused,
    Secret,
    claims_of,
    is_visible,
    json_of,
    moment,
    server_time,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from requests import Response

    from hushkey.net.http import Network


#: the user name that makes a secret a refresh token (docker/cli, login.md)
AS_REFRESH = "<token>"
#: Azure's user name for a refresh token sent as a password (Azure/acr, AAD-OAuth.md)
NULL_GUID = "00000000-0000-0000-0000-000000000000"


def acr(asked: Context, network: Network, now: float) -> Secret:
    """Return the refresh token of an Azure Container Registry.

    POST /oauth2/exchange (Azure/acr, docs/AAD-OAuth.md), at the registry itself: the
    realm that its challenge could name is never looked at. Raises Refused, Permanent
    or Transient; no redirect is followed.
    """
    form = {"grant_type": "access_token", "service": asked.host}
    if _is_id(asked.tenant):
        form["tenant"] = asked.tenant  # optional; the document shows ids only
    form["access_token"] = asked.token
    with network.session() as session:
        url = f"https://{asked.host}/oauth2/exchange"
        answer = session.post(url, data=form)
    data = json_of(answer)
    if answer.status_code != 200 or not isinstance(data, dict):
        raise _outcome(answer, data, asked)
    value = data.get("refresh_token")
    if not isinstance(value, str) or not value or not is_visible(value):
        raise Permanent(f"{asked.host}: the answer holds no registry token")
    return Secret(AS_REFRESH, value, _lifetime(value, answer.headers, now, asked.host))


EXCHANGE = Exchange(acr, AS_REFRESH, {"token": AS_REFRESH, "guid": NULL_GUID})


# -- what an answer means --------------------------------------------------------

_ACCESS = "check that the account may use this registry"
_SETUP = "hushkey setup {host} --tenant {tenant}"
_ELSEWHERE = f"where it is of another tenant, run: {_SETUP}"
#: the statuses of a token of another tenant
_OF_ANOTHER = (400, 401, 403)
_URI = re.compile(r"https://[^\s'\"<>,;)]+")
#: status -> (outcome, what happened, what to do), where no general rule serves
_BY_STATUS: Mapping[int, tuple[type[HushkeyError], str, str]] = {
    400: (
        Permanent,
        "the registry rejects the exchange",
        "check the host's `scopes` in config.toml; " + _ELSEWHERE,
    ),
    401: (
        Refused,
        "the registry refuses this sign-in",
        f"{_ACCESS}; {_ELSEWHERE}",
    ),
    403: (
        Permanent,
        "the registry lets nobody in from here: a firewall or network rule",
        f"connect from a network that it allows, or {_ACCESS}",
    ),
    404: (
        Permanent,
        "this registry has no token exchange",
        'is it an Azure Container Registry? Else take `exchange = "acr"` away',
    ),
}


def _outcome(answer: Response, data: Any, asked: Context) -> HushkeyError:
    """Return what an answer that is no token means; never with the token in it."""
    detail = plain(_message(data).replace(asked.token, "***"), 160)
    status, headers = answer.status_code, answer.headers
    if status not in _BY_STATUS:
        general = {"error_description": detail} if isinstance(data, dict) else None
        return outcomes.from_answer(status, general, headers, asked.host)
    kind, what, hint = _BY_STATUS[status]
    tenant = _other_tenant(_message(data), headers, asked.token)
    if tenant and status in _OF_ANOTHER:
        what, hint = f"{what}, as one of another tenant", f"run: {_SETUP}"
    return kind(
        f"{asked.host}: {what} (HTTP {status})" + (f": {detail}" if detail else ""),
        hint=hint.format(host=asked.host, tenant=tenant or "TENANT"),
        correlation=outcomes.correlation({}, headers),
    )


def _message(data: Any) -> str:
    """Return the words of a registry's error (OCI distribution spec, error codes)."""
    errors = data.get("errors") if isinstance(data, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    message = first.get("message") if isinstance(first, dict) else None
    return message if isinstance(message, str) else ""


def _other_tenant(message: str, headers: Mapping[str, str], token: str) -> str:
    """Return the tenant that an answer names, unless it is *token*'s own.

    By the address of an authority of Microsoft's, in a challenge or in the words.
    """
    from hushkey.providers import azure_devops, clouds

    challenge = headers.get("WWW-Authenticate", "")
    for cloud in clouds.HOSTS:
        named = [azure_devops.from_challenges([challenge], cloud)]
        named += (azure_devops.tenant_at(uri, cloud) for uri in _URI.findall(message))
        own = str(claims_of(token).get("tid", "")).lower()
        for tenant in named:
            if tenant and tenant != own:
                return tenant
    return ""


def _is_id(tenant: str) -> bool:
    """Tell whether *tenant* is a tenant's id, and not a domain or `organizations`."""
    parts = tenant.lower().split("-")
    return [len(part) for part in parts] == [8, 4, 4, 4, 12] and all(
        c in "0123456789abcdef" for part in parts for c in part
    )


# -- how long it lives -----------------------------------------------------------


def _lifetime(
    value: str, headers: Mapping[str, str], now: float, host: str
) -> float | None:
    """Return the seconds left by the token's own ``exp``, None if it has none.

    Counted from the server's own clock: ours may be wrong. A server whose clock
    is wrong gets no more than the token's whole life, where that is named.
    """
    claims = claims_of(value)
    expires, issued = moment(claims, "exp"), moment(claims, "iat")
    if expires is None:
        return None
    left = expires - server_time(headers, now)
    if issued is not None and issued < expires:
        left = min(left, expires - issued)
    if left <= 0:
        raise Transient(
            f"{host}: the registry token that it gave has ended already",
            hint="try again; check this machine's clock",
        )
    return left
