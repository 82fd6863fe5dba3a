"""Whether a server knows a client: asked without a person, at forges made of data."""

import os
from pathlib import Path
from typing import Any

import pytest

from hushkey.config import identities
from hushkey.errors import HushkeyError, Permanent, Transient
from hushkey.model import Identity
from hushkey.net.http import Network
from hushkey.providers.registry import SPECS
from kit.oauth import WELL_KNOWN, Reply, Scripted
from servers.forge import CLIENT, SECRET, Forge

BACK = "http://127.0.0.1:8400/"
SETTINGS = {"silent_timeout": 5, "ca_file": "", "proxy": ""}


def check(provider: str, folder: Path, **keys: Any) -> HushkeyError | None:
    """Return what the server says against the client of *keys*."""
    table = {"provider": provider, **keys}
    identity = Identity("me", **identities.compiled(table))
    network = Network(SETTINGS, os.environ)
    try:
        SPECS[provider].check_client(
            identity, network, str(folder), os.environ, keys.get("redirect_uri", BACK)
        )
    except (Permanent, Transient) as error:
        return error
    return None


KNOWN = {
    "github": {"client_id": CLIENT},
    "gitlab": {"client_id": CLIENT},
    "gitea": {},
    "bitbucket": {"client_id": CLIENT, "client_secret": SECRET},
    "bitbucket-dc": {"client_id": CLIENT, "client_secret": SECRET},
}
UNKNOWN = {
    "github": ({"client_id": "Iv1.other"}, "each GitHub server has its own apps"),
    "gitlab": ({"client_id": "other"}, "/-/user_settings/applications"),
    "gitea": ({"client_id": "other"}, "/user/settings/applications"),
    "bitbucket": ({"client_id": CLIENT, "client_secret": "x"}, "OAuth consumer"),
    "bitbucket-dc": ({"client_id": CLIENT, "client_secret": "x"}, "incoming link"),
}


@pytest.mark.parametrize("kind", KNOWN)
def test_client_that_the_forge_knows_passes_and_nothing_is_granted(
    kind: str, tmp_path: Path
) -> None:
    with Forge(kind) as forge:
        assert check(kind, tmp_path, base_url=forge.url, **KNOWN[kind]) is None
        assert forge.live == {}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_client_that_it_does_not_know_is_refused_with_what_helps(
    kind: str, tmp_path: Path
) -> None:
    keys, hint = UNKNOWN[kind]
    with Forge(kind) as forge:
        error = check(kind, tmp_path, base_url=forge.url, **keys)

    assert isinstance(error, Permanent)
    assert hint in error.line()
    assert SECRET not in error.line()


def test_github_app_without_the_device_flow_is_refused(tmp_path: Path) -> None:
    with Forge("github") as forge:
        forge.device_answers = ["device_flow_disabled"]
        error = check("github", tmp_path, base_url=forge.url, client_id=CLIENT)

    assert error
    assert "Enable Device Flow" in error.line()


def _issuer(server: Scripted, page: Reply, code: str = "invalid_grant") -> Path:
    url = server.url
    server.on(
        WELL_KNOWN,
        Reply(
            {
                "issuer": url,
                "authorization_endpoint": f"{url}/authorize",
                "token_endpoint": f"{url}/token",
                "jwks_uri": f"{url}/keys",
            }
        ),
    )
    server.on("/authorize", page)
    server.on("/token", Reply({"error": code}, status=400))
    return Path(url)


def _redirect(to: str) -> Reply:
    found = Reply(status=302)
    found.headers["Location"] = to
    return found


@pytest.mark.parametrize(
    ("page", "told"),
    [
        # Keycloak: HTTP 400 and a page, for a client or a redirect that is not there
        (Reply(b"<h1>Invalid parameter: redirect_uri</h1>", status=400), "HTTP 400"),
        (Reply(b"<h1>404</h1>", status=404), "HTTP 404"),
        (Reply({"error": "invalid_request"}, status=400), "invalid_request"),
        (_redirect(f"{BACK}?error=invalid_scope&state=s"), "rejects the scopes"),
        (_redirect(f"{BACK}?error=unauthorized_client"), "may not do this"),
    ],
)
def test_page_that_is_not_for_this_client_is_told(
    page: Reply, told: str, tmp_path: Path
) -> None:
    with Scripted() as server:
        _issuer(server, page)
        error = check("oidc", tmp_path, issuer=server.url, client_id="c")

    assert isinstance(error, Permanent)
    assert told in error.line()


@pytest.mark.parametrize(
    "page",
    [
        Reply(b"<form>"),
        Reply(b"<h1>no robots</h1>", status=403),
        Reply(b"", status=503),
        _redirect("/users/sign_in"),
        _redirect("https://elsewhere.test/?error=invalid_request"),
        _redirect(f"{BACK}?error=login_required"),
        _redirect(f"{BACK}?code=a-code&state=s"),
        _redirect(f"{BACK}?{'a=1&' * 100}"),
    ],
)
def test_page_that_tells_nothing_against_the_client_passes(
    page: Reply, tmp_path: Path
) -> None:
    with Scripted() as server:
        _issuer(server, page)
        assert check("oidc", tmp_path, issuer=server.url, client_id="c") is None
        asked = [call.path for call in server.calls]

    # Whatever was offered: no redirect was followed, and no code redeemed.
    assert [path.partition("?")[0] for path in asked].count("/authorize") == 1
    assert [path for path in asked if path == "/token"] == ["/token"]


def test_code_endpoint_names_a_client_before_its_page_is_asked(tmp_path: Path) -> None:
    with Scripted() as server:
        _issuer(server, Reply(b"<form>"), "invalid_client")
        error = check("oidc", tmp_path, issuer=server.url, client_id="c")
        asked = [call.path.partition("?")[0] for call in server.calls]

    assert error
    assert error.code == "invalid_client"
    assert "/authorize" not in asked


def test_server_that_is_away_says_nothing_of_the_client(tmp_path: Path) -> None:
    issuer = "http://127.0.0.1:9"
    assert isinstance(check("oidc", tmp_path, issuer=issuer, client_id="c"), Transient)
