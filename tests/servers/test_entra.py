"""The fake Entra against the real MSAL, and what MSAL does that can bite a user.

The second half are contract tests: each pins one behaviour of the installed MSAL that
hushkey works around. If one fails after an upgrade, its name says what changed.
"""

import base64
import contextlib
import http.client
import json
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msal
import pytest
import requests
from joserfc import jwk, jwt
from msal.exceptions import MsalServiceError

from servers.authority import Authority
from servers.entra import (
    ALICE,
    AZURE_CLI,
    AZURE_DEVOPS,
    BOB,
    CAROL,
    CONSUMERS_TENANT,
    CONTOSO,
    DEFAULT_SCOPE,
    FABRIKAM,
    GOVERNMENT,
    GRACE,
    HOSTILE,
    MSA_TRANSFER_TENANT,
    NO_TENANT,
    OWN_CLIENT,
    PUBLIC,
    REGISTRY,
    US_GOVERNMENT,
    VISUAL_STUDIO,
    Detour,
    DetouredBrowser,
    DevOps,
    Entra,
    Organization,
    Person,
    User,
    answer,
    answer_names,
    mark,
)
from servers.process import clean_environ, free_port

Result = dict[str, Any]
FOREIGN = "id.example.com"
REDIRECT = "http://localhost:4711"
CLAIMS = '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}'


@pytest.fixture(scope="module")
def entra_process(authority: Authority) -> Iterator[Entra]:
    with Entra(authority, also=[FOREIGN]) as server:
        yield server


@pytest.fixture
def entra(entra_process: Entra) -> Entra:
    entra_process.reset()
    return entra_process


@pytest.fixture(scope="module")
def devops_process(authority: Authority, entra_process: Entra) -> Iterator[DevOps]:
    with DevOps(authority, entra_process) as server:
        yield server


@pytest.fixture
def devops(devops_process: DevOps, entra: Entra) -> DevOps:
    devops_process.reset()
    return devops_process


@pytest.fixture(scope="module")
def detour_process(entra_process: Entra, devops_process: DevOps) -> Iterator[Detour]:
    with Detour(entra_process.routes() | devops_process.routes()) as server:
        yield server


@pytest.fixture
def detour(detour_process: Detour) -> Detour:
    detour_process.reset()
    return detour_process


class Msal:
    """The real MSAL over requests, by way of the detour; `cache` is shared."""

    def __init__(self, detour: Detour, authority: Authority) -> None:
        self.detour = detour
        self.ca_file = str(authority.ca_file)
        self.cache = msal.SerializableTokenCache()
        self.people = authority.ca_file
        self._made: list[Any] = []

    def app(self, tenant: str = CONTOSO.id, **options: Any) -> Any:
        values: Result = {
            "client_id": AZURE_CLI,
            "token_cache": self.cache,
            "proxies": {"https": self.detour.url},
            "verify": self.ca_file,
            "timeout": 10,
        }
        if "oidc_authority" not in options:
            values["authority"] = f"https://{PUBLIC}/{tenant}"
        app = msal.PublicClientApplication(**values | options)
        self._made.append(app)
        return app

    @staticmethod
    def flow(
        app: Any,
        scopes: tuple[str, ...] = (DEFAULT_SCOPE,),
        redirect: str = REDIRECT,
        **options: Any,
    ) -> Result:
        options.setdefault("response_mode", "form_post")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "response_mode='form_post'")
            flow: Result = app.initiate_auth_code_flow(
                list(scopes), redirect_uri=redirect, **options
            )
        return flow

    def sign_in(
        self,
        app: Any,
        user: User = ALICE,
        scopes: tuple[str, ...] = (DEFAULT_SCOPE,),
        **options: Any,
    ) -> Result:
        flow = self.flow(app, scopes, **options)
        back = Person(self.detour, self.people, user).sign_in(flow["auth_uri"])
        result: Result = app.acquire_token_by_auth_code_flow(flow, back)
        return result

    def silent(
        self, app: Any, scopes: tuple[str, ...] = (DEFAULT_SCOPE,), **options: Any
    ) -> Result | None:
        account = app.get_accounts()[0]
        result: Result | None = app.acquire_token_silent_with_error(
            list(scopes), account, **options
        )
        return result

    def refresh_tokens(self) -> list[Result]:
        kind = msal.TokenCache.CredentialType.REFRESH_TOKEN
        return list(self.cache.search(kind))

    def close(self) -> None:
        for app in self._made:
            app.http_client.close()


@pytest.fixture
def client(detour: Detour, authority: Authority) -> Iterator[Msal]:
    made = Msal(detour, authority)
    yield made
    made.close()


@pytest.fixture
def signed_in(client: Msal, entra: Entra) -> Any:
    """An app with alice in its cache, whose access token is too old to be used."""
    app = client.app()
    entra.set(expires_in=200)
    assert "access_token" in client.sign_in(app)
    entra.set(expires_in=3599)
    entra.forget_log()
    return app


# ---------------------------------------------------------------- the data files


@pytest.mark.parametrize("name", answer_names())
def test_each_answer_names_where_its_shape_is_from(name: str) -> None:
    file = answer(name)
    assert file.source
    assert all(source.startswith("https://") for source in file.source)
    assert file.status
    assert all(
        isinstance(each, str)
        for value in file.headers.values()
        for each in ([value] if isinstance(value, str) else value)
    )


# ---------------------------------------------------------------- discovery


def get(
    client: Msal, url: str, method: str = "GET", **headers: str
) -> requests.Response:
    with requests.Session() as session:
        return session.request(
            method,
            url,
            headers=headers,
            proxies={"https": client.detour.url},
            verify=client.ca_file,
            allow_redirects=False,
            timeout=10,
        )


@pytest.mark.parametrize(
    ("tenant", "endpoint", "issuer"),
    [
        ("common", "common", "{tenantid}"),
        ("organizations", "organizations", "{tenantid}"),
        ("consumers", "consumers", CONSUMERS_TENANT),
        (CONTOSO.id, CONTOSO.id, CONTOSO.id),
        ("contoso.com", CONTOSO.id, CONTOSO.id),
        ("contoso.onmicrosoft.com", CONTOSO.id, CONTOSO.id),
    ],
)
def test_tenant_discovery(
    client: Msal, entra: Entra, tenant: str, endpoint: str, issuer: str
) -> None:
    url = f"https://{PUBLIC}/{tenant}/v2.0/.well-known/openid-configuration"
    document = get(client, url).json()
    assert document["token_endpoint"] == (
        f"https://{PUBLIC}/{endpoint}/oauth2/v2.0/token"
    )
    assert document["issuer"] == f"https://{PUBLIC}/{issuer}/v2.0"
    assert [r["tenant"] for r in entra.log("configuration")] == [tenant]


