from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushkey.config import schema
from hushkey.providers.registry import SPECS
from kit.core import ANY

CHECKS: dict[str, Callable[[Any], str | None]] = {
    **{f"settings {key}": check for key, check in schema.SETTINGS.items()},
    **{
        f"{provider} {key}": check
        for provider in SPECS
        for key, check in schema.identity_keys(provider).items()
    },
    **{f"host {key}": check for key, check in schema.HOST.items()},
    "pattern": lambda value: schema.pattern(str(value)),
}
VALUES = st.recursive(
    st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
    | ANY
    | ANY.map("https://".__add__)
    | ANY.map("http://localhost".__add__),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY, inner, max_size=3),
    max_leaves=5,
)


@given(VALUES)
def test_every_check_answers_for_any_value(value: Any) -> None:
    for name, check in CHECKS.items():
        expected = check(value)
        assert expected is None or (expected and expected.isprintable()), name


@pytest.mark.parametrize("key", schema.SETTINGS)
def test_default_of_a_setting_passes_its_own_check_or_is_empty(key: str) -> None:
    value = schema.DEFAULTS[key]

    assert value == "" or schema.SETTINGS[key](value) is None


def test_every_setting_has_a_default() -> None:
    assert schema.DEFAULTS.keys() == schema.SETTINGS.keys()


@pytest.mark.parametrize("provider", SPECS)
def test_required_key_is_one_that_the_provider_may_have(provider: str) -> None:
    keys = schema.identity_keys(provider)

    spec = SPECS[provider]
    assert {*spec.required, *spec.any_of, *spec.paths} <= keys.keys()


@pytest.mark.parametrize("provider", [None, "another", 3, [], {}])
def test_identity_keys_of_an_unknown_provider_are_the_common_ones(
    provider: object,
) -> None:
    assert "client_id" in schema.identity_keys(provider)
    assert "issuer" not in schema.identity_keys(provider)


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("http://localhost", True),
        ("http://127.0.0.1/", True),
        ("http://127.0.0.1:8400/done", True),
        ("http://[::1]:0/", False),
        ("http://[::1]/", True),
        ("https://localhost/", False),
        ("http://localhost/?x", False),
        ("http://localhost.evil.example/", False),
        ("http://evil.example/localhost", False),
        ("http://localhost@evil.example/", False),
        ("urn:ietf:wg:oauth:2.0:oob", False),
    ],
)
def test_loopback_url(url: str, good: bool) -> None:
    assert (schema.loopback_url(url) is None) is good


@pytest.mark.parametrize(
    ("value", "good"),
    [
        ("keyring", True),
        ("file", True),
        ("keyring:keyring.backends.kwallet.DBusKeyring", True),
        ("keyring:", False),
        ("keyring:Class", False),
        ("keyring:.Class", False),
        ("keyring:a..Class", False),
        ("keyring:a.Class()", False),
        ("Keyring", False),
        ("", False),
        (None, False),
    ],
)
def test_key_store(value: object, good: bool) -> None:
    assert (schema.key_store(value) is None) is good


@pytest.mark.parametrize(
    ("value", "good"),
    [
        ("http://proxy:3128", True),
        ("https://proxy", True),
        ("socks5h://proxy:1080", True),
        ("http://me:pw@[::1]:3128/", True),
        ("socks5://proxy:1080", False),
        ("http://", False),
        ("http://me:pw@", False),
        ("http://me:pw@proxy:port", False),
        ("proxy:3128", False),
        ("http", False),
        ("", False),
        (3128, False),
    ],
)
def test_proxy_url(value: object, good: bool) -> None:
    assert (schema.proxy_url(value) is None) is good


@pytest.mark.parametrize(
    ("value", "good"),
    [
        ("/etc/ca.pem", True),
        ("C:\\ca.pem", True),
        ("C:/ca.pem", True),
        ("ca.pem", False),
        ("~/ca.pem", False),
        ("", False),
        (1, False),
    ],
)
def test_absolute_path(value: object, good: bool) -> None:
    assert (schema.absolute_path(value) is None) is good
