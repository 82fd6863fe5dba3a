from __future__ import annotations

import copy
import pickle
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from hushkey.model import (
    Account,
    CodeFlow,
    DeviceCode,
    Frozen,
    Grant,
    HostRule,
    Identity,
    Request,
    Token,
)
from kit.core import ME

if TYPE_CHECKING:
    from dataclasses import KW_ONLY

SECRET = "s3cr3t-value"


def token(
    lifetime: int | None = 3600, obtained_at: int = 1000, value: str = "t"
) -> Token:
    return Token(
        value,
        expires_at=None if lifetime is None else obtained_at + lifetime,
        obtained_at=obtained_at,
        scopes=("git",),
        account=ME,
    )


VALUES = [
    Request("https", "a.example"),
    Identity("corp", "oidc"),
    HostRule("a.example", Identity("corp", "oidc")),
    ME,
    token(),
]
SECRETIVE = [
    token(value=SECRET),
    Identity("corp", "oidc", options={"client_secret": SECRET}),
    HostRule("a.example", Identity("corp", "oidc", options={"client_secret": SECRET})),
    Grant(SECRET, refresh_token=SECRET),
    CodeFlow(f"https://a.example?state={SECRET}", SECRET, "", {"verifier": SECRET}),
    DeviceCode("https://a.example", "ABCD", 1, 1, {"device_code": SECRET}),
]


def kind(value: Frozen) -> str:
    return type(value).__name__


@pytest.mark.parametrize("value", VALUES, ids=kind)
def test_value_is_frozen(value: Frozen) -> None:
    for name in (*value._names(), "another"):
        with pytest.raises(AttributeError, match="is frozen"):
            setattr(value, name, "x")
        with pytest.raises(AttributeError, match="is frozen"):
            delattr(value, name)


class Sample(Frozen):
    """Two fields by position, two by name; one of each has a default."""

    first: str
    second: tuple[str, ...] = ()
    _: KW_ONLY
    third: str
    fourth: int = 4


def test_annotations_are_the_fields_and_their_order() -> None:
    assert Sample._names() == ["first", "second", "third", "fourth"]
    assert Sample("1", third="3") == Sample("1", (), third="3", fourth=4)
    assert repr(Sample("1", ("2",), third="3", fourth=5)) == (
        "Sample(first='1', second=('2',), third='3', fourth=5)"
    )


@pytest.mark.parametrize(
    ("given", "named"),
    [
        pytest.param((), {"third": "3"}, id="one is missing"),
        pytest.param(("1",), {}, id="one that has a name only is missing"),
        pytest.param(("1", (), "3"), {"third": "3"}, id="one too many"),
        pytest.param(("1", (), "3"), {}, id="a name only, by position"),
        pytest.param(("1",), {"first": "1", "third": "3"}, id="one twice"),
        pytest.param(("1",), {"third": "3", "fifth": SECRET}, id="an unknown one"),
        pytest.param((), {"third": "3", "fifth": SECRET}, id="unknown for missing"),
    ],
)
def test_constructor_takes_its_fields_and_nothing_else(
    given: tuple[Any, ...], named: dict[str, Any]
) -> None:
    with pytest.raises(TypeError, match="Sample has the fields first, ") as caught:
        Sample(*given, **named)

    assert SECRET not in str(caught.value)


def test_default_is_not_shared() -> None:
    one, other = Identity("corp", "oidc"), Identity("corp", "oidc")
    one.options["tenant"] = "a"

    assert other.options == {}


@pytest.mark.parametrize("value", SECRETIVE, ids=kind)
def test_secret_is_in_no_text(value: Frozen) -> None:
    try:
        raise ValueError(value)
    except ValueError as error:
        trace = traceback.TracebackException.from_exception(error, capture_locals=True)

    texts = [repr(value), str(value), f"{value}", f"{value!r}", f"{value:}"]
    texts += [repr([value]), "".join(trace.format())]
    assert not any(SECRET in text for text in texts)


def test_repr_shows_what_is_no_secret() -> None:
    assert repr(Account("id-1", "me")) == "Account(id='id-1', label='me')"


@pytest.mark.parametrize("value", SECRETIVE, ids=kind)
def test_value_is_not_pickled_nor_copied(value: Frozen) -> None:
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            way(value)