def test_an_unknown_tenant_is_a_400(client: Msal, entra: Entra) -> None:
    url = f"https://{PUBLIC}/nobody.example/v2.0/.well-known/openid-configuration"
    given = get(client, url)
    assert given.status_code == 400
    assert given.json()["error"] == "invalid_tenant"
    with pytest.raises(ValueError, match="authority configuration"):
        client.app("nobody.example")


def test_instance_discovery(client: Msal, entra: Entra) -> None:
    url = f"https://{PUBLIC}/common/discovery/instance?api-version=1.1"
    asked = f"https://{PUBLIC}/common/oauth2/authorize"
    document = get(client, f"{url}&authorization_endpoint={asked}").json()
    groups = [group["aliases"] for group in document["metadata"]]
    assert any({"login.windows.net", PUBLIC} <= set(group) for group in groups)
    bogus = "https://bogus.example/common/oauth2/authorize"
    given = get(client, f"{url}&authorization_endpoint={bogus}")
    assert given.json()["error"] == "invalid_instance"


def test_id_tokens_are_signed_and_have_entras_claims(
    client: Msal, entra: Entra
) -> None:
    app = client.app()
    result = client.sign_in(app)
    keys = get(client, f"https://{PUBLIC}/{CONTOSO.id}/discovery/v2.0/keys").json()
    token = jwt.decode(result["id_token"], jwk.KeySet.import_key_set(keys), ["RS256"])
    assert token.claims["iss"] == f"https://{PUBLIC}/{CONTOSO.id}/v2.0"
    assert token.claims["aud"] == AZURE_CLI
    assert token.claims["tid"] == CONTOSO.id
    assert token.claims["oid"] == ALICE.id_in(CONTOSO.id)
    assert token.claims["preferred_username"] == ALICE.name
    assert token.claims["exp"] > time.time()
    again = client.sign_in(client.app(client_id=OWN_CLIENT))
    assert again["id_token_claims"]["sub"] != token.claims["sub"]  # pairwise


# ---------------------------------------------------------------- the flows


@pytest.mark.parametrize("mode", [None, "query", "form_post"])
def test_code_flow_then_silent_hit(
    client: Msal, entra: Entra, mode: str | None
) -> None:
    app = client.app()
    options: Result = {"response_mode": mode} if mode else {}
    result = client.sign_in(app, login_hint=ALICE.name, **options)
    assert result["scope"] == f"{AZURE_DEVOPS}/user_impersonation {DEFAULT_SCOPE}"
    grant = entra.token(result["access_token"])
    assert grant is not None
    assert (grant.user, grant.tenant, grant.resource) == (
        ALICE,
        CONTOSO.id,
        AZURE_DEVOPS,
    )
    [account] = app.get_accounts(ALICE.name)
    assert account["home_account_id"] == ALICE.home_account_id
    [page] = entra.log("authorize")
    assert page["login_hint"] == ALICE.name
    assert page["code_challenge_method"] == "S256"
    before = len(entra.log())
    hit = client.silent(app)
    assert hit is not None
    assert hit["access_token"] == result["access_token"]
    assert hit["token_source"] == "cache"
    assert len(entra.log()) == before


def test_refresh(client: Msal, entra: Entra, signed_in: Any) -> None:
    [old] = client.refresh_tokens()
    result = client.silent(signed_in)
    assert result is not None
    assert entra.token(result["access_token"])
    assert entra.refreshes() == 1
    [new] = client.refresh_tokens()
    assert new["secret"] != old["secret"]
    # Refresh tokens are not revoked when used.
    request = {
        "grant_type": "refresh_token",
        "client_id": AZURE_CLI,
        "refresh_token": old["secret"],
        "scope": DEFAULT_SCOPE,
    }
    assert post(client, "token", request)["access_token"]


def post(client: Msal, what: str, data: Result, tenant: str = CONTOSO.id) -> Result:
    given = requests.post(
        f"https://{PUBLIC}/{tenant}/oauth2/v2.0/{what}",
        data=data,
        proxies={"https": client.detour.url},
        verify=client.ca_file,
        timeout=10,
    )
    with given:
        result: Result = given.json()
    return result


def test_one_sign_in_serves_another_resource_and_another_tenant(
    client: Msal, entra: Entra
) -> None:
    app = client.app()
    client.sign_in(app)
    registry = client.silent(app, (f"{REGISTRY}/.default",))
    assert registry is not None
    grant = entra.token(registry["access_token"])
    assert grant is not None
    assert grant.resource == REGISTRY
    guest = client.silent(client.app(FABRIKAM.id))
    assert guest is not None
    grant = entra.token(guest["access_token"])
    assert grant is not None
    assert (grant.tenant, grant.user) == (FABRIKAM.id, ALICE)
    assert guest["id_token_claims"]["oid"] == ALICE.id_in(FABRIKAM.id)
    assert guest["id_token_claims"]["oid"] != ALICE.id_in(CONTOSO.id)
    assert entra.sign_ins() == 1
    accounts = app.get_accounts()
    assert [a["home_account_id"] for a in accounts] == [ALICE.home_account_id]


def test_a_stranger_is_not_let_into_a_tenant(client: Msal, entra: Entra) -> None:
    home = client.app(FABRIKAM.id)
    client.sign_in(home, BOB)
    result = client.silent(client.app(CONTOSO.id))
    assert result is not None
    assert result["error"] == "invalid_grant"
    flow = client.flow(client.app())
    back = Person(client.detour, client.people, BOB).sign_in(flow["auth_uri"])
    assert "AADSTS50020" in back["page"]


def test_several_accounts(client: Msal, entra: Entra) -> None:
    app = client.app("organizations")
    client.sign_in(app, ALICE)
    client.sign_in(app, BOB)
    names = {account["username"] for account in app.get_accounts()}
    assert names == {ALICE.name, BOB.name}
    for user in (ALICE, BOB):
        [account] = app.get_accounts(user.name)
        result = app.acquire_token_silent([f"{REGISTRY}/.default"], account)
        grant = entra.token(result["access_token"])
        assert grant is not None
        assert (grant.user, grant.tenant) == (user, user.home)


