from pathlib import Path

import pytest

from hushkey.config.schema import DEFAULTS, PROVIDERS
from hushkey.errors import Permanent
from hushkey.model import Identity
from hushkey.providers.registry import can_serve, open_provider

ISSUER = "https://id.example.com"


@pytest.mark.parametrize(
    "provider",
    ["entra", "oidc", "oauth2", "github", "gitlab", "gitea", "bitbucket"],
)
def test_open_provider_contacts_nobody(provider: str, tmp_path: Path) -> None:
    options = {
        "issuer": ISSUER,
        "token_endpoint": f"{ISSUER}/token",
        "authorization_endpoint": f"{ISSUER}/authorize",
    }
    identity = Identity("corp", provider, client_id="c", options=options)

    opened = open_provider(identity, DEFAULTS, str(tmp_path), {})

    assert opened.client_id == "c"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("provider", ["workload", "static", "another"])
def test_open_provider_that_this_version_lacks_is_permanent(
    provider: str, tmp_path: Path
) -> None:
    identity = Identity("work", provider)
    if can_serve(identity):
        pytest.fail("this version has it: move it to the test above")

    with pytest.raises(Permanent, match=f"has no provider {provider} yet"):
        open_provider(identity, DEFAULTS, str(tmp_path), {})


def test_can_serve_names_only_providers_that_config_may_name() -> None:
    names = [*PROVIDERS, "another"]

    assert {n for n in names if can_serve(Identity("x", n))} <= set(PROVIDERS)
