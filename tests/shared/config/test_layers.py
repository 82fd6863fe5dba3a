"""An administrator's config below the user's."""

import os
import time
from pathlib import Path

import pytest

from hushkey.config import layers, rules
from hushkey.config.compile import compile_config
from hushkey.errors import ConfigError
from hushkey.model import HostRule, Request
from hushkey.system import ownership, paths

COMPANY = """
[settings]
proxy = "http://proxy.corp:3128"
min_lifetime = 60
[identity.corp]
provider = "oidc"
issuer = "https://id.corp"
client_id = "company"
[host."git.corp"]
identity = "corp"
scopes = ["git"]
[host."*.packages.corp/Team"]
identity = "corp"
"""
needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0,
    reason="only root can give files away",
)


class Layers:
    """The two files, and what they come to."""

    def __init__(self, folder: Path) -> None:
        self.user, self.system = folder / "config.toml", folder / "system.toml"
        self.environ = {
            "HUSHKEY_CONFIG": str(self.user),
            "HUSHKEY_SYSTEM_CONFIG": str(self.system),
            "HUSHKEY_DATA_DIR": str(folder / "data"),
        }
        self.system.write_text(COMPANY)

    def load(self) -> rules.Config:
        return rules.load(self.environ)

    def rule(self, host: str, path: str = "") -> HostRule | None:
        return self.load().rule_for(Request("https", host, path))


@pytest.fixture
def both(tmp_path: Path) -> Layers:
    return Layers(tmp_path)


def test_hosts_of_the_administrator_serve_without_a_config_of_the_user(
    both: Layers,
) -> None:
    found = both.rule("git.corp")
    assert found
    assert (found.origin, found.identity.client_id) == ("system", "company")
    assert not found.built_in
    assert both.load().settings["min_lifetime"] == 60
    assert both.load().origin_of("corp") == "system"


def test_settings_of_the_user_win_one_by_one(both: Layers) -> None:
    both.user.write_text("[settings]\nmin_lifetime = 5\n")
    settings = both.load().settings
    assert (settings["min_lifetime"], settings["proxy"]) == (
        5,
        "http://proxy.corp:3128",
    )


def test_an_identity_of_the_user_replaces_the_administrator_s_as_a_whole(
    both: Layers,
) -> None:
    both.user.write_text(
        '[identity.corp]\nprovider = "oidc"\nissuer = "https://own"\n'
        'client_id = "mine"\n'
    )
    found = both.rule("git.corp")
    assert found
    assert (found.identity.issuer, found.identity.client_id) == ("https://own", "mine")
    assert both.load().origin_of("corp") == "user"
    both.user.write_text('[identity.corp]\nprovider = "oidc"\nclient_id = "mine"\n')
    with pytest.raises(ConfigError, match=r"config.toml:1: .*issuer: is required"):
        both.load()


@pytest.mark.parametrize(
    "spelling", ["*.PACKAGES.corp/team", "*.packages.corp:443/Team"]
)
def test_a_host_of_the_user_replaces_the_same_pattern_in_another_spelling(
    both: Layers, spelling: str
) -> None:
    both.user.write_text(f'[host."{spelling}"]\nidentity = "corp"\nusername = "me"\n')
    found = both.rule("a.packages.corp", "team/app")
    assert found
    assert (found.pattern, found.origin, found.username) == (spelling, "user", "me")


def test_a_built_in_identity_completed_by_the_administrator_serves(
    both: Layers,
) -> None:
    both.system.write_text(
        '[identity.gitlab]\nprovider = "gitlab"\nclient_id = "company"\n'
    )
    found = both.rule("gitlab.com")
    assert found
    assert (found.origin, found.identity.client_id) == ("system", "company")


@pytest.mark.parametrize(
    ("system", "user", "where"),
    [
        ("[settings]\nagnet = 1\n", "", "system.toml:2: .settings. agnet: unknown"),
        ("", "[settings]\nagnet = 1\n", "config.toml:2: .settings. agnet: unknown"),
        ("[host.'a.b']\nidentity = 'x'\n", "", "system.toml:2: .*there is no"),
        ("settings = 3\n", "", "system.toml:1: .*expected a table"),
        ("[identity\n", "", "system.toml: not valid TOML"),
        ("host = 3\n", "[host.'a.b']\nidentity = 'x'\n", "system.toml:1: host"),
        ("[nothing]\n", "[settings]\n", "system.toml:1: nothing: unknown"),
    ],
)
def test_a_fault_names_the_file_that_has_it(system: str, user: str, where: str) -> None:
    with pytest.raises(ConfigError, match=where):
        compile_config(user, "config.toml", system, "system.toml")


def test_a_change_of_the_administrator_s_file_counts_at_once(both: Layers) -> None:
    both.user.write_text("")
    then = time.time() - 60
    for path in (both.user, both.system):
        os.utime(path, (then, then))
    assert both.rule("git.corp")  # and its compiled form is kept
    both.system.write_text(COMPANY.replace("git.corp", "git2.corp"))
    assert both.rule("git.corp") is None
    assert both.rule("git2.corp")
    both.environ["HUSHKEY_SYSTEM_CONFIG"] = "off"
    assert both.rule("git2.corp") is None
    both.environ["HUSHKEY_SYSTEM_CONFIG"] = str(both.system)
    both.system.unlink()
    assert both.rule("git2.corp") is None


def test_a_file_that_others_can_write_is_refused(both: Layers) -> None:
    both.system.chmod(0o666)
    with pytest.raises(ConfigError, match="can be changed by others") as caught:
        both.load()
    assert "chmod go-w" in caught.value.hint


@needs_root
@pytest.mark.parametrize("named", [True, False])
def test_a_file_of_another_user_is_refused(
    both: Layers, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    os.chown(both.system, 65534, 65534)
    monkeypatch.setattr(paths, "system_config_file", lambda _: str(both.system))
    if not named:
        del both.environ["HUSHKEY_SYSTEM_CONFIG"]
    with pytest.raises(ConfigError, match="belongs to another user"):
        both.load()


@needs_root
def test_a_file_of_the_user_s_own_is_no_administrator_s(
    both: Layers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands where the administrator's would, and the user has put it there."""
    del both.environ["HUSHKEY_SYSTEM_CONFIG"]
    monkeypatch.setattr(paths, "system_config_file", lambda _: str(both.system))
    status = both.system.stat()
    mine = os.stat_result((*status[:4], 1000, *status[5:]))
    monkeypatch.setattr(ownership, "check_trusted", lambda _: mine)
    with pytest.raises(ConfigError, match="so it does not count") as caught:
        both.load()
    assert "HUSHKEY_SYSTEM_CONFIG=off" in caught.value.hint


@pytest.mark.parametrize("named", ["system.toml", "./x", "~/x"])
def test_a_relative_path_is_refused(named: str) -> None:
    with pytest.raises(ConfigError, match="HUSHKEY_SYSTEM_CONFIG must be an absolute"):
        paths.system_config_file({"HUSHKEY_SYSTEM_CONFIG": named})


def test_the_place_does_not_depend_on_the_user_s_variables() -> None:
    there = paths.system_config_file({})
    assert there == paths.system_config_file(
        {"XDG_CONFIG_DIRS": "/tmp/evil", "XDG_CONFIG_HOME": "/tmp/evil", "HOME": "/x"}
    )
    assert os.path.isabs(there)


def test_what_is_left_of_no_tables_is_as_it_was() -> None:
    assert layers.left({"host": 3, "new": 1}, {"host": {}}) == {
        "host": 3,
        "new": 1,
    }
