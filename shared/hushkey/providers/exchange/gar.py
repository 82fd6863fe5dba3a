"""The exchange of Google Artifact Registry: workload identity federation.

The identity's token goes to Google's STS alone, and what that gives either serves
itself or, at IAM credentials, becomes the token of a service account.
"""

from __future__ import annotations

import re
from datetime import datetime
from urllib.parse import quote, urlsplit

from hushkey.errors import Permanent, plain
from hushkey.net import answers, outcomes
from hushkey.providers.checks import secure_url
from hushkey.providers.exchange.base import (
    Context,
    Exchange,
    Refused,
    Secret,
    is_visible,
    json_of,
    server_time,
    whose,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from requests import Response

    from hushkey.errors import HushkeyError
    from hushkey.net.http import Network

#: cloud.google.com/artifact-registry/docs/docker/authentication
USER = "oauth2accesstoken"
_STS = "https://sts.googleapis.com"
_IAM = "https://iamcredentials.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_HOUR = 3600
_POOL = re.compile(
    r"//iam\.googleapis\.com/projects/[0-9]+/locations/global/"
    r"workloadIdentityPools/[a-z0-9-]+/providers/[a-z0-9-]+"
)
_ACCOUNT = re.compile(r"[a-z0-9-]+@[a-z0-9.-]+\.gserviceaccount\.com")


def audience(value: Any) -> str | None:
    """Accept the name of a workload identity provider."""
    good = isinstance(value, str) and _POOL.fullmatch(value)
    return (
        None
        if good
        else (
            "a provider's name, such as //iam.googleapis.com/projects/123/locations/"
            "global/workloadIdentityPools/POOL/providers/PROVIDER"
        )
    )


def service_account(value: Any) -> str | None:
    """Accept the address of a service account."""
    good = isinstance(value, str) and _ACCOUNT.fullmatch(value)
    return None if good else "an address such as ci@PROJECT.iam.gserviceaccount.com"


def gar(asked: Context, network: Network, now: float) -> Secret:
    """Return an access token for Artifact Registry.

    cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token (RFC 8693), and
    cloud.google.com/iam/docs/reference/credentials/rest (generateAccessToken).
    Raises Refused, Permanent or Transient.
    """
    federated = _federated(asked, network)
    account = asked.options.get("service_account", "")
    return (
        _impersonated(asked, account, federated.value, network, now)
        if account
        else federated
    )


def _federated(asked: Context, network: Network) -> Secret:
    assertion = asked.beside or asked.token
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": asked.options["audience"],
        "scope": _SCOPE,
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "subject_token": assertion,
    }
    sts = asked.options.get("sts_endpoint", _STS).rstrip("/")
    with network.session() as session:
        answer = session.post(f"{sts}/v1/token", data=form)
    data = json_of(answer)
    found = data if isinstance(data, dict) else {}
    value = found.get("access_token")
    if answer.status_code != 200 or not is_visible(value):
        raise _refused_by_sts(answer, found, asked, assertion)
    if str(found.get("token_type", "")).lower() != "bearer":
        raise Permanent(f"{asked.host}: Google's STS gave no Bearer token")
    return Secret(USER, str(value), answers.seconds(found.get("expires_in")))


def _refused_by_sts(
    answer: Response, found: Mapping[str, Any], asked: Context, assertion: str
) -> HushkeyError:
    code, detail = found.get("error"), found.get("error_description")
    at = urlsplit(str(answer.url)).netloc
    if not isinstance(code, str) or answer.status_code >= 500:
        return outcomes.from_answer(answer.status_code, None, answer.headers, at)
    words = detail if isinstance(detail, str) else ""
    said = plain(words.replace(assertion, "***"), 200)
    stale = code == "invalid_grant" and "expired" in said.lower()
    kind: type[Permanent] = Refused if stale else Permanent
    return kind(
        f"{at}: {asked.options['audience']} does not take this token "
        f"({whose(assertion)})" + (f": {said}" if said else ""),
        hint="check the provider's issuer, audience and attribute condition",
        code=plain(code, 80),
    )


def _impersonated(
    asked: Context, account: str, token: str, network: Network, now: float
) -> Secret:
    iam = asked.options.get("iam_endpoint", _IAM).rstrip("/")
    url = f"{iam}/v1/projects/-/serviceAccounts/{quote(account)}:generateAccessToken"
    with network.session() as session:
        answer = session.post(
            url,
            json={"scope": [_SCOPE], "lifetime": f"{_HOUR}s"},
            headers={"Authorization": f"Bearer {token}"},
        )
    data = json_of(answer)
    found = data if isinstance(data, dict) else {}
    value = found.get("accessToken")
    if answer.status_code == 200 and is_visible(value):
        return Secret(USER, str(value), _left(found.get("expireTime"), answer, now))
    at = urlsplit(url).netloc
    error = found.get("error")
    if not isinstance(error, dict) or answer.status_code >= 500:
        raise outcomes.from_answer(answer.status_code, None, answer.headers, at)
    said = plain(str(error.get("message", "")).replace(token, "***"), 200)
    raise Permanent(
        f"{at}: the token may not act as {account}" + (f": {said}" if said else ""),
        hint="grant it roles/iam.workloadIdentityUser on that service account",
        code=plain(str(error.get("status", "")), 80) or None,
    )


def _left(end: Any, answer: Response, now: float) -> float:
    """Return the seconds until *end* (RFC 3339), by the server's clock."""
    try:
        return max(
            datetime.fromisoformat(end).timestamp() - server_time(answer.headers, now),
            1,
        )
    except (TypeError, ValueError, OverflowError):
        return _HOUR


EXCHANGE = Exchange(
    gar,
    USER,
    where="Google's STS",
    keys={
        "audience": audience,
        "service_account": service_account,
        "sts_endpoint": secure_url,
        "iam_endpoint": secure_url,
    },
    required=("audience",),
    takes_proof=True,
    tools=("docker", "python"),
)
