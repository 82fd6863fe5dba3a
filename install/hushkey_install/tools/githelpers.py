"""Which credential helpers git really asks for a URL, in which order.

git takes every matching ``credential.*helper`` in the order of its files; an
empty one drops what came before (gitcredentials(7), credential.c). Which section
matches is git's own decision: it is asked, on a file with nothing but the
sections' names. Helpers themselves are never run.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote

from hushkey import origins
from hushkey.errors import plain
from hushkey.model import Request
from hushkey_install.common.filechange import temporary_folder, write_text
from hushkey_install.tools.gitfile import Git

#: our helper
HELPER = "git-credential-hushkey"
#: the program that asks our agent at git's own speed (helpers/native)
CLIENT = "hushkey-git-client"
#: scopes of git's that come with a repository, not with the user
_REPOSITORY = ("local", "worktree")
#: helpers that keep what they are handed (git's contrib, GCM, and git's own)
KEEPERS = frozenset(
    ("store", "cache", "manager", "manager-core", "libsecret", "gnome-keyring")
) | {"osxkeychain", "wincred", "netrc", "gopass", "pass", "keepassxc", "1password"}


class Helper(NamedTuple):
    """One helper line: what git runs, and where the line stands."""

    value: str
    scope: str
    origin: str
    section: str

    @property
    def name(self) -> str:
        """Its first word: further ones, and shell snippets, may hold a secret."""
        if self.is_socket:
            return "hushkey's agent"
        text = self.value.removeprefix("!").strip()
        try:
            word = (shlex.split(text) or [""])[0]
        except ValueError:
            word = ""
        tame = word.isascii() and all(c.isalnum() or c in "/._-+~" for c in word)
        return os.path.basename(word) if tame and word else "a shell snippet"

    @property
    def is_ours(self) -> bool:
        """Tell whether this line runs hushkey."""
        return is_ours(self.value) or self.is_socket

    @property
    def is_socket(self) -> bool:
        """Tell whether this line asks our agent by a client in C."""
        return is_socket(self.value)

    @property
    def is_wrong_socket(self) -> bool:
        """Tell whether git's cache would store on our socket, and could hang."""
        return is_wrong_socket(self.value)

    @property
    def of_repository(self) -> bool:
        """Tell whether the repository brings this line, not the user."""
        return self.scope in _REPOSITORY

    def line(self) -> str:
        """Return who it is and where that is written, for a person."""
        where = self.origin.removeprefix("file:")
        section = (
            f'credential "{_shown(self.section)}"' if self.section else "credential"
        )
        return f"{self.name} ({self.scope}: {plain(where)}, [{plain(section)}])"


class Chain(NamedTuple):
    """What git does for one URL: its helpers in order, and whether it sends paths.

    ``emptied`` is the last line that drops what came before it.
    """

    helpers: tuple[Helper, ...]
    sends_path: bool
    emptied: Helper | None = None

    def others(self) -> tuple[Helper, ...]:
        """Return the helpers that are not ours."""
        return tuple(h for h in self.helpers if not h.is_ours)

    @property
    def has_ours(self) -> bool:
        """Tell whether git asks hushkey."""
        return any(h.is_ours for h in self.helpers)


def _shown(section: str) -> str:
    """Return *section* without a password, which nobody should write there."""
    scheme, marker, rest = section.rpartition("://")
    origin, slash, path = rest.partition("/")
    login, at, host = origin.rpartition("@")
    return f"{scheme}{marker}{login.partition(':')[0]}{at}{host}{slash}{path}"


def is_ours(value: str) -> bool:
    """Tell whether a helper *value* is one that `hushkey install git` writes."""
    return value == "hushkey" or _named(HELPER, "$", value)


def asks_by_client(value: str) -> bool:
    """Tell whether a helper *value* runs hushkey-git-client, as its usage wants it."""
    return _named(CLIENT, r"\s.*\s(?:\d+|get)\b", value)


def _named(program: str, then: str, value: str) -> bool:
    """Tell whether a word of *value* ends with the name *program*, and *then* follows.

    A file or a folder of another helper's that is called so is no program of ours.
    """
    name = rf"(?<![\w.-]){re.escape(program)}['\"]*{then}"
    return re.search(name, value, re.DOTALL) is not None