def test_device_code(client: Msal, entra: Entra) -> None:
    entra.set(interval=1)
    app = client.app()
    flow = app.initiate_device_flow([DEFAULT_SCOPE])
    assert flow["verification_uri"] == "https://microsoft.com/devicelogin"
    assert flow["user_code"] in flow["message"]
    once = app.acquire_token_by_device_flow(flow, exit_condition=lambda flow: True)
    assert once["error"] == "authorization_pending"
    person = Person(client.detour, client.people)
    assert "page" in person.enter_code(flow["verification_uri"], flow["user_code"])
    flow["latest_attempt_at"] = 0
    result = app.acquire_token_by_device_flow(flow)
    assert entra.token(result["access_token"])
    assert [a["username"] for a in app.get_accounts()] == [ALICE.name]
    assert "access_token" in (client.silent(app) or {})


@pytest.mark.parametrize("why", ["authorization_declined", "expired_token"])
def test_device_code_that_comes_to_nothing(
    client: Msal, entra: Entra, why: str
) -> None:
    entra.set(interval=1, device_ttl=1 if why == "expired_token" else 900)
    app = client.app()
    flow = app.initiate_device_flow([DEFAULT_SCOPE])
    if why == "authorization_declined":
        person = Person(client.detour, client.people, says_yes=True)
        person.says_yes = False
        # "Next" has no way to say no; "Cancel" on the login page has.
        page = person.enter_code(flow["verification_uri"], flow["user_code"])
        assert "declined" in page["page"]
    else:
        time.sleep(1.1)
    result = app.acquire_token_by_device_flow(flow, exit_condition=lambda flow: True)
    assert result["error"] == why


def test_a_personal_account(client: Msal, entra: Entra) -> None:
    app = client.app("organizations", client_id=VISUAL_STUDIO)
    result = client.sign_in(app, CAROL)
    claims = result["id_token_claims"]
    assert claims["tid"] == MSA_TRANSFER_TENANT
    [account] = app.get_accounts()
    assert account["home_account_id"].endswith(f".{CONSUMERS_TENANT}")
    flow = client.flow(client.app("consumers", client_id=VISUAL_STUDIO))
    back = Person(client.detour, client.people, CAROL).sign_in(flow["auth_uri"])
    assert "AADSTS9002332" in back["page"]


def test_a_sovereign_cloud(client: Msal, entra: Entra) -> None:
    app = client.app(authority=f"https://{US_GOVERNMENT}/{GOVERNMENT.id}")
    result = client.sign_in(app, GRACE)
    assert result["id_token_claims"]["iss"].startswith(f"https://{US_GOVERNMENT}/")
    with pytest.raises(ValueError, match="authority configuration"):
        client.app(GOVERNMENT.id)  # not in the public cloud


