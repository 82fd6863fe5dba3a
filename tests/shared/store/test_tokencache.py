import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushkey.errors import StoreError
from hushkey.model import Account, Token, TokenKey
from hushkey.scopes import covers, resource_scopes
from hushkey.store.tokencache import TokenCache
from kit.core import ANY, ME, YOU, grant

NOW = 1_700_000_000
GIT = ("openid", "git")
KEY = TokenKey(GIT)


def signed_in(*scopes: str, refresh_token: str = "r1") -> TokenCache:
    """Return a cache after one sign-in of ME for *scopes*."""
    cache = TokenCache()
    scopes = scopes or GIT
    granted = grant("a1", refresh_token=refresh_token, scopes=scopes)
    cache.keep(granted, ME, TokenKey(scopes), NOW)
    return cache


def refresh_tokens(cache: TokenCache, *scopes: str) -> list[str]:
    return [row.refresh_token for row in cache.grants(ME, TokenKey(scopes or GIT))]


def reloaded(cache: TokenCache) -> TokenCache:
    return TokenCache.loads(cache.dumps())


# ---------------------------------------------------------------- scopes


def test_key_has_one_spelling() -> None:
    assert TokenKey(("b", "a", "b")) == TokenKey(("a", "b"))
    assert TokenKey(("b", "a", "b")).asked == "a b"
    assert TokenKey(("a",), "t").text != TokenKey(("a",), "", "t").text


def test_resource_scopes_leave_out_the_sign_in() -> None:
    asked = ("openid", "profile", "email", "offline_access", "git")

    assert resource_scopes(asked) == {"git"}


@pytest.mark.parametrize(
    ("granted", "asked", "covered"),
    [
        (("git",), ("git",), True),
        (("git", "api"), ("git",), True),
        (("git",), ("git", "api"), False),
        ((), ("openid", "offline_access"), True),
        ((), ("git",), False),
        (("user_impersonation",), ("https://x/.default",), True),
        (("git",), ("https://x/.default", "api"), False),
        ((), (), True),
    ],
)
def test_covers(
    granted: tuple[str, ...], asked: tuple[str, ...], covered: bool
) -> None:
    assert covers(granted, asked) is covered


# ---------------------------------------------------------------- round trip


def test_loads_gives_back_what_dumps_wrote() -> None:
    cache = signed_in()
    cache.keep(grant("a0", refresh_token=""), ME, TokenKey(("x",)), NOW)
    cache.refuse("a0", "git.example.com", NOW + 1)
    cache.refuse("a1", "claims.example.com", NOW + 1, '{"a":{}}')
    cache.keep(grant("a1", refresh_token=""), ME, TokenKey(("y",)), NOW)
    cache.grants(ME, KEY)[0].mark_narrow(TokenKey(("api",)))

    again = reloaded(cache)

    assert again.dumps() == cache.dumps()
    assert (
        again.token(ME, TokenKey(("y",)))
        == cache.token(ME, TokenKey(("y",)))
        is not None
    )
    assert again.demanded(ME, KEY) == '{"a":{}}'
    assert again.account("") == ME
    assert again.was_refused(ME, "git.example.com", NOW + 2, TokenKey(("x",)))


def test_new_cache_is_empty() -> None:
    cache = reloaded(TokenCache())

    assert cache.account("") is None
    assert cache.account("me@example.com") is None
    assert cache.tokens() == []
    assert cache.grants(ME, KEY) == []


ROW = {
    "account": "id-1",
    "asked": "git",
    "value": "a1",
    "obtained_at": NOW,
    "refresh_token": "r1",
    "scopes": ["git"],
    "host": "git.example.com",
    "at": NOW,
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY, inner, max_size=3),
    max_leaves=5,
)
ROWS = st.lists(
    st.fixed_dictionaries({}, optional={k: st.just(v) | VALUES for k, v in ROW.items()})
    | VALUES,
    max_size=3,
)
CONTENTS = st.fixed_dictionaries(
    {"version": st.sampled_from([1, 2])},
    optional={
        "accounts": st.dictionaries(ANY, VALUES, max_size=2) | VALUES,
        "current": st.just("id-1") | VALUES,
        **dict.fromkeys(("grants", "tokens", "refused"), ROWS | VALUES),
        **dict.fromkeys(
            ("bound", "demanded"),
            ROWS | st.dictionaries(ANY, ANY | VALUES, max_size=2) | VALUES,
        ),
    },
)


