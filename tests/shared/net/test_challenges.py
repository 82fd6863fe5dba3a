"""WWW-Authenticate: well formed and short, or nothing at all."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushkey.net.challenges import LONGEST, bearer, demanded_claims, parse
from kit.core import ANY

WANTED = '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}'


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", []),
        ("Bearer", [("bearer", {})]),
        ('Basic realm="x"', [("basic", {"realm": "x"})]),
        ('Bearer A = "b" ,c=d', [("bearer", {"a": "b", "c": "d"})]),
        (
            'Basic realm="a, b", Bearer x=1, TFS-Federated',
            [
                ("basic", {"realm": "a, b"}),
                ("bearer", {"x": "1"}),
                ("tfs-federated", {}),
            ],
        ),
        (r'Bearer a="q\"\\"', [("bearer", {"a": 'q"\\'})]),
        (
            "Bearer u=https://a.example/b?c=d",
            [("bearer", {"u": "https://a.example/b?c=d"})],
        ),
        ('Bearer a="open', []),
        ('Bearer a="open\\', []),
        ("Bearer a=1, A=2", []),
        ("a=1", []),
        ("Bearer \u00e4=1", []),
        ("Bearer a=1, ;", []),
        ("Bearer a=" + "x" * LONGEST, []),
    ],
)
def test_parse(header: str, found: list[tuple[str, dict[str, str]]]) -> None:
    assert parse(header) == found


def test_bearer_looks_at_twenty_headers() -> None:
    headers = [f"Bearer n={number}" for number in range(60)]

    assert [found["n"] for found in bearer(headers)] == [str(n) for n in range(20)]


@given(ANY)
def test_any_header_is_parsed_to_an_end(text: str) -> None:
    for scheme, parameters in parse(text):
        assert scheme
        assert all(name == name.lower() for name in parameters)


@given(st.text(max_size=80))
def test_quoted_value_comes_back_as_it_was(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')

    assert parse(f'Bearer v="{quoted}"') == [("bearer", {"v": text})]


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (f'Bearer error="insufficient_claims", claims="{encoded(WANTED)}"', WANTED),
        (f"Bearer error=insufficient_claims, claims={encoded(WANTED)}", WANTED),
        (
            'Bearer error="insufficient_claims", claims="'
            + base64.urlsafe_b64encode(WANTED.encode()).decode().rstrip("=")
            + '"',
            WANTED,
        ),
        (f'Bearer error="invalid_token", claims="{encoded(WANTED)}"', ""),
        (f'Basic error="insufficient_claims", claims="{encoded(WANTED)}"', ""),
        (f'Bearer claims="{encoded(WANTED)}"', ""),
        ('Bearer error="insufficient_claims", claims="no base64!"', ""),
        (f'Bearer error="insufficient_claims", claims="{encoded("[]")}"', ""),
        ('Bearer error="insufficient_claims", claims=""', ""),
    ],
)
def test_demanded_claims(header: str, found: str) -> None:
    assert demanded_claims([header]) == found