def test_only_a_members_family_may_use_its_refresh_token(
    client: Msal, entra: Entra, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (AZURE_CLI, VISUAL_STUDIO):
        monkeypatch.setattr(entra.clients[name], "family", "1")
    client.sign_in(client.app())
    sibling = client.silent(client.app(client_id=VISUAL_STUDIO))
    assert sibling is not None
    assert "access_token" in sibling
    assert entra.sign_ins() == 1
    entra.forget_log()
    stranger = client.silent(client.app(client_id=OWN_CLIENT))
    assert stranger is None  # one failed request, and nothing to show for it
    assert [r["error"] for r in entra.token_requests()] == ["invalid_grant"]


def test_a_policy_asks_for_claims(client: Msal, entra: Entra) -> None:
    app = client.app()
    client.sign_in(app)
    entra.demand(CLAIMS)
    refused = client.silent(app, force_refresh=True)
    assert refused is not None
    assert (refused["error"], refused["suberror"]) == ("invalid_grant", "basic_action")
    assert refused["claims"] == CLAIMS
    flow = client.flow(app, claims_challenge=refused["claims"])
    back = Person(client.detour, client.people).sign_in(flow["auth_uri"])
    result = app.acquire_token_by_auth_code_flow(flow, back)
    assert "access_token" in result
    assert entra.log("authorize")[-1]["claims"] == CLAIMS
    assert "access_token" in (client.silent(app, force_refresh=True) or {})


def test_revoked_sign_ins_and_other_ways_to_lose(client: Msal, entra: Entra) -> None:
    app = client.app()
    client.sign_in(app)
    entra.revoke(ALICE.name)
    refused = client.silent(app, force_refresh=True)
    assert refused is not None
    assert (refused["error"], refused["suberror"]) == ("invalid_grant", "bad_token")
    flow = client.flow(app)
    back = Person(client.detour, client.people).sign_in(flow["auth_uri"])
    wrong = flow | {"code_verifier": "x" * 43}
    assert app.acquire_token_by_auth_code_flow(wrong, back)["error"] == "invalid_grant"
    assert "access_token" in app.acquire_token_by_auth_code_flow(flow, back)
    elsewhere = client.app(FABRIKAM.id).acquire_token_by_auth_code_flow(flow, back)
    assert "700005" in elsewhere["error_description"]
    used = client.app().acquire_token_by_auth_code_flow(flow, back)
    assert "54005" in used["error_description"]


def test_an_unknown_client_resource_and_grant(client: Msal, entra: Entra) -> None:
    assert post(client, "token", {})["error"] == "invalid_request"
    unknown = {"grant_type": "refresh_token", "client_id": NO_TENANT}
    assert post(client, "token", unknown)["error"] == "unauthorized_client"
    other = {"grant_type": "password", "client_id": AZURE_CLI}
    assert post(client, "token", other)["error"] == "unsupported_grant_type"
    app = client.app()
    client.sign_in(app)
    nowhere = client.silent(app, ("https://nowhere.example/.default",))
    assert nowhere is not None
    assert nowhere["error"] == "invalid_resource"


@pytest.mark.parametrize(
    ("redirect", "reached"),
    [
        ("http://localhost", True),
        ("http://localhost:8400", True),
        ("http://localhost:8400/", True),
        ("http://localhost:8400/callback", False),
        ("http://127.0.0.1:8400", False),
    ],
)
def test_only_localhost_has_a_free_port(
    client: Msal, entra: Entra, redirect: str, reached: bool
) -> None:
    flow = client.flow(client.app(), redirect=redirect)
    back = Person(client.detour, client.people).sign_in(flow["auth_uri"])
    assert ("code" in back) == reached
    assert reached or "AADSTS50011" in back["page"]


@pytest.mark.parametrize(
    "name", [name for name in answer_names() if name.startswith("authorize.")]
)
def test_what_the_person_may_meet(client: Msal, entra: Entra, name: str) -> None:
    entra.set(authorize=name)
    app = client.app()
    flow = client.flow(app)
    back = Person(client.detour, client.people).sign_in(flow["auth_uri"])
    if answer(name).status == 302:
        result = app.acquire_token_by_auth_code_flow(flow, back)
        assert result["error"] == answer(name).body["error"]
    else:
        assert "AADSTS" in back["page"]
        assert "state" not in back


def test_the_person_says_no(client: Msal, entra: Entra) -> None:
    app = client.app()
    flow = client.flow(app)
    person = Person(client.detour, client.people, says_yes=False)
    result = app.acquire_token_by_auth_code_flow(flow, person.sign_in(flow["auth_uri"]))
    assert result["error"] == "access_denied"
    assert entra.sign_ins() == 0


def test_the_correlation_id_is_the_clients_own(
    client: Msal, entra: Entra, signed_in: Any
) -> None:
    entra.fail("invalid_grant")
    result = client.silent(signed_in)
    assert result is not None
    [record] = entra.token_requests()
    assert result["correlation_id"] == record["headers"]["client-request-id"]


# ---------------------------------------------------------------- each error row

NO_SUBERROR = "none"

ROWS = {
    # name: (error, suberror, classification that MSAL makes of it)
    "invalid_grant": ("invalid_grant", NO_SUBERROR, NO_SUBERROR),
    "invalid_grant.basic_action": ("invalid_grant", "basic_action", "basic_action"),
    "invalid_grant.bad_token": ("invalid_grant", "bad_token", ""),
    "invalid_grant.token_expired": ("invalid_grant", "token_expired", ""),
    "invalid_grant.consent_required": (
        "invalid_grant",
        "consent_required",
        "consent_required",
    ),
    "invalid_grant.user_password_expired": (
        "invalid_grant",
        "user_password_expired",
        "user_password_expired",
    ),
    "invalid_grant.additional_action": (
        "invalid_grant",
        "additional_action",
        "additional_action",
    ),
    "invalid_grant.message_only": ("invalid_grant", "message_only", "message_only"),
    "invalid_grant.client_mismatch": ("invalid_grant", "client_mismatch", ""),
    "invalid_grant.protection_policy_required": (
        "invalid_grant",
        "protection_policy_required",
        "",
    ),
    "unauthorized_client.protection_policy_required": (
        "unauthorized_client",
        "protection_policy_required",
        "",
    ),
    "invalid_grant.device_authentication_failed": (
        "invalid_grant",
        "device_authentication_failed",
        "",
    ),
    "invalid_grant.ux_not_allowed": (
        "invalid_grant",
        "ux_not_allowed",
        "ux_not_allowed",
    ),
    "invalid_grant.loop": ("invalid_grant", NO_SUBERROR, NO_SUBERROR),
    "invalid_grant.not_in_tenant": ("invalid_grant", NO_SUBERROR, NO_SUBERROR),
    "interaction_required": ("interaction_required", NO_SUBERROR, NO_SUBERROR),
    "interaction_required.message_only": (
        "interaction_required",
        "message_only",
        "message_only",
    ),
    "interaction_required.token_expired": ("interaction_required", "token_expired", ""),
    "login_required": ("login_required", NO_SUBERROR, NO_SUBERROR),
    "consent_required": ("consent_required", NO_SUBERROR, NO_SUBERROR),
    "account_selection_required": (
        "account_selection_required",
        NO_SUBERROR,
        NO_SUBERROR,
    ),
    "temporarily_unavailable.400": (
        "temporarily_unavailable",
        NO_SUBERROR,
        NO_SUBERROR,
    ),
    "server_error.400": ("server_error", NO_SUBERROR, NO_SUBERROR),
    "slow_down": ("slow_down", NO_SUBERROR, NO_SUBERROR),
    "too_many_requests.json": ("temporarily_unavailable", NO_SUBERROR, NO_SUBERROR),
    "invalid_client": ("invalid_client", NO_SUBERROR, NO_SUBERROR),
    "unauthorized_client": ("unauthorized_client", NO_SUBERROR, NO_SUBERROR),
    "unsupported_grant_type": ("unsupported_grant_type", NO_SUBERROR, NO_SUBERROR),
    "invalid_request": ("invalid_request", NO_SUBERROR, NO_SUBERROR),
    "invalid_resource": ("invalid_resource", NO_SUBERROR, NO_SUBERROR),
    "invalid_target": ("invalid_target", NO_SUBERROR, NO_SUBERROR),
    "invalid_scope": ("invalid_scope", NO_SUBERROR, NO_SUBERROR),
    "unknown_error": ("made_up_error", NO_SUBERROR, NO_SUBERROR),
}
RAISED = {
    "temporarily_unavailable": MsalServiceError,
    "server_error": MsalServiceError,
    "unavailable": MsalServiceError,
    "unavailable.retry_after": MsalServiceError,
    "gateway_timeout": MsalServiceError,
    "too_many_requests": json.JSONDecodeError,
    "too_many_requests.date": json.JSONDecodeError,
    "captive": json.JSONDecodeError,
    "captive.403": json.JSONDecodeError,
    "drop": requests.ConnectionError,
}


@pytest.mark.parametrize("name", ROWS)
def test_msal_returns_this_error_as_a_dict(
    client: Msal, entra: Entra, signed_in: Any, name: str
) -> None:
    error, suberror, classification = ROWS[name]
    entra.fail(name)
    result = client.silent(signed_in)
    assert result is not None
    assert result["error"] == error
    assert result.get("suberror", NO_SUBERROR) == suberror
    assert result.get("classification", NO_SUBERROR) == classification
    assert "$" not in json.dumps(result)
    assert ("claims" in result) == ("claims" in answer(name).body)
    # MSAL looks for a family refresh token only where no app is known.
    assert [r["status"] for r in entra.token_requests()] == [answer(name).status]


@pytest.mark.parametrize("name", RAISED)
def test_msal_raises_this(
    client: Msal, entra: Entra, signed_in: Any, name: str
) -> None:
    entra.fail(name)
    with pytest.raises(RAISED[name]):
        client.silent(signed_in)


def test_no_account_and_no_token_are_none(client: Msal, entra: Entra) -> None:
    app = client.app()
    assert app.acquire_token_silent_with_error([DEFAULT_SCOPE], None) is None
    client.sign_in(app)
    account = app.get_accounts()[0]
    for token in client.refresh_tokens():
        client.cache.remove_rt(token)
    entra.forget_log()
    scopes = [f"{REGISTRY}/.default"]
    assert app.acquire_token_silent_with_error(scopes, account) is None
    assert entra.token_requests() == []


def test_faults_are_counted_and_healed(client: Msal, entra: Entra) -> None:
    entra.fail("invalid_grant", times=2)
    entra.fail("invalid_scope", times=1)
    said = [post(client, "token", {})["error"] for _ in range(4)]
    assert said == [
        "invalid_grant",
        "invalid_grant",
        "invalid_scope",
        "invalid_request",
    ]
    entra.fail("server_error", where="configuration")
    with pytest.raises(MsalServiceError):
        client.app()
    entra.heal()
    client.app()


def test_a_lost_answer_was_work_done(client: Msal, entra: Entra) -> None:
    app = client.app()
    flow = client.flow(app)
    back = Person(client.detour, client.people).sign_in(flow["auth_uri"])
    entra.fail("lose", times=2)  # urllib3 tries once more
    with pytest.raises(requests.ConnectionError):
        app.acquire_token_by_auth_code_flow(flow, back)
    entra.heal()
    assert (
        "54005" in app.acquire_token_by_auth_code_flow(flow, back)["error_description"]
    )


# ---------------------------------------------------------------- Azure DevOps


def test_the_challenge_names_the_tenant(client: Msal, devops: DevOps) -> None:
    for method, url in [
        ("HEAD", "https://dev.azure.com/contoso"),
        ("GET", "https://dev.azure.com/contoso/app/_git/app/info/refs"),
        ("GET", "https://contoso.visualstudio.com/app/_git/app/info/refs"),
        ("GET", "https://pkgs.dev.azure.com/contoso/_packaging/feed/pypi/simple/"),
    ]:
        given = get(client, url, method)
        assert given.status_code == 401
        challenges = given.raw.headers.getlist("WWW-Authenticate")
        assert challenges[0] == (
            f"Bearer authorization_uri=https://{PUBLIC}/{CONTOSO.id}"
        )
        assert challenges[1].startswith('Basic realm="https://tfsprod')
        assert challenges[2] == "TFS-Federated"
        assert given.headers["X-VSS-ResourceTenant"] == CONTOSO.id
    devops.move("contoso", FABRIKAM.id)
    moved = get(client, "https://dev.azure.com/contoso", "HEAD")
    assert moved.headers["X-VSS-ResourceTenant"] == FABRIKAM.id
    assert [r["organization"] for r in devops.log()] == ["contoso"] * 5
    nobody = get(client, "https://dev.azure.com/nobody")
    assert nobody.status_code == 404


def test_an_organisation_of_microsoft_accounts(
    client: Msal, entra: Entra, devops: DevOps
) -> None:
    url = "https://dev.azure.com/carols"
    given = get(client, url, "HEAD")
    assert given.headers["X-VSS-ResourceTenant"] == NO_TENANT
    assert "authorization_uri" not in given.headers["WWW-Authenticate"]
    app = client.app("organizations", client_id=VISUAL_STUDIO)
    token = client.sign_in(app, CAROL)["access_token"]
    assert get(client, url, Authorization=f"Bearer {token}").status_code == 200


def test_tokens_open_only_what_they_were_issued_for(
    client: Msal, entra: Entra, devops: DevOps
) -> None:
    app = client.app()
    token = client.sign_in(app)["access_token"]
    url = "https://dev.azure.com/contoso/app/_git/app/info/refs"

    def status(token: str, url: str = url, scheme: str = "Bearer") -> int:
        if scheme == "Basic":
            token = base64.b64encode(f"any:{token}".encode()).decode()
        return get(client, url, Authorization=f"{scheme} {token}").status_code

    assert status(token) == 200
    assert status(token, scheme="Basic") == 200
    assert status("made-up") == 401
    assert status(token, "https://dev.azure.com/fabrikam/app") == 401
    registry = client.silent(app, (f"{REGISTRY}/.default",))
    assert registry is not None
    assert status(registry["access_token"]) == 401
    devops.organizations["contoso"].strangers = [ALICE.name]
    given = get(client, url, Authorization=f"Bearer {token}")
    assert "TF401444" in given.text
    devops.organizations["contoso"].strangers = []
    devops.organizations["contoso"].members = [BOB.name]
    given = get(client, url, Authorization=f"Bearer {token}")
    assert "TF400813" in given.text
    devops.organizations["contoso"].members = None
    entra.revoke(kind="access")
    assert status(token) == 401
    assert [r["user"] for r in devops.log()][:1] == [ALICE.name]
    assert [r["scheme"] for r in devops.log()][:2] == ["bearer", "basic"]


def test_a_claims_challenge(client: Msal, entra: Entra, devops: DevOps) -> None:
    devops.add(Organization("strict", CONTOSO.id, claims=CLAIMS))
    app = client.app()
    url = "https://dev.azure.com/strict"
    token = client.sign_in(app)["access_token"]
    given = get(client, url, Authorization=f"Bearer {token}")
    challenge = given.raw.headers.getlist("WWW-Authenticate")[0]
    assert 'error="insufficient_claims"' in challenge
    claims = base64.b64decode(challenge.rpartition('claims="')[2].rstrip('"'))
    assert claims.decode() == CLAIMS
    token = client.sign_in(app, claims_challenge=CLAIMS)["access_token"]
    assert get(client, url, Authorization=f"Bearer {token}").status_code == 200


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_challenges_reach_a_client(
    client: Msal, devops: DevOps, kind: str
) -> None:
    devops.hostile("contoso", kind)
    given = get(client, "https://dev.azure.com/contoso", "HEAD")
    challenges = given.raw.headers.getlist("WWW-Authenticate")
    bearer = [c for c in challenges if c.startswith("Bearer")]
    assert bearer == [c.replace("$tenant", CONTOSO.id) for c in HOSTILE[kind]]


def test_devops_is_down(client: Msal, devops: DevOps) -> None:
    devops.fail("devops.unavailable", times=1)
    assert get(client, "https://dev.azure.com/contoso").status_code == 503
    assert get(client, "https://dev.azure.com/contoso").status_code == 401
    devops.fail("drop", times=1)
    with pytest.raises(requests.ConnectionError):
        get(client, "https://dev.azure.com/contoso")


# ---------------------------------------------------------------- the detour


def test_everything_else_is_refused_and_recorded(client: Msal, detour: Detour) -> None:
    for url in (
        "https://evil.example/",
        f"https://{PUBLIC}.evil.example/",
        f"https://{PUBLIC}:8443/",
        "https://a.b.visualstudio.com/",
    ):
        with pytest.raises(requests.exceptions.ProxyError):
            get(client, url)
    assert detour.refused == [
        "evil.example:443",
        f"{PUBLIC}.evil.example:443",
        f"{PUBLIC}:8443",
        "a.b.visualstudio.com:443",
    ]
    with requests.Session() as session:
        plain = session.get(
            "http://evil.example/", proxies={"http": detour.url}, timeout=10
        )
    assert plain.status_code == 403


def test_a_proxy_that_wants_a_password(client: Msal, detour: Detour) -> None:
    detour.fail("407")
    with pytest.raises(requests.exceptions.ProxyError, match="407"):
        client.app()


def test_other_clients_must_trust_the_authority(detour: Detour) -> None:
    with requests.Session() as session, pytest.raises(requests.exceptions.SSLError):
        session.get(
            f"https://{PUBLIC}/", proxies={"https": detour.url}, verify=True, timeout=10
        )


def test_stop_ends_idle_and_hanging_connections(authority: Authority) -> None:
    server = Entra(authority)
    server.start()
    server.fail("hang", where="configuration")
    context = authority.context()
    idle = socket.create_connection(("127.0.0.1", server.port), 5)  # says nothing
    hanging = http.client.HTTPSConnection(
        "localhost", server.port, timeout=10, context=context
    )
    hanging.request("GET", "/common/v2.0/.well-known/openid-configuration")
    lost: list[BaseException] = []

    def wait() -> None:
        try:
            hanging.getresponse()
        except (OSError, http.client.HTTPException) as error:
            lost.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not server.log("configuration"):
        time.sleep(0.01)
    began = time.monotonic()
    server.stop()
    waiting.join(5)
    hanging.close()
    idle.close()
    assert time.monotonic() - began < 2
    assert len(lost) == 1
    server.start()  # on the same port again
    server.stop()


def test_without_the_detour_the_endpoints_are_here(
    authority: Authority, entra: Entra
) -> None:
    base = f"https://localhost:{entra.port}"
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=authority.context())
    )
    with opener.open(f"{base}/common/v2.0/.well-known/openid-configuration") as given:
        document = json.load(given)
    assert document["token_endpoint"] == f"{base}/common/oauth2/v2.0/token"
    assert document["issuer"] == f"https://{PUBLIC}/{{tenantid}}/v2.0"
    with pytest.raises(urllib.error.HTTPError) as caught:
        opener.open(f"{base}/common/nothing")
    caught.value.close()
    assert caught.value.code == 404