@given(st.binary())
def test_loads_of_any_bytes_raises_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        TokenCache.loads(data)


def test_loads_of_endless_nesting_raises_value_error() -> None:
    with pytest.raises(ValueError, match="cache"):
        TokenCache.loads(b"[" * 100_000)


@pytest.mark.parametrize(
    "content", [{}, {"version": 0}, {"version": "2"}, [], None, "x", 1]
)
def test_loads_of_another_content_raises_value_error(content: object) -> None:
    with pytest.raises(ValueError, match="not a token cache"):
        TokenCache.loads(json.dumps(content).encode())


def test_loads_of_a_newer_version_says_what_to_do() -> None:
    with pytest.raises(StoreError, match="newer version") as caught:
        TokenCache.loads(b'{"version":3,"anything":"else"}')

    assert caught.value.reason == "newer"
    assert "update" in caught.value.hint


@given(CONTENTS)
def test_loads_takes_only_what_every_question_can_be_asked(content: Any) -> None:
    cache = TokenCache()
    with suppress(ValueError):
        cache = TokenCache.loads(json.dumps(content).encode())

    cache.account("me")
    account = cache.account("") or ME
    cache.token(account, KEY)
    cache.tokens()
    cache.was_refused(account, "git.example.com", NOW, KEY)
    cache.grants(account, KEY)
    cache.refresh_tokens("id-1")
    cache.refuse("a1", "git.example.com", NOW)
    cache.bound(KEY, "git.example.com")
    cache.demanded(account, KEY)
    cache.keep(grant(refresh_token="r2"), account, KEY, NOW, "r1")
    cache.sign_out("id-1")
    cache.dumps()


# ---------------------------------------------------------------- accounts


@pytest.fixture
def two() -> TokenCache:
    cache = signed_in()
    cache.keep(grant("a2"), YOU, KEY, NOW)
    cache.accounts[YOU.id]["names"] = ["fabrikam", "you@old.example"]
    return cache


@pytest.mark.parametrize(
    ("wanted", "account"),
    [
        ("", ME),
        ("me@example.com", ME),
        ("ME@Example.com", ME),
        ("id-1", ME),
        ("fabrikam", YOU),
        ("You@Old.example", YOU),
        ("nobody", None),
        ("me", None),
    ],
)
def test_account_by_label_id_or_name(
    two: TokenCache, wanted: str, account: Account | None
) -> None:
    assert two.account(wanted) == account


def test_account_in_use_stays_until_somebody_changes_it() -> None:
    """A sign-in for one host must not change who another host is asked as."""
    cache = signed_in()
    cache.keep(grant("a2", refresh_token="r2"), YOU, KEY, NOW)
    cache.keep(grant("a3", refresh_token="r3"), ME, KEY, NOW, replaces="r1")

    assert cache.account("") == ME
    cache.current = YOU.id
    assert cache.account("") == YOU


def test_keep_without_a_label_keeps_the_known_one() -> None:
    cache = signed_in()
    cache.keep(grant("a2"), Account(ME.id, ""), KEY, NOW, replaces="r1")

    assert cache.account("") == ME


def test_sign_out_forgets_everything_about_the_account(two: TokenCache) -> None:
    two.refuse("a1", "git.example.com", NOW)
    two.keep(grant("a3"), ME, KEY, NOW)
    two.bind(KEY, "git.example.com", ME, here=False)
    two.refuse("a3", "git.example.com", NOW, '{"access_token":{"x":{}}}')

    two.sign_out(ME.id)

    assert two.account("me@example.com") is None
    assert two.token(ME, KEY) is None
    assert two.grants(ME, KEY) == []
    assert not two.was_refused(ME, "git.example.com", NOW, KEY)
    assert two.demanded(ME, KEY) == ""
    assert two.token(YOU, KEY) is not None
    assert ME.id not in two.dumps().decode()


def test_sign_out_of_the_current_account_leaves_the_other(two: TokenCache) -> None:
    two.sign_out(YOU.id)
    assert two.account("") == ME

    two.sign_out(ME.id)
    assert two.account("") is None


def test_sign_out_of_nobody_changes_nothing() -> None:
    cache = signed_in()
    before = cache.dumps()

    cache.sign_out("id-9")

    assert cache.dumps() == before


