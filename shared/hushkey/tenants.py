"""Which Entra tenant an Azure DevOps organisation belongs to.

Azure DevOps says so itself: in the challenge of its 401, which git >= 2.41
hands to its helper, and in the answer to an anonymous HEAD (as Git Credential
Manager reads it). What it names is used only if it is an authority of the
identity's own cloud (design 5); the finding is kept for each organisation and
dropped when the host refuses the token that it led to.
"""

import json
import os
from contextlib import suppress
from urllib.parse import urlsplit

from hushkey import clouds, hosts, paths
from hushkey.errors import HushkeyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hushkey.model import Request

#: bytes of one challenge that are looked at
_LONGEST = 4096
_NOBODY = "00000000-0000-0000-0000-000000000000"


def organisation(request: "Request") -> str:
    """Return ``HOST/ORG`` of an Azure DevOps *request*, or nothing.

    dev.azure.com and pkgs.dev.azure.com: the first path segment, else the user
    name of the URL; ORG.visualstudio.com: the label itself.
    """
    origin = hosts.parse_origin(request.protocol, request.host)
    if origin is None or request.protocol != "https" or origin[1] != 443:
        return ""
    host = origin[0]
    if host.partition(".")[2] == "visualstudio.com":
        return host
    if host not in ("dev.azure.com", "pkgs.dev.azure.com"):
        return ""
    path = hosts.split_path(request.path) or ()
    name = (path[0] if path else request.username).lower()
    good = name and all(c.isalnum() or c in "-_." for c in name) and name.isascii()
    return f"dev.azure.com/{name}" if good and name.strip(".") else ""


def from_challenges(challenges: "Iterable[str]", cloud: str) -> str:
    """Return the tenant that a ``WWW-Authenticate`` names, or nothing.

    Only an https authority of *cloud* counts, with one path segment that can
    be a tenant: nothing else of a header is ever put into a URL.
    """
    for challenge in challenges:
        scheme, _, rest = challenge[:_LONGEST].partition(" ")
        if scheme.lower() != "bearer":
            continue
        for part in rest.split(","):
            key, _, value = part.strip().partition("=")
            if key.lower() == "authorization_uri":
                return _tenant(value.strip().strip('"'), cloud)
    return ""


def _tenant(uri: str, cloud: str) -> str:
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return ""
    tenant = parts.path.strip("/").lower()
    good = (
        parts.scheme == "https"
        and port in (None, 443)
        and parts.username is None
        and clouds.cloud_of((parts.hostname or "").lower()) == cloud
        and clouds.is_tenant(tenant)
    )
    return tenant if good else ""


def from_answer(headers: "Iterable[tuple[str, str]]", cloud: str) -> str:
    """Return the tenant that the headers of an anonymous answer name.

    An organisation of personal Microsoft accounts names nobody's tenant (all
    zeros), and so does this.
    """
    found = [(name.lower(), value) for name, value in headers]
    challenges = [value for name, value in found if name == "www-authenticate"]
    if tenant := from_challenges(challenges, cloud):
        return "" if tenant == _NOBODY else tenant
    named = [value for name, value in found if name == "x-vss-resourcetenant"]
    tenants = [t.strip().lower() for value in named for t in value.split(",")]
    return next((t for t in tenants if clouds.is_tenant(t) and t != _NOBODY), "")


class Directory:
    """The tenants found so far, one for each organisation."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, "state", "tenants.json")

    def tenant(
        self,
        organisation: str,
        challenges: "Iterable[str]",
        cloud: str,
        ask: "Callable[[str], Iterable[tuple[str, str]]]",
    ) -> str:
        """Return the tenant of *organisation*, the default one if nobody knows.

        *ask* sends an anonymous HEAD to a URL and returns the headers; what it
        raises is no reason to fail here.
        """
        if tenant := from_challenges(challenges, cloud):
            # All zeros: an organisation of personal accounts, in nobody's tenant.
            tenant = clouds.DEFAULT_TENANT if tenant == _NOBODY else tenant
            self._keep(organisation, tenant)
            return tenant
        if tenant := self._read().get(organisation, ""):
            return tenant
        tenant = ""
        with suppress(HushkeyError):
            url = f"https://{organisation}/"
            tenant = from_answer(ask(url), cloud) or clouds.DEFAULT_TENANT
            self._keep(organisation, tenant)
        return tenant or clouds.DEFAULT_TENANT

    def forget(self, organisation: str) -> None:
        """Drop what was found for *organisation*: it led to a refusal."""
        known = self._read()
        if known.pop(organisation, None):
            self._write(known)

    def _keep(self, organisation: str, tenant: str) -> None:
        known = self._read()
        if known.get(organisation) != tenant:
            self._write(known | {organisation: tenant})

    def _read(self) -> "dict[str, str]":
        try:
            with open(self._path, "rb") as file:
                known = json.loads(file.read(1024 * 1024))
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(known, dict):
            return {}
        good = (isinstance(t, str) and clouds.is_tenant(t) for t in known.values())
        return known if all(good) else {}

    def _write(self, known: "dict[str, str]") -> None:
        temporary = f"{self._path}.{os.getpid()}"
        with suppress(OSError, HushkeyError):
            paths.make_private(os.path.dirname(self._path))
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            with open(os.open(temporary, flags, 0o600), "w") as file:
                json.dump(known, file)
            os.replace(temporary, self._path)
