"""WWW-Authenticate: well formed and short, or nothing at all."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushkey.net.challenges import LONGEST, bearer, demanded_claims, parse, schemes
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
        (
            'Negotiate YII/Jvw+x==, Bearer a=b, NTLM, Basic realm="x"',
            [
                ("negotiate", {}),
                ("bearer", {"a": "b"}),
                ("ntlm", {}),
                ("basic", {"realm": "x"}),
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


@pytest.mark.parametrize(
    ("headers", "offered"),
    [
        (["Bearer", "Basic x=1"], {"bearer", "basic"}),
        (['Basic realm="a, b", Bearer x=1'], {"bearer", "basic"}),
        (['Negotiate a/b=, bearer realm="x", Basic'], {"negotiate", "bearer", "basic"}),
        (['Bearer a="open'], {"bearer"}),
        (["  DIGEST a=1, A=2"], {"digest"}),
        ([], set()),
    ],
)
def test_schemes_in_any_order(headers: list[str], offered: set[str]) -> None:
    assert schemes(headers) == offered


@pytest.mark.parametrize("before", ["Negotiate oYG/2w==, ", 'Basic realm="x", ', ""])
@pytest.mark.parametrize("after", [", Negotiate", ', Basic realm="x"', ""])
def test_claims_are_found_in_any_place(before: str, after: str) -> None:
    challenge = f'Bearer error="insufficient_claims", claims="{encoded(WANTED)}"'

    assert demanded_claims([before + challenge + after]) == WANTED


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