# ---------------------------------------------------------------- tokens


def test_token_is_found_by_exactly_its_scopes() -> None:
    cache = signed_in("git", "api")

    assert cache.token(ME, TokenKey(("api", "git"))) is not None
    assert cache.token(ME, TokenKey(("git",))) is None
    assert cache.token(YOU, TokenKey(("git", "api"))) is None


@pytest.mark.parametrize(
    ("expires_in", "refresh_token", "expires_at"),
    [
        (3600, "", NOW + 3600),
        (3600.9, "r", NOW + 3600),
        (None, "r", NOW + 600),
        (None, "", None),
    ],
)
def test_keep_says_when_the_token_ends(
    expires_in: float | None, refresh_token: str, expires_at: int | None
) -> None:
    granted = grant(expires_in=expires_in, refresh_token=refresh_token)

    token = TokenCache().keep(granted, ME, KEY, NOW)

    assert (token.expires_at, token.obtained_at) == (expires_at, NOW)


def test_keep_assumes_a_lifetime_where_an_older_grant_can_renew() -> None:
    cache = signed_in()
    token = cache.keep(grant(expires_in=None), ME, KEY, NOW, replaces="r1")

    assert token.expires_at == NOW + 600


def test_keep_replaces_the_token_of_the_same_scopes() -> None:
    cache = signed_in()
    cache.keep(grant("a2"), ME, TokenKey(tuple(reversed(GIT))), NOW)

    assert [token.value for token in cache.tokens()] == ["a2"]


def test_keep_sweeps_out_ended_tokens() -> None:
    cache = signed_in()
    cache.keep(grant("forever", expires_in=None), YOU, TokenKey(("x",)), NOW)
    cache.keep(grant("a2"), YOU, KEY, NOW + 3600)

    assert {token.value for token in cache.tokens()} == {"forever", "a2"}


# ---------------------------------------------------------------- refusals


def refused(at: int) -> TokenCache:
    cache = signed_in()
    cache.refuse("a1", "git.example.com", NOW + at)
    return cache


def test_refused_token_is_forgotten_and_the_grant_stays(two: TokenCache) -> None:
    two.refuse("a1", "git.example.com", NOW)

    assert [token.value for token in two.tokens()] == ["a2"]
    assert refresh_tokens(two) == ["r1"]


def test_refusal_of_what_is_not_there_changes_nothing(two: TokenCache) -> None:
    two.refuse("another", "git.example.com", NOW)

    assert len(two.tokens()) == 2
    assert not two.was_refused(ME, "git.example.com", NOW, KEY)


CLAIMS = '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}'


def test_refusal_for_claims_asks_for_them_and_is_no_refusal_of_the_account() -> None:
    cache = signed_in()
    cache.refuse("a1", "git.example.com", NOW + 1, CLAIMS)

    assert reloaded(cache).demanded(ME, KEY) == CLAIMS
    assert not cache.was_refused(ME, "git.example.com", NOW + 1, KEY)


def test_claims_are_demanded_until_a_token_has_them() -> None:
    cache = signed_in()
    cache.refuse("a1", "git.example.com", NOW + 1, CLAIMS)
    cache.keep(grant("a2"), ME, KEY, NOW + 2, "r1", CLAIMS)

    assert cache.demanded(ME, KEY) == ""
    assert reloaded(cache).token(ME, KEY, CLAIMS) is not None
    assert cache.token(ME, KEY, '{"other":{}}') is None


def test_token_refused_for_the_claims_that_it_has_is_refused_as_it_is() -> None:
    cache = signed_in()
    cache.keep(grant("a2"), ME, KEY, NOW, "r1", CLAIMS)
    cache.refuse("a2", "git.example.com", NOW + 1, CLAIMS)

    assert cache.demanded(ME, KEY) == ""
    assert cache.was_refused(ME, "git.example.com", NOW + 1, KEY)


@pytest.mark.parametrize("alone", [True, False])
def test_refused_account_is_unbound_where_there_is_another(alone: bool) -> None:
    cache = signed_in()
    if not alone:
        cache.keep(grant("a2", refresh_token="r2"), YOU, TokenKey(("other",)), NOW)
    cache.bind(KEY, "git.example.com", ME, here=False)
    cache.bind(KEY, "else.example.com", ME, here=True)
    cache.refuse("a1", "git.example.com", NOW + 1)

    assert cache.bound(KEY, "git.example.com") == (ME if alone else None)
    assert cache.bound(KEY, "else.example.com") == ME


