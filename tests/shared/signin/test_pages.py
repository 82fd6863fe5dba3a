import re

import pytest

from hushkey.signin import pages
from kit import unseen

HOSTILE = f'"><script>alert(1)</script>&{unseen.HOSTILE}'
ALL = {
    "signed_in": pages.signed_in(HOSTILE, HOSTILE, HOSTILE),
    "failed": pages.failed(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE),
    "failed_code": pages.failed(HOSTILE, HOSTILE, f"run: {HOSTILE}"),
    "declined": pages.declined(HOSTILE, HOSTILE, HOSTILE),
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


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        ("run: hushkey login h", "Run <code>hushkey login h</code>. In an editor, "),
        (
            "run: hushkey login h; or wait",
            "<code>hushkey login h</code>; or wait. ",
        ),
        ("ask, or run `hushkey doctor`", "Ask, or run <code>hushkey doctor</code>. "),
        (
            "check `a`, or run: hushkey b",
            "<code>a</code>, or run <code>hushkey b</code>.",
        ),
        ("try again later", '<p class="next">Try again later</p>'),
        ("", "The terminal, or the tool that asked, says more."),
    ],
)
def test_command_in_a_hint_is_code(hint: str, shown: str) -> None:
    page = pages.failed("h", "the server said no", hint)

    assert "The server said no." in page
    assert shown in page


def test_failed_has_one_line_to_copy() -> None:
    page = pages.failed("h", "no", report="hushkey 1: h: no <b>")

    assert '<code id="line">hushkey 1: h: no &lt;b&gt;</code>' in page
    assert page.count("<button") == 1
    assert "<button" not in pages.failed("h", "no")


@pytest.mark.parametrize(
    "page",
    [
        pages.declined("git.test", "it was declined"),
        pages.cancelled("git.test"),
    ],
)
def test_no_is_calm_and_says_how_to_change_it(page: str) -> None:
    assert 'class="state stopped"' in page
    assert 'role="status"' in page
    assert "<code>hushkey login git.test</code>" in page
    assert "failed" not in page


def test_command_that_asked_is_named_and_goes_on() -> None:
    page = pages.signed_in("git.test", "me", "git fetch in /repo")

    assert ">git fetch in /repo</dd>" in page
    assert "repeat the action there" in page
    assert "Asked by" not in pages.signed_in("git.test", "me")


def test_long_name_breaks_after_its_separators() -> None:
    name = "first.last@subsidiary.example.com"

    page = pages.signed_in("git.test", name)

    assert "first.<wbr>last@<wbr>subsidiary.<wbr>example.<wbr>com</dd>" in page
    assert f'title="{name}"' in page
