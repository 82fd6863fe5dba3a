"""How git reaches servers: its own settings, which count after ours when it asks.

git-config(1), ``http.*`` and ``http.<url>.*``, and the variables that override them.
Only what the user, the system and the command line say counts: a cloned repository's
own file must not lead a sign-in through its proxy, or have it trust its certificates;
nor does a folder that an ``includeIf`` looks at, since the agent is in none.
Read only where a request is about to be sent, and once in a process.
"""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import suppress

from hushkey.model import Frozen
from hushkey.system import programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: seconds for one `git config`
_PATIENCE = 3
#: variable -> the key that it overrides
_VARIABLES = {
    "GIT_SSL_CAINFO": "sslcainfo",
    "GIT_SSL_CAPATH": "sslcapath",
    "GIT_SSL_CERT": "sslcert",
    "GIT_SSL_KEY": "sslkey",
}
_USERINFO = re.compile(r"://[^/]*@")
_FALSE = ("", "0", "false", "no", "off")
_KEYS = ("proxy", "sslcainfo", "sslcapath", "sslcert", "sslkey", "sslverify")


class GitSettings(Frozen):
    """What git is told for one URL; ``proxy`` is None where nothing is said.

    ``ca`` holds the files and folders of certificates, ``certificate`` our own and
    its key. ``unverified``: git accepts any certificate, which we never do.
    """

    _secret = ("proxy", "key")
    proxy: str | None = None
    ca: tuple[str, ...] = ()
    certificate: str = ""
    key: str = ""
    unverified: bool = False


class GitConfig:
    """git's settings in one environment, as *git_url*, which git reaches, has them."""

    def __init__(self, git_url: str, environ: Mapping[str, str]) -> None:
        self._git_url = git_url
        self._environ = environ
        self._found: dict[str, GitSettings] = {}
        self._keys: dict[str, str] | None = None

    def keys(self) -> dict[str, str]:
        """Return every setting that counts, by its whole name in lower case."""
        if self._keys is None:
            said = self._git("--get-regexp", r"^http\.")
            self._keys = {k: v for k, v in said.items() if _last(k) in _KEYS}
        return self._keys

    def counts(self) -> list[str]:
        """Return the names of what is set, settings and variables, for a person.

        Without the user names and passwords that their URLs may hold.
        """
        named = [_USERINFO.sub("://", key) for key in self.keys() if "\n" not in key]
        off = [n for n in named if not n.endswith("sslverify") or self._is_off(n)]
        return [*off, *(name for name in _VARIABLES if self._environ.get(name))]

    def _is_off(self, name: str) -> bool:
        return self.keys().get(name, "").strip().lower() in _FALSE

    def for_url(self, url: str) -> GitSettings:
        """Return what counts for a request to *url*.

        The most specific wins: what is said for *url*, then for the URL that git
        reaches, then for all.
        """
        if url not in self._found:
            every = {k[5:]: v for k, v in self.keys().items() if k.count(".") == 1}
            found = dict(every)
            if len(every) < len(self.keys()):
                for place in filter(None, (self._git_url, url)):
                    matched = self._git("--get-urlmatch", "http", place)
                    named = {_last(key): value for key, value in matched.items()}
                    found |= {k: v for k, v in named.items() if every.get(k) != v}
            self._found[url] = self._settings(found)
        return self._found[url]

    def _settings(self, found: dict[str, str]) -> GitSettings:
        said = {_VARIABLES[n]: self._environ.get(n, "") for n in _VARIABLES}
        found = {**found, **{key: value for key, value in said.items() if value}}
        verify = found.get("sslverify", "true").strip().lower() not in _FALSE
        return GitSettings(
            found.get("proxy"),
            tuple(filter(None, (self._path(found, k) for k in _KEYS[1:3]))),
            self._path(found, "sslcert"),
            self._path(found, "sslkey"),
            not verify or "GIT_SSL_NO_VERIFY" in self._environ,
        )

    def _path(self, found: dict[str, str], key: str) -> str:
        """Return an absolute path; a relative one is of a working directory."""
        path = found.get(key, "")
        home = self._environ.get("HOME", "")
        if path.startswith("~/") and home:
            path = os.path.join(home, path[2:])
        return path if os.path.isabs(path) else ""

    def _git(self, *words: str) -> dict[str, str]:
        """Return what `git config` says outside of every repository."""
        git = programs.find("git", self._environ)
        if git is None:
            return {}
        environ = {k: v for k, v in self._environ.items() if k != "GIT_CONFIG"}
        with suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(
                [git, "config", "-z", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=_PATIENCE,
                check=False,
                cwd=os.path.abspath(os.sep),
                env={**environ, "GIT_DIR": os.devnull},
            )
            entries = done.stdout.decode("utf-8", "surrogateescape").split("\0")
            pairs = (entry.partition("\n") for entry in entries if entry)
            return {key: value if mark else "true" for key, mark, value in pairs}
        return {}


def _last(key: str) -> str:
    return key.rpartition(".")[2]
