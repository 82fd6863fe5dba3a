"""Whose tenant an Azure DevOps organisation is, by the word of the right server."""

import json
from pathlib import Path

import pytest
from hypothesis import given

from hushkey.errors import Transient
from hushkey.model import Request
from hushkey.providers.azure_devops import (
    BY_LABEL,
    BY_PATH,
    Directory,
    from_answer,
    from_challenges,
    organisation,
)
from hushkey.providers.clouds import DEFAULT_TENANT, PERSONAL, is_tenant
from kit.core import ANY, config_of

ID = "1f2a6c1e-7a3c-4f0d-9c55-0d6a3e1c0001"
URI = "Bearer authorization_uri=https://login.microsoftonline.com/"


@pytest.mark.parametrize(
    ("host", "path", "username", "found"),
    [
        ("dev.azure.com", "Contoso/app/_git/app", "", "dev.azure.com/contoso"),
        ("dev.azure.com", "", "contoso", "dev.azure.com/contoso"),
        ("pkgs.dev.azure.com", "contoso/_packaging/f", "", "dev.azure.com/contoso"),
        ("contoso.visualstudio.com", "app", "", "contoso.visualstudio.com"),
        ("contoso.pkgs.visualstudio.com", "_packaging", "", "contoso.visualstudio.com"),
        ("pkgs.visualstudio.com", "_packaging", "", ""),
        ("a.b.pkgs.visualstudio.com", "_packaging", "", ""),
        ("dev.azure.com", "", "", ""),
        ("dev.azure.com", "../x", "", ""),
        ("dev.azure.com", "con%20toso", "", ""),
        ("dev.azure.com:8443", "contoso", "", ""),
        ("a.b.visualstudio.com", "x", "", ""),
        ("dev.azure.com.evil.example", "contoso", "", ""),
        ("dev.azure.com", "fabri\u212aam/app", "", ""),  # a Kelvin sign is no k
        ("dev.azure.com", "", "fabri\u212aam", ""),
        ("dev.azure.com", "../x", "contoso", ""),
        ("dev.azure.com", "contoso;x/app", "fabrikam", ""),
        ("dev.azure.com", "c" * 63, "", "dev.azure.com/" + "c" * 63),
        ("dev.azure.com", "c" * 64, "", ""),
    ],
)
def test_organisation(host: str, path: str, username: str, found: str) -> None:
    assert organisation(Request("https", host, path, username)) == found


@pytest.mark.parametrize(
    ("challenge", "tenant"),
    [
        (URI + ID, ID),
        (f"{URI}{ID}, resource=x", ID),
        (f'bearer realm="x", authorization_uri="{URI[25:]}{ID}"', ID),
        (URI + "Contoso.com/", "contoso.com"),
        (f"Basic authorization_uri={URI[25:]}{ID}", ""),
        (URI.replace("https", "http") + ID, ""),
        (URI.replace(".com/", ".com.evil.example/") + ID, ""),
        (URI.replace("login.", "x@login.") + ID, ""),
        (URI.replace(".com/", ".com:444/") + ID, ""),
        (URI.replace(".com/", ".us/") + ID, ""),
        (URI + "a/b", ""),
        (URI + "..", ""),
        (URI + "%2e%2e", ""),
        (URI + "common", ""),
        (URI + "organizations", ""),
        (URI + "00000000-0000-0000-0000-000000000000", PERSONAL),
        (f"Basic realm=x, {URI}{ID}, TFS-Federated", ID),
        (f"{URI}{ID}, authorization_uri={URI[25:]}x", ""),
        (URI, ""),
        (URI + "\u212aontoso.com", ""),
    ],
)
def test_challenge_counts_only_from_the_cloud_s_own_authority(
    challenge: str, tenant: str
) -> None:
    assert from_challenges([challenge], "public") == tenant


@given(ANY)
def test_any_challenge_gives_a_tenant_or_nothing(text: str) -> None:
    found = from_challenges([text, URI + text], "public")

    assert found == "" or is_tenant(found)


def test_answer_of_a_personal_organisation_names_microsofts_own_tenant() -> None:
    zeros = "00000000-0000-0000-0000-000000000000"

    assert from_answer([("X-VSS-ResourceTenant", zeros)], "public") == PERSONAL
    assert from_answer([("X-VSS-ResourceTenant", zeros)], "usgov") == ""
    assert from_answer([("X-VSS-ResourceTenant", f"{zeros},{ID}")], "public") == ID


ORG = "dev.azure.com/c"