@pytest.mark.parametrize(
    ("at", "asked", "counts"),
    [
        pytest.param(0, 0, True, id="at once"),
        pytest.param(59, 59, True, id="just young"),
        pytest.param(59, 118, True, id="a minute less a second later"),
        pytest.param(59, 119, False, id="a minute later"),
        pytest.param(60, 60, False, id="too old to count"),
    ],
)
def test_was_refused_counts_young_tokens_for_a_minute(
    at: int, asked: int, counts: bool
) -> None:
    assert refused(at).was_refused(ME, "git.example.com", NOW + asked, KEY) is counts


def test_was_refused_is_about_one_host_and_account() -> None:
    cache = refused(1)

    assert not cache.was_refused(ME, "other.example.com", NOW + 1, KEY)
    assert not cache.was_refused(YOU, "git.example.com", NOW + 1, KEY)


def test_refusal_says_nothing_about_other_scopes() -> None:
    """Who mends the scopes in the config need not wait a minute."""
    cache = refused(0)

    assert cache.was_refused(ME, "git.example.com", NOW + 1, TokenKey(("openid", *GIT)))
    assert not cache.was_refused(
        ME, "git.example.com", NOW + 1, TokenKey((*GIT, "more"))
    )


def test_refusal_says_nothing_about_a_tenant_that_is_set_since() -> None:
    """Who has set the right one need not wait a minute; a server cannot change it."""
    cache, host = refused(0), "git.example.com"
    moved = TokenKey(GIT, "fabrikam")

    assert cache.was_refused(ME, host, NOW + 1, moved)
    assert not cache.was_refused(ME, host, NOW + 1, moved, tenant="fabrikam")


def test_refusal_sweeps_out_old_notes() -> None:
    cache = refused(1)
    cache.keep(grant("a2"), ME, KEY, NOW + 100, replaces="r1")
    cache.refuse("a2", "other.example.com", NOW + 101)

    assert "git.example.com" not in cache.dumps().decode()


# ---------------------------------------------------------------- grants


def test_grants_covering_come_first_then_the_newest() -> None:
    cache = TokenCache()
    for at, name, scopes in (
        (1, "old wide", ("git", "api")),
        (4, "newest other", ("wiki",)),
        (2, "exact", ("git",)),
        (3, "other", ("api",)),
    ):
        granted = grant(refresh_token=name, scopes=scopes)
        cache.keep(granted, ME, TokenKey(scopes), NOW + at)

    found = refresh_tokens(cache, "git")

    assert found == ["exact", "old wide", "newest other", "other"]


def test_grants_of_another_account_are_not_tried() -> None:
    assert signed_in().grants(YOU, KEY) == []


def test_grants_refused_as_too_narrow_are_not_tried_for_these_scopes() -> None:
    cache = signed_in()
    cache.grants(ME, TokenKey(("api", "wiki")))[0].mark_narrow(
        TokenKey(("api", "wiki"))
    )

    again = reloaded(cache)

    assert again.grants(ME, TokenKey(("wiki", "api"))) == []
    assert len(again.grants(ME, TokenKey(("api",)))) == 1


def test_keep_rotates_the_refresh_token_in_place() -> None:
    cache = signed_in()
    cache.grants(ME, TokenKey(("api",)))[0].mark_narrow(TokenKey(("api",)))

    cache.keep(grant("a2", refresh_token="r2"), ME, KEY, NOW + 1, replaces="r1")

    assert refresh_tokens(cache) == ["r2"]
    assert cache.grants(ME, TokenKey(("api",))) == []
    assert "r1" not in cache.dumps().decode()


def test_keep_without_a_new_refresh_token_leaves_the_old_one() -> None:
    cache = signed_in()

    cache.keep(grant("a2"), ME, KEY, NOW + 1, replaces="r1")

    assert refresh_tokens(cache) == ["r1"]


def test_keep_of_a_sign_in_for_the_same_scopes_replaces_the_grant() -> None:
    cache = signed_in("git", "openid")

    cache.keep(grant("a2", refresh_token="r2", scopes=GIT), ME, KEY, NOW)

    assert refresh_tokens(cache) == ["r2"]


