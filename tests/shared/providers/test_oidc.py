import base64
import time
from collections.abc import Iterator, Mapping
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlsplit

import pytest

from hushkey.errors import (
    Cancelled,
    HushkeyError,
    Permanent,
    Transient,
    UiRequired,
)
from hushkey.model import CodeFlow, Grant, Identity
from hushkey.providers.base import Pending
from hushkey.providers.oidc import OAuthProvider
from hushkey.providers.registry import SPECS
from kit.oauth import OidcServer, Reply, claims, network, signed

REDIRECT = "http://127.0.0.1:1234/"


@pytest.fixture
def server() -> Iterator[OidcServer]:
    with OidcServer(scopes_supported=["openid", "offline_access"]) as running:
        yield running


class Desk:
    """Makes providers for one server and folder."""

    def __init__(self, server: OidcServer, folder: Path) -> None:
        self.server = server
        self.folder = folder

    def oidc(self, environ: Mapping[str, str] | None = None, **more: str) -> Any:
        options = {"issuer": self.server.issuer, **more}
        return self._provider("oidc", options, environ)

    def oauth2(self, **more: str) -> OAuthProvider:
        url = self.server.url
        options = {
            "authorization_endpoint": f"{url}/authorize",
            "token_endpoint": f"{url}/token",
            "device_authorization_endpoint": f"{url}/device",
            **more,
        }
        return self._provider("oauth2", options, {})

    def _provider(
        self, kind: str, options: dict[str, Any], environ: Any
    ) -> OAuthProvider:
        identity = Identity("corp", kind, client_id="c", options=options)
        folder, spec = str(self.folder), SPECS[kind]
        return OAuthProvider(identity, network(), folder, environ or {}, spec)

    def id_token(self, **changes: Any) -> str:
        return signed(claims(self.server.issuer, time.time(), **changes))

    def sign_in(self, answer: Mapping[str, str] | None = None, **token: Any) -> Grant:
        """One code flow from end to end."""
        provider = self.oidc()
        flow = provider.begin_code(("git",), REDIRECT, "")
        nonce = flow.data["nonce"]
        self.server.grants(**{"id_token": self.id_token(nonce=nonce), **token})
        found: Grant = provider.redeem_code(flow, answer or {"code": "good"})
        return found


@pytest.fixture
def desk(server: OidcServer, tmp_path: Path) -> Desk:
    return Desk(server, tmp_path)


def sent(flow: CodeFlow) -> dict[str, str]:
    return {k: v[0] for k, v in parse_qs(urlsplit(flow.url).query).items()}


# -- asking for a code -----------------------------------------------------------


