"""What of a config file may be shown: the values of keys that are known and public.

Nothing else is: not the value of a secret, nor of a key that the schema does not
know, nor a user name in a URL, nor a comment that may hold one of these. A comment
is free text, so this is a guess there, on the careful side: a short secret alone on
a line of its own has nothing that tells it from a word.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

from hushkey.config import schema
from hushkey.errors import visible
from hushkey.providers.registry import SPECS

MASK = "***"
#: keys of the schema whose values are secrets, or where one may have been pasted
SECRET_KEYS = frozenset(("client_secret", "assertion", "token"))
#: and those whose values may have one in it
_MIXED = frozenset(key for spec in SPECS.values() for key in spec.mixed)

_IDENTITY = frozenset(key for p in SPECS for key in schema.identity_keys(p))
_PUBLIC = {
    ("settings",): frozenset(schema.SETTINGS),
    ("identity", "*"): _IDENTITY - SECRET_KEYS - _MIXED,
    ("host", "*"): frozenset(schema.HOST),
}
#: where a user name, and so perhaps a password, may be: in a URL (if it holds an @),
#: or with a password beside it. Each piece of text is read once: a URL is taken to its
#: end, login or not, and a word from its first letter
_LOGIN = re.compile(r"://[^\s\"']*+|(?<![^\s/\"'@:=])[^\s/\"'@:=]++:[^\s/\"'@:]++@")
#: TOML's strings and comments, in the order in which they must be tried
_PARTS = re.compile(
    r'"""(?:\\[\s\S]|[^\\])*?"{3,5}'
    r"|'''[\s\S]*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|(?P<comment>(?:^[ \t]*#[^\n]*\n?)+|#[^\n]*)",
    re.MULTILINE,
)
_TELLING = re.compile(
    r"(?i)secret|passw|passphrase|pwd|token|credential|bearer|basic|private"
    r"|api.?key|(?<![a-z])(?:pat|pin|key|auth)(?![a-z])"
)
#: what no word of a language looks like: long and of one piece, or with digits
_OPAQUE = re.compile(r"[A-Za-z0-9+_~=-]{16,}")
#: a name and what belongs to it, and nothing else
_NOTED = re.compile(r"\s*[^\s:]+\s*:(?!//)\s*\S+\s*")
_MAYBE = f"# {MASK} (a comment that may hold a secret)"


def mask(table: Any, path: tuple[str, ...] = ()) -> None:
    """Replace, in a document's *table* at *path*, every value that may not be shown."""
    for key, value in list(table.items()):
        here = (*path, key)
        if isinstance(value, dict):
            mask(value, here)
        elif path == ("host",) and isinstance(value, list) and _are_tables(value):
            for table_of_one in value:
                mask(table_of_one, here)
        elif isinstance(value, list) and any(isinstance(v, dict) for v in value):
            mask_list(value, here)
        elif (shown := safe(here, value)) is not value:
            table[key] = shown


def mask_list(items: Any, path: tuple[str, ...]) -> None:
    """Do the same in a list that has tables in it."""
    for number, value in enumerate(items):
        if isinstance(value, dict):
            mask(value, (*path, "", ""))  # where no key is known
        else:
            items[number] = MASK


def is_public(path: tuple[str, ...]) -> bool:
    """Tell whether the value at *path* is of a key that is known, and no secret."""
    table = path[:1] if path[:1] == ("settings",) else (*path[:1], "*")
    known = _PUBLIC.get(table, frozenset())
    return len(path) == len(table) + 1 and path[-1] in known


def text(shown: str) -> str:
    """Return a document that `mask` has gone through, without logins and comments."""
    return _LOGIN.sub(_login, _PARTS.sub(_part, shown))


def safe(path: tuple[str, ...], value: Any) -> Any:
    """Return the *value* at *path*, or what is shown instead of it."""
    inside = value.partition("://")[2] if isinstance(value, str) else ""
    return value if is_public(path) and not {*"@?#"} & {*inside} else MASK


def _login(match: re.Match[str]) -> str:
    _, login, rest = match[0].rpartition("@")
    if not login:
        return match[0]
    return f"{'://' if match[0].startswith('://') else ''}{MASK}@{rest}"


def _has_login(text: str) -> bool:
    return any("@" in match[0] for match in _LOGIN.finditer(text))


def _part(match: re.Match[str]) -> str:
    """Return a string as it is, and comments with what may be shown of them."""
    if match["comment"] is None:
        return match[0]
    return "".join(_comments(re.findall(r"[^\n]*\n|[^\n]+", match[0])))


def _comments(lines: list[str]) -> Iterator[str]:
    """Yield comments; from one that may hold a secret on, it may be on any line.

    A line ends where TOML says so: other characters that end one elsewhere (U+2028)
    stand inside.
    """
    masked = False
    for line in lines:
        before, _, body = line.partition("#")
        masked = masked or may_be_secret(visible(body).strip().lstrip("#"))
        end = line[len(line.rstrip("\r\n")) :]
        yield f"{before}{_MAYBE}{end}" if masked else line


def may_be_secret(comment: str) -> bool:
    """Tell whether a *comment* may hold a secret that was turned off, or noted."""
    if _NOTED.fullmatch(comment):
        return True
    try:
        parsed = tomllib.loads(comment)
    except (ValueError, RecursionError):
        parsed = {}
    if parsed:
        inner = (part["comment"] for part in _PARTS.finditer(comment))
        return (
            _has_login(comment)
            or not all(_leaves(parsed, _is_known))
            or any(may_be_secret(more.lstrip("# \t")) for more in inner if more)
        )
    assigned = "=" in comment
    opaque = any(map(_is_opaque, _OPAQUE.findall(comment)))
    return bool(assigned or opaque or _TELLING.search(comment) or _has_login(comment))


def _leaves(table: dict[str, Any], good: Callable[[str], bool]) -> Iterator[bool]:
    for key, found in table.items():
        if isinstance(found, dict):
            yield from _leaves(found, good)
        else:
            yield good(key) and not (isinstance(found, list) and _has_table(found))


def _are_tables(items: list[Any]) -> bool:
    return all(isinstance(item, dict) for item in items)


def _has_table(items: list[Any]) -> bool:
    return any(isinstance(item, dict) for item in items)


def _is_known(key: str) -> bool:
    """Tell whether *key*, in whatever table, is known and public."""
    return any(key in keys for keys in _PUBLIC.values())


def _is_opaque(word: str) -> bool:
    mixed = any(c.isdigit() for c in word) and any(c.isalpha() for c in word)
    return mixed or (not set(word) & {"-", "_", "="} and len(word) >= 20)