class Receiver(BaseHTTPRequestHandler):
    """A client's redirect: keeps what reached it."""

    got: dict[str, str]

    def do_GET(self) -> None:
        self._keep(urlsplit(self.path).query)

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self._keep(self.rfile.read(length).decode())

    def _keep(self, text: str) -> None:
        self.got.update(parse_qsl(text))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"thanks")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.mark.parametrize("mode", ["query", "form_post"])
def test_the_scripted_visitor_gets_here_too(
    client: Msal, entra: Entra, tmp_path: Path, authority: Authority, mode: str
) -> None:
    got: dict[str, str] = {}
    port = free_port()
    handler = type("Mine", (Receiver,), {"got": got})
    browser = DetouredBrowser(
        tmp_path, user=ALICE.name, ca_file=authority.ca_file, proxy=client.detour.url
    )
    app = client.app()
    flow = client.flow(app, redirect=f"http://localhost:{port}", response_mode=mode)
    with HTTPServer(("127.0.0.1", port), handler) as receiver:
        listening = threading.Thread(target=receiver.handle_request)
        listening.start()
        subprocess.run(
            [*browser.argv, flow["auth_uri"]],
            env=clean_environ(**browser.environ),
            check=True,
            timeout=30,
        )
        listening.join()
    assert browser.troubles() == ""
    assert len(browser.visits()) == 1
    assert "access_token" in app.acquire_token_by_auth_code_flow(flow, got)