def test_code_request_carries_pkce_state_and_nonce(desk: Desk) -> None:
    flow = desk.oidc().begin_code(("git",), REDIRECT, "me@example.com")

    asked = sent(flow)
    digest = sha256(flow.data["verifier"].encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert flow.url.startswith(f"{desk.server.url}/authorize?")
    assert asked["response_type"] == "code"
    assert asked["client_id"] == "c"
    assert asked["redirect_uri"] == flow.redirect_uri == REDIRECT
    assert asked["code_challenge_method"] == "S256"
    assert asked["code_challenge"] == challenge
    assert asked["state"] == flow.state
    assert asked["nonce"] == flow.data["nonce"]
    assert asked["login_hint"] == "me@example.com"
    assert "code_verifier" not in asked


def test_every_code_request_has_its_own_secrets(desk: Desk) -> None:
    one, two = (desk.oidc().begin_code((), REDIRECT, "") for _ in range(2))

    assert one.state != two.state
    assert one.data["nonce"] != two.data["nonce"]
    assert one.data["verifier"] != two.data["verifier"]
    assert min(map(len, (one.state, one.data["nonce"]))) >= 32
    assert len(one.data["verifier"]) >= 43  # RFC 7636 4.1


def test_offline_access_is_asked_for_with_consent(desk: Desk) -> None:
    asked = sent(desk.oidc().begin_code(("git",), REDIRECT, ""))

    assert asked["scope"].split() == ["openid", "git", "offline_access"]
    assert asked["prompt"] == "consent"


def test_consent_is_not_asked_for_without_offline_access(tmp_path: Path) -> None:
    with OidcServer() as server:
        flow = Desk(server, tmp_path).oidc().begin_code(("git",), REDIRECT, "")

    asked = sent(flow)
    assert asked["scope"].split() == ["openid", "git"]
    assert "prompt" not in asked
    assert "login_hint" not in asked


def test_plain_oauth_asks_for_its_scopes_alone(desk: Desk) -> None:
    asked = sent(desk.oauth2().begin_code(("repo",), REDIRECT, ""))

    assert asked["scope"] == "repo"
    assert "nonce" not in asked
    assert asked["code_challenge_method"] == "S256"
    assert desk.server.calls == []  # nothing is discovered


# -- redeeming a code ------------------------------------------------------------


def test_code_is_redeemed_with_its_verifier(desk: Desk) -> None:
    provider = desk.oidc()
    flow = provider.begin_code(("git",), REDIRECT, "")
    desk.server.grants(id_token=desk.id_token(nonce=flow.data["nonce"]), scope="git")

    granted = provider.redeem_code(flow, {"code": "c0de", "state": flow.state})

    (form,) = desk.server.forms
    assert form == {
        "grant_type": "authorization_code",
        "code": "c0de",
        "code_verifier": flow.data["verifier"],
        "redirect_uri": REDIRECT,
        "client_id": "c",
    }
    assert granted.access_token == "at"
    assert granted.refresh_token == "rt2"
    assert granted.scopes == ("git",)
    assert granted.account is not None
    assert (granted.account.id, granted.account.label) == ("user-1", "me@example.com")


def test_no_scope_in_the_answer_means_as_asked(desk: Desk) -> None:
    assert set(desk.sign_in().scopes) == {"openid", "git", "offline_access"}


@pytest.mark.parametrize("token", [None, 5, "garbage"])
def test_sign_in_without_a_valid_id_token_is_permanent(desk: Desk, token: Any) -> None:
    with pytest.raises(Permanent):
        desk.sign_in(id_token=token)


def test_sign_in_with_another_nonce_is_permanent(desk: Desk) -> None:
    with pytest.raises(Permanent, match="not valid"):
        desk.sign_in(id_token=desk.id_token(nonce="replayed"))


@pytest.mark.parametrize(
    "iss", ["https://evil.test", "", "SERVER/"], ids=["other", "empty", "slash"]
)
def test_redirect_of_another_issuer_is_refused(desk: Desk, iss: str) -> None:
    answer = {"code": "x", "iss": iss.replace("SERVER", desk.server.issuer)}

    with pytest.raises(Permanent, match="configured issuer"):
        desk.sign_in(answer)
    assert desk.server.forms == []


def test_redirect_of_our_issuer_is_taken(desk: Desk) -> None:
    granted = desk.sign_in({"code": "x", "iss": desk.server.issuer})

    assert granted.access_token == "at"


def test_promised_issuer_must_be_there(tmp_path: Path) -> None:
    with OidcServer(authorization_response_iss_parameter_supported=True) as server:
        with pytest.raises(Permanent, match="configured issuer"):
            Desk(server, tmp_path).sign_in({"code": "x"})
        granted = Desk(server, tmp_path).sign_in({"code": "x", "iss": server.issuer})
    assert granted.access_token == "at"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"error": "access_denied"}, Cancelled),
        ({"error": "access_denied", "code": "x"}, Cancelled),
        ({"error": "login_required"}, Permanent),
        ({"error": "temporarily_unavailable"}, Transient),
        ({"error": "invalid_scope"}, Permanent),
        ({"error": ""}, Permanent),
        ({"error": "odd"}, Permanent),
        ({}, Permanent),
        ({"code": ""}, Permanent),
    ],
    ids=str,
)
def test_redirect_without_code_asks_no_server(
    desk: Desk, answer: dict[str, str], kind: type[HushkeyError]
) -> None:
    flow = desk.oidc().begin_code(("git",), REDIRECT, "")

    with pytest.raises(HushkeyError) as caught:
        desk.oidc().redeem_code(flow, answer)
    assert type(caught.value) is kind
    assert desk.server.forms == []


