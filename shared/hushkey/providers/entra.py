"""Microsoft Entra ID, on MSAL: the only file that names msal.

MSAL is used for what it knows: the requests, the shapes of Microsoft's answers
and its token cache. What it leaves open is decided here, because each of these
has bitten somebody (MSAL 1.39): it folds failures into None, so silent calls go
through `acquire_token_silent_with_error`; an answer that is not JSON, a 5xx or
a 429 never reaches it, because our HTTP client raises the outcome first; its
constructor's discovery request is answered from our own cache; it sends
telemetry to every server, so foreign ones get it stripped; it keeps dead refresh
tokens, so they are dropped here. Whether an access token is still good is decided
by our own token cache, never by MSAL's fixed 300 s.
"""

from __future__ import annotations

import json
import time
import warnings
from urllib.parse import parse_qs, urlsplit

import msal

from hushkey.errors import HushkeyError, Permanent, UiRequired, plain
from hushkey.model import Account, CodeFlow, DeviceCode, Grant
from hushkey.net import answers, http, outcomes
from hushkey.net.discovery import Discovery
from hushkey.providers import clouds, idtoken
from hushkey.providers.base import Pending
from hushkey.providers.msal_http import Wire, payload
from hushkey.providers.msal_http import claims as said

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from hushkey.model import Identity
    from hushkey.net.http import Network

#: what MSAL asks for by itself and refuses to be asked for
_RESERVED = frozenset({"openid", "profile", "offline_access"})
_SECTIONS = ("RefreshToken", "IdToken", "Account", "AppMetadata")


