"""What is taken here the libraries take, too; and nothing that they refuse."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import RSAKey

from hushkey.providers import idtoken, josetoken, usualtoken
from hushkey.providers.usualtoken import Expected
from kit.oauth import KEY, ROTATED, RSA, claims, jwks, signed

ISSUER, NOW = "https://id.test", 1_700_000_000
AT_HASH = "sda5G2fCr6XjIpiNlGJjjQ"  # of "at"
EXPECTED = Expected(ISSUER, "c", ["RS256", "ES256"], "n", "at", NOW, idtoken.LEEWAY)


def made(**changes: Any) -> str:
    return signed(claims(ISSUER, NOW, **changes), RSA, "RS256")


def usual(token: str, keys: Any = None, **changes: Any) -> dict[str, Any] | None:
    known = jwks(KEY, RSA) if keys is None else keys
    return usualtoken.claims_of(token, EXPECTED.changed(**changes), known)


def library(token: str) -> dict[str, Any] | None:
    known = jwks(KEY, RSA)
    try:
        return josetoken.claims_of(token, EXPECTED, known, lambda again: known)
    except josetoken.Invalid:
        return None


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aud": ["c"]},
        {"azp": "c"},
        {"at_hash": AT_HASH},
        {"exp": NOW - idtoken.LEEWAY + 1},
        {"iat": NOW + idtoken.LEEWAY, "nbf": NOW + idtoken.LEEWAY},
        {"amr": ["pwd"], "auth_time": NOW, "jti": "1", "email": None},
    ],
)
def test_usual_token_is_taken_as_the_libraries_take_it(changes: dict[str, Any]) -> None:
    token = made(**changes)

    found = usual(token)
    assert found is not None
    assert found == library(token)


def test_refresh_needs_no_nonce() -> None:
    assert usual(made(nonce=None), nonce=None)
    assert usual(made(nonce="of the sign-in"), nonce=None)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": ISSUER + "/"},
        {"aud": "d"},
        {"aud": ["c", "d"], "azp": "c"},
        {"aud": []},
        {"azp": "d"},
        {"azp": ""},
        {"nonce": "m"},
        {"nonce": None},
        {"sub": ""},
        {"sub": 5},
        {"exp": NOW - idtoken.LEEWAY},
        {"exp": NOW + 0.5},
        {"exp": True},
        {"exp": "never"},
        {"exp": None},
        {"iat": NOW + idtoken.LEEWAY + 1},
        {"nbf": NOW + idtoken.LEEWAY + 1},
        {"auth_time": "now"},
        {"amr": "pwd"},
        {"jti": 5},
        {"at_hash": AT_HASH[:-1] + "A"},
        {"at_hash": 5},
        {"at_hash": ["", AT_HASH]},
    ],
)
def test_any_other_claim_is_left_to_the_libraries(changes: dict[str, Any]) -> None:
    assert usual(made(**changes)) is None


@given(
    changes=st.dictionaries(
        st.sampled_from(
            [
                "iss",
                "aud",
                "azp",
                "sub",
                "exp",
                "iat",
                "nbf",
                "nonce",
                "amr",
                "at_hash",
                "auth_time",
                "jti",
                "x",
            ]
        ),
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(NOW - 200, NOW + 200),
            st.floats(),
            st.sampled_from(["", "c", "n", ISSUER, AT_HASH, ["c"], ["c", "d"], [], {}]),
        ),
        max_size=3,
    )
)
def test_nothing_is_taken_that_the_libraries_refuse(changes: dict[str, Any]) -> None:
    token = made(**changes)
    found = usual(token)

    assert found is None or found == library(token)


@given(place=st.integers(0, 10_000), mark=st.sampled_from("AZaz09-_.=+/ \n\u00e9"))
def test_changed_token_is_never_taken(place: int, mark: str) -> None:
    token = made()
    place %= len(token)
    changed = token[:place] + mark + token[place + 1 :]

    assert changed == token or usual(changed) is None
    assert usual(token[:place] + mark + token[place:]) is None
    assert usual(token[:place]) is None


def encoded(part: object) -> str:
    text = json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


@pytest.mark.parametrize("alg", ["none", "HS256", "RS384", "PS256", "rs256", None, 5])
def test_another_algorithm_is_left_to_the_libraries(alg: Any) -> None:
    head = encoded({"alg": alg, "kid": RSA.kid})
    _, content, signature = made().split(".")

    assert usual(f"{head}.{content}.{signature}") is None
    assert usual(f"{head}.{content}.") is None


@pytest.mark.parametrize("token", ["", ".", "..", "...", "a.b.c", "e30.e30.e30"])
def test_garbage_is_left_to_the_libraries(token: str) -> None:
    assert usual(token) is None


def test_algorithm_that_the_server_does_not_list_is_left_to_the_libraries() -> None:
    assert usual(made(), algorithms=["ES256"]) is None


def _small() -> dict[str, Any]:
    return {**RSAKey.generate_key(2048).as_dict(private=False), "kid": RSA.kid}


PUBLIC: dict[str, Any] = jwks(RSA)["keys"][0]


@pytest.mark.parametrize(
    "keys",
    [
        {},
        [],
        {"keys": []},
        {"keys": [5]},
        jwks(KEY),
        jwks(ROTATED),
        {"keys": [PUBLIC, PUBLIC]},
        {"keys": [{**PUBLIC, "kid": "another"}]},
        {"keys": [{k: v for k, v in PUBLIC.items() if k != "kid"}]},
        {"keys": [{**PUBLIC, "use": "enc"}]},
        {"keys": [{**PUBLIC, "alg": "PS256"}]},
        {"keys": [{**PUBLIC, "key_ops": ["encrypt"]}]},
        {"keys": [{**PUBLIC, "kty": "oct"}]},
        {"keys": [{**PUBLIC, "e": "Aw"}]},
        {"keys": [{**PUBLIC, "n": PUBLIC["n"][:40]}]},
        {"keys": [{**PUBLIC, "n": 5}]},
        {"keys": [_small()]},
    ],
)
def test_keys_that_do_not_name_the_one_signer_are_left_to_the_libraries(
    keys: Any,
) -> None:
    assert usual(made(), keys=keys) is None
