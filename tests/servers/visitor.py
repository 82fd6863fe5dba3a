"""The scripted visitor: a person at a browser, in the standard library.

    BROWSER="python visitor.py"

Follows redirects with cookies, fills in and sends forms (login, consent, device
code, form_post), and follows meta refreshes, until a page asks for nothing more.

VISITOR_USER      the account name; without it a prefilled name is kept
VISITOR_PASSWORD  the password (default: x)
VISITOR_CODE      the user code of a device sign-in, if the URL lacks it
VISITOR_CA        a CA file for https
VISITOR_LOG       gets one JSON line per visit, before anything else happens
VISITOR_MODE      decline: the person says no (straight to the redirect, if there is
                  one); hang: nothing for VISITOR_HANG (60) seconds; noise: prints on
                  stdout and stderr; slow: waits VISITOR_HANG (1) seconds first
"""

import http.cookiejar
import json
import os
import re
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

NO = re.compile(r"cancel|deny|decline|abort|logout|reject|refuse", re.IGNORECASE)
NAMES = ("login", "user", "username", "account", "email", "identifier", "loginfmt")


@dataclass
class Form:
    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)
    buttons: list[tuple[str, str, str]] = field(default_factory=list)


class Page(HTMLParser):
    """The forms of a page, with buttons that name their form by `form=`."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.refresh = ""
        self._open: Form | None = None
        self._by_id: dict[str, Form] = {}
        self._button: tuple[Form, str, str] | None = None
        self._later: list[tuple[str, tuple[str, str, str]]] = []
        self.feed(text)
        self.close()
        for name, button in self._later:
            if name in self._by_id:
                self._by_id[name].buttons.append(button)

    def handle_starttag(
        self, tag: str, attributes: list[tuple[str, str | None]]
    ) -> None:
        values = {name: value or "" for name, value in attributes}
        if tag == "form":
            method = values.get("method", "get").lower()
            self._open = Form(values.get("action", ""), method)
            self.forms.append(self._open)
            if "id" in values:
                self._by_id[values["id"]] = self._open
        elif tag == "meta" and values.get("http-equiv", "").lower() == "refresh":
            _, _, target = values.get("content", "").partition("=")
            self.refresh = target.strip(" '\"")
        elif tag == "input" and self._open is not None:
            self._input(self._open, values)
        elif tag == "button" and values.get("type", "submit") == "submit":
            name, value = values.get("name", ""), values.get("value", "")
            button = (name, value, f"{name} {value}")
            if "form" in values:
                self._later.append((values["form"], button))
            elif self._open is not None:
                self._button = (self._open, name, value)

    def _input(self, form: Form, values: dict[str, str]) -> None:
        kind, name = values.get("type", "text").lower(), values.get("name", "")
        value = values.get("value", "")
        if kind == "submit":
            form.buttons.append((name, value, f"{name} {value}"))
        elif not name:
            return
        elif kind in ("checkbox", "radio"):
            if kind == "checkbox" or "checked" in values:
                form.fields.append((name, value or "on"))
        else:
            form.fields.append((name, value))
            if kind == "password":
                form.passwords.append(name)
            elif kind != "hidden":
                form.texts.append(name)

    def handle_data(self, data: str) -> None:
        if self._button is not None and data.strip():
            form, name, value = self._button
            form.buttons.append((name, value, f"{name} {value} {data}"))
            self._button = None

    def handle_endtag(self, tag: str) -> None:
        if tag == "button" and self._button is not None:
            form, name, value = self._button
            form.buttons.append((name, value, f"{name} {value}"))
            self._button = None
        elif tag == "form":
            self._open = None


def fill(form: Form, *, says_yes: bool) -> list[tuple[str, str]]:
    """What a person would send with this form."""
    user = os.environ.get("VISITOR_USER", "")
    code = os.environ.get("VISITOR_CODE", "")
    filled = []
    for name, value in form.fields:
        if name in form.passwords:
            value = os.environ.get("VISITOR_PASSWORD", "x")
        elif name in form.texts and "code" in name.lower():
            value = code or value
        elif name in form.texts and (name.lower() in NAMES or form.passwords):
            value = user or value
        filled.append((name, value))
    fitting = [b for b in form.buttons if bool(NO.search(b[2])) != says_yes]
    if not says_yes and not fitting:
        raise SystemExit("visitor: this page has no way to say no")
    for name, value, _ in fitting[:1]:
        if name:
            filled.append((name, value))
    return filled


def choose(forms: list[Form]) -> Form | None:
    """The form that a person came for."""
    wanted = [f for f in forms if f.passwords or f.texts]
    wanted += [f for f in forms if f.method == "post" and not NO.search(f.action)]
    return wanted[0] if wanted else None


class Visitor:
    def __init__(self, *, says_yes: bool) -> None:
        self._says_yes = says_yes
        ca = os.environ.get("VISITOR_CA")
        context = ssl.create_default_context(cafile=ca or None)
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
        )

    def visit(self, url: str, data: list[tuple[str, str]] | None = None) -> str:
        """Walk from page to page until one asks for nothing; return its text."""
        method = "GET" if data is None else "POST"
        for _ in range(20):
            url, text = self._open(url, method, data)
            page = Page(text)
            form = choose(page.forms)
            if form is not None:
                data = fill(form, says_yes=self._says_yes or self._came_back(form))
                url = urllib.parse.urljoin(url, form.action)
                method = form.method.upper()
            elif page.refresh:
                url, method, data = urllib.parse.urljoin(url, page.refresh), "GET", None
            else:
                return text
        raise SystemExit("visitor: 20 pages and no end")

    @staticmethod
    def _came_back(form: Form) -> bool:
        # A form without a choice (form_post, a device code's first page) is sent.
        return not any(NO.search(text) for _, _, text in form.buttons)

    def _open(
        self, url: str, method: str, data: list[tuple[str, str]] | None
    ) -> tuple[str, str]:
        body = None
        if data is not None:
            encoded = urllib.parse.urlencode(data)
            if method == "GET":
                url = urllib.parse.urlsplit(url)._replace(query=encoded).geturl()
            else:
                body = encoded.encode()
        request = urllib.request.Request(url, data=body, method=method)
        request.add_header("User-Agent", "visitor")
        try:
            with self._opener.open(request, timeout=30) as answer:
                return answer.geturl(), answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")
            plain = " ".join(re.sub(r"<[^>]*>", " ", text).split())
            raise SystemExit(f"visitor: {error.code} at {url}: {plain[:300]}") from None


class _Stay(urllib.request.HTTPRedirectHandler):
    """Show redirects instead of following them."""

    def http_error_302(self, _: object, answer: Any, *__: object) -> Any:
        return answer


def resolve(url: str) -> str:
    """Return where the short address `url` leads, or `url` itself."""
    parts = urllib.parse.urlsplit(url)
    if parts.query or parts.scheme != "http":
        return url
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay())
    with opener.open(url, timeout=30) as answer:
        return answer.headers.get("Location") or url


def decline(url: str) -> None:
    """Say no: at the redirect if the request names one, else on the pages."""
    url = resolve(url)
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
    if "redirect_uri" not in query:
        Visitor(says_yes=False).visit(url)
        return
    answer = [("error", "access_denied"), ("error_description", "said no")]
    if "state" in query:
        answer.append(("state", query["state"]))
    target = query["redirect_uri"]
    visitor = Visitor(says_yes=True)
    if query.get("response_mode") == "form_post":
        visitor.visit(target, answer)
    else:
        join = "&" if urllib.parse.urlsplit(target).query else "?"
        visitor.visit(target + join + urllib.parse.urlencode(answer))


def note(url: str, mode: str) -> None:
    if path := os.environ.get("VISITOR_LOG"):
        line = {"time": time.time(), "pid": os.getpid(), "mode": mode, "url": url}
        with open(path, "a") as log:
            log.write(json.dumps(line) + "\n")


def main() -> None:
    url = sys.argv[-1]
    mode = os.environ.get("VISITOR_MODE", "")
    note(url, mode)
    if mode == "noise":
        print("Opening in existing browser session.", flush=True)
        print("[1:1] ERROR: no GPU today", file=sys.stderr, flush=True)
    if mode in ("hang", "slow"):
        time.sleep(float(os.environ.get("VISITOR_HANG", 60 if mode == "hang" else 1)))
    if mode == "decline":
        decline(url)
    elif mode != "hang":
        Visitor(says_yes=True).visit(url)


if __name__ == "__main__":
    try:
        main()
    except BaseException as error:
        # Nobody sees this process: what went wrong goes beside the log.
        if path := os.environ.get("VISITOR_LOG"):
            with open(f"{path}.errors", "a") as log:
                log.write(f"{type(error).__name__}: {error}\n")
        raise
