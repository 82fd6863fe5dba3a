"""The table from what a token endpoint said to what we call it.

OAuth error codes decide (RFC 6749 5.2, RFC 8628 3.5, OpenID Connect Core
3.1.2.6), with the HTTP status where there is no code. Texts and vendor numbers
never do: they are shown. Shaped by the rule of MSAL.NET's
MsalUiRequiredException: UI required, or not; anything else never asks a person.

The grant that was sent decides how a code is read. Servers have many names for a
refresh token that is no longer good, some of them those of other faults (RFC 6749
5.2 leaves it to them); but where a sign-in has worked with the same client, what is
said to its refresh token is about the sign-in, unless it is about the client, the
scopes, the load or what stands in between.
"""

from __future__ import annotations

from hushkey import claims
from hushkey.errors import (
    Cancelled,
    HushkeyError,
    Permanent,
    Transient,
    UiRequired,
    Unheard,
    plain,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# The longest Retry-After that is believed, and how many digits of one are read.
_LONGEST_WAIT, _DIGITS = 3600.0, 9
_PORTAL = "is there a captive portal or proxy in between?"
_PROXY = "check it, or run `hushkey config set proxy http://HOST:PORT`"
_SIGN_IN_AGAIN = "the server wants a new sign-in"
_CONFIG = "check this identity's client_id, scopes and endpoints in config.toml"

#: the grant type of a refresh (RFC 6749 6)
REFRESH = "refresh_token"
#: a refresh token that is dead
_ENDED = (UiRequired, "the sign-in has ended at the server", "")

#: error code -> (outcome, what happened, what to do)
BY_CODE: Mapping[str, tuple[type[HushkeyError], str, str]] = {
    "invalid_grant": _ENDED,
    "interaction_required": (UiRequired, _SIGN_IN_AGAIN, ""),
    "login_required": (UiRequired, _SIGN_IN_AGAIN, ""),
    "consent_required": (UiRequired, "the server wants your consent", ""),
    "account_selection_required": (UiRequired, "the server wants an account", ""),
    "access_denied": (Cancelled, "the sign-in was declined", ""),
    "authorization_declined": (Cancelled, "the sign-in was declined", ""),
    "expired_token": (Cancelled, "the device code was not used in time", ""),
    "temporarily_unavailable": (Transient, "the server is busy", "try again later"),
    "server_error": (Transient, "the server failed", "try again later"),
    "slow_down": (Transient, "the server asks to wait", "try again later"),
    "invalid_client": (Permanent, "the server rejects the client", _CONFIG),
    "unauthorized_client": (Permanent, "the client may not do this", _CONFIG),
    "unsupported_grant_type": (
        Permanent,
        "the server does not know this grant",
        _CONFIG,
    ),
    "unsupported_response_type": (Permanent, "the server offers no code flow", _CONFIG),
    "invalid_request": (Permanent, "the server rejects the request", _CONFIG),
    "invalid_scope": (Permanent, "the server rejects the scopes", _CONFIG),
    "invalid_resource": (Permanent, "the server does not know this resource", _CONFIG),
    "invalid_target": (Permanent, "the server does not know this resource", _CONFIG),
    "device_authentication_failed": (
        Permanent,
        "the server demands a managed device",
        "ask your administrator how this device is enrolled",
    ),
}

#: a server's own name for one of those codes -> that code (docs.github.com,
#: "Troubleshooting OAuth app access token request errors", "Refreshing user access
#: tokens", "Authorizing OAuth apps")
OTHER_NAMES: Mapping[str, str] = {
    "bad_refresh_token": "invalid_grant",
    "bad_verification_code": "invalid_grant",
    "incorrect_device_code": "invalid_grant",
    "incorrect_client_credentials": "invalid_client",
    "redirect_uri_mismatch": "invalid_request",
    "device_flow_disabled": "unauthorized_client",
    "token_expired": "expired_token",
}

#: what an answer to a refresh is about where its code is not about the sign-in: the
#: client, the scopes, the machine. What is UiRequired or Transient stays so, too
_NOT_THE_SIGN_IN = frozenset(
    (
        "invalid_client",
        "invalid_scope",
        "invalid_resource",
        "invalid_target",
        "device_authentication_failed",
    )
)
_DECLINED = (UiRequired, "the server declines to renew the sign-in", "")
_ASSERTION = (UiRequired, "the server refuses the assertion", "")
#: (grant type, error code) -> the same three, where that grant needs other words
BY_GRANT: Mapping[tuple[str, str], tuple[type[HushkeyError], str, str]] = {
    **{
        (f"urn:ietf:params:oauth:grant-type:{name}", "invalid_grant"): _ASSERTION
        for name in ("token-exchange", "jwt-bearer")
    },
    (REFRESH, "access_denied"): _DECLINED,
    (REFRESH, "authorization_declined"): _DECLINED,
    ("authorization_code", "invalid_grant"): (
        UiRequired,
        "the server refused the code that its own page gave",
        "sign in again; if that does not help, check this machine's clock, and "
        "client_id and redirect_uri in config.toml",
    ),
    ("urn:ietf:params:oauth:grant-type:device_code", "invalid_grant"): (
        UiRequired,
        "the server does not know the device code any more",
        "",
    ),
    ("authorization_code", "unauthorized_client"): (
        Permanent,
        "the server refused the code of its page, or refused it from this client",
        _CONFIG,
    ),
    ("authorization_code", "expired_token"): (
        Cancelled,
        "the code of the sign-in was not redeemed in time",
        "",
    ),
}
#: HTTP statuses that speak of the address or the form of a request, whatever it was
#: for (RFC 9110 15.5): the endpoint is wrong
_WRONG_ADDRESS = (404, 405, 406, 414, 415)
#: those that ask for another try (RFC 9110 15.5.9, RFC 8470 5.2)
_LATER = (408, 425)

#: the codes that Entra refines by a suberror
_REFINED = ("invalid_grant", "interaction_required", "unauthorized_client")
#: suberror of those -> the same three, where it changes the outcome
BY_SUBERROR: Mapping[str, tuple[type[HushkeyError], str, str]] = {
    "client_mismatch": (Permanent, "the grant belongs to another client", _CONFIG),
    "protection_policy_required": (
        Permanent,
        "an app protection policy needs an OS authentication broker",
        "ask your administrator",
    ),
    "message_only": (
        Permanent,
        "a policy of your organisation forbids this",
        "ask your administrator",
    ),
    "device_authentication_failed": (
        Permanent,
        "your organisation lets only managed devices in",
        "ask your administrator how this device is enrolled",
    ),
    "consent_required": (UiRequired, "the server wants your consent", ""),
    "user_password_expired": (UiRequired, "the account's password has expired", ""),
    "additional_action": (UiRequired, "the server wants an additional step", ""),
}
_APPROVAL = "ask an administrator of your tenant to approve client ID {client}, or "
_APPROVAL += "set `client_id` to an application that is approved"
_POLICY = "a policy of your organisation (Conditional Access) stopped this sign-in"
_DEMAND = "ask your administrator what it demands: a managed device, another network"
#: error code at the end of an interactive sign-in at Entra -> the same three: what
#: asked for a person before is final now, for the person was there
AT_SIGN_IN: Mapping[str, tuple[type[HushkeyError], str, str]] = {
    "consent_required": (Permanent, "consent is missing", _APPROVAL),
    "interaction_required": (Permanent, _POLICY, _DEMAND),
    "login_required": (Permanent, _POLICY, _DEMAND),
    "access_denied": (
        Cancelled,
        "the sign-in was declined",
        "if the page wanted an administrator's approval, " + _APPROVAL,
    ),
}


def from_answer(
    status: int,
    data: Any,
    headers: Mapping[str, str],
    server: str,
    *,
    client_id: str = "",
    grant: str = "",
) -> HushkeyError:
    """Return the outcome of an answer that is no token.

    *data* is the parsed JSON or None where the body was not JSON; *server* is
    the host that answered, for the words. *client_id* says that this ends an
    interactive sign-in at Entra, which must not lead to another one. *grant* is
    the ``grant_type`` that was sent, where the code alone does not say what it
    means; Entra's codes do.
    """
    body = data if isinstance(data, dict) else {}
    code = body.get("error")
    code = code if isinstance(code, str) else None
    suberror = body.get("suberror")
    row = _row(status, data, code, suberror, grant)
    if grant == REFRESH:
        row = _at_refresh(row, status, data, code, headers)
    kind, what, hint = row
    if client_id and kind in (UiRequired, Cancelled):
        kind, what, hint = AT_SIGN_IN.get(code or "", (kind, what, hint))
        kind, hint = _last(kind), hint.format(client=plain(client_id, 80))
    if link := _link(body):
        hint = f"{hint}; {link}" if hint else link
    if detail := _detail(body):
        what += f": {detail}"
    return kind(
        f"{server}: {what}",
        hint=hint,
        code=plain(code, 60) if code else None,
        correlation=correlation(body, headers),
        retry_after=_retry_after(headers),
        suberror=suberror if isinstance(suberror, str) else "",
        claims=claims.claims(body.get("claims")),
        ended=grant == REFRESH and row is _ENDED,
    )


def _detail(body: Mapping[str, Any]) -> str:
    """Return the server's own words, without the ids that Entra appends to them."""
    detail = body.get("error_description")
    words = detail.partition("Trace ID:")[0] if isinstance(detail, str) else ""
    return plain(words, 160)


def _last(kind: type[HushkeyError]) -> type[HushkeyError]:
    return Permanent if kind is UiRequired else kind


def _link(body: Mapping[str, Any]) -> str:
    """Return Microsoft's own page on its error number: shown, never branched on."""
    numbers = body.get("error_codes")
    if isinstance(numbers, list) and numbers and type(numbers[0]) is int:
        return (
            f"AADSTS{numbers[0]}: https://login.microsoftonline.com/error"
            f"?code={numbers[0]}"
        )
    return ""


def _at_refresh(
    row: tuple[type[HushkeyError], str, str],
    status: int,
    data: Any,
    code: str | None,
    headers: Mapping[str, str],
) -> tuple[type[HushkeyError], str, str]:
    """Return what *row*, the outcome of any request, is at a refresh."""
    if not isinstance(data, dict):
        # A portal and a proxy answer with a page of theirs; this is the server's.
        kind = headers.get("Content-Type", "").lower()
        told = status in (400, 401) and kind and "html" not in kind
        return _ENDED if told else row
    known = OTHER_NAMES.get(code or "", code or "")
    final = issubclass(row[0], Permanent | Cancelled) and status < 500
    if not final or known in _NOT_THE_SIGN_IN or row in BY_SUBERROR.values():
        return row
    if known in BY_CODE:
        return _ENDED
    if status in _LATER or (status == 403 and headers.get("Retry-After")):
        return Transient, f"the server is busy (HTTP {status})", "try again later"
    own = status not in (*_WRONG_ADDRESS, 407) if status >= 400 else "error" in data
    return _ENDED if own else row


def _row(
    status: int, data: Any, code: str | None, suberror: object, grant: str = ""
) -> tuple[type[HushkeyError], str, str]:
    if status == 429:
        return Transient, "too many requests (HTTP 429)", "try again later"
    if status >= 500:
        return Transient, f"the server failed (HTTP {status})", "try again later"
    if status == 407:
        return Permanent, "a proxy wants a password (HTTP 407)", _PROXY
    # A policy that blocks arrives under interaction_required too: no sign-in helps.
    if code in _REFINED and str(suberror) in BY_SUBERROR:
        return BY_SUBERROR[str(suberror)]
    known = OTHER_NAMES.get(code or "", code or "")
    if found := BY_GRANT.get((grant, known)) or BY_CODE.get(known):
        return found
    if code is not None or isinstance(data, dict):
        return Permanent, f"the server said no (HTTP {status})", _CONFIG
    if 300 <= status < 400:
        what = f"a redirect instead of an answer (HTTP {status})"
    else:
        what = f"a web page instead of an answer (HTTP {status})"
    return Transient, what, _PORTAL


#: a server that dropped a connection which the proxy had made: urllib3 blames the
#: proxy for whatever happens inside its tunnel
_DROPPED = ("RemoteDisconnected", "ConnectionResetError")


def from_failure(error: Exception, server: str) -> HushkeyError:
    """Return the outcome of a request that got no answer (a requests error)."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if "SSLError" in names:
        return Unheard(
            f"{server}: its TLS certificate is not trusted here",
            hint="if your network has its own authority run `hushkey config set "
            "ca_file FILE`; else check this machine's clock",
        )
    if "ProxyError" in names and not _holds(error, _DROPPED):
        return Unheard(f"{server}: the proxy refused the connection", hint=_PROXY)
    if names & {"InvalidProxyURL", "InvalidURL", "InvalidSchema", "MissingSchema"}:
        return Unheard(f"{server}: the URL or proxy setting is wrong", hint=_CONFIG)
    if "TooManyRedirects" in names:  # of which none are followed
        what, portal = "a redirect instead of an answer", _PORTAL
        return Transient(f"{server}: {what}{_status(error)}", hint=portal)
    # Of a read that took too long urllib3 says that it has tried often enough.
    if names & {"Timeout", "Expired"} or _holds(error, ("ReadTimeoutError",)):
        what = "no answer in time"
    else:
        what = "cannot be reached"
    return Transient(f"{server}: {what}", hint="check the network and try again")


def _status(error: Exception) -> str:
    found = getattr(getattr(error, "response", None), "status_code", None)
    return f" (HTTP {found})" if isinstance(found, int) else ""


def _holds(error: object, kinds: tuple[str, ...], depth: int = 0) -> bool:
    """Tell whether one of *kinds* is what *error* says, or what it was made of."""
    if type(error).__name__ in kinds:
        return True
    inner = [*getattr(error, "args", ()), getattr(error, "reason", None)]
    inner.append(getattr(error, "original_error", None))
    return depth < 6 and any(
        isinstance(part, Exception) and _holds(part, kinds, depth + 1) for part in inner
    )


def correlation(body: Mapping[str, Any], headers: Mapping[str, str]) -> str | None:
    """Return the server's own name for this exchange, if it gave one."""
    named = (
        "x-ms-request-id",
        "x-ms-correlation-request-id",
        "x-request-id",
        "x-correlation-id",
    )
    detail = str(body.get("error_description"))
    told = detail.partition("Correlation ID:")[2].split()[:1]  # of a redirect
    for found in (body.get("correlation_id"), *map(headers.get, named), *told):
        if isinstance(found, str) and found:
            return plain(found, 80)
    return None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return Retry-After in seconds (RFC 9110 10.2.3); a date counts as 60 s.

    At most an hour, as MSAL has it: a server cannot lock anybody out for longer.
    """
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    if not (value.isascii() and value.isdigit()):
        return 60.0
    return min(float(value[:_DIGITS]), _LONGEST_WAIT)