# ---------------------------------------------------------------- contracts with MSAL


def test_contract_the_constructor_asks_the_network_each_time(
    client: Msal, entra: Entra
) -> None:
    for number in (1, 2):
        client.app()
        assert len(entra.log("configuration")) == number
    assert len(entra.log()) == 2
    # ... so nothing is answered offline, not even what is in the cache.
    client.detour.fail("502")
    with pytest.raises(requests.exceptions.ProxyError):
        client.app()


def test_contract_msal_warns_of_response_mode_query(client: Msal, entra: Entra) -> None:
    # A warning, and no default: Entra then answers by query.
    with pytest.warns(UserWarning, match="form_post"):
        flow = client.app().initiate_auth_code_flow([DEFAULT_SCOPE], REDIRECT)
    assert "response_mode" not in flow["auth_uri"]
    back = Person(client.detour, client.people).sign_in(flow["auth_uri"])
    assert {"code", "state", "client_info"} <= back.keys()


def test_contract_an_empty_cache_costs_an_instance_discovery(
    client: Msal, entra: Entra
) -> None:
    assert client.app().get_accounts() == []
    assert len(entra.log("instance")) == 1
    entra.forget_log()
    assert client.app(instance_discovery=False).get_accounts() == []
    assert entra.log("instance") == []


def test_contract_a_failed_silent_call_costs_an_instance_discovery(
    client: Msal, entra: Entra, signed_in: Any
) -> None:
    entra.fail("invalid_grant")
    client.silent(signed_in)
    assert len(entra.log("instance")) == 1


