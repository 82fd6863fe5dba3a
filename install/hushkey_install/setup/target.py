"""What a person names to set up, in any of the spellings that they have at hand."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from hushkey import origins
from hushkey.errors import Permanent
from hushkey.model import Request
from hushkey_install.common import probe
from hushkey_install.common.context import shown
from hushkey_install.tools import purposes
from hushkey_install.tools.gitfile import Git

#: what ends in this is an address of the issuer itself
_WELL_KNOWN = (probe.WELL_KNOWN, "/.well-known/oauth-authorization-server")
#: schemes of registries, which speak https
_REGISTRY = ("docker", "oci")
#: git's short form, `user@host:path` (git-clone(1), "GIT URLS")
_SHORT = re.compile(r"(?:[^@/:\s]+@)?([^@/:\s]+|\[[0-9A-Fa-f:.]+\]):(?!//)(.+)")
#: hosts that forges have for ssh alone, on the port of https
_SSH_ONLY = ("ssh.", "altssh.")
_EXAMPLE = "for example: hushkey setup git.example.com"


class Target(NamedTuple):
    """One server: its ``scheme``, its ``host`` (with a port that is not the usual one).

    ``kind`` is that of `purposes` where the spelling says it. ``issuer`` is set where
    the address is a sign-in server's own. ``ssh`` is the address that git uses ssh for.
    """

    scheme: str
    host: str
    path: str = ""
    kind: str = ""
    issuer: str = ""
    ssh: str = ""

    @property
    def origin(self) -> str:
        """The server's address."""
        return f"{self.scheme}://{self.host}"

    @property
    def url(self) -> str:
        """The address that was meant, as tools take it."""
        return f"{self.origin}/{self.path}" if self.path else self.origin

    @property
    def request(self) -> Request:
        """What a tool would ask for."""
        return Request(self.scheme, self.host, self.path)


def parse(text: str) -> Target:
    """Return what *text* stands for; raises Permanent for what is no server.

    A password in it is never shown, nor used.
    """
    text = text.strip()
    scheme, marker, rest = text.partition("://")
    scheme = scheme.lower()
    if marker and scheme in ("ssh", "git+ssh", "ssh+git", "git"):
        return _ssh(rest, text)
    short = None if marker else _SHORT.fullmatch(text)
    if short and not short[2].partition("/")[0].isdigit():
        found = f"{short[1]}/{short[2]}"
        # `registry.example.com/app:tag` has its colon behind a slash.
        return _ssh(found, text)
    if marker and scheme in _REGISTRY:
        return _web(f"https://{rest}", text, purposes.DOCKER)
    return _web(text, text)


def of_repository(environ: dict[str, str], folder: str) -> list[str]:
    """Return the remotes of the repository in *folder*, ``origin`` first."""
    git = Git(environ)
    words = ("-z", "--get-regexp", r"^remote\..*\.url$")
    found = git.listing(*words, folder=folder).split("\0")[:-1]
    pairs = [entry.partition("\n")[::2] for entry in found]
    pairs.sort(key=lambda pair: pair[0] != "remote.origin.url")
    return list(dict.fromkeys(url for _, url in pairs if not os.path.isabs(url)))


def _ssh(rest: str, text: str) -> Target:
    """Return the https server beside the one that *rest* names for ssh."""
    authority, _, path = rest.partition("/")
    host = authority.rpartition("@")[2]
    if not host.startswith("["):
        host = host.partition(":")[0]  # the port is ssh's own
    for prefix in _SSH_ONLY:
        if host.lower().startswith(prefix) and host.count(".") > 1:
            host = host[len(prefix) :]
    found = _web(f"https://{host}/{path}", text, purposes.GIT)
    return found._replace(ssh=shown(text))


def _web(url: str, text: str, kind: str = "") -> Target:
    try:
        request = origins.parse_url(url.partition("#")[0].partition("?")[0])
        origin = origins.parse_origin(request.protocol, request.host)
        if origin is None:
            raise ValueError("not a host name")
    except ValueError as error:
        raise Permanent(f"{shown(text)!r}: {error}", hint=_EXAMPLE) from error
    place = origins.origin_text(request.protocol, *origin)
    host, path = place.partition("://")[2] or place, request.path.strip("/")
    made = Target(request.protocol, host, path, kind or _kind(path))
    for end in _WELL_KNOWN:
        if f"/{path}".endswith(end):
            issuer = f"{made.origin}/{path}".removesuffix(end)
            return made._replace(path="", issuer=issuer)
    return made


def _kind(path: str) -> str:
    """Return what a path is for that only one kind of tool has."""
    if path.endswith(".git"):
        return purposes.GIT
    last = path.rpartition("/")[2]
    if ":" in last or "@sha256" in last:
        return purposes.DOCKER
    return purposes.PYTHON if last == "simple" else ""
