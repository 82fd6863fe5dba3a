"""The identity server keeps the rules that hushkey relies on."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from hushkey_install.demo.idserver import IdentityServer, Tally

if TYPE_CHECKING:
    from .conftest import Person

pytestmark = pytest.mark.contract


def test_discovery_names_every_endpoint(identity: IdentityServer) -> None:
    """The metadata is for the exact issuer and names what a client needs."""
    url = f"{identity.issuer}/.well-known/openid-configuration"
    metadata = requests.get(url, timeout=20).json()

    assert metadata["issuer"] == identity.issuer
    assert metadata["revocation_endpoint"].startswith(identity.issuer)
    assert "S256" in metadata["code_challenge_methods_supported"]
    assert "none" in metadata["token_endpoint_auth_methods_supported"]


def test_sign_in_gives_tokens(identity: IdentityServer, person: "Person") -> None:
    """One window and one token request end in access, refresh and ID token."""
    before = identity.tally()
    token = person.sign_in()

    assert {"access_token", "refresh_token", "id_token"} <= token.keys()
    assert token["expires_in"] == identity.access_seconds
    assert identity.tally() - before == Tally(windows=1, sign_ins=1)


def test_sign_in_without_pkce_is_refused(
    identity: IdentityServer, person: "Person"
) -> None:
    """A public client without a code challenge gets no code."""
    url = person.authorize_url("http://127.0.0.1:1/callback", "s", "v")
    bare = url.partition("&code_challenge=")[0]
    answer = requests.get(bare, timeout=20, allow_redirects=False)

    assert "code=" not in answer.headers.get("Location", "")
    assert answer.status_code == 302


def test_refresh_rotates(identity: IdentityServer, person: "Person") -> None:
    """Each refresh brings a new refresh token and ends the old access token."""
    token = person.sign_in()
    before = identity.tally()
    new = person.refresh(token["refresh_token"]).json()

    assert new["refresh_token"] != token["refresh_token"]
    assert not person.introspect(token["access_token"])["active"]
    assert person.introspect(new["access_token"])["active"]
    assert identity.tally() - before == Tally(refreshes=1)


def test_replay_ends_the_family(identity: IdentityServer, person: "Person") -> None:
    """A spent refresh token, used again, takes the good one with it."""
    token = person.sign_in()
    new = person.refresh(token["refresh_token"]).json()
    before = identity.tally()
    replayed = person.refresh(token["refresh_token"])
    after = person.refresh(new["refresh_token"])

    assert (replayed.status_code, replayed.json()["error"]) == (400, "invalid_grant")
    assert after.json()["error"] == "invalid_grant"
    assert identity.tally() - before == Tally(refused=2)


def test_revocation_is_seen_at_once(identity: IdentityServer, person: "Person") -> None:
    """Revoking a refresh token ends it and its access token."""
    token = person.sign_in()
    form = {"token": token["refresh_token"], "client_id": identity.client_id}
    url = f"{identity.issuer}/revoke_token/"

    assert requests.post(url, form, timeout=20).status_code == 200
    assert not person.introspect(token["access_token"])["active"]
    assert person.refresh(token["refresh_token"]).json()["error"] == "invalid_grant"


def test_many_sign_ins_at_once(identity: IdentityServer, person: "Person") -> None:
    """The database file stands several clients writing at the same time."""
    before = identity.tally()
    with ThreadPoolExecutor(6) as pool:
        tokens = list(pool.map(lambda _: person.sign_in(), range(6)))

    assert len({token["access_token"] for token in tokens}) == 6
    assert identity.tally() - before == Tally(windows=6, sign_ins=6)


def test_trace_holds_no_secret(identity: IdentityServer, person: "Person") -> None:
    """What the server writes down identifies nobody's token, code or password."""
    token = person.sign_in()
    person.refresh(token["refresh_token"])
    text = (identity.folder / "requests.jsonl").read_text()

    for secret in (token["access_token"], token["refresh_token"], identity.password):
        assert secret not in text
    assert "code=" not in text


def test_short_lives_are_honoured(tmp_path: Path) -> None:
    """The lifetime of access tokens is the one that was asked for."""
    from .conftest import Person

    with IdentityServer(tmp_path, access_seconds=1) as server:
        assert Person(server).sign_in()["expires_in"] == 1