class EntraProvider:
    """One identity's Entra client; see `hushkey.providers.base.Provider`.

    Its refresh token is MSAL's own cache as JSON (refresh tokens and accounts,
    no access tokens: those are kept by our token cache alone). One of them
    serves every resource and tenant of its account.
    """

    def __init__(
        self,
        identity: Identity,
        network: Network,
        folder: str,
        claims: str = "",
        tenant: str = "",
    ) -> None:
        self.issuer = identity.issuer
        self.client_id = identity.client_id
        self._own = identity.option("authority")
        #: where the identity signs in, and where its tokens are asked for
        self._home = identity.option("tenant") or clouds.DEFAULT_TENANT
        self._tenant = tenant or self._home
        self._network = network
        self._folder = folder
        #: asked for with every request (JSON); see `hushkey.claims`
        self._claims_challenge = claims or None

    def refresh(self, refresh_token: str, scopes: tuple[str, ...]) -> Grant:
        """Let MSAL redeem what it keeps in *refresh_token*; one request.

        Raises UiRequired, Transient or Permanent by the table of
        `hushkey.net.outcomes`.
        """
        cache = _loaded(refresh_token)
        with self._wire() as wire:
            app = self._app(cache, wire, self._tenant)
            accounts = app.get_accounts()
            if not accounts:
                raise UiRequired("nobody is signed in")
            try:
                result = app.acquire_token_silent_with_error(
                    _asked(scopes),
                    accounts[0],
                    force_refresh=True,
                    claims_challenge=self._claims_challenge,
                )
            except HushkeyError:
                raise
            except Exception as error:
                raise _confused(error) from error
        if result is None:
            raise UiRequired("no refresh token is left", code="invalid_grant")
        if "access_token" not in result:
            raise wire.outcome(result)
        fault: HushkeyError | None = answers.type_fault(wire.answer)
        claims: dict[str, Any] = {}
        account: Account | None
        # Nobody says what an ID token of the tenant for personal accounts names.
        told = self._tenant != clouds.PERSONAL
        if told and fault is None and isinstance(wire.answer.get("id_token"), str):
            claims, fault = idtoken.renewed(lambda: self._claims(wire, ""))
        named = self._home_account_id(result)
        if named and named != accounts[0]["home_account_id"]:
            # Whose it is decides the caller; what it brought is not mixed in.
            account, kept = Account(named, named), refresh_token
        else:
            account, kept = _account(cache, claims), _slim(cache)
        return _grant(wire, kept, scopes, account, claims, fault)

    def begin_code(
        self, scopes: tuple[str, ...], redirect_uri: str, login_hint: str
    ) -> CodeFlow:
        """Prepare an authorization request; see Provider."""
        with self._wire() as wire:
            app = self._app(_loaded(""), wire, self._tenant_to_sign_in())
            with warnings.catch_warnings():
                # It warns of anything but form_post, which cannot be pasted back.
                warnings.simplefilter("ignore", UserWarning)
                flow = app.initiate_auth_code_flow(
                    _asked(scopes),
                    redirect_uri=redirect_uri,
                    login_hint=login_hint or None,
                    claims_challenge=self._claims_challenge,
                    # Other servers may refuse a prompt that they do not know.
                    prompt=None if login_hint or self._own else "select_account",
                    response_mode="query",
                )
            endpoint = wire.discovery.metadata().get("token_endpoint")
        if "auth_uri" not in flow:
            raise Permanent("MSAL could not begin a sign-in")
        if isinstance(endpoint, str):
            self._network.check_answers(endpoint)
        data = {"flow": flow, "scopes": scopes}
        return CodeFlow(flow["auth_uri"], flow["state"], redirect_uri, data)

    def redeem_code(self, flow: CodeFlow, answer: Mapping[str, str]) -> Grant:
        """Check the redirect's parameters and redeem the code; see Provider."""
        if "error" in answer:
            server = http.server_of(self.issuer)
            raise outcomes.from_answer(
                400, dict(answer), {}, server, client_id=self.client_id
            )
        cache = _loaded("")
        with self._wire() as wire:
            app = self._app(cache, wire, self._tenant_to_sign_in())
            try:
                result = app.acquire_token_by_auth_code_flow(
                    flow.data["flow"], dict(answer)
                )
            except HushkeyError:
                raise
            except Exception as error:
                # Its text may hold the whole ID token.
                raise _confused(error) from error
        if "access_token" not in result:
            raise wire.outcome(result, client_id=self.client_id)
        nonce = parse_qs(urlsplit(flow.url).query).get("nonce", [""])[0]
        return self._signed_in(wire, result, cache, flow.data["scopes"], nonce)

    def begin_device(self, scopes: tuple[str, ...]) -> DeviceCode | None:
        """Ask for a device code; see Provider."""
        with self._wire() as wire:
            app = self._app(_loaded(""), wire, self._tenant_to_sign_in())
            try:
                flow = app.initiate_device_flow(
                    _asked(scopes), claims_challenge=self._claims_challenge
                )
            except ValueError:  # the server names no endpoint for it
                return None
        if wire.status != 200 or "device_code" not in wire.answer:
            raise wire.outcome(flow, client_id=self.client_id)
        data = {"flow": flow, "scopes": scopes}
        return answers.device_code(wire.answer, wire.server, self.issuer, data)

    def poll_device(self, code: DeviceCode) -> Grant:
        """Ask once whether the person is done; see Provider."""
        cache = _loaded("")
        with self._wire() as wire:
            app = self._app(cache, wire, self._tenant_to_sign_in())
            try:
                result = app.acquire_token_by_device_flow(
                    dict(code.data["flow"]),
                    claims_challenge=self._claims_challenge,
                    exit_condition=lambda flow: True,
                )
            except HushkeyError:
                raise
            except Exception as error:
                raise _confused(error) from error
        if result.get("error") in ("authorization_pending", "slow_down"):
            raise Pending(result["error"] == "slow_down")
        if "access_token" not in result:
            raise wire.outcome(result, client_id=self.client_id)
        return self._signed_in(wire, result, cache, code.data["scopes"], "")

    def account(
        self, access_token: str, scopes: tuple[str, ...] = ()
    ) -> Account | None:
        """Return nobody: every sign-in has an ID token, which names its account."""
        return None

    def revoke(self, refresh_token: str) -> bool:
        """Return False: Entra offers no revocation of one client's grant."""
        return False

    # -- parts --------------------------------------------------------------

    def _wire(self) -> Wire:
        return Wire(self._network, telemetry=not self._own)

    def _home_account_id(self, result: Mapping[str, Any]) -> str:
        """Return whom a token answer is for, as MSAL names accounts, or nothing.

        Entra says so in client_info, and so may authorities that are like it;
        elsewhere the subject is the account.
        """
        info = payload(result.get("client_info")) or {}
        if "uid" in info and "utid" in info:
            return f"{info['uid']}.{info['utid']}"
        claims = result.get("id_token_claims") or {}
        return str(claims.get("sub") or "") if self._own else ""

    def _signed_in(
        self,
        wire: Wire,
        result: Mapping[str, Any],
        cache: msal.SerializableTokenCache,
        scopes: tuple[str, ...],
        nonce: str,
    ) -> Grant:
        """Return the grant of a sign-in, which must say whose it is."""
        if fault := answers.type_fault(wire.answer):
            raise fault
        if not isinstance(wire.answer.get("id_token"), str):
            raise _nobody("no ID token")
        claims = self._claims(wire, nonce)
        account = _account(cache, claims)
        if account is None or account.id != self._home_account_id(result):
            raise _nobody("no client_info")
        return _grant(wire, _slim(cache), scopes, account, claims)

    def _claims(self, wire: Wire, nonce: str) -> dict[str, Any]:
        """Return the claims of the last answer's ID token, checked: MSAL does not.

        Another authority's token is checked as any OpenID Connect server's. For
        Microsoft's clouds, whose hosts are known by name, TLS stands for the
        signature, which saves a request; the issuer holds the tenant of the token;
        and the server's clock counts, since this machine's may be wrong.
        """
        token, metadata = wire.answer["id_token"], wire.discovery.metadata()
        issuer, now = metadata["issuer"], time.time()
        if not self._own:
            issuer = clouds.issuer_of(issuer, said(token).get("tid"))
            if not issuer:
                raise Permanent("the server's ID token is not valid: another tenant's")
            now = idtoken.server_time(wire.date, now)
        listed = metadata.get("id_token_signing_alg_values_supported")
        return idtoken.claims_of(
            token,
            issuer=issuer,
            client_id=self.client_id,
            algorithms=listed if isinstance(listed, list) else [],
            keys=wire.discovery.keys if self._own else None,
            nonce=nonce or None,
            access_token=wire.answer["access_token"],
            now=now,
            server_date=wire.date,
        )

    def _tenant_to_sign_in(self) -> str:
        """Return the tenant to sign in to.

        Microsoft's own tenant for personal accounts is one to redeem in only.
        """
        return self._home if self._tenant == clouds.PERSONAL else self._tenant

    def _app(
        self,
        cache: msal.SerializableTokenCache,
        wire: Wire,
        tenant: str,
    ) -> msal.PublicClientApplication:
        """Return MSAL's client; its discovery is answered from our own cache."""
        authority = self._own or f"{self.issuer}/{tenant}"
        where = authority if self._own else f"{authority}/v2.0"
        wire.serve(
            Discovery(where, self._network, self._folder, of_entra=not self._own)
        )
        try:
            return msal.PublicClientApplication(
                self.client_id,
                token_cache=cache,
                http_client=wire,
                instance_discovery=False,
                **{"oidc_authority" if self._own else "authority": authority},
            )
        except (ValueError, KeyError) as error:
            raise Permanent(
                f"MSAL refuses the authority {authority}: {plain(error, 120)}",
                hint="check `tenant`, `cloud` and `authority` in config.toml",
            ) from error


