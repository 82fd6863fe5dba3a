"""What the exchanges of AWS share: places, temporary keys, signed requests.

The identity's token is handed to the regional STS alone, which gives keys for 15
minutes; they sign one request and are forgotten. An identity that has AWS keys itself
(``credential_process``) signs with those.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from urllib.parse import quote, urlsplit

from hushkey.errors import Permanent, Transient, plain
from hushkey.model import Frozen
from hushkey.net import outcomes
from hushkey.providers.checks import secure_url
from hushkey.providers.exchange.base import Refused, server_time, whose

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from requests import Response

    from hushkey.errors import HushkeyError
    from hushkey.net.http import Network, Session
    from hushkey.providers.exchange.base import Context

#: seconds for which the temporary keys live: the fewest that STS gives
_KEYS_LIVE = 900
_ROLE = re.compile(r"arn:aws[\w-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+")
_REGION = re.compile(r"[a-z]{2,}(?:-[a-z]+)+-[0-9]")


def role(value: Any) -> str | None:
    """Accept the ARN of a role."""
    good = isinstance(value, str) and _ROLE.fullmatch(value)
    return None if good else "a role's ARN, such as arn:aws:iam::111122223333:role/ci"


def region(value: Any) -> str | None:
    """Accept a region's name."""
    good = isinstance(value, str) and _REGION.fullmatch(value)
    return None if good else "a region, such as eu-west-1"


#: the keys of a host rule that all of AWS's exchanges have
KEYS = {
    "role": role,
    "region": region,
    "endpoint": secure_url,
    "sts_endpoint": secure_url,
}


class Place(Frozen):
    """Where to ask: the service's ``endpoint`` in ``region``, and the STS there."""

    region: str
    endpoint: str
    sts: str


def place(host_region: str, suffix: str, endpoint: str, asked: Context) -> Place:
    """Return the place that the host's name tells, or what the options say instead."""
    options = asked.options
    there = options.get("region", host_region)
    return Place(
        there,
        options.get("endpoint", endpoint).rstrip("/"),
        options.get("sts_endpoint", f"https://sts.{there}.{suffix}").rstrip("/"),
    )


class Keys(Frozen):
    """AWS credentials; ``session`` is empty for those that do not end."""

    _secret = ("secret", "session")
    id: str
    secret: str
    session: str


def keys(asked: Context, there: Place, network: Network) -> Keys:
    """Return keys for the role of the options, or those that the identity has."""
    named = asked.options.get("role", "")
    if asked.username:
        if named:
            raise Permanent(
                f"{asked.host}: this identity has AWS keys, which take no `role`",
                hint="take `role` out of the host's table",
            )
        return Keys(asked.username, asked.token, asked.beside)
    if not named:
        raise Permanent(
            f"{asked.host}: no `role` is set",
            hint='write `role = "arn:aws:iam::ACCOUNT:role/NAME"` for the host',
        )
    return assumed(asked, named, there.sts, network, _KEYS_LIVE)[0]


def assumed(
    asked: Context, role: str, sts: str, network: Network, seconds: int
) -> tuple[Keys, Response]:
    """Return keys of *role* for the identity's token, for *seconds*, and the answer.

    AssumeRoleWithWebIdentity (docs.aws.amazon.com/STS/latest/APIReference), unsigned,
    at the URL *sts*.
    """
    assertion = asked.beside or asked.token
    form = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": role,
        "RoleSessionName": "hushkey",
        "DurationSeconds": str(seconds),
        "WebIdentityToken": assertion,
    }
    with network.session() as session:
        answer = session.post(
            f"{sts}/",
            data=form,
            headers={"Accept": "text/xml"},
        )
    body = answer.content.decode("utf-8", "replace")
    found = Keys(
        tag(body, "AccessKeyId"),
        tag(body, "SecretAccessKey"),
        tag(body, "SessionToken"),
    )
    if answer.status_code != 200 or not (found.id and found.secret and found.session):
        raise _refusal(answer, body, asked, role)
    return found, answer


def tag(body: str, name: str) -> str:
    """Return the text of the first element *name*; keys and codes need no entities."""
    found = re.search(rf"<{name}>\s*([^<&]{{1,8192}}?)\s*</{name}>", body)
    return found[1] if found else ""


_TRUST = "check the role's trust policy: its conditions compare these by character"


