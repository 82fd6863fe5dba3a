"""The page a browser ends on: one self-contained document, nothing loaded.

Every text is escaped, and the policy allows exactly this style and this script by
their hashes, so that text from a server can never run. The script takes code and
state out of the address bar; without it the page is the same.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape

from hushkey.errors import plain

_STYLE = """
:root{color-scheme:light dark;--bg:#f4f4f8;--card:#fff;--line:#e3e3ec;--text:#1c1b29;
--soft:#5d5b70;--brand:#4b3fd1;--good:#12784a;--good-bg:#e2f5ea;--bad:#b3261e;
--bad-bg:#fdeceb;--calm:#4b3fd1;--calm-bg:#eceafc}
@media (prefers-color-scheme:dark){:root{--bg:#131219;--card:#1d1c26;--line:#302e3d;
--text:#f2f1f8;--soft:#aeacc0;--brand:#a79fff;--good:#6fdca4;--good-bg:#143325;
--bad:#ff9d94;--bad-bg:#3d1a18;--calm:#a79fff;--calm-bg:#272449}}
*{box-sizing:border-box}
html{height:100%}
body{margin:0;min-height:100%;display:flex;flex-direction:column;align-items:center;
justify-content:center;padding:2rem 1.25rem;background:var(--bg);color:var(--text);
font:1.0625rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,Cantarell,sans-serif}
main{width:100%;max-width:30rem;padding:2.5rem 2.5rem 2.25rem;background:var(--card);
border:1px solid var(--line);border-radius:1rem;text-align:center;
box-shadow:0 1px 2px rgb(0 0 0/.05),0 12px 32px -12px rgb(0 0 0/.14)}
.state{width:3.5rem;height:3.5rem;border-radius:50%;margin:0 auto 1.25rem;
display:flex;align-items:center;justify-content:center}
.state svg{width:2rem;height:2rem}
.good{color:var(--good);background:var(--good-bg)}
.bad{color:var(--bad);background:var(--bad-bg)}
.calm,.stopped{color:var(--calm);background:var(--calm-bg)}
h1{margin:0 0 .5rem;font-size:1.5rem;line-height:1.25;font-weight:650;
letter-spacing:-.01em;text-wrap:balance}
p{margin:0;overflow-wrap:anywhere;text-wrap:balance}
.next a{display:inline-block;padding:.625rem 1.25rem;border-radius:.625rem;
font-weight:600;text-decoration:none;color:var(--calm);background:var(--calm-bg)}
.next a:hover,.next a:focus-visible{text-decoration:underline}
.next{color:var(--soft);margin-top:1rem;font-size:.9375rem}
dl{margin:1.5rem 0 0;padding:0;text-align:left;border:1px solid var(--line);
border-radius:.625rem;overflow:hidden}
dl div{display:flex;gap:1rem;padding:.625rem .875rem;font-size:.9375rem}
dl div+div{border-top:1px solid var(--line)}
dt{color:var(--soft);flex:0 0 5.5rem}
dd{margin:0;flex:1;min-width:0;overflow-wrap:anywhere;font-weight:550}
footer{display:flex;align-items:center;gap:.5rem;margin-top:1.5rem;color:var(--soft);
font-size:.875rem;font-weight:550}
footer svg{width:1.5rem;height:1.5rem;color:var(--brand)}
@media (max-width:26rem){main{padding:2rem 1.25rem 1.75rem}
dl div{flex-direction:column;gap:0}dt{flex:none}}
"""
_SCRIPT = 'history.replaceState(null,"",location.pathname)'

# Our mark: a key whose bow is a speech bubble that says nothing.
_MARK = (
    '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" '
    'stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">'
    '<circle cx="8" cy="12" r="5"/><path d="M13 12h9M18.5 12v3.5M22 12v2.5"/>'
    '<path d="M6.5 12h3"/></svg>'
)
_ICONS = {
    "good": "M5 12.5l4.5 4.5L19 7.5",
    "bad": "M12 6.5v7M12 17.5v.01",
    "calm": "M12 11v6.5M12 6.5v.01",
    "stopped": "M7 7l10 10M17 7L7 17",
}


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest())
    return f"'sha256-{digest.decode()}'"


HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    (
        "Content-Security-Policy",
        f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)


def signed_in(host: str, account: str) -> str:
    """Return the page for tokens that were redeemed and stored."""
    facts = (("Host", host), ("Account", account))
    return _page("good", "You are signed in", "", _CLOSE, facts)


def failed(host: str, what: str, hint: str = "") -> str:
    """Return the page that says in one sentence *what* went wrong, and what to do."""
    advice = _upper(plain(hint)) or "The terminal, or the tool that asked, says more."
    return _page(
        "bad", "The sign-in failed", _sentence(what), advice, (("Host", host),)
    )


def cancelled(host: str) -> str:
    """Return the page behind the cancel link."""
    return _page("stopped", "Sign-in cancelled", "", _CLOSE, (("Host", host),))


def already_used(host: str) -> str:
    """Return the page for a second redirect."""
    what = "This sign-in was already used, so nothing was done again."
    return _page("calm", "Nothing more to do", what, _CLOSE, (("Host", host),))


def opened_before(host: str, again: str = "") -> str:
    """Return the page for a second visit to the address that works once.

    *again* is the path that leads on, for a visitor who is known to be our user.
    """
    what = "The address that brought you here works once, and was opened before."
    advice = (
        "If that was not you, somebody else on this machine opened it: "
        "cancel the sign-in and start it again."
    )
    link = ("Go to the sign-in page", again) if again else ("", "")
    facts = (("Host", host),)
    return _page("calm", "Opened already", what, "" if again else advice, facts, link)


def unsettled(host: str) -> str:
    """Return the page for an answer of which nobody said how it ended."""
    what = "The answer has arrived, but its result is not known yet."
    advice = "The terminal, or the tool that asked, says how it went."
    return _page("calm", "Back to your tool", what, advice, (("Host", host),))


def refused(what: str) -> str:
    """Return the page for a request that is not the redirect we wait for."""
    advice = "If you are signing in, go on in the newest sign-in page that opened."
    return _page("bad", "Not part of this sign-in", what, advice, ())


def foreign() -> str:
    """Return the page for another user of this machine: it says nothing of ours.

    The address stays: whoever signs in with a browser in a container pastes it.
    """
    what = "Only programs of the user who began it are answered here."
    advice = (
        "If that is you, in a container or as root: copy this page's address into "
        "the terminal that waits for it."
    )
    return _page("bad", "Not part of this sign-in", what, advice, (), script="")


_CLOSE = "You can close this tab and go back to what you were doing."


def _sentence(text: str) -> str:
    """Return *text*, one of our error phrases, as a sentence."""
    line = plain(text)
    return _upper(line + "." if line and line[-1] not in ".!?" else line)


def _upper(text: str) -> str:
    """Return *text*, which may end in a command: so no period is added here."""
    return text[:1].upper() + text[1:]


def _page(
    tone: str,
    title: str,
    what: str,
    advice: str,
    facts: tuple[tuple[str, str], ...],
    link: tuple[str, str] = ("", ""),
    script: str = _SCRIPT,
) -> str:
    rows = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(plain(value))}</dd></div>"
        for name, value in facts
        if value
    )
    body = (
        f'<span class="state {tone}"><svg viewBox="0 0 24 24" fill="none" '
        'stroke="currentColor" stroke-width="2.5" stroke-linecap="round" '
        f'stroke-linejoin="round" aria-hidden="true"><path d="{_ICONS[tone]}"/></svg>'
        f"</span><h1>{escape(title)}</h1>"
        + (f"<p>{escape(plain(what))}</p>" if what else "")
        + (f"<dl>{rows}</dl>" if rows else "")
        + (f'<p class="next">{escape(plain(advice))}</p>' if advice else "")
        + (f'<p class="next"><a href="{link[1]}">{link[0]}</a></p>' if link[1] else "")
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)} - hushkey</title>"
        f"<style>{_STYLE}</style><script>{script}</script></head>"
        f'<body><main role="{"alert" if tone == "bad" else "status"}">{body}</main>'
        f"<footer>{_MARK}<span>hushkey</span></footer></body></html>\n"
    )
