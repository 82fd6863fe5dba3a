"""Whose tenant an Azure DevOps organisation is, by the word of the right server."""

from pathlib import Path

import pytest
from hypothesis import given

from hushkey.clouds import DEFAULT_TENANT, is_tenant
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
        (URI, ""),
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


def test_answer_of_a_personal_organisation_names_nobody() -> None:
    zeros = "00000000-0000-0000-0000-000000000000"

    assert from_answer([("X-VSS-ResourceTenant", zeros)], "public") == ""
    assert from_answer([("X-VSS-ResourceTenant", f"{zeros},{ID}")], "public") == ID


def test_directory_asks_once_and_forgets_on_demand(tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(url: str) -> list[tuple[str, str]]:
        asked.append(url)
        return [("WWW-Authenticate", URI + ID)]

    for _ in range(2):
        found = Directory(str(tmp_path)).tenant("dev.azure.com/c", (), "public", ask)
        assert found == ID
    assert asked == ["https://dev.azure.com/c/"]
    Directory(str(tmp_path)).forget("dev.azure.com/c")
    Directory(str(tmp_path)).tenant("dev.azure.com/c", (), "public", ask)
    assert len(asked) == 2


def test_directory_offline_takes_the_default_and_keeps_nothing(tmp_path: Path) -> None:
    def offline(url: str) -> list[tuple[str, str]]:
        raise Transient("no network")

    found = Directory(str(tmp_path)).tenant("dev.azure.com/c", (), "public", offline)

    assert found == DEFAULT_TENANT
    assert list(tmp_path.rglob("*.json")) == []


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"a": "../x"}', "{" * 99999])
def test_directory_with_garbage_is_an_empty_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "tenants.json").write_text(text)

    found = Directory(str(tmp_path)).tenant(
        "dev.azure.com/c", [URI + ID], "public", lambda url: []
    )

    assert found == ID


def test_directory_of_a_personal_organisation_is_the_default_tenant(
    tmp_path: Path,
) -> None:
    zeros = "00000000-0000-0000-0000-000000000000"

    found = Directory(str(tmp_path)).tenant(
        "dev.azure.com/c", [URI + zeros], "public", lambda url: []
    )

    assert found == DEFAULT_TENANT
