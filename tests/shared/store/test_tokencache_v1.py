"""What hushkey 0.1.0 stored answers as before: no new sign-in.

``data-0.1.0`` was written by that version: a key file, token files of an oidc and an
entra identity (with tenants, and an exchanged secret), and typed credentials. Its
tokens are no secrets; those that are to be fresh end in 2100.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushkey.errors import StoreError
from hushkey.model import Account, HostRule, Identity, Token, TokenKey
from hushkey.store import tokencache_v1
from hushkey.store.tokencache import TokenCache
from kit.oauth import (
    HEADLESS,
    Desk,
    FakeProvider,
    Machine,
    grant,
)

STORED = Path(__file__).parent / "data-0.1.0"
HOME = "11111111-aaaa-4aaa-8aaa-000000000001"
ME, YOU = Account("id-1", "me@example.com"), Account("id 2", "you@example.com")
ANN = Account(f"uid-1.{HOME}", "ann@contoso.com")
CORP = Identity("corp", "oidc", client_id="c", options={"issuer": "https://id.test"})
CLAIMS = '{"access_token":{"acrs":{"essential":true}}}'
CONFIG = f"""
[identity.azure]
provider = "entra"
client_id = "app"
tenant = "{HOME}"

[host."dev.azure.com"]
identity = "azure"
scopes = ["feed/.default"]

