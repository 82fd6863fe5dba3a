"""Checks of what config.toml may say, as far as providers' own keys need them.

A check returns None when the value will do, else what was expected.
"""

from __future__ import annotations

from difflib import get_close_matches
from urllib.parse import urlsplit

from hushkey import origins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    Check = Callable[[Any], "str | None"]


def near(value: object, valid: Iterable[str]) -> str:
    """Return the words that name the nearest valid spelling, if one is near."""
    if not isinstance(value, str):
        return ""
    found = get_close_matches(value, list(valid), 1, 0.55)
    return f"; did you mean {found[0]}?" if found else ""


def text(value: Any) -> str | None:
    """Accept a non-empty one-line string."""
    good = isinstance(value, str) and value and value.isprintable()
    return None if good else "a non-empty string without control characters"


def flag(value: Any) -> str | None:
    """Accept true or false."""
    return None if isinstance(value, bool) else "true or false"


def number(value: Any) -> str | None:
    """Accept a number that is a name: digits, in quotes or not."""
    digits = str(value) if isinstance(value, str | int) else ""
    good = digits.isascii() and digits.isdigit() and len(digits) < 20
    return None if good and not isinstance(value, bool) else "a number, such as 112"


def absolute_path(value: Any) -> str | None:
    """Accept an absolute path; ``~/`` is not expanded, so nothing is guessed."""
    if isinstance(value, str) and (
        value.startswith("/") or value[1:3] in (":\\", ":/")
    ):
        return None
    return "an absolute path"


def one_of(*words: str) -> Check:
    """Accept one of *words*."""

    def check(value: Any) -> str | None:
        return (
            None if value in words else f"one of {', '.join(words)}{near(value, words)}"
        )

    return check


def url_parts(value: Any) -> tuple[str, str] | None:
    """Return scheme and host of an absolute http(s) URL without user or fragment."""
    if not isinstance(value, str) or any(c <= " " or c == "\x7f" for c in value):
        return None
    try:
        parts = urlsplit(value)
        found = origins.parse_origin(parts.scheme, parts.netloc)
    except ValueError:
        return None
    if found is None or parts.fragment or "@" in parts.netloc:
        return None
    return parts.scheme, found[0]


def secure_url(value: Any) -> str | None:
    """Accept an https URL; http only on a loopback address."""
    parts = url_parts(value)
    good = parts and (
        parts[0] == "https" or (parts[0] == "http" and origins.is_loopback(parts[1]))
    )
    return None if good else "an https:// URL (http:// only on a loopback address)"


def base_url(value: Any) -> str | None:
    """Accept an address below which others are."""
    expected = secure_url(value)
    return expected or ("a URL without a query" if "?" in value else None)