def test_equality_is_by_content_and_type() -> None:
    assert Account("1", "me") == Account("1", "me")
    assert hash(Account("1", "me")) == hash(Account("1", "me"))
    assert Account("1", "me") != Account("1", "you")
    assert Account("1", "me") != ("1", "me")
    assert Account("a", "b") != Request("a", "b")


def test_site_takes_the_account_of_its_identity() -> None:
    identity = Identity("corp", "oidc", account="me")

    assert HostRule("a.example", identity).account == "me"
    assert HostRule("a.example", identity, account="you").account == "you"


def test_identity_option_has_a_default() -> None:
    identity = Identity("corp", "oidc", options={"issuer": "https://id.example"})

    assert identity.option("issuer") == "https://id.example"
    assert identity.option("tenant") == ""
    assert identity.option("tenant", "common") == "common"


@pytest.mark.parametrize(
    ("identity", "issuer"),
    [
        (Identity("corp", "oidc", options={"issuer": "https://a"}), "https://a"),
        (
            Identity("hub", "oauth2", options={"token_endpoint": "https://b"}),
            "https://b",
        ),
        (Identity("work", "entra"), "entra:work"),
    ],
)
def test_identity_has_an_issuer_that_names_its_tokens(
    identity: Identity, issuer: str
) -> None:
    assert identity.issuer == issuer


# obtained at 1000; the caller has waited since long after that
@pytest.mark.parametrize(
    ("lifetime", "age", "min_lifetime", "fresh"),
    [
        pytest.param(3600, 0, 300, True, id="an hour, new"),
        pytest.param(3600, 3299, 300, True, id="an hour, 301 s left"),
        pytest.param(3600, 3300, 300, False, id="an hour, exactly 300 s left"),
        pytest.param(3600, 3000, 600, False, id="an hour, exactly 600 s left"),
        pytest.param(3600, 2999, 600, True, id="an hour, 601 s left"),
        pytest.param(300, 0, 300, True, id="five minutes, new"),
        pytest.param(300, 149, 300, True, id="five minutes, more than half left"),
        pytest.param(300, 150, 300, False, id="five minutes, half left"),
        pytest.param(300, 149, 600, True, id="five minutes for keyring clients"),
        pytest.param(60, 29, 300, True, id="one minute, more than half left"),
        pytest.param(60, 30, 300, False, id="one minute, half left"),
        pytest.param(3600, 3599, 0, True, id="no minimum, a second left"),
        pytest.param(3600, 3600, 0, False, id="no minimum, just ended"),
        pytest.param(3600, 9999, 300, False, id="ended long ago"),
        pytest.param(3600, -5, 300, True, id="clock back by 5 s: rounding"),
        pytest.param(3600, -6, 300, False, id="clock back by 6 s"),
        pytest.param(3600, -86400, 300, False, id="clock back by a day"),
        pytest.param(0, 0, 300, False, id="no lifetime at all"),
        pytest.param(-5, 0, 300, False, id="ended before it began"),
        pytest.param(None, 10**9, 300, True, id="no end"),
    ],
)
def test_is_fresh(
    lifetime: int | None, age: int, min_lifetime: int, fresh: bool
) -> None:
    now = 1000 + age
    began = 1001 + abs(age)

    assert token(lifetime).is_fresh(now, min_lifetime, began) is fresh


@pytest.mark.parametrize(
    ("began", "now", "fresh"),
    [
        pytest.param(1000.9, 1055, True, id="obtained in the second it began"),
        pytest.param(990, 1055, True, id="obtained while waiting"),
        pytest.param(1001, 1055, False, id="obtained before"),
        pytest.param(990, 1060, False, id="obtained while waiting, but ended"),
        pytest.param(990, 900, False, id="obtained while waiting, clock back"),
    ],
)
def test_is_fresh_if_obtained_while_the_caller_waited(
    began: float, now: float, fresh: bool
) -> None:
    assert token(60).is_fresh(now, 300, began) is fresh


def test_with_source_changes_nothing_else() -> None:
    changed = token(value=SECRET).with_source("refresh")

    assert changed.source == "refresh"
    assert changed.with_source("cache") == token(value=SECRET)
