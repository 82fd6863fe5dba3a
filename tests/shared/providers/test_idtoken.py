import base64
import hmac
import json
from email.utils import formatdate
from typing import Any

import pytest

from hushkey.errors import Permanent
from hushkey.providers import idtoken
from hushkey.providers.idtoken import LEEWAY, account_of
from kit.oauth import KEY, ROTATED, RSA, claims, jwks, signed

ISSUER = "https://id.test"
NOW = 1_700_000_000.0
ALGORITHMS = ["ES256", "RS256", "none", "HS256"]


class Keys:
    """The issuer's keys, and how often a new copy was asked for."""

    def __init__(self, *now: Any, later: tuple[Any, ...] = ()) -> None:
        self._now, self._later = now, later
        self.asked: list[bool] = []

    def __call__(self, again: bool) -> Any:
        self.asked.append(again)
        return jwks(*(self._later if again else self._now))


def check(token: str, keys: Any = None, **changes: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "issuer": ISSUER,
        "client_id": "c",
        "algorithms": ALGORITHMS,
        "keys": keys or Keys(KEY, RSA),
        "nonce": "n",
        "access_token": "at",
        "now": NOW,
    }
    return idtoken.claims_of(token, **(facts | changes))


def refused(token: str, keys: Any = None, **changes: Any) -> str:
    with pytest.raises(Permanent) as caught:
        check(token, keys, **changes)
    return caught.value.line()


def made(**changes: Any) -> str:
    return signed(claims(ISSUER, NOW, **changes))


def raw(header: dict[str, Any], content: object, signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(content).encode(), signature)
    return ".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts
    )


def test_valid_token_gives_its_claims() -> None:
    assert check(made())["sub"] == "user-1"


def test_rsa_is_as_good() -> None:
    token = signed(claims(ISSUER, NOW), RSA, "RS256")

    assert check(token)["sub"] == "user-1"


def test_refresh_needs_no_nonce() -> None:
    assert check(made(nonce=None), nonce=None)["sub"] == "user-1"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"iss": "https://id.test/"}, id="issuer with a slash"),
        pytest.param({"iss": "https://evil.test"}, id="another issuer"),
        pytest.param({"iss": None}, id="no issuer"),
        pytest.param({"aud": "someone-else"}, id="another audience"),
        pytest.param({"aud": ["someone-else"], "azp": "c"}, id="azp is no audience"),
        pytest.param({"aud": ["c", "d"]}, id="two audiences without azp"),
        pytest.param({"aud": ["c", "d"], "azp": "d"}, id="issued to another"),
        pytest.param({"aud": None}, id="no audience"),
        pytest.param({"aud": []}, id="empty audience"),
        pytest.param({"nonce": "other"}, id="another nonce"),
        pytest.param({"nonce": None}, id="no nonce"),
        pytest.param({"nonce": 5}, id="nonce is a number"),
        pytest.param({"sub": None}, id="no subject"),
        pytest.param({"exp": None}, id="no end"),
        pytest.param({"exp": int(NOW) - LEEWAY - 1}, id="expired"),
        pytest.param({"exp": "never"}, id="end is a word"),
        pytest.param({"iat": None}, id="no beginning"),
        pytest.param({"iat": int(NOW) + LEEWAY + 60}, id="from the future"),
        pytest.param({"nbf": int(NOW) + LEEWAY + 60}, id="not yet valid"),
        pytest.param({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, id="another at_hash"),
    ],
)
def test_wrong_claims_are_refused(changes: dict[str, Any]) -> None:
    assert "not valid" in refused(made(**changes))


def test_two_audiences_with_our_azp_are_taken() -> None:
    assert check(made(aud=["c", "d"], azp="c"))


def test_token_that_expired_within_the_leeway_is_taken() -> None:
    assert check(made(exp=int(NOW) - LEEWAY + 5))


@pytest.mark.parametrize("algorithms", [["none"], ["none", "RS256"], [], ALGORITHMS])
@pytest.mark.parametrize("alg", ["none", "None", "NONE"])
def test_unsigned_token_is_refused(algorithms: list[str], alg: str) -> None:
    token = raw({"alg": alg}, claims(ISSUER, NOW))

    assert "not valid" in refused(token, algorithms=algorithms)


@pytest.mark.parametrize("algorithms", [["HS256"], ["HS256", "RS256"], ALGORITHMS])
def test_hmac_with_the_public_key_is_refused(algorithms: list[str]) -> None:
    unsigned = raw({"alg": "HS256", "kid": RSA.kid}, claims(ISSUER, NOW))[:-1]
    mac = hmac.digest(RSA.as_pem(private=False), unsigned.encode(), "sha256")
    token = f"{unsigned}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"

    assert "not valid" in refused(token, algorithms=algorithms)