def test_keep_of_a_sign_in_for_other_scopes_adds_a_grant() -> None:
    cache = signed_in()

    cache.keep(
        grant("a2", refresh_token="r2", scopes=("api",)), ME, TokenKey(("api",)), NOW
    )

    assert sorted(refresh_tokens(cache)) == ["r1", "r2"]


def test_keep_where_no_scopes_are_named_counts_those_asked_for() -> None:
    cache = TokenCache()
    cache.keep(grant(refresh_token="r1", scopes=()), ME, KEY, NOW)

    assert cache.grants(ME, KEY)[0].covers(KEY)


def test_drop_grant_forgets_one_refresh_token() -> None:
    cache = signed_in()
    cache.keep(grant(refresh_token="r2", scopes=("api",)), ME, TokenKey(("api",)), NOW)

    cache.drop_grant("r1")

    assert cache.refresh_tokens(ME.id) == ["r2"]
    assert cache.has_grants(ME.id)
    cache.drop_grant("r2")
    assert not cache.has_grants(ME.id)


@pytest.mark.parametrize(
    ("granted", "asked", "sent"),
    [
        (("git",), ("openid", "offline_access", "git"), ("git",)),
        (("openid", "git"), ("openid", "offline_access", "git"), ("openid", "git")),
        (("git",), ("api",), ("api",)),
    ],
)
def test_scopes_to_send_name_no_sign_in_scope_that_was_not_granted(
    granted: tuple[str, ...], asked: tuple[str, ...], sent: tuple[str, ...]
) -> None:
    assert (
        signed_in(*granted).grants(ME, TokenKey(asked))[0].scopes_to_send(asked) == sent
    )


def test_token_of_an_old_row_is_whole() -> None:
    token = signed_in().token(ME, KEY)

    assert token == Token(
        "a1", expires_at=NOW + 3600, obtained_at=NOW, scopes=GIT, account=ME
    )


def test_grant_of_one_tenant_does_not_cover_another() -> None:
    """A refusal there must not cost the sign-in here."""
    cache = TokenCache()
    here, there = (TokenKey(("api/.default",), name) for name in ("here", "there"))
    cache.keep(grant("a1", refresh_token="r1", scopes=("api/read",)), ME, here, NOW)
    cache.keep(grant("a2", refresh_token="r2", scopes=("api/read",)), ME, there, NOW)

    assert [g.covers(here) for g in cache.grants(ME, here)] == [True, False]
    assert [g.refresh_token for g in cache.grants(ME, there)] == ["r2", "r1"]


def test_account_is_bound_to_what_it_signed_in_for() -> None:
    cache = signed_in()
    cache.keep(grant("a2", refresh_token="r2"), YOU, TokenKey(("other",)), NOW)
    cache.bind(TokenKey(("other",)), "a.test", YOU, here=False)

    assert cache.bound(TokenKey(("other",)), "a.test") == YOU
    assert cache.bound(TokenKey(("other",)), "b.test") == YOU
    assert cache.bound(KEY, "a.test") is None
    assert reloaded(cache).bound(TokenKey(("other",)), "a.test") == YOU
    cache.sign_out(YOU.id)
    assert cache.bound(TokenKey(("other",)), "a.test") is None


def test_account_chosen_at_one_host_does_not_move_the_others() -> None:
    cache = signed_in()
    cache.keep(grant("a2", refresh_token="r2"), YOU, KEY, NOW)
    cache.bind(KEY, "a.test", ME, here=True)
    cache.bind(KEY, "b.test", YOU, here=False)

    found = [cache.bound(KEY, host) for host in ("a.test", "b.test", "c.test")]
    assert found == [ME, YOU, YOU]


def test_what_can_be_revoked_is_what_has_no_end_of_its_own() -> None:
    cache = TokenCache()
    cache.keep(grant("ends", refresh_token=""), ME, KEY, NOW)
    assert cache.revocable(ME.id) == []

    endless = grant("endless", refresh_token="", expires_in=None)
    cache.keep(endless, ME, TokenKey(("repo",)), NOW)
    exchanged = TokenKey(("repo",), exchange="acr:registry.example")
    of_a_host = grant("of-a-host", refresh_token="", expires_in=None)
    cache.keep(of_a_host, ME, exchanged, NOW)
    assert cache.revocable(ME.id) == ["endless"]

    cache.keep(grant(refresh_token="r1"), ME, KEY, NOW)
    assert cache.revocable(ME.id) == ["r1"]
