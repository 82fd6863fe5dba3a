"""A visitor who signs in where no browser can: follows redirects, sends in the form.

hushkey starts it as the user's browser (`BROWSER=python -m ...visitor`), with
the address as its last word. It knows nothing of hushkey: it sees pages.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode, urljoin, urlsplit

PAGE_SECONDS = 30.0
PAGES = 5
VISITS = "HUSHKEY_DEMO_VISITS"


class Form(HTMLParser):
    """The first form of a page: where it goes, and its fields as they stand."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of the form and its inputs."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and self.action is None:
            self.action, self._inside = given.get("action", ""), True
        elif tag == "input" and self._inside and given.get("name"):
            self.fields[given["name"]] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        """Leave the form."""
        if tag == "form":
            self._inside = False


def visit(url: str) -> str:
    """Go to *url*, send in forms until there are none, return the last address.

    The demonstration's form is filled in already, so sending it in as it stands
    is what a click on its button does.
    """
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),  # all of it is on loopback
        urllib.request.HTTPCookieProcessor(CookieJar()),
    )
    data: bytes | None = None
    for _ in range(PAGES):
        with opener.open(url, data, timeout=PAGE_SECONDS) as response:
            url, form = response.url, Form(response.read().decode(errors="replace"))
        if form.action is None:
            return url
        url = urljoin(url, form.action)
        data = urlencode(form.fields).encode()
    raise ValueError(f"still a form after {PAGES} pages")


def note(**entry: object) -> None:
    """Append a line to the file of visits, if one is wanted."""
    if path := os.environ.get(VISITS):
        line = json.dumps({"time": time.time(), "pid": os.getpid(), **entry})
        with Path(path).open("a") as file:
            file.write(line + "\n")


def main(argv: Sequence[str]) -> int:
    """Visit the address in the last word of *argv*; 1 if that went wrong."""
    url = argv[-1]
    note(event="opened", host=urlsplit(url).netloc)
    try:
        last = visit(url)
    except (OSError, ValueError) as error:  # URLError and HTTPError are OSErrors
        note(event="failed", why=type(error).__name__)
        return 1
    # Without its query: that holds the authorization code.
    note(event="done", at=urlsplit(last)._replace(query="", fragment="").geturl())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv))