class HostRule:
    """An organisation's front door, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 1_700_000_000.0
        self.asked: list[str] = []
        self.headers: list[tuple[str, str]] | None = [("WWW-Authenticate", URI + ID)]

    def directory(self) -> Directory:
        return Directory(str(self.folder), lambda: self.now)

    def tenant(self, *challenges: str) -> str:
        return self.directory().tenant(ORG, challenges, "public", self._ask)

    def _ask(self, url: str) -> list[tuple[str, str]]:
        self.asked.append(url)
        if self.headers is None:
            raise Transient("no network")
        return self.headers


@pytest.fixture
def rule(tmp_path: Path) -> HostRule:
    return HostRule(tmp_path)


def test_directory_asks_once_and_forgets_on_demand(rule: HostRule) -> None:
    assert [rule.tenant(), rule.tenant()] == [ID, ID]
    rule.now += 10**9
    assert rule.tenant() == ID
    assert rule.asked == [f"https://{ORG}/"]

    rule.directory().forget(ORG)
    rule.tenant()

    assert len(rule.asked) == 2


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param(None, 60, id="offline: a minute"),
        pytest.param([], 3600, id="nobody knows: an hour"),
    ],
)
def test_directory_without_an_answer_takes_the_default_for_a_while(
    rule: HostRule, headers: list[tuple[str, str]] | None, seconds: int
) -> None:
    rule.headers = headers
    rule.tenant()
    rule.now += seconds - 1

    assert rule.tenant() == DEFAULT_TENANT
    assert len(rule.asked) == 1
    rule.headers = [("WWW-Authenticate", URI + ID)]
    rule.now += 2
    assert rule.tenant() == ID


def test_directory_believes_a_challenge_over_what_it_knew(rule: HostRule) -> None:
    rule.tenant()

    assert rule.tenant(URI + "fabrikam.com") == "fabrikam.com"
    assert rule.tenant() == "fabrikam.com"


def test_directory_knows_without_asking(rule: HostRule) -> None:
    assert rule.directory().known(ORG) == ""
    rule.tenant()

    assert rule.directory().known(ORG) == ID
    assert len(rule.asked) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"dev.azure.com/c": 1}',
        '{"dev.azure.com/c": {"tenant": "../x", "at": 1, "seconds": null}}',
        '{"dev.azure.com/c": {"tenant": "x", "at": "1"}}',
        "{" * 99999,
    ],
)
def test_directory_with_garbage_is_an_empty_one(rule: HostRule, text: str) -> None:
    (rule.folder / "state").mkdir()
    (rule.folder / "state" / "tenants.json").write_text(text)

    assert rule.directory().known(ORG) == ""
    assert rule.tenant() == ID


# -- how much is kept ------------------------------------------------------------


def rows(rule: HostRule) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(
        (rule.folder / "state" / "tenants.json").read_text()
    )
    return found


def ask_for(rule: HostRule, *names: str) -> None:
    for name in names:
        rule.directory().tenant(f"dev.azure.com/{name}", (), "public", rule._ask)
        rule.now += 0.01


@pytest.mark.parametrize("headers", [None, []], ids=["offline", "nobody knows"])
def test_organisations_asked_for_in_vain_are_kept_up_to_a_number(
    rule: HostRule, headers: list[tuple[str, str]] | None
) -> None:
    rule.tenant()
    rule.headers = headers
    for number in range(110):
        rule.now += 0.1
        ask_for(rule, f"o{number}")

    assert len(rows(rule)) == 1 + 100
    assert rule.directory().known(ORG) == ID
    assert {f"dev.azure.com/o{n}" for n in range(10, 110)} < rows(rule).keys()


def test_organisations_that_were_found_are_kept_up_to_a_number(rule: HostRule) -> None:
    known = {
        f"dev.azure.com/o{n}": {"tenant": ID, "at": n, "seconds": None}
        for n in range(900)
    }
    (rule.folder / "state").mkdir()
    (rule.folder / "state" / "tenants.json").write_text(json.dumps(known))
    ask_for(rule, "new")

    assert len(rows(rule)) == 500
    assert {"dev.azure.com/new", "dev.azure.com/o899"} < rows(rule).keys()


def test_rows_that_are_over_go_with_the_next_one(rule: HostRule) -> None:
    rule.headers = None
    ask_for(rule, "a", "b")
    rule.now += 61

    assert rule.directory().organisations() == []
    ask_for(rule, "c")

    assert list(rows(rule)) == ["dev.azure.com/c"]


def test_every_host_of_azure_devops_is_built_in() -> None:
    built_in = {rule.pattern for rule in config_of().rules() if rule.identity.tenants}

    hosts = {*BY_PATH, *(f"*.{domain}" for domain in BY_LABEL)}
    assert hosts == {pattern for pattern in built_in if ".azurecr." not in pattern}