@pytest.mark.parametrize("kind", ["oauth2", "oidc"])
def test_token_endpoint_is_asked_before_a_person_is(desk: Desk, kind: str) -> None:
    """Unless discovery has just been answered there."""
    first, second = (desk.oidc() if kind == "oidc" else desk.oauth2() for _ in range(2))

    first.begin_code(("git",), REDIRECT, "")
    assert desk.server.heads == ([] if kind == "oidc" else ["/token"])
    desk.server.heads.clear()
    second.begin_code(("git",), REDIRECT, "")

    assert desk.server.heads == ["/token"]
    assert desk.server.forms == []


def test_server_that_is_down_with_its_metadata_cached_asks_nobody(
    tmp_path: Path,
) -> None:
    with OidcServer() as server:
        Desk(server, tmp_path).oidc().begin_code(("git",), REDIRECT, "")

    with pytest.raises(Transient, match="cannot be reached"):
        Desk(server, tmp_path).oidc().begin_code(("git",), REDIRECT, "")


@pytest.mark.parametrize("code", ["invalid_grant", "login_required"])
def test_refused_code_leads_to_no_second_sign_in(desk: Desk, code: str) -> None:
    flow = desk.oidc().begin_code(("git",), REDIRECT, "")
    desk.server.refuses(code)

    with pytest.raises(Permanent) as caught:
        desk.oidc().redeem_code(flow, {"code": "x"})
    assert caught.value.code == code


def test_plain_oauth_names_nobody(desk: Desk) -> None:
    provider = desk.oauth2()
    flow = provider.begin_code(("repo",), REDIRECT, "")
    desk.server.grants(id_token="ignored", expires_in=None, refresh_token=None)

    granted = provider.redeem_code(flow, {"code": "x"})

    assert granted.account is None
    assert granted.expires_in is None
    assert granted.refresh_token == ""


# -- refresh ---------------------------------------------------------------------


def test_refresh_sends_token_and_scopes(desk: Desk) -> None:
    desk.server.grants()

    granted = desk.oidc().refresh("rt1", ("git", "openid"))

    (form,) = desk.server.forms
    assert form == {
        "grant_type": "refresh_token",
        "refresh_token": "rt1",
        "scope": "git openid",
        "client_id": "c",
    }
    assert granted.refresh_token == "rt2"
    assert granted.expires_in == 3600


def test_refresh_without_rotation_keeps_the_token(desk: Desk) -> None:
    desk.server.grants(refresh_token=None)

    assert desk.oidc().refresh("rt1", ("git",)).refresh_token == "rt1"


def test_refresh_without_id_token_names_nobody(desk: Desk) -> None:
    desk.server.grants()

    assert desk.oidc().refresh("rt1", ("git",)).account is None


@pytest.mark.parametrize("token", ["garbage", "OTHER"])
def test_wrong_id_token_of_a_refresh_is_a_fault_and_loses_nothing(
    desk: Desk, token: str
) -> None:
    """The server may have rotated: what it sent has to reach the store."""
    other = desk.id_token(nonce=None, aud="other")
    desk.server.grants(id_token=token.replace("OTHER", other))

    granted = desk.oidc().refresh("rt1", ("git",))

    assert granted.refresh_token == "rt2"
    assert granted.account is None
    assert type(granted.fault) is Permanent
    assert "not valid" in granted.fault.line()


def test_keys_that_cannot_be_had_are_no_fault_of_a_refresh(desk: Desk) -> None:
    desk.server.grants(id_token=desk.id_token(nonce=None))
    desk.server.on("/jwks", Reply(status=503))

    granted = desk.oidc().refresh("rt1", ("git",))

    assert (granted.account, granted.fault) == (None, None)


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_refusal_that_quotes_the_client_secret_is_shown_without_it(
    tmp_path: Path, method: str
) -> None:
    secret = "s3cret/+ =%41ü"
    quoted = f"client c with {secret} or {quote_plus(secret)}: no"
    answer = Reply({"error": "invalid_client", "error_description": quoted}, 401)
    with OidcServer(
        token_endpoint_auth_methods_supported=[method],
    ) as server:
        server.metadata["device_authorization_endpoint"] = f"{server.url}/device"
        server.on("/.well-known/openid-configuration", Reply(server.metadata))
        for path in ("/token", "/device"):
            server.on(path, answer)
        provider = Desk(server, tmp_path).oidc(client_secret=secret)
        for ask in (provider.begin_device, partial(provider.refresh, "rt1")):
            with pytest.raises(Permanent) as caught:
                ask(("git",))
            assert "client c with ***" in caught.value.line()
            assert "s3cret" not in caught.value.line()