def aging(client: Msal, entra: Entra) -> tuple[Any, str]:
    """An app whose token is good, but due for a proactive refresh."""
    app = client.app()
    entra.set(refresh_in=-10)
    token = client.sign_in(app)["access_token"]
    entra.set(refresh_in=None)
    entra.forget_log()
    return app, token


def test_contract_refresh_in_makes_silent_refresh_early(
    client: Msal, entra: Entra
) -> None:
    app, token = aging(client, entra)
    result = client.silent(app)
    assert result is not None
    assert result["access_token"] != token
    assert entra.refreshes() == 1
    entra.set(refresh_in=1800)
    result = client.silent(app, force_refresh=True)
    assert result is not None
    assert "refresh_in" not in result
    assert result["refresh_on"] == pytest.approx(time.time() + 1800, abs=5)


@pytest.mark.parametrize("name", ["invalid_grant", "too_many_requests.json", "drop"])
def test_contract_these_faults_keep_the_token_in_a_proactive_refresh(
    client: Msal, entra: Entra, name: str
) -> None:
    app, token = aging(client, entra)
    entra.fail(name)
    result = client.silent(app)
    assert result is not None
    assert result["access_token"] == token


@pytest.mark.parametrize(
    ("name", "raised"),
    [
        ("unavailable", MsalServiceError),
        ("gateway_timeout", MsalServiceError),
        ("server_error", MsalServiceError),
        ("captive", json.JSONDecodeError),
    ],
)
def test_contract_5xx_and_html_in_a_proactive_refresh_lose_the_good_token(
    client: Msal, entra: Entra, name: str, raised: type[Exception]
) -> None:
    app, _token = aging(client, entra)
    entra.fail(name)
    with pytest.raises(raised):
        client.silent(app)


@pytest.mark.parametrize("name", ["unavailable", "gateway_timeout", "captive"])
def test_contract_http_exceptions_keeps_the_token_after_all(
    client: Msal, entra: Entra, name: str
) -> None:
    app, token = aging(client, entra)
    entra.fail(name)
    kept = (requests.RequestException, MsalServiceError, ValueError, OSError)
    result = client.silent(app, http_exceptions=kept)
    assert result is not None
    assert result["access_token"] == token


@pytest.mark.parametrize("name", ["captive", "captive.403", "too_many_requests"])
def test_contract_an_html_or_text_body_is_a_bare_jsondecodeerror(
    client: Msal, entra: Entra, signed_in: Any, name: str
) -> None:
    entra.fail(name)
    with pytest.raises(json.JSONDecodeError) as caught:
        client.silent(signed_in)
    # Neither the status nor the content type is told: we must keep them ourselves.
    assert not hasattr(caught.value, "status_code")


def test_contract_acquire_token_silent_hides_every_error(
    client: Msal, entra: Entra, signed_in: Any
) -> None:
    account = signed_in.get_accounts()[0]
    for name in ("invalid_grant", "too_many_requests.json", "invalid_client"):
        entra.heal()
        entra.fail(name)
        app = client.app()
        assert app.acquire_token_silent([DEFAULT_SCOPE], account) is None


def test_contract_a_dead_refresh_token_is_kept(
    client: Msal, entra: Entra, signed_in: Any
) -> None:
    [before] = client.refresh_tokens()
    entra.revoke()
    result = client.silent(signed_in)
    assert result is not None
    assert result["suberror"] == "bad_token"
    assert client.refresh_tokens() == [before]
    # ... and sent again by the next process.
    client.silent(client.app())
    sent = {record["refresh_token"] for record in entra.token_requests()}
    assert sent == {mark(before["secret"])}
    assert entra.refreshes() == 2


@pytest.mark.parametrize(
    ("name", "requests_sent"),
    [
        ("invalid_grant", 1),  # 400: remembered for a minute
        ("too_many_requests.json", 1),  # Retry-After
        ("unavailable", 1),  # 5xx: a minute
        ("invalid_client", 3),  # 401: not remembered
        ("captive", 3),
    ],
)
def test_contract_what_msal_remembers_of_faults_within_a_process(
    client: Msal, entra: Entra, signed_in: Any, name: str, requests_sent: int
) -> None:
    entra.fail(name)
    for _ in range(3):
        with contextlib.suppress(MsalServiceError, ValueError):
            client.silent(signed_in)
    assert entra.refreshes() == requests_sent


def test_contract_issuers_on_one_host_share_accounts_and_refresh_tokens(
    client: Msal, entra: Entra
) -> None:
    issuers = {t.id: f"https://{FOREIGN}/{t.id}/v2.0" for t in (CONTOSO, FABRIKAM)}
    # Each is an issuer of its own, as the paths of a Keycloak are.
    entra.set(id_claims={"tid": None, "oid": None})
    here = client.app(oidc_authority=issuers[CONTOSO.id])
    client.sign_in(here)
    [token] = client.refresh_tokens()
    there = client.app(oidc_authority=issuers[FABRIKAM.id])
    assert there.get_accounts() == here.get_accounts()
    entra.forget_log()
    client.silent(there, (f"{REGISTRY}/.default",))
    [sent] = entra.token_requests()
    assert sent["tenant"] == FABRIKAM.id
    assert sent["refresh_token"] == mark(token["secret"])


def test_contract_another_hosts_issuer_is_accepted_if_it_is_microsofts(
    client: Msal, entra: Entra
) -> None:
    # The document of id.example.com says login.microsoftonline.com: no error.
    app = client.app(oidc_authority=f"https://{FOREIGN}/{CONTOSO.id}/v2.0")
    assert app.authority._issuer == f"https://{PUBLIC}/{CONTOSO.id}/v2.0"


def test_contract_telemetry_goes_to_foreign_servers(client: Msal, entra: Entra) -> None:
    app = client.app(oidc_authority=f"https://{FOREIGN}/{CONTOSO.id}/v2.0")
    client.sign_in(app, login_hint=ALICE.name)
    client.silent(app, force_refresh=True)
    [page] = entra.log("authorize")
    code, refresh = entra.token_requests()
    assert {page["host"], code["host"], refresh["host"]} == {FOREIGN}
    for record in (code, refresh):
        assert record["headers"]["x-client-sku"] == "MSAL.Python"
        assert "x-client-ver" in record["headers"]
        assert "x-client-os" in record["headers"]
        assert "x-client-current-telemetry" in record["headers"]
    uid, utid = ALICE.home_account_id.split(".")
    assert refresh["headers"]["x-anchormailbox"] == f"Oid:{uid}@{utid}"