def is_socket(value: str) -> bool:
    """Tell whether a helper *value* asks our agent by a client in C, only."""
    by_git = "credential-cache --socket" in value and "hushkey" in value
    return (by_git or asks_by_client(value)) and not is_wrong_socket(value)


def program_of(value: str) -> str:
    """Return the absolute path under which *value* names hushkey, or nothing."""
    try:
        words = shlex.split(value.removeprefix("!"))
    except ValueError:
        return ""
    named = is_ours(value) and len(words) == 1 and os.path.isabs(words[0])
    return words[0] if named else ""


def is_wrong_socket(value: str) -> bool:
    """Tell whether a helper *value* lets git's own cache use our socket.

    Only ``get`` may reach it, with a deadline: a snippet that says so is right.
    """
    words = value.removeprefix("!").replace("git credential-cache", "cache").split()
    plain_form = bool(words) and words[0] in ("cache", "credential-cache")
    return plain_form and any("--socket" in w for w in words) and "hushkey" in value


def chain(git: Git, request: Request, folder: str | None = None) -> Chain:
    """Return what git does for *request* in *folder*, or outside any repository."""
    entries = list(_entries(git, folder))
    matching = _matching(git, request, {section for _, section, _ in entries})
    helpers: list[Helper] = []
    sends_path, emptied = False, None
    for key, section, helper in entries:
        if section not in matching:
            continue
        if key == "usehttppath":
            sends_path = helper.value.lower() in ("", "true", "yes", "on", "1")
        elif helper.value:
            helpers.append(helper)
        else:
            helpers.clear()
            emptied = helper
    return Chain(tuple(helpers), sends_path, emptied)


def request_of(pattern: str) -> Request:
    """Return a request that a host *pattern* covers: `*` is any one label."""
    return origins.request_for(pattern)


def _entries(git: Git, folder: str | None) -> Iterator[tuple[str, str, Helper]]:
    """Yield (key, section, line) for each helper and useHttpPath, in git's order."""
    words = ("--show-scope", "--show-origin", "-z", "--get-regexp")
    found = git.listing(
        *words, r"^credential\.(.*\.)?(helper|usehttppath)$", folder=folder
    )
    fields = iter(found.split("\0")[:-1])
    for scope, origin, entry in zip(fields, fields, fields, strict=True):
        name, _, value = entry.partition("\n")
        if scope in _REPOSITORY and folder is None:
            continue
        section, _, key = name.partition(".")[2].rpartition(".")
        yield key, section, Helper(value, scope, origin, section)


def _matching(git: Git, request: Request, sections: set[str]) -> set[str]:
    """Return those of *sections* that git applies to *request*."""
    whole = [s for s in sections if "://" in s and s.partition("://")[2]]
    partial = {s for s in sections if s not in whole and _fits(s, request)}
    listing = "".join(
        f"[credential {_quoted(section)}]\n\tk{number} = 1\n"
        for number, section in enumerate(whole)
    )
    with temporary_folder() as folder:
        path = os.path.join(folder, "sections")
        write_text(path, listing, 0o600)
        found = git.listing(
            "--file", path, "--get-urlmatch", "credential", _url(request)
        )
    numbers = (line.split(" ")[0].rpartition(".k")[2] for line in found.splitlines())
    return partial | {whole[int(n)] for n in numbers if n.isdigit()}


def _quoted(section: str) -> str:
    escaped = section.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _url(request: Request) -> str:
    user = f"{quote(request.username, safe='')}@" if request.username else ""
    return f"{request.protocol}://{user}{request.host}/{request.path}"


def _fits(section: str, request: Request) -> bool:
    """Tell whether a partial URL names nothing that *request* has not (git 2.27)."""
    scheme, marker, rest = section.partition("://")
    if not marker:
        scheme, rest = "", section
    origin, _, path = rest.partition("/")
    user, _, host = origin.rpartition("@")
    return (
        scheme in ("", request.protocol)
        and host in ("", request.host)
        and user in ("", request.username)
        and path.strip("/") in ("", request.path.strip("/"))
    )