def test_tampered_token_is_refused() -> None:
    header, _, signature = made().split(".")
    _, content, _ = made(sub="somebody-else").split(".")

    assert "not valid" in refused(f"{header}.{content}.{signature}")


def test_token_of_another_key_with_the_same_id_is_refused() -> None:
    other = type(KEY).generate_key("P-256", {"kid": "k1"})

    assert "not valid" in refused(signed(claims(ISSUER, NOW), other))


def test_algorithm_that_the_server_does_not_list_is_refused() -> None:
    assert "not valid" in refused(made(), algorithms=["RS256"])


@pytest.mark.parametrize(
    "token",
    [
        "",
        "garbage",
        "a.b",
        "a.b.c.d.e",
        "é.é.é",
        "..",
        raw({"alg": "ES256", "kid": "k1"}, ["a list"]),
        raw({"alg": ["ES256"], "kid": "k1"}, {}),
        raw({"alg": "ES256", "kid": {}}, {}),
        raw({"alg": "ES256", "kid": "k1"}, claims(ISSUER, NOW), b"x" * 64),
    ],
)
def test_garbage_is_refused(token: str) -> None:
    assert "not valid" in refused(token)


@pytest.mark.parametrize(
    "keys",
    [
        {"keys": []},
        {"keys": ["k1"]},
        {"keys": [None]},
        {"keys": [{}]},
        {"keys": [{"kty": "EC", "kid": "k1"}]},
        {"keys": [{"kty": "EC", "crv": "P-256", "x": 1, "y": 2, "kid": "k1"}]},
        {"keys": [{"kty": "odd", "kid": "k1"}]},
    ],
    ids=str,
)
def test_garbage_for_keys_is_refused(keys: dict[str, Any]) -> None:
    assert "not valid" in refused(made(), lambda again: keys)


def test_rotated_key_is_fetched_once() -> None:
    keys = Keys(KEY, later=(KEY, ROTATED))

    assert check(signed(claims(ISSUER, NOW), ROTATED), keys)["sub"] == "user-1"
    assert keys.asked == [False, True]


def test_unknown_key_is_asked_for_once_only() -> None:
    keys = Keys(KEY, later=(KEY,))

    assert "not valid" in refused(signed(claims(ISSUER, NOW), ROTATED), keys)
    assert keys.asked == [False, True]


def test_bad_signature_asks_for_no_new_keys() -> None:
    keys = Keys(KEY)
    other = type(KEY).generate_key("P-256", {"kid": "k1"})

    refused(signed(claims(ISSUER, NOW), other), keys)

    assert keys.asked == [False]


@pytest.mark.parametrize(
    ("ahead", "word"),
    [
        pytest.param(3600, "60 min ahead of the server's", id="ahead: expired"),
        pytest.param(172_801, "is 2 days ahead of the server's", id="days"),
        pytest.param(-3600, "60 min behind the server's", id="behind: from the future"),
    ],
)
def test_clock_that_is_wrong_is_named(ahead: int, word: str) -> None:
    server_now = NOW - ahead
    token = signed(claims(ISSUER, server_now))

    line = refused(token, server_date=formatdate(server_now, usegmt=True))

    assert word in line
    assert "set the clock" in line


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 99 Foo 2023"])
def test_date_that_cannot_be_read_says_nothing_about_the_clock(date: str) -> None:
    line = refused(made(exp=int(NOW) - 3600), server_date=date)

    assert "clock" not in line


def test_wrong_signature_is_never_blamed_on_the_clock() -> None:
    token = made()[:-4] + "AAAA"

    line = refused(token, server_date=formatdate(NOW - 3600, usegmt=True))

    assert "clock" not in line


def test_refusal_quotes_no_token() -> None:
    token = made(aud="other")

    assert token.split(".")[1] not in refused(token)


@pytest.mark.parametrize(
    ("names", "label"),
    [
        ({"email": "e", "preferred_username": "p", "name": "n"}, "e"),
        ({"preferred_username": "p", "upn": "u", "name": "n"}, "p"),
        ({"upn": "u", "name": "n"}, "u"),
        ({"email": "", "name": "n"}, "n"),
        ({"email": ["e"]}, "s"),
        ({}, "s"),
        ({"name": "a\x1b[31m\nb"}, "a [31m b"),
    ],
)
def test_account_is_named_as_people_read_it(names: dict[str, Any], label: str) -> None:
    account = account_of({"sub": "s", **names})

    assert (account.id, account.label) == ("s", label)