def _refusal(answer: Response, body: str, asked: Context, role: str) -> HushkeyError:
    """Return what an answer of STS that holds no keys means."""
    code, assertion = tag(body, "Code"), asked.beside or asked.token
    detail = plain(tag(body, "Message").replace(assertion, "***"), 160)
    said = f" ({code})" + (f": {detail}" if detail else "") if code else ""
    correlation = outcomes.correlation({}, answer.headers) or tag(body, "RequestId")
    sts = f"{urlsplit(str(answer.url)).netloc}"
    if code == "ExpiredTokenException":
        return Refused(
            f"{sts}: the identity's token has ended{said}",
            hint="try again; check this machine's clock",
            correlation=correlation,
        )
    if code in ("AccessDenied", "InvalidIdentityToken", "IDPRejectedClaim"):
        return Permanent(
            f"{sts}: {role} is not for this token ({whose(assertion)}){said}",
            hint=_TRUST,
            correlation=correlation,
        )
    if code in ("IDPCommunicationError", "Throttling", "ThrottlingException"):
        return Transient(f"{sts}: {code}", hint="try again", correlation=correlation)
    if code:
        return Permanent(
            f"{sts}: AWS refuses the exchange{said}",
            hint="check `role` and `region` of the host in config.toml",
            correlation=correlation,
        )
    return outcomes.from_answer(answer.status_code, None, answer.headers, sts)


# -- signed requests -------------------------------------------------------------


def call(
    session: Session,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    signer: Keys,
    service: str,
    there: Place,
    now: float,
) -> Response:
    """POST *body* to *url*, signed at *now* (epoch seconds)."""
    signed = sign(url, body, headers, signer, service, there.region, now)
    sent: Response = session.post(url, data=body, headers=signed)
    return sent


def sign(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    signer: Keys,
    service: str,
    region: str,
    now: float,
) -> dict[str, str]:
    """Return the headers of a signed POST (AWS Signature Version 4).

    docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
    The path of *url* is plain; its query is signed in order.
    """
    parts = urlsplit(url)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    signed = {**headers, "Host": parts.netloc, "X-Amz-Date": stamp}
    if signer.session:
        signed["X-Amz-Security-Token"] = signer.session
    lower = {name.lower(): " ".join(value.split()) for name, value in signed.items()}
    names = ";".join(sorted(lower))
    canonical = "\n".join(
        (
            "POST",
            parts.path or "/",
            # By name: as text, `a-b=` would come before `a=`.
            "&".join(sorted(parts.query.split("&"), key=lambda p: p.split("=", 1))),
            *(f"{name}:{lower[name]}" for name in sorted(lower)),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        )
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{signer.secret}".encode()
    for step in scope.split("/"):
        key = _mac(key, step)
    signature = _mac(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}").hex()
    signed["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={signer.id}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return signed


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def query(**values: str) -> str:
    """Return *values* as a query string in the one spelling that is signed."""
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in values.items())


# -- answers ---------------------------------------------------------------------


def checked(
    answer: Response, data: Any, signer: Keys, asked: Context
) -> dict[str, Any]:
    """Return the JSON of a good answer; raises what any other one means."""
    if answer.status_code == 200 and isinstance(data, dict):
        return data
    at = urlsplit(str(answer.url)).netloc
    found = data if isinstance(data, dict) else {}
    named = found.get("__type") or answer.headers.get("x-amzn-errortype") or ""
    code = plain(str(named).rpartition("#")[2].partition(":")[0], 80)
    message = found.get("message") or found.get("Message") or ""
    detail = plain(message if isinstance(message, str) else "", 160)
    if code and answer.status_code < 500 and "Throttl" not in code:
        hint = f"check what the role may do at {at}"
        if code in ("ExpiredTokenException", "InvalidSignatureException"):
            hint = "check this machine's clock"
        return _raise(
            Permanent(
                f"{asked.host}: {at} refuses ({code})"
                + (f": {detail}" if detail else ""),
                hint=hint,
                correlation=answer.headers.get("x-amzn-RequestId"),
            )
        )
    return _raise(outcomes.from_answer(answer.status_code, None, answer.headers, at))


def _raise(error: HushkeyError) -> dict[str, Any]:
    raise error


def left(end: Any, answer: Response, now: float, host: str) -> float | None:
    """Return the seconds until *end* (epoch seconds), by the server's clock."""
    if isinstance(end, bool) or not isinstance(end, int | float):
        return None
    seconds = end - server_time(answer.headers, now)
    if seconds <= 0:
        raise Transient(
            f"{host}: the token that AWS gave has ended already",
            hint="try again; check this machine's clock",
        )
    return seconds
