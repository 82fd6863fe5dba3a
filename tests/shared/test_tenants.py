"""Whose tenant an Azure DevOps organisation is, by the word of the right server."""

import json
from pathlib import Path

import pytest
from hypothesis import given

from hushkey.clouds import DEFAULT_TENANT, PERSONAL, is_tenant
from hushkey.errors import Transient
from hushkey.model import Request
from hushkey.tenants import Directory, from_answer, from_challenges, organisation
from shared.core_fakes import ANY

ID = "1f2a6c1e-7a3c-4f0d-9c55-0d6a3e1c0001"
URI = "Bearer authorization_uri=https://login.microsoftonline.com/"


@pytest.mark.parametrize(
    ("host", "path", "username", "found"),
    [
        ("dev.azure.com", "Contoso/app/_git/app", "", "dev.azure.com/contoso"),
        ("dev.azure.com", "", "contoso", "dev.azure.com/contoso"),
        ("pkgs.dev.azure.com", "contoso/_packaging/f", "", "dev.azure.com/contoso"),
        ("contoso.visualstudio.com", "app", "", "contoso.visualstudio.com"),
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


class Site:
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
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_directory_asks_once_and_forgets_on_demand(site: Site) -> None:
    assert [site.tenant(), site.tenant()] == [ID, ID]
    site.now += 10**9
    assert site.tenant() == ID
    assert site.asked == [f"https://{ORG}/"]

    site.directory().forget(ORG)
    site.tenant()

    assert len(site.asked) == 2


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param(None, 60, id="offline: a minute"),
        pytest.param([], 3600, id="nobody knows: an hour"),
    ],
)
def test_directory_without_an_answer_takes_the_default_for_a_while(
    site: Site, headers: list[tuple[str, str]] | None, seconds: int
) -> None:
    site.headers = headers
    site.tenant()
    site.now += seconds - 1

    assert site.tenant() == DEFAULT_TENANT
    assert len(site.asked) == 1
    site.headers = [("WWW-Authenticate", URI + ID)]
    site.now += 2
    assert site.tenant() == ID


def test_directory_believes_a_challenge_over_what_it_knew(site: Site) -> None:
    site.tenant()

    assert site.tenant(URI + "fabrikam.com") == "fabrikam.com"
    assert site.tenant() == "fabrikam.com"


def test_directory_knows_without_asking(site: Site) -> None:
    assert site.directory().known(ORG) == ""
    site.tenant()

    assert site.directory().known(ORG) == ID
    assert len(site.asked) == 1


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
def test_directory_with_garbage_is_an_empty_one(site: Site, text: str) -> None:
    (site.folder / "state").mkdir()
    (site.folder / "state" / "tenants.json").write_text(text)

    assert site.directory().known(ORG) == ""
    assert site.tenant() == ID


# -- how much is kept ------------------------------------------------------------


def rows(site: Site) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(
        (site.folder / "state" / "tenants.json").read_text()
    )
    return found


def ask_for(site: Site, *names: str) -> None:
    for name in names:
        site.directory().tenant(f"dev.azure.com/{name}", (), "public", site._ask)
        site.now += 0.01


@pytest.mark.parametrize("headers", [None, []], ids=["offline", "nobody knows"])
def test_organisations_asked_for_in_vain_are_kept_up_to_a_number(
    site: Site, headers: list[tuple[str, str]] | None
) -> None:
    site.tenant()
    site.headers = headers
    for number in range(110):
        site.now += 0.1
        ask_for(site, f"o{number}")

    assert len(rows(site)) == 1 + 100
    assert site.directory().known(ORG) == ID
    assert {f"dev.azure.com/o{n}" for n in range(10, 110)} < rows(site).keys()


def test_organisations_that_were_found_are_kept_up_to_a_number(site: Site) -> None:
    known = {
        f"dev.azure.com/o{n}": {"tenant": ID, "at": n, "seconds": None}
        for n in range(900)
    }
    (site.folder / "state").mkdir()
    (site.folder / "state" / "tenants.json").write_text(json.dumps(known))
    ask_for(site, "new")

    assert len(rows(site)) == 500
    assert {"dev.azure.com/new", "dev.azure.com/o899"} < rows(site).keys()


def test_rows_that_are_over_go_with_the_next_one(site: Site) -> None:
    site.headers = None
    ask_for(site, "a", "b")
    site.now += 61

    assert site.directory().organisations() == []
    ask_for(site, "c")

    assert list(rows(site)) == ["dev.azure.com/c"]
