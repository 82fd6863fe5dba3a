from typing import Any

import pytest

from hushkey.errors import Permanent
from hushkey.net import answers

DEVICE = {
    "device_code": "d3vice",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://id.test/device",
    "expires_in": 900,
    "interval": 7,
}
ODD: list[Any] = [None, 0, -5, True, "", "soon", [], {}, float("nan"), 1e300]
ODD_DURATIONS = [*ODD, [5], "-1", "5 s", 10**400, "1e999", "nan", "inf"]
ODD_TOKENS: list[Any] = [None, "", 7, [], "a\nb", "ä"]
HTTPS = "https://id.test"
LOCAL = "http://127.0.0.1:8000"


def read(*, issuer: str = HTTPS, **changes: Any) -> Any:
    body = {k: v for k, v in (DEVICE | changes).items() if v is not ...}
    return answers.device_code(body, "id.test", issuer, {"kept": True})


# -- durations ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (3600, 3600),
        (3599.5, 3599.5),
        ("3600", 3600),
        (0.5, 0.5),
        *((odd, None) for odd in ODD_DURATIONS),
    ],
)
def test_duration_is_a_number_in_its_range_or_absent(
    value: object, found: float | None
) -> None:
    assert answers.seconds(value) == found


# -- token answers -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER", None, ""])
def test_bearer_token_has_no_fault(kind: str | None) -> None:
    """RFC 6749 5.1: its case does not matter; servers leave it out all the same."""
    assert answers.type_fault({"token_type": kind}) is None
    assert answers.type_fault({}) is None


@pytest.mark.parametrize(
    "kind",
    [
        *("mac", "DPoP", "pop", "N_A", "Bearer ", " ", "bearer,mac"),
        *(1, 0, True, False, [], ["Bearer"], {}),
    ],
)
def test_token_of_another_type_is_a_fault(kind: object) -> None:
    fault = answers.type_fault({"token_type": kind})

    assert type(fault) is Permanent
    assert "only Bearer is usable" in fault.line()


def test_type_in_the_words_is_harmless_and_short() -> None:
    fault = answers.type_fault({"token_type": "\x1b[2Jm\u202eac" + "x" * 500})

    assert fault is not None
    assert fault.line().isprintable()
    assert len(fault.line()) < 300


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "at",
        {},
        *({"access_token": odd} for odd in ODD_TOKENS),
    ],
)
def test_answer_without_a_token_is_none(data: object) -> None:
    assert answers.token(data) is None


def test_answer_that_names_an_error_holds_no_token() -> None:
    assert answers.token({"access_token": "at", "error": "server_error"}) is None
    assert answers.token({"access_token": "at", "error": None}) is not None


@pytest.mark.parametrize("odd", [7, None, {"a": 1}, ["rt"], True, "", "r\x1bt", "ü"])
@pytest.mark.parametrize("name", ["refresh_token", "id_token"])
def test_other_token_that_is_no_text_is_left_out(name: str, odd: object) -> None:
    found = answers.token({"access_token": "at", name: odd})

    assert found == {"access_token": "at", "expires_in": None}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, ("asked",)),
        ("", ("asked",)),
        (" ", ("asked",)),
        ([], ("asked",)),
        ("a b", ("a", "b")),
        ("a,b", ("a", "b")),
        (["a", "b"], ("a", "b")),
        ("\\tenant=evil", ()),
        ("a \\tenant=evil", ("a",)),
        ('a "b" \x1b[2J ü', ("a",)),
        (7, ("7",)),
    ],
)
def test_granted_scopes_are_scopes(value: object, found: tuple[str, ...]) -> None:
    assert answers.scopes(value, ("asked",)) == found


# -- device codes ------------------------------------------------------------------


def test_device_code_is_read() -> None:
    code = read(verification_uri_complete="https://id.test/device?user_code=WDJB-MJHT")

    assert code.user_code == "WDJB-MJHT"
    assert code.verification_uri == "https://id.test/device"
    assert code.verification_uri_complete.endswith("?user_code=WDJB-MJHT")
    assert (code.expires_in, code.interval) == (900, 7)
    assert code.data == {"kept": True}


@pytest.mark.parametrize(
    ("interval", "waits"),
    [
        (..., 5),
        (1, 1),
        ("7", 7),
        (0.2, 1),
        (3600, 60),
        *((odd, 5) for odd in ODD),
    ],
)
def test_interval_lets_us_ask_in_time_and_not_too_often(
    interval: object, waits: float
) -> None:
    assert read(interval=interval).interval == waits


@pytest.mark.parametrize("odd", [..., *ODD_DURATIONS])
def test_odd_lifetime_of_a_device_code_is_replaced(odd: object) -> None:
    assert read(expires_in=odd).expires_in == 600


@pytest.mark.parametrize("name", ["verification_uri", "verification_uri_complete"])
@pytest.mark.parametrize(
    "uri",
    [
        "http://id.test/device",
        "http://127.0.0.1/device",
        "javascript:alert(1)",
        "//id.test/device",
        "id.test/device",
        "https://",
        "https:///device",
        "https://id.test@evil.test/",
        "https://user:pw@id.test/",
        "https://id.test\\@evil.test/",
        "https://id.test:99999/",
        "https://id.test:0/",
        "https://-id.test/",
        "https://id..test/",
        "https://id%2etest/",
        "https://[::1/",
        "https://ïd.test/device",
        "https://id.test/\x1b[2J",
        "https://id.test/\r\nopen",
        "https://id.test/\u202edevice",
        "https://id.test/a b",
        "https://id.test/" + "x" * 3000,
        7,
        True,
        ["https://id.test/"],
        {"uri": 1},
    ],
)
def test_address_that_no_person_should_open_is_refused(name: str, uri: Any) -> None:
    with pytest.raises(Permanent):
        read(**{name: uri})


@pytest.mark.parametrize(
    "uri",
    [
        "https://microsoft.com/devicelogin",
        "https://id.test:8443/device?x=1#y",
        "https://[2001:db8::1]/device",
        "https://id.test./device",
        "https://xn--bcher-kva.test/device",
    ],
)
def test_ordinary_address_is_shown(uri: str) -> None:
    assert read(verification_uri=uri).verification_uri == uri


def test_plain_http_is_for_an_issuer_on_this_machine() -> None:
    assert read(issuer=LOCAL, verification_uri=f"{LOCAL}/device").user_code
    with pytest.raises(Permanent):
        read(issuer=LOCAL, verification_uri="http://id.test/device")


@pytest.mark.parametrize("name", ["user_code", "device_code", "verification_uri"])
@pytest.mark.parametrize(
    "odd", [..., None, "", 7, True, [], {}, "A\x1b[2JB", "A\u202eB"]
)
def test_code_or_address_that_is_no_text_is_refused(name: str, odd: Any) -> None:
    with pytest.raises(Permanent) as caught:
        read(**{name: odd})

    assert caught.value.what == f"id.test: its device code answer has no good {name}"


@pytest.mark.parametrize("code", [" ABCD", "ABCD\n", "A" * 65, "ÄBCD"])
def test_code_that_cannot_be_copied_is_refused(code: str) -> None:
    with pytest.raises(Permanent, match="user_code"):
        read(user_code=code)
