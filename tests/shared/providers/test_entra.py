"""The provider on MSAL with an authority that is not Microsoft's."""

import base64
import itertools
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from hushkey.errors import HushkeyError, Permanent, Transient
from hushkey.model import DeviceCode, Grant, Identity
from hushkey.providers.base import Pending
from hushkey.providers.entra import EntraProvider
from kit.oauth import ROTATED, OidcServer, Reply, claims, network, signed
from servers.authority import Authority

REDIRECT = "http://127.0.0.1:1234/"
DEVICE = {
    "device_code": "d3vice",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://id.test/device",
    "expires_in": 900,
}


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


class Desk:
    """One authority, and one provider for it."""

    def __init__(self, server: OidcServer, ca: Authority, folder: Path) -> None:
        self.server = server
        options = {"authority": server.issuer, "issuer": server.issuer}
        self.provider = EntraProvider(
            Identity("corp", "entra", client_id="c", options=options),
            network(ca_file=str(ca.ca_file)),
            str(folder),
        )

    def id_token(self, **changes: Any) -> str:
        return signed(claims(self.server.issuer, time.time(), **changes))

    def sign_in(self, **answer: Any) -> Grant:
        """One code flow; an ID token is made for its nonce."""
        flow = self.provider.begin_code(("git",), REDIRECT, "")
        nonce = parse_qs(urlsplit(flow.url).query)["nonce"][0]
        self.server.grants(**{"id_token": self.id_token(nonce=nonce), **answer})
        return self.provider.redeem_code(flow, {"code": "good", "state": flow.state})

    def with_nonce(self, **changes: Any) -> Grant:
        """Sign in with an ID token that has the right nonce and these *changes*."""
        flow = self.provider.begin_code(("git",), REDIRECT, "")
        nonce = parse_qs(urlsplit(flow.url).query)["nonce"][0]
        self.server.grants(id_token=self.id_token(**{"nonce": nonce, **changes}))
        return self.provider.redeem_code(flow, {"code": "good", "state": flow.state})

    def begin_device(self, **changes: Any) -> DeviceCode:
        body = {k: v for k, v in (DEVICE | changes).items() if v is not ...}
        self.server.on("/device", Reply(body))
        code = self.provider.begin_device(("git",))
        assert code is not None
        return code


@pytest.fixture
def desk(ca: Authority, tmp_path: Path) -> Iterator[Desk]:
    with OidcServer("/realm", ca.server_context()) as server:
        server.publishes(device_authorization_endpoint=f"{server.url}/device")
        yield Desk(server, ca, tmp_path)


def unsigned(content: dict[str, Any], alg: str = "none") -> str:
    parts = (json.dumps({"alg": alg}).encode(), json.dumps(content).encode(), b"")
    return ".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts
    )


# -- the ID token ----------------------------------------------------------------


def test_valid_id_token_says_who_signed_in(desk: Desk) -> None:
    granted = desk.sign_in()

    assert granted.account is not None
    assert (granted.account.id, granted.account.label) == ("user-1", "me@example.com")
    assert granted.claims["sub"] == "user-1"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"iss": "https://evil.test"}, id="another issuer"),
        pytest.param({"iss": None}, id="no issuer"),
        pytest.param({"aud": "another"}, id="another client"),
        pytest.param({"aud": ["another", "c"]}, id="two clients"),
        pytest.param({"aud": None}, id="no client"),
        pytest.param({"exp": 1_000_000_000}, id="expired"),
        pytest.param({"exp": None}, id="no end"),
        pytest.param({"nonce": "another"}, id="another nonce"),
        pytest.param({"nonce": None}, id="no nonce"),
        pytest.param({"sub": None}, id="no subject"),
        pytest.param({"sub": {"a": 1}}, id="odd subject"),
        pytest.param({"sub": ""}, id="empty subject"),
    ],
)
def test_id_token_that_is_not_for_us_is_refused(
    desk: Desk, changes: dict[str, Any]
) -> None:
    with pytest.raises(Permanent):
        desk.with_nonce(**changes)


@pytest.mark.parametrize("how", ["none", "HS256", "foreign key", "garbage", "absent"])
def test_id_token_without_the_authoritys_signature_is_refused(
    desk: Desk, how: str
) -> None:
    flow = desk.provider.begin_code(("git",), REDIRECT, "")
    nonce = parse_qs(urlsplit(flow.url).query)["nonce"][0]
    content = claims(desk.server.issuer, time.time(), nonce=nonce)
    token = {
        "none": unsigned(content),
        "HS256": unsigned(content, "HS256"),
        "foreign key": signed(content, ROTATED),
        "garbage": "a.b.c",
        "absent": None,
    }[how]
    desk.server.grants(id_token=token)

    with pytest.raises(Permanent):
        desk.provider.redeem_code(flow, {"code": "good", "state": flow.state})


def test_client_info_does_not_stand_for_the_id_token(desk: Desk) -> None:
    """MSAL makes an account of it, which nothing vouches for."""
    info = base64.urlsafe_b64encode(b'{"uid": "u", "utid": "t"}').decode()

    with pytest.raises(Permanent, match="no ID token"):
        desk.sign_in(client_info=info, id_token=None)


def test_refresh_checks_the_id_token_and_keeps_the_rotated_token(desk: Desk) -> None:
    kept = desk.sign_in().refresh_token
    desk.server.grants(refresh_token="rt3", id_token=desk.id_token(aud="another"))

    granted = desk.provider.refresh(kept, ("git",))

    assert type(granted.fault) is Permanent
    assert "rt3" in granted.refresh_token


