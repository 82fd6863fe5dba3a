"""Rules that are for the URLs of one user name."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushkey.config.compile import compile_config
from hushkey.config.rules import Config
from hushkey.errors import ConfigError, Permanent
from hushkey.model import Request
from kit.core import IDENTITIES, config_of, pattern_of, rule

HOST = "git.example"
#: spellings of one pattern: TOML has each table once
TWO = (rule(HOST, user="alice"), rule(f"{HOST}/", "work", user="Bob"))


def chosen(config: Config, user: str = "", path: str = "team/app") -> tuple[str, str]:
    found = config.rule_for(Request("https", HOST, path, user))
    return (pattern_of(found), found.user) if found else ("", "")


@pytest.mark.parametrize("path", ["", "team/app.git"])
@pytest.mark.parametrize(
    ("user", "expected"),
    [
        *(("alice", "alice"), ("ALICE", "alice"), ("bob", "Bob"), ("Bob", "Bob")),
        *(("", ""), ("carol", ""), ("alic", ""), ("alice ", ""), ("alice@x", "")),
    ],
)
def test_rule_of_a_user_counts_for_that_name_alone(
    user: str, expected: str, path: str
) -> None:
    assert chosen(config_of(*TWO), user, path)[1] == expected


@pytest.mark.parametrize("path", ["", "team/app.git"])
def test_rule_without_a_user_serves_the_others(path: str) -> None:
    config = config_of(*TWO, rule(f"https://{HOST}", "work"))

    assert chosen(config, "alice", path) == (HOST, "alice")
    for other in ("", "carol"):
        assert chosen(config, other, path) == (f"https://{HOST}", "")


def test_preset_serves_the_others() -> None:
    config = config_of(rule("dev.azure.com", user="alice"))

    for user, identity in (("alice", "corp"), ("bob", "azure"), ("", "azure")):
        found = config.rule_for(Request("https", "dev.azure.com", "x/_git/y", user))
        assert found is not None
        assert found.identity.name == identity


def test_one_host_is_before_all_below_its_domain() -> None:
    config = config_of(rule("*.example.com", "work"), rule("a.example.com", user="al"))

    for user, pattern in (("al", "a.example.com"), ("bob", "*.example.com")):
        found = config.rule_for(Request("https", "a.example.com", "", user))
        assert pattern_of(found) == pattern


def test_longer_path_is_before_a_user() -> None:
    config = config_of(rule(f"{HOST}/team", "work"), rule(HOST, user="alice"))

    assert chosen(config, "alice", "team/app") == (f"{HOST}/team", "")
    assert chosen(config, "alice", "other/app") == (HOST, "alice")


def test_rule_of_a_user_is_before_a_path_that_begins_so() -> None:
    config = config_of(rule(f"{HOST}/bob", "work"), rule(HOST, user="alice"))
    both = config_of(rule(f"{HOST}/bob", "work"), rule(HOST, user="bob"))

    assert chosen(config, "bob", "") == (f"{HOST}/bob", "")
    assert chosen(config, "alice", "") == (HOST, "alice")
    assert chosen(both, "bob", "") == (HOST, "bob")


def test_array_of_tables_is_one_rule_for_each_user() -> None:
    tables = "".join(
        f'[[host."{HOST}"]]\nidentity = "{identity}"\nuser = "{user}"\n'
        for identity, user in (("corp", "alice"), ("work", "bob"))
    )
    config = Config(compile_config(IDENTITIES + tables, "c.toml"), "")

    assert [(r.identity.name, r.user) for r in config.rules() if r.user] == [
        ("corp", "alice"),
        ("work", "bob"),
    ]
    assert chosen(config, "bob") == (HOST, "bob")


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ((rule(HOST, user="bob"), rule(f"{HOST}/", user="BOB")), "is the same pattern"),
        ((rule(HOST), rule(f"{HOST}:443")), "is the same pattern"),
        ((rule(HOST, user=""),), "user: expected the user name of a URL"),
        ((rule(HOST, user="a/b"),), "user: expected the user name of a URL"),
        ((f'[[host."{HOST}"]]\n' * 2,), "identity: is required"),
        ((f'[host]\n"{HOST}" = []\n',), f"{HOST}: expected a table"),
        ((f'[host]\n"{HOST}" = [1]\n',), f"{HOST}: expected a table"),
        ((f'[[host."{HOST}"]]\nidentity = "corp"\n' * 2,), "is the same pattern"),
    ],
)
def test_two_rules_of_which_nobody_could_tell_which_are_a_fault(
    rules: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(*rules)

    assert any(problem in line for line in caught.value.problems)


def test_administrators_rule_of_another_user_counts_beside_the_users_own() -> None:
    own = IDENTITIES + rule(HOST, user="alice") + rule(f"{HOST}/x", "work")
    tables = "".join(
        f'[[host."{HOST}"]]\nidentity = "corp"\nuser = "{user}"\n'
        for user in ("bob", "ALICE")
    )
    system = tables + rule(f"{HOST}/x/", "corp") + IDENTITIES
    config = Config(compile_config(own, "c.toml", system, "s.toml"), "")
    found = [(r.pattern, r.user, r.origin) for r in config.rules() if not r.built_in]

    assert found == [
        (HOST, "alice", "user"),
        (HOST, "bob", "system"),
        (f"{HOST}/x", "", "user"),
    ]


@pytest.mark.parametrize(
    ("written", "name"),
    [("\u00fc", "\u00dc"), ("fabrikam", "fabri\u212aam"), ("strasse", "stra\u00dfe")],
)
def test_letters_of_a_user_that_servers_fold_differently_are_never_guessed(
    written: str, name: str
) -> None:
    config = config_of(rule(HOST, user=written), rule(f"{HOST}/", "work"))

    with pytest.raises(Permanent, match="the user name is that of a rule"):
        chosen(config, name)
    assert chosen(config, written)[1] == written


def test_alias_is_for_the_user_of_its_rule() -> None:
    config = config_of(TWO[0], TWO[1] + 'aliases = ["team/feed"]\n')

    assert config.aliased("team/feed") == Request("https", f"{HOST}:443", "", "Bob")


USERS, PATHS = ("", "alice", "bob"), ("", "/a", "/a/b", "/b")
PLACES = st.sets(st.sampled_from([*itertools.product(USERS, PATHS)]), min_size=1)


@given(PLACES, st.sampled_from([*USERS, "carol"]), st.sampled_from(["a", "a/b/c", "c"]))
def test_longest_path_then_the_user_decides(
    places: set[tuple[str, str]], user: str, path: str
) -> None:
    tables = "".join(
        f'[[host."{HOST}{p}"]]\nidentity = "corp"\n' + (f'user = "{u}"\n' if u else "")
        for u, p in sorted(places, key=lambda place: place[1])
    )
    config = Config(compile_config(IDENTITIES + tables, "c.toml"), "")
    fits = [
        (len(p), u, p)
        for u, p in places
        if u in ("", user) and f"/{path}/".startswith(f"{p}/")
    ]
    best = max(fits, key=lambda fit: (fit[0], bool(fit[1])), default=None)

    assert chosen(config, user, path) == (
        (HOST + best[2], best[1]) if best else ("", "")
    )
