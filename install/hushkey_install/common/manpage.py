"""The man page: the guide's page of commands, and its exit codes, in man(7)'s words.

It is kept in install/man, so that a wheel can bring it; a test compares the two. It is
made by `hushkey help --man`.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

from hushkey_install.common import guide

#: bytes; mandoc's lint wants input lines no longer than 80
_WIDTH = 78
#: of the last change that a reader would notice, for the foot of the page
_DATE = "2026-11-29"
_HEAD = rf"""
.TH HUSHKEY 1 {_DATE} hushkey "User Commands"
.SH NAME
hushkey \- sign in once; git, Docker, pip and friends are answered silently
.SH SYNOPSIS
.B hushkey
.RB [ \-h ]
.RB [ \-v ]
.I command
.RI [ argument " ...]"
""".lstrip()
_FOOT = r"""
.SH SEE ALSO
.BR git (1),
.BR gitcredentials (7)
.PP
.B hushkey help
lists the pages of the guide and shows each of them offline.
""".lstrip()


def text() -> str:
    """Return the page as man(7) source; ASCII only."""
    commands = _page(guide.page("commands").replace("# Commands", "## Description", 1))
    codes = _page(guide.page("exit-codes").replace("# ", "## ", 1))
    rows = re.findall(r"^\| `HUSHKEY_.*\|$", guide.page("config"), re.M)
    environment = [".SH ENVIRONMENT", *_table(["", "", *rows])]
    return "\n".join([_HEAD.rstrip(), *commands, *codes, *environment, _FOOT])


def _page(markdown: str) -> Iterator[str]:
    """Yield the lines of a page of the guide; each ``##`` begins a section."""
    code, fresh = False, True
    block: list[str] = []
    for line in [*markdown.splitlines(), ""]:
        if line.startswith("```"):
            yield from _paragraph(block, fresh=fresh)
            block = []
            code = not code
            yield from ([".PP", ".EX"] if code and not fresh else [".EX"] * code)
            yield from [] if code else [".EE"]
            fresh = False
        elif code:
            yield _safe(_escaped(line))
        elif line.startswith("#"):
            title = _escaped(guide.inline(line.lstrip("# "))).upper()
            yield f".SH {title}" if line.startswith("## ") else f".SS {title}"
            fresh = True
        elif line:
            block.append(line)
        elif block:
            yield from (
                _table(block) if block[0][0] == "|" else _paragraph(block, fresh=fresh)
            )
            block, fresh = [], False


def _paragraph(lines: list[str], *, fresh: bool) -> Iterator[str]:
    if lines:
        yield from [] if fresh else [".PP"]
        yield from _wrapped(" ".join(lines))


def _table(rows: list[str]) -> Iterator[str]:
    for row in rows[2:]:
        term, *others = re.split(r"(?<!\\)\|", row.strip().strip("|"))
        yield ".TP"
        yield _safe(_styled(term.strip()))
        yield from _wrapped("; ".join(filter(None, map(str.strip, others))))


def _wrapped(markdown: str) -> list[str]:
    found = textwrap.wrap(
        _styled(markdown), _WIDTH, break_long_words=False, break_on_hyphens=False
    )
    return [_safe(line) for line in found]


def _styled(markdown: str) -> str:
    """Return *markdown* without its marks: code is bold."""
    plain = _escaped(guide.inline(markdown))
    return re.sub(r"`([^`]+)`", r"\\fB\1\\fR", plain)


def _escaped(line: str) -> str:
    line = line.replace("\\", "\\e").replace("-", "\\-")
    return "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in line)


def _safe(line: str) -> str:
    """Return *line*, which is no request, whatever it begins with."""
    return f"\\&{line}" if line[:1] in (".", "'") else line