def test_refresh_with_a_good_id_token_or_none_has_no_fault(desk: Desk) -> None:
    kept = desk.sign_in().refresh_token
    for token in (desk.id_token(nonce=None), None):
        desk.server.grants(id_token=token)

        granted = desk.provider.refresh(kept, ("git",))

        assert granted.fault is None
        assert granted.account is not None
        assert granted.account.id == "user-1"
        assert granted.access_token == "at"


# -- other fields of the answer ----------------------------------------------------


@pytest.mark.parametrize("kind", ["mac", "DPoP", 7, ["Bearer"]])
def test_token_that_is_no_bearer_token_is_refused(desk: Desk, kind: object) -> None:
    with pytest.raises(Permanent, match="only Bearer"):
        desk.sign_in(token_type=kind)
    code = desk.begin_device()
    with pytest.raises(Permanent, match="only Bearer"):
        desk.provider.poll_device(code)

    kept = desk.sign_in().refresh_token
    desk.server.grants(refresh_token="rt3", token_type=kind)
    granted = desk.provider.refresh(kept, ("git",))
    assert granted.fault is not None
    assert "rt3" in granted.refresh_token


@pytest.mark.parametrize("kind", ["bearer", None])
def test_bearer_token_is_taken(desk: Desk, kind: str | None) -> None:
    assert desk.sign_in(token_type=kind).access_token == "at"


ODD: list[Any] = [
    7,
    -1,
    0.5,
    True,
    [],
    {},
    ["a"],
    {"a": 1},
    "",
    "x",
    "\x1b[2J",
    "9" * 400,
]


@pytest.mark.parametrize(
    "name",
    [
        "access_token",
        "refresh_token",
        "id_token",
        "token_type",
        "expires_in",
        "ext_expires_in",
        "refresh_in",
        "expires_on",
        "scope",
        "client_info",
        "foci",
        "error_description",
        "suberror",
    ],
)
def test_odd_field_of_a_token_answer_is_no_traceback(desk: Desk, name: str) -> None:
    code = desk.begin_device()
    kept = desk.sign_in().refresh_token
    good = desk.id_token(nonce=None)
    asks = (
        partial(desk.provider.poll_device, code),
        partial(desk.provider.refresh, kept, ("git",)),
    )
    for odd, ask in itertools.product(ODD, asks):
        desk.server.grants(**{"id_token": good, name: odd})
        try:
            granted = ask()
        except HushkeyError as error:
            assert not isinstance(error, Transient)
        else:
            assert granted.access_token in ("at", odd)
        desk.server.refuses("invalid_grant", **{name: odd})
        with pytest.raises(HushkeyError):
            ask()


@pytest.mark.parametrize(
    ("status", "more"), [(400, {}), (200, {"error": "invalid_grant"}), (302, {})]
)
def test_token_in_an_answer_that_is_no_success_is_not_taken(
    desk: Desk, status: int, more: dict[str, str]
) -> None:
    kept = desk.sign_in().refresh_token
    body = {"access_token": "at", "token_type": "Bearer", "refresh_token": "r", **more}
    desk.server.on("/token", Reply(body, status))

    with pytest.raises(HushkeyError):
        desk.provider.refresh(kept, ("git",))


# -- device code -------------------------------------------------------------------


@pytest.mark.parametrize("odd", [None, ..., "soon", [], {}, -1, 0, True, 1e300, "7.5"])
def test_odd_times_of_a_device_code_are_no_traceback(desk: Desk, odd: object) -> None:
    code = desk.begin_device(interval=odd, expires_in=odd)

    assert 1 <= code.interval <= 60
    assert 0 < code.expires_in <= 600
    desk.server.refuses("authorization_pending")
    with pytest.raises(Pending):
        desk.provider.poll_device(code)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("verification_uri", "http://id.test/device"),
        ("verification_uri", "https://id.test/\x1b[2J"),
        ("verification_uri", "https://microsoft.com@evil.test/"),
        ("verification_uri", ...),
        ("verification_uri", 7),
        ("user_code", "AB\x1b[2JCD"),
        ("user_code", "AB\u202eCD"),
        ("user_code", ...),
        ("user_code", None),
        ("device_code", 7),
    ],
)
def test_device_code_that_cannot_be_shown_is_refused(
    desk: Desk, name: str, value: object
) -> None:
    with pytest.raises(Permanent):
        desk.begin_device(**{name: value})


def test_device_code_with_a_status_of_failure_is_refused(desk: Desk) -> None:
    desk.server.on("/device", Reply(DEVICE, 400))

    with pytest.raises(Permanent):
        desk.provider.begin_device(("git",))


def test_device_code_signs_in(desk: Desk) -> None:
    code = desk.begin_device(interval=1)
    desk.server.grants(id_token=desk.id_token(nonce=None))

    granted = desk.provider.poll_device(code)

    assert granted.account is not None
    assert granted.account.id == "user-1"


def test_token_endpoint_is_asked_before_a_person_is(desk: Desk) -> None:
    """Unless discovery has just been answered there."""
    desk.provider.begin_code(("git",), REDIRECT, "")
    assert desk.server.heads == []
    desk.provider._network.answered.clear()  # as in another process

    desk.provider.begin_code(("git",), REDIRECT, "")

    assert desk.server.heads == ["/token"]