def test_refusal_that_quotes_the_token_is_shown_without_it(desk: Desk) -> None:
    desk.server.refuses("invalid_grant", error_description="rt1-s3cret is malformed")

    with pytest.raises(UiRequired) as caught:
        desk.oidc().refresh("rt1-s3cret", ("git",))
    assert "*** is malformed" in caught.value.line()


def test_id_token_of_a_refresh_names_the_account(desk: Desk) -> None:
    desk.server.grants(id_token=desk.id_token(nonce=None, sub="user-2"))

    account = desk.oidc().refresh("rt1", ("git",)).account

    assert account is not None
    assert account.id == "user-2"


@pytest.mark.parametrize(
    ("scope", "granted"),
    [
        pytest.param(None, ("git", "extra"), id="none: as asked"),
        pytest.param("", ("git", "extra"), id="empty: as asked"),
        pytest.param("git", ("git",), id="narrower"),
        pytest.param("git,extra", ("git", "extra"), id="commas, as GitHub"),
        pytest.param("git, extra", ("git", "extra"), id="commas and spaces"),
        pytest.param(["git", "extra"], ("git", "extra"), id="a list"),
    ],
)
def test_granted_scopes(desk: Desk, scope: Any, granted: tuple[str, ...]) -> None:
    desk.server.grants(scope=scope)

    assert desk.oidc().refresh("rt1", ("git", "extra")).scopes == granted


@pytest.mark.parametrize("scope", [7, {"git": True}, True])
def test_scope_that_is_no_text_covers_nothing(desk: Desk, scope: Any) -> None:
    """And is no crash: the rotated refresh token has to be kept."""
    desk.server.grants(scope=scope)

    granted = desk.oidc().refresh("rt1", ("git",))

    assert granted.refresh_token == "rt2"
    assert "git" not in granted.scopes


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("invalid_grant", UiRequired),
        ("interaction_required", UiRequired),
        ("temporarily_unavailable", Transient),
        ("invalid_client", Permanent),
    ],
)
def test_refused_refresh(desk: Desk, code: str, kind: type[HushkeyError]) -> None:
    desk.server.refuses(code)

    with pytest.raises(HushkeyError) as caught:
        desk.oidc().refresh("rt1", ("git",))
    assert type(caught.value) is kind
    assert len(desk.server.forms) == 1


@pytest.mark.parametrize(
    ("status", "code"), [(400, "unauthorized_client"), (200, "bad_refresh_token")]
)
def test_refresh_and_code_are_refused_differently(
    desk: Desk, status: int, code: str
) -> None:
    """The grant that was sent decides what one and the same answer means."""
    flow = desk.oidc().begin_code(("git",), REDIRECT, "")
    desk.server.refuses(code, status)

    with pytest.raises(UiRequired) as caught:
        desk.oidc().refresh("rt1", ("git",))
    assert caught.value.ended
    with pytest.raises(Permanent):
        desk.oidc().redeem_code(flow, {"code": "x"})


def test_metadata_without_token_endpoint_is_permanent(tmp_path: Path) -> None:
    with (
        OidcServer(token_endpoint=None) as server,
        pytest.raises(Permanent, match="token_endpoint"),
    ):
        Desk(server, tmp_path).oidc().refresh("rt1", ())


# -- client secrets --------------------------------------------------------------


def test_secret_goes_into_the_body(desk: Desk) -> None:
    desk.server.grants()

    desk.oidc(client_secret="public").refresh("rt1", ())

    (call,) = desk.server.calls_to("/token")
    assert call.form["client_secret"] == "public"
    assert "Authorization" not in call.headers


def test_secret_goes_into_the_header_where_only_that_is_offered(tmp_path: Path) -> None:
    methods = ["client_secret_basic"]
    with OidcServer(token_endpoint_auth_methods_supported=methods) as server:
        server.grants()
        Desk(server, tmp_path).oidc(client_secret="public").refresh("rt1", ())

        (call,) = server.calls_to("/token")
    expected = base64.b64encode(b"c:public").decode()
    assert call.headers["Authorization"] == f"Basic {expected}"
    assert "client_secret" not in call.form