def test_contract_no_timeout_unless_given(client: Msal, entra: Entra) -> None:
    app = client.app(timeout=None)
    assert app.http_client.http_client.request.keywords == {"timeout": None}
    entra.set(expires_in=200)
    client.sign_in(app)
    entra.fail("hang")
    ended = threading.Event()

    def wait() -> None:
        with contextlib.suppress(requests.ConnectionError):
            client.silent(app)
        ended.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not ended.wait(0.7)
    entra.heal()  # drops whoever hangs
    assert ended.wait(10)
    waiting.join()


@pytest.mark.parametrize(
    ("proxy", "times", "raised"),
    [(True, 2, requests.exceptions.ProxyError), (False, 1, requests.ConnectionError)],
)
def test_contract_a_dropped_post_is_sent_twice_through_a_proxy(
    client: Msal, entra: Entra, proxy: bool, times: int, raised: type[Exception]
) -> None:
    # urllib3 takes the server's drop inside a tunnel for the proxy's, and MSAL's
    # max_retries=1 then repeats a POST: a code or a refresh token that works once
    # is used twice. And the error says "proxy", which it is not.
    here = f"https://localhost:{entra.port}/{CONTOSO.id}"
    options: Result = {} if proxy else {"proxies": None, "authority": here}
    app = client.app(instance_discovery=False, **options)
    entra.fail("lose")
    entra.forget_log()
    with pytest.raises(raised) as caught:
        app.client.obtain_token_by_refresh_token("any", rt_getter=str)
    assert type(caught.value) is raised
    assert len(entra.token_requests()) == times


def test_contract_a_5xx_of_discovery_is_a_service_error(
    client: Msal, entra: Entra
) -> None:
    entra.fail("unavailable", where="configuration")
    with pytest.raises(MsalServiceError):
        client.app()
    entra.heal()
    entra.fail("captive", where="configuration")
    with pytest.raises(ValueError, match="authority configuration"):
        client.app()  # a captive portal is reported as a wrong tenant


def test_contract_a_timeout_bounds_each_request(client: Msal, entra: Entra) -> None:
    app = client.app(timeout=0.3)
    entra.set(expires_in=200)
    client.sign_in(app)
    entra.fail("hang")
    with pytest.raises(requests.exceptions.RequestException):
        client.silent(app)
    entra.heal()


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_contract_the_environments_ca_beats_verify(
    client: Msal,
    entra: Entra,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    other = Authority(tmp_path / "other")
    monkeypatch.setenv(name, str(other.ca_file))
    with pytest.raises(requests.exceptions.SSLError):
        client.app()
    monkeypatch.setenv(name, client.ca_file)
    client.app(verify=str(other.ca_file))  # our own setting is not looked at


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "somebody-else"},
        {"iss": "https://evil.example/"},
        {"exp": 1},
        {"tid": FABRIKAM.id},
    ],
)
def test_contract_the_id_token_is_not_validated(
    client: Msal, entra: Entra, claims: Result
) -> None:
    entra.set(id_claims=claims)
    result = client.sign_in(client.app())
    assert claims.items() <= result["id_token_claims"].items()


def test_contract_only_the_nonce_is_compared(client: Msal, entra: Entra) -> None:
    entra.set(id_claims={"nonce": None})
    with pytest.raises(RuntimeError, match="nonce"):
        client.sign_in(client.app())


def test_contract_a_narrower_scope_is_a_refresh_at_every_call(
    client: Msal, entra: Entra
) -> None:
    app = client.app()
    entra.set(scope=f"{AZURE_DEVOPS}/user_impersonation")
    client.sign_in(app)
    for number in (1, 2, 3):
        client.silent(app)
        assert entra.refreshes() == number


@pytest.mark.parametrize("seconds", [299, 300])
def test_contract_tokens_of_five_minutes_are_never_used(
    client: Msal, entra: Entra, seconds: int
) -> None:
    app = client.app()
    entra.set(expires_in=seconds)
    client.sign_in(app)
    for number in (1, 2):
        client.silent(app)
        assert entra.refreshes() == number


def test_contract_a_refresh_without_an_identity_is_lost(
    client: Msal, entra: Entra, signed_in: Any
) -> None:
    # As servers that are not Entra may answer: neither ID token nor client_info.
    entra.set(id_token=False, answer={"client_info": None})
    for number in (1, 2, 3):
        client.silent(signed_in)
        assert entra.refreshes() == number


def test_contract_claims_go_past_the_cache_and_replace_the_token(
    client: Msal, entra: Entra
) -> None:
    app = client.app()
    first = client.sign_in(app)["access_token"]
    second = client.silent(app, claims_challenge=CLAIMS)
    assert second is not None
    assert entra.token_requests("refresh_token")[-1]["claims"] == CLAIMS
    third = client.silent(app)
    assert third is not None
    assert first != second["access_token"] == third["access_token"]


def test_contract_results_from_the_network_carry_secrets(
    client: Msal, entra: Entra, signed_in: Any
) -> None:
    result = client.silent(signed_in)
    assert result is not None
    assert {"refresh_token", "id_token"} <= result.keys()
    hit = client.silent(signed_in)
    assert hit is not None
    assert hit.keys() == {"access_token", "token_type", "expires_in", "token_source"}


def test_contract_the_refresh_token_of_one_resource_is_sent_for_another(
    client: Msal, entra: Entra, signed_in: Any
) -> None:
    [token] = client.refresh_tokens()
    client.silent(signed_in, (f"{REGISTRY}/.default",))
    [sent] = entra.token_requests()
    assert sent["refresh_token"] == mark(token["secret"])
    asked = set(sent["scope"].split())
    assert asked == {f"{REGISTRY}/.default", "openid", "profile", "offline_access"}


@pytest.mark.parametrize("scope", ["openid", "offline_access", "profile"])
def test_contract_reserved_scopes_are_a_value_error(
    client: Msal, entra: Entra, signed_in: Any, scope: str
) -> None:
    with pytest.raises(ValueError, match="reserved"):
        client.silent(signed_in, (scope,))