[host."reg.azurecr.io"]
identity = "azure"
scopes = ["reg/.default"]
exchange = "acr"
"""


def copied(folder: Path) -> None:
    shutil.copytree(STORED, folder)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)


@pytest.fixture
def machine(home: Path) -> Machine:
    made = Machine(home)
    made.configure(CONFIG)
    copied(made.data)
    made.environ["HUSHKEY_INTERACTIVE"] = "never"
    return made


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    copied(tmp_path / "data")
    return Desk(tmp_path / "data")


def asked(host: str) -> bytes:
    return f"protocol=https\nhost={host}\n\n".encode()


def sealed(machine: Machine) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (machine.data / "tokens").iterdir()}


# -- the programs ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "secret"),
    [
        ("git.test", b"at-old"),
        ("dev.azure.com\npath=contoso/_git/x", b"at-feed"),
        ("typed.test", b"pw-old"),
    ],
)
def test_git_gets_what_was_stored(machine: Machine, host: str, secret: bytes) -> None:
    before = sealed(machine)

    done = machine.run("git-credential-hushkey", "get", stdin=asked(host))

    assert b"password=" + secret in done.stdout, done.stderr
    assert sealed(machine) == before


def test_docker_gets_the_exchanged_secret(machine: Machine) -> None:
    done = machine.run("docker-credential-hushkey", "get", stdin=b"reg.azurecr.io")

    assert json.loads(done.stdout) == {
        "ServerURL": "reg.azurecr.io",
        "Username": "<token>",
        "Secret": "reg-old",
    }


def test_nothing_is_lost_with_the_first_change(machine: Machine) -> None:
    before = sealed(machine)
    refusal = b"protocol=https\nhost=git.test\nusername=x\npassword=at-old\n\n"

    machine.run("git-credential-hushkey", "erase", stdin=refusal)

    assert sorted(sealed(machine)) == sorted(before)
    assert sealed(machine) != before
    assert "at-old" not in machine.stored()
    cache = machine.token_file().read()
    assert cache.refresh_tokens(ME.id) == ["rt-old"]
    assert cache.refresh_tokens(YOU.id) == ["rt-you"]


# -- what the file holds -------------------------------------------------------------


def test_every_part_of_the_stored_file_counts(desk: Desk) -> None:
    file = desk.process().file_of(CORP)
    old = file.read()
    with file.change(5) as change:
        change.save()

    for cache in (old, file.read()):
        assert cache.account("me") == cache.account("") == ME
        assert cache.account("you@example.com") == YOU
        assert cache.bound(TokenKey(("git",)), "any.test") == ME
        assert cache.bound(TokenKey(("wiki",)), "wiki.test") == YOU
        assert cache.bound(TokenKey(("wiki",)), "any.test") is None
        assert cache.demanded(YOU, TokenKey(("deploy",))) == CLAIMS
        assert [g.scopes for g in cache.grants(ME, TokenKey(("api",)))] == [("git",)]
        assert cache.grants(ME, TokenKey(("narrow",))) == []
        (refusal,) = json.loads(cache.dumps())["refused"]
        assert cache.was_refused(ME, "bad.test", refusal["at"], TokenKey(("bad",)))


def test_tokens_of_a_tenant_keep_it(desk: Desk) -> None:
    issuer = {"issuer": "https://login.microsoftonline.com"}
    azure = Identity("azure", "entra", client_id="app", options=issuer)
    cache = desk.process().file_of(azure).read()
    feed = TokenKey(("feed/.default",), HOME)

    token = cache.token(ANN, feed)
    assert isinstance(token, Token)
    assert (token.value, token.scopes) == ("at-feed", ("feed/x",))
    assert cache.token(ANN, TokenKey(("feed/.default",))) is None
    assert cache.bound(feed, "dev.azure.com/contoso") == ANN
    (row,) = cache.grants(ANN, feed)
    assert row.covers(feed)
    assert not row.covers(TokenKey(("feed/.default",), "another"))


def test_refresh_token_of_the_stored_file_is_redeemed(desk: Desk) -> None:
    provider = FakeProvider(refresh=grant("at-api", scopes=("api",), account=ME))
    rule = HostRule("api.test", CORP, scopes=("api",), account="me")

    token = desk.get(provider, rule, environ=HEADLESS)

    assert (token.value, token.source) == ("at-api", "refresh")
    assert [redeemed for redeemed, _ in provider.redeemed] == ["rt-old"]


def test_file_of_a_newer_version_is_left_alone(desk: Desk) -> None:
    file = desk.process().file_of(CORP)
    with file.change(5) as change:
        content = json.loads(change.cache.dumps()) | {"version": 3}
        change.cache.dumps = lambda: json.dumps(content).encode()  # type: ignore[method-assign]
        change.save()
    before = Path(file.path).read_bytes()

    for act in (file.read, lambda: file.change(5).__enter__()):
        with pytest.raises(StoreError, match="newer version"):
            act()
    assert Path(file.path).read_bytes() == before
    assert desk.warnings == []


# -- any content ---------------------------------------------------------------------

WORDS = st.sampled_from(["git", "api", "x/.default", "openid"])
ACCOUNTS = st.sampled_from(["a", "b", "a b"])
HOSTS = st.sampled_from(["one.test", "two.test:8443"])


@st.composite
def keys(draw: st.DrawFn) -> tuple[TokenKey, str]:
    """Return a key and its text in version 1."""
    scopes = tuple(draw(st.sets(WORDS, max_size=3)))
    tenant = draw(st.sampled_from(["", HOME]))
    exchange = draw(st.sampled_from(["", "acr:reg.test"]))
    marks = [f"\\tenant={tenant}"] * bool(tenant)
    marks += [f"\\exchange={exchange}"] * bool(exchange)
    return TokenKey(scopes, tenant, exchange), " ".join(sorted({*scopes, *marks}))


PLACES = st.lists(
    st.tuples(ACCOUNTS, HOSTS | st.none(), keys(), st.text(min_size=1)),
    max_size=6,
    unique_by=lambda place: (place[1], place[2][1]),
)


@given(PLACES)
def test_old_content_converts_without_loss(places: list[Any]) -> None:
    tokens = {(who, text): value for who, _, (_, text), value in places}
    content = {
        "version": 1,
        "accounts": {who: {"label": who, "names": ["n"]} for who in ("a", "b", "a b")},
        "current": "b",
        "tokens": [
            {
                **{"account": who, "asked": text, "value": value, "claims": ""},
                **{"obtained_at": 1, "expires_at": None, "scopes": text.split()},
            }
            for (who, text), value in tokens.items()
        ],
        "grants": [
            {
                **{"account": who, "refresh_token": value, "obtained_at": 7},
                **{"scopes": text.split(), "refused": [text]},
            }
            for (who, text), value in tokens.items()
        ],
        "bound": {
            text if host is None else f"{host}\t{text}": who
            for who, host, (_, text), _ in places
        },
        "demanded": {f"{who} {text}": value for (who, text), value in tokens.items()},
    }

    cache = TokenCache.loads(json.dumps(content).encode())

    assert cache.current == "b"
    assert cache.accounts == content["accounts"]
    for who, host, (key, text), _ in places:
        account, value = Account(who, who), tokens[who, text]
        token = cache.token(account, key)
        assert token is not None
        assert token.value == value
        assert token.scopes == tuple(s for s in text.split() if s[0] != "\\")
        assert token.username == ("<token>" if key.exchange else "")
        assert value in cache.refresh_tokens(who)
        assert cache.demanded(account, key) == value
        grants = cache.grants(account, key)
        assert value not in [row.refresh_token for row in grants if row.covers(key)]
        if host is not None:
            assert cache.bound(key, host) == account
    again = TokenCache.loads(cache.dumps())
    assert again.dumps() == cache.dumps()
    new = json.loads(cache.dumps())
    for row in (*new["tokens"], *new["grants"], *new["bound"], *new["demanded"]):
        words = (*row.get("asked", "").split(), *row.get("scopes", ()))
        assert not any(word.startswith("\\") for word in words)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tokens": "x"},
        {"tokens": [{"asked": 1}]},
        {"grants": [{"account": "a", "scopes": "git"}]},
        {"bound": ["x"]},
        {"bound": {"x": 1}},
        {"demanded": {"a git": None}},
    ],
)
def test_what_is_no_content_of_version_1_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        TokenCache.loads(json.dumps({"version": 1, **wrong}).encode())


def test_upgraded_changes_nothing_in_what_it_is_given() -> None:
    row = {"account": "a", "refresh_token": "r", "scopes": ["\\tenant=t", "git"]}
    content = {"version": 1, "grants": [row]}

    (new,) = tokencache_v1.upgraded(content)["grants"]

    assert new["scopes"] == ["git"]
    assert new["tenant"] == "t"
    assert row["scopes"] == ["\\tenant=t", "git"]