def test_secret_is_taken_from_the_environment(desk: Desk) -> None:
    desk.server.grants()
    environ = {"CORP_SECRET": "from-environment"}

    desk.oidc(environ, client_secret_env="CORP_SECRET").refresh("rt1", ())

    assert desk.server.forms[0]["client_secret"] == "from-environment"


def test_secret_that_is_not_in_the_environment_is_permanent(desk: Desk) -> None:
    with pytest.raises(Permanent, match="CORP_SECRET"):
        desk.oidc(client_secret_env="CORP_SECRET").refresh("rt1", ())
    assert desk.server.forms == []


# -- device code -----------------------------------------------------------------

DEVICE = {
    "device_code": "d3vice",
    "user_code": "ABCD",
    "verification_uri": "https://id.test/device",
    "expires_in": 900,
}


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Desk]:
    with OidcServer() as server:
        server.metadata["device_authorization_endpoint"] = f"{server.url}/device"
        server.on("/.well-known/openid-configuration", Reply(server.metadata))
        server.on("/device", Reply(DEVICE))
        yield Desk(server, tmp_path)


def test_device_code_is_asked_for(device: Desk) -> None:
    code = device.oidc().begin_device(("git",))

    (call,) = device.server.calls_to("/device")
    assert call.form == {"scope": "openid git", "client_id": "c"}
    assert code.user_code == "ABCD"
    assert code.verification_uri == "https://id.test/device"
    assert code.expires_in == 900
    assert code.interval == 5  # RFC 8628 3.2: what an absent one means


def test_device_code_is_polled_and_granted(device: Desk) -> None:
    provider = device.oidc()
    code = provider.begin_device(("git",))
    device.server.grants(id_token=device.id_token(nonce=None))

    granted = provider.poll_device(code)

    (form,) = device.server.forms
    assert form == {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": "d3vice",
        "client_id": "c",
    }
    assert granted.account is not None
    assert granted.account.id == "user-1"


def test_device_code_without_an_id_token_is_permanent(device: Desk) -> None:
    provider = device.oidc()
    code = provider.begin_device(("git",))
    device.server.grants()

    with pytest.raises(Permanent, match="who signed in"):
        provider.poll_device(code)


@pytest.mark.parametrize(
    ("code", "slow"), [("authorization_pending", False), ("slow_down", True)]
)
def test_pending_device_code(device: Desk, code: str, slow: bool) -> None:
    provider = device.oidc()
    started = provider.begin_device(("git",))
    device.server.refuses(code)

    with pytest.raises(Pending) as caught:
        provider.poll_device(started)
    assert caught.value.slow_down is slow


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("access_denied", Cancelled),
        ("authorization_declined", Cancelled),
        ("expired_token", Cancelled),
        ("invalid_grant", Permanent),
        ("server_error", Transient),
    ],
)
def test_device_code_that_ends(
    device: Desk, code: str, kind: type[HushkeyError]
) -> None:
    provider = device.oidc()
    started = provider.begin_device(("git",))
    device.server.refuses(code)

    with pytest.raises(HushkeyError) as caught:
        provider.poll_device(started)
    assert type(caught.value) is kind


def test_server_without_device_flow_offers_none(desk: Desk) -> None:
    assert desk.oidc().begin_device(("git",)) is None


@pytest.mark.parametrize("name", ["verification_uri", "verification_uri_complete"])
@pytest.mark.parametrize(
    "uri", ["http://id.test/device", "javascript:alert(1)", "file:///etc/passwd"]
)
def test_verification_address_that_is_not_https_is_refused(
    device: Desk, name: str, uri: str
) -> None:
    device.server.on("/device", Reply(DEVICE | {name: uri}))

    with pytest.raises(Permanent, match="not https"):
        device.oidc().begin_device(("git",))


def test_google_spells_the_address_differently(device: Desk) -> None:
    answer = {k: v for k, v in DEVICE.items() if k != "verification_uri"}
    device.server.on("/device", Reply(answer | {"verification_url": "https://g.test"}))

    code = device.oidc().begin_device(("git",))

    assert code.verification_uri == "https://g.test"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Reply({"error": "invalid_client"}, 401), Permanent),
        (Reply({"error": "invalid_grant"}, 400), Permanent),
        (Reply({"device_code": "d"}), Permanent),
        (Reply(DEVICE, 400), Permanent),
        (Reply(b"<html>"), Transient),
        (Reply(status=503), Transient),
    ],
)
def test_refused_device_request(
    device: Desk, answer: Reply, kind: type[HushkeyError]
) -> None:
    device.server.on("/device", answer)

    with pytest.raises(HushkeyError) as caught:
        device.oidc().begin_device(("git",))
    assert type(caught.value) is kind


