import pytest

from hushkey.errors import Permanent
from hushkey.signin.redirect import fields, has_state, parse


@pytest.mark.parametrize(
    ("configured", "final"),
    [
        ("http://127.0.0.1/", "http://127.0.0.1:5000/"),
        ("http://localhost", "http://localhost:5000"),
        ("http://127.0.0.1/callback", "http://127.0.0.1:5000/callback"),
        ("http://[::1]/cb/", "http://[::1]:5000/cb/"),
        ("http://[::1]", "http://[::1]:5000"),
        ("http://LocalHost/", "http://LocalHost:5000/"),
    ],
)
def test_uri_puts_the_port_in_and_changes_nothing_else(
    configured: str, final: str
) -> None:
    assert parse(configured).port == 0
    assert parse(configured).uri(5000) == final


@pytest.mark.parametrize(
    "configured", ["http://127.0.0.1:8400/cb", "http://[::1]:80", "http://localhost:1/"]
)
def test_uri_keeps_a_fixed_port(configured: str) -> None:
    loopback = parse(configured)

    assert loopback.uri(loopback.port) == configured


@pytest.mark.parametrize(
    "hostile",
    [
        "https://127.0.0.1/",
        "http://example.com/",
        "http://localhost.example.com/",
        "http://0.0.0.0/",
        "http://[::]/",
        "http://me@127.0.0.1/",
        "http://127.0.0.1@example.com/",
        "http://127.0.0.1/?a=b",
        "http://127.0.0.1/#x",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:x/",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/\r\nX: y",
        "http://",
        "",
        "urn:ietf:wg:oauth:2.0:oob",
    ],
)
def test_parse_refuses_all_but_http_on_loopback(hostile: str) -> None:
    with pytest.raises(Permanent, match="redirect_uri"):
        parse(hostile)


def test_fields_refuses_a_name_that_comes_twice() -> None:
    assert fields("state=a&code=b&empty=") == {"state": "a", "code": "b", "empty": ""}
    assert fields("state=a&state=b") is None
    assert fields("&".join(f"a{n}=1" for n in range(65))) is None
    assert fields("a=" + "x" * 70_000) is None


@pytest.mark.parametrize("answer", [{}, {"state": ""}, {"state": "sx"}, {"state": "é"}])
def test_has_state_wants_exactly_the_state(answer: dict[str, str]) -> None:
    assert not has_state(answer, "s")
    assert not has_state(answer, "")


def test_has_state_survives_half_a_character() -> None:
    assert not has_state({"state": "\udce9"}, "s")
