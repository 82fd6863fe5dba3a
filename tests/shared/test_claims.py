"""Claims requests: of the right shape and short, or nothing at all."""

import json

import pytest
from hypothesis import given

from hushkey.claims import carries, claims, merged
from kit.core import ANY

WANTED = '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}'


@pytest.mark.parametrize(
    "text",
    [
        None,
        1,
        "",
        "{}",
        "[]",
        "x",
        '{"access_token": 1}',
        "{" * 4000,
        json.dumps({"a": {"b": "x" * 4096}}),
        "\udc00",
    ],
)
def test_claims_that_are_none(text: object) -> None:
    assert claims(text) == ""


def test_claims_are_written_in_one_way() -> None:
    assert claims(json.dumps(json.loads(WANTED), indent=4)) == WANTED


@given(ANY)
def test_any_claims_are_json_or_nothing(text: str) -> None:
    found = claims(text)

    assert found == "" or isinstance(json.loads(found), dict)


MORE = '{"access_token":{"capolids":{"values":["p"]}},"id_token":{"x":{}}}'
OTHER = '{"access_token":{"acrs":{"essential":true,"value":"c2"}}}'


def test_merged_claims_carry_those_of_both() -> None:
    both = merged(WANTED, MORE)

    assert claims(both) == both
    assert carries(both, WANTED)
    assert carries(both, MORE)
    assert not carries(both, OTHER)


def test_merged_claims_are_the_server_s_where_they_differ() -> None:
    assert merged(WANTED, OTHER) == OTHER
    assert [merged("", WANTED), merged(WANTED, ""), merged("", "")] == [
        WANTED,
        WANTED,
        "",
    ]


@pytest.mark.parametrize(
    ("asked", "wanted", "carried"),
    [
        ("", "", True),
        (WANTED, "", True),
        (WANTED, WANTED, True),
        ("", WANTED, False),
        (OTHER, WANTED, False),
        (MORE, WANTED, False),
        (WANTED, MORE, False),
    ],
)
def test_carries(asked: str, wanted: str, carried: bool) -> None:
    assert carries(asked, wanted) is carried
