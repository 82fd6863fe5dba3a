"""Which Entra tenant an Azure DevOps organisation belongs to.

Azure DevOps says so itself: in the challenge of its 401, which git >= 2.41
hands to its helper, and in the answer to an anonymous HEAD (as Git Credential
Manager reads it). What it names is used only if it is an authority of the
identity's own cloud; the finding is kept for each organisation and
dropped when the host refuses the token that it led to. That nobody knows is
kept for an hour, and that nobody answered for a minute: offline, one question
is enough.
"""

from __future__ import annotations

import os
import time
from urllib.parse import urlsplit

from hushkey import origins
from hushkey.errors import HushkeyError
from hushkey.net import challenges
from hushkey.providers import clouds
from hushkey.system import cachefile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from hushkey.model import Request

#: seconds for which "nobody knows" and "nobody answers" are believed
_UNKNOWN, _UNREACHED = 3600, 60
#: what Azure DevOps answers where there is no such organisation
_NOT_FOUND = (":status", "404")
#: how many organisations are kept, the newest: found, and asked for in vain. Any
#: repository can name any number of them
_MOST_FOUND, _MOST_UNKNOWN = 500, 100
#: characters of an organisation's name: it can be a label of a host name
_LONGEST = 63
#: the hosts that have the organisation in the path, else in the URL's user name
BY_PATH = ("dev.azure.com", "pkgs.dev.azure.com")
#: the domains in which every organisation has a host of its own
BY_LABEL = ("visualstudio.com", "pkgs.visualstudio.com")
#: the tenant of organisations of personal accounts, as Azure DevOps names it
_NOBODY = "00000000-0000-0000-0000-000000000000"


def organisation(request: Request) -> str:
    """Return ``HOST/ORG`` of an Azure DevOps *request*, or nothing.

    Where `BY_PATH` has the host: the first path segment, else the user name of the
    URL; in a domain of `BY_LABEL`: the label, whose git host stands for all.
    """
    origin = origins.parse_origin(request.protocol, request.host)
    if origin is None or request.protocol != "https" or origin[1] != 443:
        return ""
    host = origin[0]
    label, _, domain = host.partition(".")
    if domain in BY_LABEL and host not in BY_LABEL:
        return f"{label}.{BY_LABEL[0]}"
    if host not in BY_PATH:
        return ""
    path = origins.split_path(request.path)
    if path is None:
        return ""
    name = origins.folded(path[0] if path else request.username)
    good = name.isascii() and all(c.isalnum() or c in "-_." for c in name)
    short = 0 < len(name.strip(".")) <= len(name) <= _LONGEST
    return f"dev.azure.com/{name}" if good and short else ""


def from_challenges(headers: Iterable[str], cloud: str) -> str:
    """Return the tenant that ``WWW-Authenticate`` headers name, or nothing.

    Only an https authority of *cloud* counts, with one path segment that can
    be a tenant: nothing else of a header is ever put into a URL.
    """
    for parameters in challenges.bearer(headers):
        if uri := parameters.get("authorization_uri"):
            return tenant_at(uri, cloud)
    return ""


