import re

import pytest

from hushkey.signin import pages
from kit import unseen

HOSTILE = f'"><script>alert(1)</script>&{unseen.HOSTILE}'
ALL = {
    "signed_in": pages.signed_in(HOSTILE, HOSTILE),
    "failed": pages.failed(HOSTILE, HOSTILE, HOSTILE),
    "cancelled": pages.cancelled(HOSTILE),
    "already_used": pages.already_used(HOSTILE),
    "opened_before": pages.opened_before(HOSTILE),
    "opened_before_by_us": pages.opened_before(HOSTILE, "/again-1"),
    "unsettled": pages.unsettled(HOSTILE),
    "refused": pages.refused(HOSTILE),
}


@pytest.mark.parametrize("name", ALL)
def test_page_escapes_what_others_said(name: str) -> None:
    assert ALL[name].count("<script>") == 1
    assert "alert(1)</script>" not in ALL[name]
    assert unseen.unseen(ALL[name]) == set()


@pytest.mark.parametrize("name", ALL)
def test_page_loads_nothing(name: str) -> None:
    page = ALL[name].replace('<a href="/again-1">', "")  # followed by a person only
    assert not re.search(r"(?i)\b(src|href|url|@import)\s*[=(]", page)


def test_headers_allow_only_our_own_style_and_script() -> None:
    policy = dict(pages.HEADERS)["Content-Security-Policy"]

    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "\n" not in policy


def test_signed_in_names_host_and_account() -> None:
    page = pages.signed_in("git.example.com", "me@example.com")

    assert "git.example.com" in page
    assert "me@example.com" in page
    assert "close this tab" in page


def test_address_stays_for_a_browser_in_a_container_and_goes_elsewhere() -> None:
    assert "replaceState" not in pages.foreign()
    assert all("replaceState" in page for page in ALL.values())


def test_failed_keeps_a_command_as_it_is() -> None:
    page = pages.failed("h", "the server said no", "run: hushkey login h")

    assert "The server said no." in page
    assert "Run: hushkey login h<" in page
