"""The page a browser ends on: one self-contained document, nothing loaded.

Every text is escaped, and the policy allows exactly this style and this script by
their hashes, so that text from a server can never run. The script takes code and
state out of the address bar, and shows a button that copies the line for a report;
without it the page is the same.
"""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape

from hushkey.errors import plain
from hushkey.signin import messages

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
code{padding:.125em .375em;border-radius:.375rem;background:var(--bg);color:var(--text);
font:.9em/1.4 ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace;
overflow-wrap:anywhere;box-decoration-break:clone;-webkit-box-decoration-break:clone}
.report{margin-top:1.5rem;padding-top:1.25rem;border-top:1px solid var(--line);
text-align:left;color:var(--soft);font-size:.875rem}
.report code{display:block;margin-top:.5rem;padding:.625rem .75rem;user-select:all}
.report button{margin-top:.625rem;padding:.375rem .875rem;border:1px solid var(--line);
border-radius:.5rem;background:none;color:var(--text);font:inherit;cursor:pointer}
.report button:hover,.report button:focus-visible{border-color:var(--soft)}
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
_SCRIPT = (
    'history.replaceState(null,"",location.pathname);'
    'addEventListener("DOMContentLoaded",()=>{'
    'const b=document.querySelector("button");'
    "if(!b||!navigator.clipboard)return;b.hidden=false;"
    'b.onclick=()=>navigator.clipboard.writeText(document.querySelector("#line")'
    '.textContent).then(()=>{b.textContent="Copied"},()=>{b.hidden=true})})'
)

# Our mark: a key whose bow is a speech bubble that says nothing.
_MARK = (
    '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" '
    'stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">'
    '<circle cx="8" cy="12" r="5"/><path d="M13 12h9M18.5 12v3.5M22 12v2.5"/>'
    '<path d="M6.5 12h3"/></svg>'
)
_REPORT = (
    '<div class="report">If you ask somebody for help, give them this line:'
    '<code id="line">{}</code><button type="button" hidden>Copy</button></div>'
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


def signed_in(host: str, account: str, command: str = "") -> str:
    """Return the page for tokens that were redeemed and stored.

    *command* is what asked for them, where that is known.
    """
    facts = (("Host", host), ("Account", account), ("Asked by", command))
    return _page("good", "You are signed in", "", _GO_ON if command else _CLOSE, facts)


def failed(
    host: str, what: str, hint: str = "", command: str = "", report: str = ""
) -> str:
    """Return the page that says in one sentence *what* went wrong, and what to do.

    *report* is the line that people copy into a report; it holds no secret.
    """
    advice = _upper(_with_code(plain(hint)))
    if "`" in advice:
        advice = f"{advice.rstrip('.')}. {_WHERE}"
    advice = advice or "The terminal, or the tool that asked, says more."
    facts = (("Host", host), ("Asked by", command))
    title = "The sign-in failed"
    return _page("bad", title, _sentence(what), advice, facts, report=report)


def declined(host: str, what: str, command: str = "") -> str:
    """Return the page for a person who said no: nothing is wrong."""
    facts = (("Host", host), ("Asked by", command))
    title = "You are not signed in"
    return _page("stopped", title, _sentence(what), _after_all(host), facts)


def cancelled(host: str) -> str:
    """Return the page behind the cancel link."""
    advice = _after_all(host)
    return _page("stopped", "Sign-in cancelled", "", advice, (("Host", host),))


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
_GO_ON = (
    "You can close this tab: the command goes on. If your editor has stopped waiting, "
    "repeat the action there."
)
#: characters of a name that always fit into a line
_SHORT = 22
_WHERE = "In an editor, use its terminal."


def _after_all(host: str) -> str:
    login = messages.login_command(host)
    return (
        "Nothing was stored, and no window opens for a minute. To sign in after all, "
        f"run `{login}` in a terminal."
    )


def _sentence(text: str) -> str:
    """Return *text*, one of our error phrases, as a sentence."""
    line = plain(text)
    return _upper(line + "." if line and line[-1] not in ".!?" else line)


def _upper(text: str) -> str:
    """Return *text*, which may end in a command: so no period is added here."""
    return text[:1].upper() + text[1:]


def _with_code(hint: str) -> str:
    """Return *hint* with the command after a ``run:`` between backticks."""
    return re.sub(r"\brun: ([^;`]+)", r"run `\1`", hint)


def _rich(text: str) -> str:
    """Return *text* as HTML: what is between backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(plain(text, 1000)))


def _breakable(text: str) -> str:
    """Return *text*, a name, as HTML; a long one breaks after its separators first."""
    name = escape(plain(text))
    if len(name) <= _SHORT:
        return name
    return re.sub(r"([./@:_?=-]+)(?=\w)", r"\1<wbr>", name)


def _page(
    tone: str,
    title: str,
    what: str,
    advice: str,
    facts: tuple[tuple[str, str], ...],
    link: tuple[str, str] = ("", ""),
    script: str = _SCRIPT,
    report: str = "",
) -> str:
    rows = "".join(
        f'<div><dt>{escape(name)}</dt><dd title="{escape(plain(value))}">'
        f"{_breakable(value)}</dd></div>"
        for name, value in facts
        if value
    )
    body = (
        f'<span class="state {tone}"><svg viewBox="0 0 24 24" fill="none" '
        'stroke="currentColor" stroke-width="2.5" stroke-linecap="round" '
        f'stroke-linejoin="round" aria-hidden="true"><path d="{_ICONS[tone]}"/></svg>'
        f"</span><h1>{escape(title)}</h1>"
        + (f"<p>{_rich(what)}</p>" if what else "")
        + (f"<dl>{rows}</dl>" if rows else "")
        + (f'<p class="next">{_rich(advice)}</p>' if advice else "")
        + (f'<p class="next"><a href="{link[1]}">{link[0]}</a></p>' if link[1] else "")
        + (_REPORT.format(escape(plain(report, 1000))) if report else "")
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)} - hushkey</title>"
        f"<style>{_STYLE}</style><script>{script}</script></head>"
        f'<body><main role="{"alert" if tone == "bad" else "status"}">{body}</main>'
        f"<footer>{_MARK}<span>hushkey</span></footer></body></html>\n"
    )
