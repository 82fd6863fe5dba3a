from pathlib import Path

import pytest

from hushkey.config.identities import compiled
from hushkey.config.schema import DEFAULTS
from hushkey.errors import Permanent
from hushkey.model import Identity
from hushkey.providers.registry import SPECS, open_provider
from hushkey.tokenrequest import PromptOptions, Session

ISSUER = "https://id.example.com"
NEEDED = {
    "issuer": ISSUER,
    "token_endpoint": f"{ISSUER}/token",
    "authorization_endpoint": f"{ISSUER}/authorize",
}
every_provider = pytest.mark.parametrize("name", SPECS)
every_server = pytest.mark.parametrize(
    "name", [name for name, s in SPECS.items() if not s.typed and not s.machine]
)


def identity(name: str, **keys: object) -> Identity:
    return Identity("corp", **compiled({"provider": name, **keys}))


def session(folder: Path) -> Session:
    return Session(DEFAULTS, str(folder), {}, PromptOptions(), print)


@every_server
def test_open_provider_contacts_nobody(name: str, tmp_path: Path) -> None:
    corp = identity(name, client_id="c", **NEEDED)

    opened = open_provider(corp, session(tmp_path))

    assert (opened.client_id, opened.issuer) == ("c", corp.issuer)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["workload", "static", "another"])
def test_open_provider_that_this_version_lacks_is_permanent(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(Permanent, match=f"has no provider {name} yet"):
        open_provider(Identity("work", name), session(tmp_path))


@every_provider
def test_identity_knows_what_its_provider_is_like(name: str) -> None:
    spec, known = SPECS[name], identity(name)

    for trait, value in spec.traits().items():
        assert getattr(known, trait) == getattr(spec, trait) == value


@every_provider
def test_endpoints_are_below_the_base_url_and_hold_a_token_endpoint(name: str) -> None:
    spec = SPECS[name]

    base = spec.base_url or ISSUER
    own = {} if spec.base_url else {"base_url": ISSUER}
    assert bool(spec.paths) == ("base_url" in spec.keys)
    for key, path in spec.paths.items():
        assert identity(name, **own).option(key) == base + path
        assert spec.keys[key](base + path) is None
    if spec.paths:
        assert {"token_endpoint", "authorization_endpoint"} <= spec.paths.keys()


def test_no_key_implies_two_providers() -> None:
    implied = [spec.implied_by for spec in SPECS.values() if spec.implied_by]

    assert len(implied) == len(set(implied))


# issuer and client id name the token files that people have
@pytest.mark.parametrize(
    ("table", "issuer", "client_id"),
    [
        (
            {"provider": "entra"},
            "https://login.microsoftonline.com",
            "04b07795-8ddb-461a-bbee-02f9e1bf7b46",
        ),
        (
            {"provider": "entra", "cloud": "usgov", "client_id": "c"},
            "https://login.microsoftonline.us",
            "c",
        ),
        ({"provider": "entra", "authority": ISSUER, "client_id": "c"}, ISSUER, "c"),
        ({"provider": "oidc", "issuer": ISSUER, "client_id": "c"}, ISSUER, "c"),
        (
            {"provider": "oauth2", "token_endpoint": f"{ISSUER}/t", "client_id": "c"},
            f"{ISSUER}/t",
            "c",
        ),
        (
            {"provider": "github", "client_id": "c"},
            "https://github.com/login/oauth/access_token",
            "c",
        ),
        (
            {"provider": "gitlab", "client_id": "c"},
            "https://gitlab.com/oauth/token",
            "c",
        ),
        (
            {"provider": "gitea", "client_id": "c"},
            "https://codeberg.org/login/oauth/access_token",
            "c",
        ),
        (
            {"provider": "bitbucket", "client_id": "c"},
            "https://bitbucket.org/site/oauth2/access_token",
            "c",
        ),
        (
            {"provider": "gitlab", "token_endpoint": f"{ISSUER}/t", "client_id": "c"},
            f"{ISSUER}/t",
            "c",
        ),
    ],
)
def test_what_names_a_token_file_never_changes(
    table: dict[str, str], issuer: str, client_id: str
) -> None:
    corp = Identity("corp", **compiled(table))

    assert (corp.issuer, corp.client_id) == (issuer, client_id)


def test_default_redirect_is_what_the_servers_have_registered() -> None:
    redirects = {name: spec.redirect_uri for name, spec in SPECS.items()}

    assert redirects.pop("entra") == "http://localhost"
    assert set(redirects.values()) == {"http://127.0.0.1/"}
