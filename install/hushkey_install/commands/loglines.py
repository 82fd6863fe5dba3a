"""The trace read again: the last lines, and of each what can only be ours.

A log file may hold whatever others wrote, and what we write names hosts. So a line
counts if it begins as each of ours does, and of it the words that come from a list
of our own, or are numbers.
"""

from __future__ import annotations

import builtins
import os
import re
from collections.abc import Collection, Iterator, Mapping

from hushkey.errors import REASONS, HushkeyError
from hushkey.net import outcomes
from hushkey.system import tracefile
from hushkey_helpers import ANSWERS, PROGRAMS

#: who writes a trace
WRITERS = {
    *("agent", "backend", "hushkey", *ANSWERS),
    *(name for name, *_ in PROGRAMS.values()),
}
_LINE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z"
    r" pid=[0-9]{1,10} tool=(?P<tool>\S+) step=(?P<step>\S+)(?: |\Z)"
)
#: words of a line that are always there: time, pid, tool, step
_ALWAYS = 4
_NUMBERS = {
    "status": re.compile(r"-?[0-9]{1,3}"),
    "took": re.compile(r"[0-9]{1,9}"),
    "ms": re.compile(r"[0-9]{1,9}"),
}


def last(path: str, count: int, size: int) -> list[str]:
    """Return the last *count* whole lines in the last *size* bytes of a trace.

    None of a file that nobody writes to: a relative path, a link, a pipe, another
    user's. A pipe would be waited for.
    """
    if not os.path.isabs(path):
        return []
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY"):
        flags |= getattr(os, name, 0)
    try:
        with open(os.open(path, flags), "rb") as file:
            found = os.fstat(file.fileno())
            if not tracefile.is_plain(found):
                return []
            file.seek(max(0, found.st_size - size))
            lines = file.read(size).decode("utf-8", "replace").split("\n")
    except OSError:
        return []
    return lines[-count - 1 : -1]


def own(line: str, verbs: Collection[str]) -> str:
    """Return what of *line* can only be ours, nothing if it is no line of ours.

    *verbs* are those of the command. A code that is not in our tables is `other`;
    who and where (host, rule, path, correlation) is left out.
    """
    match = _LINE.match(line)
    if (
        match is None
        or match["tool"] not in WRITERS
        or match["step"] not in tracefile.STEPS
    ):
        return ""
    words = line.split(" ")
    known = {**_KNOWN, "verb": {*tracefile.VERBS, *verbs}}
    more = filter(None, (_own(word, known) for word in words[_ALWAYS:]))
    return " ".join((*words[:_ALWAYS], *more))


def _own(word: str, known: Mapping[str, Collection[str]]) -> str:
    """Return one *word* of a line if it can be ours, else nothing."""
    key, _, value = word.partition("=")
    number = _NUMBERS.get(key)
    if value in known.get(key, ()) or (number and number.fullmatch(value)):
        return word
    return f"{key}=other" if key in ("code", "suberror") else ""


def _errors() -> Iterator[str]:
    """Yield the names of the errors that end a step: ours, Python's, those of HTTP."""
    yield from _names(HushkeyError)
    for name, found in vars(builtins).items():
        if isinstance(found, type) and issubclass(found, Exception):
            yield name
    yield from ("ChunkedEncodingError", "ConnectTimeout", "ContentDecodingError")
    yield from ("Expired", "InvalidSchema", "InvalidURL", "MissingSchema", "ProxyError")
    yield from ("ReadTimeout", "SSLError", "Timeout", "TooManyRedirects")


def _names(kind: type[HushkeyError]) -> Iterator[str]:
    yield kind.__name__
    for each in kind.__subclasses__():
        yield from _names(each)


_KNOWN: dict[str, frozenset[str]] = {
    "outcome": frozenset(_errors()),
    "code": frozenset((*outcomes.BY_CODE, *outcomes.AT_SIGN_IN, *REASONS)),
    "suberror": frozenset(outcomes.BY_SUBERROR),
}