def _asked(scopes: tuple[str, ...]) -> list[str]:
    """Return the scopes to name to MSAL: without those that it adds itself."""
    return [scope for scope in scopes if scope not in _RESERVED]


def _loaded(foreign: str) -> msal.SerializableTokenCache:
    cache = msal.SerializableTokenCache()
    if foreign:
        cache.deserialize(foreign)
    return cache


def _slim(cache: msal.SerializableTokenCache) -> str:
    """Return MSAL's cache without access tokens."""
    content = json.loads(cache.serialize())
    return json.dumps({name: content.get(name, {}) for name in _SECTIONS})


def _grant(
    wire: Wire,
    refresh_token: str,
    scopes: tuple[str, ...],
    account: Account | None,
    claims: Mapping[str, Any],
    fault: HushkeyError | None = None,
) -> Grant:
    token = answers.token(wire.answer) or {}
    return Grant(
        token["access_token"],
        refresh_token=refresh_token,
        expires_in=token["expires_in"],
        scopes=answers.scopes(token.get("scope"), scopes),
        account=account,
        claims=claims,
        fault=fault,
    )


def _account(
    cache: msal.SerializableTokenCache, claims: Mapping[str, Any]
) -> Account | None:
    """Return the account: MSAL's home account id, and a name for people."""
    rows = list(json.loads(cache.serialize()).get("Account", {}).values())
    if not rows:
        return None
    home = str(rows[0]["home_account_id"])
    names = (claims.get("preferred_username"), claims.get("email"), rows[0]["username"])
    label = next((str(name) for name in names if name), home)
    return Account(home, plain(label, 100))


def _nobody(what: str) -> Permanent:
    return Permanent(f"the server did not say who signed in ({what})")


def _confused(error: Exception) -> Permanent:
    return Permanent(f"MSAL cannot read the server's answer ({type(error).__name__})")
