"""What a server says of itself leads to words and to that very server, no further."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hushkey.config import rules
from hushkey.providers import realms
from hushkey.providers.registry import SPECS
from hushkey.providers.spec import ENDPOINTS
from hushkey_install.common import probe
from hushkey_install.setup import recognise, target
from kit.oauth import WELL_KNOWN, Machine, Reply, Scripted
from servers.forge import FORGES, Forge

SETTINGS = {"ca_file": "", "proxy": "", "silent_timeout": 5}


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as made:
        yield made


def seen(server: Scripted, path: str = "") -> probe.Server:
    return probe.server(server.url, path, SETTINGS, os.environ)


@pytest.mark.parametrize("kind", sorted(FORGES.keys() - {"bitbucket"}))
@pytest.mark.parametrize("path", ["", "team/app"])
def test_each_forge_shows_what_it_is(kind: str, path: str) -> None:
    with Forge(kind) as forge:
        found = probe.server(forge.origin, path, SETTINGS, os.environ)

    assert (found.provider, found.base) == (kind, forge.url)


@pytest.mark.parametrize(
    ("header", "provider"),
    [
        ('Basic realm="GitLab"', "gitlab"),
        ('basic realm="gitea"', "gitea"),
        ("Basic realm=Forgejo", "forgejo"),
        ('Negotiate, Basic realm="GITHUB", charset="UTF-8"', "github"),
        ('Basic realm="Atlassian Bitbucket"', "bitbucket-dc"),
        ('Basic realm="GitLab Registry"', ""),
        ('Basic realm="my GitLab"', ""),
        ('Bearer realm="GitLab"', ""),
        ('Digest realm="Gitea"', ""),
        ('Basic realm="GitLab", realm="Gitea"', ""),
        ('Basic realm="GitLab', ""),
        ('Basic charset="GitLab"', ""),
        ('Basic realm=""', ""),
        ("Basic realm=" + '"' + "x" * 20000 + '"', ""),
    ],
)
def test_realm_is_compared_as_a_whole(header: str, provider: str) -> None:
    assert realms.provider_of([header]) == provider


def test_every_realm_is_one_provider_s() -> None:
    named = [realm.lower() for spec in SPECS.values() for realm in spec.realms]

    assert len(named) == len(set(named)) > 4


def test_registry_and_index(server: Scripted) -> None:
    registry = Reply(status=401)
    registry.headers["Docker-Distribution-Api-Version"] = "registry/2.0"
    server.on("/v2/", registry)
    assert seen(server).registry
    index = Reply(b"{}")
    index.headers["Content-Type"] = "application/vnd.pypi.simple.v1+json"
    server.on("/simple", index)
    assert seen(server, "simple").packages


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://accounts.evil.test"},
        {"issuer": "{origin}.evil.test"},
        {"issuer": ["{origin}"]},
        {"userinfo_endpoint": "{origin}/oauth/userinfo"},
        {"issuer": "{origin}/other", "userinfo_endpoint": "{origin}/oauth/userinfo"},
    ],
)
def test_document_of_another_authority_counts_for_nothing(
    server: Scripted, document: dict[str, object]
) -> None:
    origin = server.url
    filled = {
        key: value.format(origin=origin) if isinstance(value, str) else [origin]
        for key, value in document.items()
    }
    server.on(WELL_KNOWN, Reply(filled))
    assert seen(server) == probe.Server()


@pytest.mark.parametrize("key", [*ENDPOINTS, "jwks_uri"])
@pytest.mark.parametrize(
    "url", ["https://evil.test/x", "{origin}.evil.test/x", "{origin}@evil.test/x", "/x"]
)
def test_issuer_that_nobody_named_leads_to_no_other_server(
    server: Scripted, key: str, url: str
) -> None:
    document = {"issuer": server.url, key: url.format(origin=server.url)}
    server.on(WELL_KNOWN, Reply(document))
    assert seen(server) == probe.Server()
    server.on(WELL_KNOWN, Reply({"issuer": server.url, key: f"{server.url}/x"}))
    assert seen(server).issuer == server.url


@pytest.mark.parametrize(
    "userinfo", ["https://evil.test/oauth/userinfo", "{origin}/x/oauth/userinfo", 7]
)
def test_foreign_userinfo_makes_no_forge(server: Scripted, userinfo: object) -> None:
    origin = server.url
    named = userinfo.format(origin=origin) if isinstance(userinfo, str) else userinfo
    server.on(WELL_KNOWN, Reply({"issuer": origin, "userinfo_endpoint": named}))
    found = seen(server)

    assert (found.provider, found.issuer) == ("", origin)


def test_redirect_is_not_followed(server: Scripted) -> None:
    with Scripted() as other:
        away = Reply(status=302)
        away.headers["Location"] = f"{other.url}/"
        for path in (WELL_KNOWN, "/", "/v2/"):
            server.on(path, away)
        assert seen(server) == probe.Server()
        assert other.calls == []


def test_rule_and_built_in_host_are_not_asked(home: Path) -> None:
    machine = Machine(home)
    machine.configure()
    config = rules.load(machine.environ)

    def found(url: str) -> recognise.Found:
        return recognise.find(config, target.parse(url), machine.environ, ask=False)

    assert found("https://git.test/a").rule
    github = found("github.com")
    assert (github.waits, github.provider) == ("github", "github")
    assert github.kinds == {"git"}
    assert found("contoso.azurecr.io").kinds == {"docker"}


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("octo.ghe.com", "github"),
        ("https://OCTO.ghe.com:443/team/app.git", "github"),
        ("git@octo.ghe.com:team/app.git", "github"),
        ("http://octo.ghe.com", ""),
        ("octo.ghe.com:8443", ""),
        ("ghe.com", ""),
        ("api.octo.ghe.com", ""),
        ("octo.ghe.com.evil.test", ""),
        ("octoghe.com", ""),
    ],
)
def test_host_whose_name_says_it_is_a_server_of_its_own(
    home: Path, url: str, provider: str
) -> None:
    machine = Machine(home)
    config = rules.load(machine.environ)

    found = recognise.find(config, target.parse(url), machine.environ, ask=False)

    assert found.provider == provider
    assert found.base == ("https://octo.ghe.com" if provider else "")
    assert not found.rule
    assert not found.waits


def test_server_that_is_away_is_a_note(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = Machine(home)
    config = rules.load(machine.environ)
    there = target.parse("http://127.0.0.1:9/a")

    found = recognise.find(config, there, machine.environ, ask=True)

    assert not found.provider
    assert "could not be asked" in capsys.readouterr().err