def tenant_at(uri: str, cloud: str) -> str:
    """Return the tenant whose authority of *cloud* is at *uri*, or nothing."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return ""
    tenant = origins.folded(parts.path.strip("/"))
    good = (
        uri.isascii()
        and parts.scheme == "https"
        and port in (None, 443)
        and parts.username is None
        and clouds.cloud_of((parts.hostname or "").lower()) == cloud
        and clouds.is_tenant(tenant)
        and tenant not in clouds.ALIASES
    )
    return _personal_or(tenant) if good else ""


def from_answer(headers: Iterable[tuple[str, str]], cloud: str) -> str:
    """Return the tenant that the headers of an anonymous answer name.

    An organisation of personal Microsoft accounts names nobody's tenant (all
    zeros): its tokens are of Microsoft's own tenant for them.
    """
    found = [(name.lower(), value) for name, value in headers]
    named = [value for name, value in found if name == "www-authenticate"]
    if tenant := from_challenges(named, cloud):
        return tenant
    named = [value for name, value in found if name == "x-vss-resourcetenant"]
    tenants = [t.strip().lower() for value in named for t in value.split(",")]
    if tenants == [_NOBODY]:
        return clouds.PERSONAL if cloud == "public" else ""
    return next((t for t in tenants if clouds.is_tenant(t) and t != _NOBODY), "")


def _personal_or(tenant: str) -> str:
    return clouds.PERSONAL if tenant == _NOBODY else tenant


class Directory:
    """The tenants found so far, one for each organisation."""

    def __init__(self, folder: str, clock: Callable[[], float] = time.time) -> None:
        self._path = os.path.join(folder, "state", "tenants.json")
        self._clock = clock

    def tenant(
        self,
        organisation: str,
        headers: Iterable[str],
        cloud: str,
        ask: Callable[[str], Iterable[tuple[str, str]]],
    ) -> str:
        """Return the tenant of *organisation*, the default one if nobody knows.

        *headers* are the challenges that came with the request. *ask* sends an
        anonymous HEAD to a URL and returns the headers, the status among them as
        ``:status``; what it raises is no reason to fail here.
        """
        if tenant := from_challenges(headers, cloud):
            self._keep(organisation, tenant)
            return tenant
        if tenant := self.known(organisation):
            return tenant
        try:
            answer = list(ask(f"https://{organisation}/"))
        except HushkeyError:
            self._keep(organisation, clouds.DEFAULT_TENANT, _UNREACHED)
            return clouds.DEFAULT_TENANT
        if _NOT_FOUND in answer:
            self._keep(organisation, clouds.DEFAULT_TENANT, _UNREACHED, absent=True)
            return clouds.DEFAULT_TENANT
        if tenant := from_answer(answer, cloud):
            self._keep(organisation, tenant)
            return tenant
        self._keep(organisation, clouds.DEFAULT_TENANT, _UNKNOWN)
        return clouds.DEFAULT_TENANT

    def known(self, organisation: str) -> str:
        """Return what is known of *organisation* without asking, or nothing."""
        return str(self._read().get(organisation, {}).get("tenant", ""))

    def found(self, organisation: str) -> str:
        """Return the tenant that *organisation* itself named, or nothing.

        An answer that names none does not even tell that there is such a one.
        """
        row = self._read().get(organisation, {})
        return str(row["tenant"]) if row and row.get("seconds") is None else ""

    def absent(self, organisation: str) -> bool:
        """Tell whether Azure DevOps has just said that there is no *organisation*."""
        return bool(self._read().get(organisation, {}).get("absent"))

    def organisations(self) -> list[str]:
        """Return every organisation that named its tenant: those that there are."""
        return sorted(name for name in self._read() if self.found(name))

    def forget(self, organisation: str) -> None:
        """Drop what was found for *organisation*: it led to a refusal."""
        known = self._read()
        if known.pop(organisation, None):
            self._write(known)

    def _keep(
        self,
        organisation: str,
        tenant: str,
        seconds: int | None = None,
        *,
        absent: bool = False,
    ) -> None:
        """Keep *tenant*, for *seconds* or until it proves wrong."""
        known = self._read()
        row = {"tenant": tenant, "at": int(self._clock()), "seconds": seconds}
        row |= {"absent": True} if absent else {}
        if seconds is not None or known.get(organisation, {}).get("tenant") != tenant:
            self._write(known | {organisation: row})

    def _read(self) -> dict[str, dict[str, Any]]:
        """Return the rows that still count, by organisation."""
        now = self._clock()
        known = cachefile.read(self._path)
        return {n: row for n, row in known.items() if _is_row(row) and _lives(row, now)}

    def _write(self, known: dict[str, dict[str, Any]]) -> None:
        """Keep the newest of *known*, those that were found apart from the others."""
        oldest = sorted(known.items(), key=lambda item: item[1]["at"])
        found = [item for item in oldest if item[1].get("seconds") is None]
        unknown = [item for item in oldest if item[1].get("seconds") is not None]
        kept = found[-_MOST_FOUND:] + unknown[-_MOST_UNKNOWN:]
        cachefile.write(self._path, dict(kept))


def _lives(row: dict[str, Any], now: float) -> bool:
    since, span = row["at"], row.get("seconds")
    return span is None or since - 5 <= now < since + span


def _is_row(row: object) -> bool:
    return (
        isinstance(row, dict)
        and isinstance(tenant := row.get("tenant"), str)
        and clouds.is_tenant(tenant)
        and isinstance(row.get("at"), int)
        and isinstance(row.get("seconds"), int | None)
    )
