"""OpenID Connect and OAuth 2.0 servers; who signs in does so on Authlib's client.

Code flow with PKCE as a public client (RFC 6749, 7636, 8252), device code
(RFC 8628), refresh with rotation, revocation (RFC 7009). Servers with an
``issuer`` are discovered and their ID tokens checked; plain OAuth 2.0 servers
have their endpoints in the config and name no account; forges among them are asked
for it at their API, with the fresh token.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from urllib.parse import urlsplit

from hushkey import origins
from hushkey.errors import HushkeyError, Permanent, UiRequired, plain
from hushkey.model import Account, CodeFlow, DeviceCode, Grant
from hushkey.net import answers, http, outcomes
from hushkey.net.discovery import Discovery
from hushkey.providers import idtoken
from hushkey.providers.base import Pending
from hushkey.scopes import with_included

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from hushkey.model import Identity
    from hushkey.net.http import Network
    from hushkey.net.oauth import Client
    from hushkey.providers.spec import Lookup, ProviderSpec

_DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
#: seconds for a question whose answer nothing depends on
_BRIEFLY = 10.0


class OAuthProvider:
    """One identity's server; see `hushkey.providers.base.Provider`."""

    def __init__(
        self,
        identity: Identity,
        network: Network,
        folder: str,
        environ: Mapping[str, str],
        spec: ProviderSpec,
    ) -> None:
        self._identity = identity
        self._network = network
        self._environ = environ
        self._spec = spec
        self._open_id = spec.open_id
        self.client_id = identity.client_id
        self.issuer = identity.issuer
        self._shared = spec.is_shared(self.client_id)
        self._base = identity.option("base_url").rstrip("/")
        self._discovery = Discovery(self.issuer, network, folder)

    # -- the Provider protocol ----------------------------------------------

    def refresh(self, refresh_token: str, scopes: tuple[str, ...]) -> Grant:
        """Redeem *refresh_token*; see Provider."""
        endpoint = self._endpoint("token_endpoint")
        words = (self.client_id, self._secret() or "", self._method())
        with self._advised(), self._network.session() as session:
            answer = http.guarded(
                lambda: session.renew(
                    endpoint,
                    refresh_token,
                    self._sent(scopes),
                    http.client_words(*words),
                )
            )
        return self._renewed(answer, scopes)

    def begin_code(
        self, scopes: tuple[str, ...], redirect_uri: str, login_hint: str
    ) -> CodeFlow:
        """Prepare an authorization request; see Provider."""
        from authlib.common.security import generate_token

        endpoint = self._endpoint("authorization_endpoint")
        if self._spec.announcement:
            self._announced(endpoint)
        self._network.check_answers(self._endpoint("token_endpoint"))
        scopes = self._sign_in_scopes(scopes)
        data = {"verifier": generate_token(64), "scopes": scopes}
        extra = {"code_verifier": str(data["verifier"])}
        if self._open_id:
            data["nonce"] = extra["nonce"] = generate_token(32)
            if "offline_access" in scopes:
                # OpenID Connect Core 11: offline_access is ignored without it.
                extra["prompt"] = "consent"
        extra |= self._spec.authorize_parameters
        for key in self._spec.authorize_keys:
            if value := self._identity.option(key):
                extra[key] = value
        if login_hint and self._spec.hint_parameter:
            extra[self._spec.hint_parameter] = login_hint
            extra |= self._spec.hint_parameters
        with self._client() as session:
            url, state = session.create_authorization_url(
                endpoint,
                redirect_uri=redirect_uri,
                scope=self._sent(scopes),
                state=generate_token(32),
                **extra,
            )
        return CodeFlow(url, state, redirect_uri, data)

    def redeem_code(self, flow: CodeFlow, answer: Mapping[str, str]) -> Grant:
        """Check the redirect's parameters and redeem the code; see Provider."""
        with self._advised("redirect"):
            self._check_answer(answer)
        endpoint = self._endpoint("token_endpoint")
        with self._advised(), self._client() as session:
            try:
                token = http.guarded(
                    lambda: session.fetch_token(
                        endpoint,
                        grant_type="authorization_code",
                        code=answer["code"],
                        code_verifier=flow.data["verifier"],
                        redirect_uri=flow.redirect_uri,
                    )
                )
            except UiRequired as error:
                raise _not_again(error) from error
        return self._signed_in(
            token, flow.data["scopes"], str(flow.data.get("nonce", ""))
        )

    def begin_device(self, scopes: tuple[str, ...]) -> DeviceCode | None:
        """Ask for a device code; see Provider."""
        endpoint = self._metadata().get("device_authorization_endpoint")
        if endpoint is None and self._spec.announcement:
            announced = self._announced(self._endpoint("token_endpoint"))
            endpoint = announced.get("device_authorization_endpoint")
        if not isinstance(endpoint, str):
            return None
        scopes = self._sign_in_scopes(scopes)
        sent = self._sent(scopes)
        with self._advised(), self._client() as session:
            response = session.post(
                endpoint,
                data={"scope": sent} if sent else {},
                auth=session.client_auth(session.token_endpoint_auth_method),
            )
            code = _device_code(response, scopes, self.issuer)
        self._check_own(code.verification_uri, code.verification_uri_complete)
        return code

    def poll_device(self, code: DeviceCode) -> Grant:
        """Ask whether the person is done; see Provider."""
        endpoint = self._endpoint("token_endpoint")
        with self._advised(), self._client() as session:
            try:
                token = session.fetch_token(
                    endpoint, grant_type=_DEVICE, device_code=code.data["device_code"]
                )
            except http.Refused as refused:
                if refused.code in ("authorization_pending", "slow_down"):
                    raise Pending(refused.code == "slow_down") from refused
                raise _not_again(refused.outcome()) from refused
        return self._signed_in(token, code.data["scopes"], "")

    def revoke(self, refresh_token: str) -> bool:
        """Revoke the grant at the server; see Provider."""
        if url := self._spec.credential_revocation(self._base):
            # GitHub's: it refuses a request that is authenticated.
            with self._network.session() as session:
                body = {"credentials": [refresh_token]}
                answer = session.post(url, json=body)
            return bool(answer.status_code == 202)
        endpoint = self._metadata().get("revocation_endpoint")
        if not isinstance(endpoint, str):
            return False
        with self._client() as session:
            response = session.revoke_token(
                endpoint,
                token=refresh_token,
                token_type_hint="refresh_token",  # noqa: S106
            )
        return bool(response.status_code == 200)

    def account(
        self, access_token: str, scopes: tuple[str, ...] = ()
    ) -> Account | None:
        """Return whose *access_token* is, granted *scopes*; see Provider."""
        for lookup in self._spec.lookups:
            if not lookup.scopes or {*lookup.scopes} & {*scopes}:
                return self._looked_up(lookup, access_token)
        return None

    # -- requests -----------------------------------------------------------

    def _looked_up(self, lookup: Lookup, access_token: str) -> Account | None:
        """Ask once, briefly; whatever goes wrong, the account is not known."""
        api = self._spec.api_of(self._base)
        url = lookup.url.format(api=api, base=self._base)
        sent = {"Authorization": f"Bearer {access_token}"}
        try:
            with self._network.session(limit=_BRIEFLY) as session:
                response = session.get(url, headers=sent)
        except HushkeyError:
            return None
        if response.status_code != 200:
            return None
        if lookup.header:
            name = plain(response.headers.get(lookup.header, ""), 200)
            return Account(name, name) if name else None
        data = http.json_of(response)
        found = data if isinstance(data, dict) else {}
        key = _name(found.get(lookup.id))
        labels = filter(None, (_name(found.get(field)) for field in lookup.labels))
        return Account(key, next(labels, "")) if key else None

    def _announced(self, endpoint: str) -> dict[str, Any]:
        """Return what the server says about itself; *endpoint* has to be there.

        Raises Permanent where neither is: its administrator has turned OAuth off, and
        the page would be a 404 for a person to find.
        """
        with self._network.session() as session:
            url = self._base + self._spec.announcement
            response = session.get(url)
            gone = response.status_code == 404
            if gone and session.get(endpoint).status_code == 404:
                raise Permanent(
                    f"{http.server_of(url)}: signing in by OAuth is turned off there",
                    hint="ask its administrator, or check base_url in config.toml; a "
                    'typed token is kept with provider = "static"',
                )
        data = http.json_of(response) if response.status_code == 200 else None
        found = data if isinstance(data, dict) else {}
        # Its word counts for itself alone.
        here = urlsplit(self._base)[:2]
        return {k: v for k, v in found.items() if urlsplit(str(v))[:2] == here}

    def _check_own(self, *pages: str) -> None:
        """Raise Permanent unless a forge's device codes are entered at that very forge.

        A code of another server's would sign in whoever made this one up.
        """
        own = _place(self._base)
        for page in filter(None, pages) if self._base else ():
            if _place(page) != own:
                server, other = http.server_of(self._base), http.server_of(page)
                raise Permanent(
                    f"{server}: its device code is to be entered at {other}",
                    hint="if it is the same server, set base_url to its address there",
                )

    @contextmanager
    def _advised(self, step: str = "") -> Iterator[None]:
        """Let an outcome say what helps at this very server, where that is known."""
        try:
            yield
        except HushkeyError as error:
            hints, code = self._spec.hints, error.code or ""
            words = hints.get((step, code)) or hints.get(("", code))
            # A sign-in that has ended needs no advice but to sign in.
            if not words or not (step or isinstance(error, Permanent)):
                raise
            hint = self._spec.filled(words, self._identity)
            if not step:
                error.hint = hint
                raise
            # The page's own word: to try again as it is would not help.
            raise Permanent(error.what, hint=hint, code=error.code) from error

    def _client(self) -> Client:
        from hushkey.net.oauth import Client

        return Client(
            self.client_id,
            self._network,
            client_secret=self._secret(),
            token_endpoint_auth_method=self._method(),
            code_challenge_method="S256",
        )

    def _secret(self) -> str | None:
        """Return the public secret of a desktop client, if its server wants one."""
        if variable := self._identity.option("client_secret_env"):
            if secret := self._environ.get(variable):
                return secret
            raise Permanent(
                f"the environment variable {variable} is not set",
                hint="`client_secret_env` in config.toml names it",
            )
        return self._identity.option("client_secret") or None

    def _method(self) -> str:
        """Return how the client authenticates, by its name in the metadata."""
        if not self._secret():
            return "none"
        if self._spec.auth_method:
            return self._spec.auth_method
        offered = self._metadata().get("token_endpoint_auth_methods_supported")
        basic_only = isinstance(offered, list) and "client_secret_post" not in offered
        return "client_secret_basic" if basic_only else "client_secret_post"

    def _metadata(self) -> Mapping[str, Any]:
        if self._open_id:
            return self._discovery.metadata()
        return self._identity.options

    def _endpoint(self, name: str) -> str:
        endpoint = self._metadata().get(name)
        if not isinstance(endpoint, str):
            raise Permanent(f"{self.issuer}: the server has no {name}")
        return endpoint

    def _sent(self, scopes: tuple[str, ...]) -> str:
        """Return the scope parameter: none with a client that others use, too."""
        return "" if self._shared else " ".join(scopes)

    def _sign_in_scopes(self, scopes: tuple[str, ...]) -> tuple[str, ...]:
        """Return what to ask for: also what makes later silence possible."""
        if not self._open_id:
            return scopes
        wanted = dict.fromkeys(("openid", *scopes))
        if "offline_access" in self._listed("scopes_supported"):
            wanted["offline_access"] = None
        return tuple(wanted)

    def _listed(self, name: str) -> list[str]:
        values = self._metadata().get(name)
        return (
            [v for v in values if isinstance(v, str)]
            if isinstance(values, list)
            else []
        )

    # -- answers ------------------------------------------------------------

    def _check_answer(self, answer: Mapping[str, str]) -> None:
        """Raise unless the redirect carries a code from our issuer (RFC 9207)."""
        if "error" in answer:
            # No code to mix up, so no issuer to compare: a refusal is a refusal.
            server = urlsplit(self.issuer).netloc
            raise _not_again(outcomes.from_answer(400, dict(answer), {}, server))
        metadata = self._metadata()
        promised = metadata.get("authorization_response_iss_parameter_supported")
        issuer = answer.get("iss")
        if self._open_id and issuer != self.issuer and (promised or issuer is not None):
            raise Permanent("the redirect does not come from the configured issuer")
        if not answer.get("code"):
            raise Permanent("the redirect carries no code")

    def _grant(
        self,
        token: Mapping[str, Any],
        scopes: tuple[str, ...],
        account: Account | None = None,
        claims: Mapping[str, Any] | None = None,
        fault: HushkeyError | None = None,
    ) -> Grant:
        return Grant(
            token["access_token"],
            refresh_token=token.get("refresh_token") or "",
            expires_in=token.get("expires_in"),
            scopes=self._granted(token, scopes),
            account=account,
            claims=claims or {},
            beside=str(token["id_token"]) if claims and self._open_id else "",
            fault=fault,
        )

    def _granted(
        self, token: Mapping[str, Any], asked: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Return the granted scopes, and those that they include."""
        named = filter(None, map(token.get, self._spec.scope_fields))
        found = answers.scopes(next(named, None), asked)
        return with_included(found, self._spec.implies)

    def _signed_in(
        self, token: Mapping[str, Any], scopes: tuple[str, ...], nonce: str
    ) -> Grant:
        """Return the grant of a sign-in: an ID token must say whose it is."""
        if fault := answers.type_fault(token):
            raise fault
        if not self._open_id:
            granted = self._granted(token, scopes)
            account = self.account(token["access_token"], granted)
            label = account.label if account else ""
            claims = {"preferred_username": label} if label else {}
            return self._grant(token, scopes, account, claims)
        if "id_token" not in token:
            raise Permanent(
                "the server did not say who signed in (no ID token)",
                hint="use provider oauth2 if it is not an OpenID Connect server",
            )
        claims = self._claims(token, nonce)
        return self._grant(token, scopes, idtoken.account_of(claims), claims)

    def _renewed(self, token: Mapping[str, Any], scopes: tuple[str, ...]) -> Grant:
        """Return the grant of a refresh, with what is wrong about it as its fault."""
        fault: HushkeyError | None = answers.type_fault(token)
        claims: dict[str, Any] = {}
        if self._open_id and "id_token" in token and fault is None:
            claims, fault = idtoken.renewed(lambda: self._claims(token, ""))
        account = idtoken.account_of(claims) if claims else None
        return self._grant(token, scopes, account, claims, fault)

    def _claims(self, token: Mapping[str, Any], nonce: str) -> dict[str, Any]:
        return idtoken.claims_of(
            token["id_token"],
            issuer=self.issuer,
            client_id=self.client_id,
            algorithms=self._listed("id_token_signing_alg_values_supported"),
            keys=self._discovery.keys,
            nonce=nonce or None,
            access_token=token["access_token"],
            now=time.time(),
            server_date=str(token.get("server_date", "")),
        )


def _device_code(response: Any, scopes: tuple[str, ...], issuer: str) -> DeviceCode:
    data = http.json_of(response)
    body = data if isinstance(data, dict) else {}
    server = http.server_of(str(response.url))
    if data is None and response.status_code in (404, 405, 410):
        raise Permanent(
            f"{server}: it gives no device codes (HTTP {response.status_code})",
            hint="check its address in config.toml; a server without device codes "
            "needs a sign-in in the browser",
        )
    if response.status_code != 200 or "device_code" not in body:
        data = http.told(response, data)
        raise _not_again(
            outcomes.from_answer(response.status_code, data, response.headers, server)
        )
    kept = {"device_code": body["device_code"], "scopes": scopes}
    return answers.device_code(body, server, issuer, kept)


def _place(url: str) -> tuple[str, object]:
    parts = urlsplit(url)
    return parts.scheme, origins.parse_origin(parts.scheme, parts.netloc)


def _name(value: object) -> str:
    """Return a name or number of an API as one harmless line, or nothing."""
    known = isinstance(value, str | int) and not isinstance(value, bool)
    return plain(value, 200) if known else ""


def _not_again(error: HushkeyError) -> HushkeyError:
    """Return *error* as the end of a sign-in: it must not lead to another one."""
    if isinstance(error, UiRequired):
        return Permanent(error.what, hint=error.hint, code=error.code)
    return error