@pytest.mark.parametrize("odd", [0, -1, "soon", None, True, [], float("inf")])
def test_odd_times_of_a_device_code_are_replaced(device: Desk, odd: object) -> None:
    device.server.on("/device", Reply(DEVICE | {"interval": odd, "expires_in": odd}))

    code = device.oidc().begin_device(("git",))

    assert (code.interval, code.expires_in) == (5, 600)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user_code", "AB\x1b[2JCD"),
        ("user_code", 7),
        ("device_code", ["d"]),
        ("verification_uri", "https://id.test@evil.test/"),
        ("verification_uri_complete", "https://id.test/\u202e"),
    ],
)
def test_device_code_that_cannot_be_shown_is_refused(
    device: Desk, name: str, value: object
) -> None:
    device.server.on("/device", Reply(DEVICE | {name: value}))

    with pytest.raises(Permanent):
        device.oidc().begin_device(("git",))


# -- the type of a token -----------------------------------------------------------


@pytest.mark.parametrize("kind", ["mac", "DPoP", "N_A", 7, ["Bearer"]])
def test_token_that_is_no_bearer_token_is_refused_by_every_grant(
    device: Desk, kind: object
) -> None:
    with pytest.raises(Permanent, match="only Bearer"):
        device.sign_in(token_type=kind)

    provider = device.oidc()
    code = provider.begin_device(("git",))
    device.server.grants(id_token=device.id_token(nonce=None), token_type=kind)
    with pytest.raises(Permanent, match="only Bearer"):
        provider.poll_device(code)

    plain = device.oauth2()
    flow = plain.begin_code(("git",), REDIRECT, "")
    with pytest.raises(Permanent, match="only Bearer"):
        plain.redeem_code(flow, {"code": "good"})


@pytest.mark.parametrize("kind", ["mac", "DPoP", 7])
def test_refreshed_token_that_is_no_bearer_token_is_a_fault(
    desk: Desk, kind: object
) -> None:
    """The refresh token was rotated and has to be kept."""
    desk.server.grants(token_type=kind)
    for provider in (desk.oidc(), desk.oauth2()):
        granted = provider.refresh("rt1", ("git",))

        assert type(granted.fault) is Permanent
        assert granted.refresh_token == "rt2"


@pytest.mark.parametrize("kind", ["bearer", "BEARER", None])
def test_bearer_token_is_taken_in_any_case_and_unnamed(desk: Desk, kind: Any) -> None:
    assert desk.sign_in(token_type=kind).access_token == "at"


@pytest.mark.parametrize("odd", [7, True, ["rt"], {"a": 1}, "r\x1bt"])
def test_refresh_token_that_is_no_text_is_not_kept(desk: Desk, odd: object) -> None:
    desk.server.grants(refresh_token=odd)

    assert desk.oidc().refresh("rt1", ("git",)).refresh_token == "rt1"
    assert desk.sign_in(refresh_token=odd).refresh_token == ""


# -- revocation ------------------------------------------------------------------


@pytest.mark.parametrize(("status", "told"), [(200, True), (400, False), (503, False)])
def test_refresh_token_is_revoked(tmp_path: Path, status: int, told: bool) -> None:
    with OidcServer() as server:
        server.metadata["revocation_endpoint"] = f"{server.url}/revoke"
        server.on("/.well-known/openid-configuration", Reply(server.metadata))
        server.on("/revoke", Reply(status=status))

        assert Desk(server, tmp_path).oidc().revoke("rt1") is told

        (call,) = server.calls_to("/revoke")
    assert call.form["token"] == "rt1"
    assert call.form["token_type_hint"] == "refresh_token"
    assert call.form["client_id"] == "c"


def test_server_without_revocation_is_not_told(desk: Desk) -> None:
    assert desk.oidc().revoke("rt1") is False
