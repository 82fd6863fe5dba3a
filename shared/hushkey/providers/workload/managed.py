"""``managed-identity``: the identity that Azure gives a machine or a service.

One request in seven dialects (learn.microsoft.com/entra/identity/managed-identities-
azure-resources, and the pages of each service), over our own transport: with an end,
one more try, and a sentence for every answer. Which endpoint it is the environment
says; without any of its variables it is the machine's own, IMDS. All of them are on
this machine, or the pinned one of Service Fabric: a name elsewhere gets no secret.
"""

from __future__ import annotations

import os
import stat

from hushkey import origins
from hushkey.errors import HushkeyError, Permanent, Transient, plain
from hushkey.model import Frozen, Grant
from hushkey.providers.checks import text
from hushkey.providers.workload.kind import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from hushkey.model import Identity
    from hushkey.providers.workload.asking import Reply
    from hushkey.providers.workload.kind import Context
    from hushkey.system.proofs import Needs

#: seconds for the whole of it, one more try included: a git call cannot wait for more
_PATIENCE = 8.0
_IMDS = "http://169.254.169.254"
#: what the firmware of Azure's machines says (as cloud-init reads it)
_TAG = "text:/sys/class/dmi/id/chassis_asset_tag=7783-7084-3265-9085-8269-3286-77"
#: the option -> what people call it
_IDS = {"client_id": "client id", "object_id": "object id", "resource_id": "resource"}
#: where Azure Arc's agent puts the file that proves who asks
_ARC_FOLDERS = ("/var/opt/azcmagent/tokens",)
_ARC_PROGRAM = "/opt/azcmagent/bin/himds"
#: Service Fabric's variable for the certificate of its endpoint
_THUMBPRINT = "IDENTITY_SERVER_THUMBPRINT"
#: bytes of such a file
_ARC_MOST = 4096


class Dialect(Frozen):
    """How one service is asked.

    ``needs`` are its variables; ``url`` the one with the endpoint. The ``header`` has
    what the variable ``carries`` holds, else ``fixed``. ``ids`` maps our options to its
    parameters, and lacks what it cannot choose.
    """

    name: str
    needs: tuple[str, ...]
    url: str
    version: str
    header: str
    carries: str
    ids: Mapping[str, str]
    fixed: str = "true"


_USUAL = {"client_id": "client_id", "object_id": "object_id"}
#: the more telling variables first
_DIALECTS = (
    Dialect(
        "Service Fabric",
        ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", _THUMBPRINT),
        "IDENTITY_ENDPOINT",
        "2019-07-01-preview",
        "Secret",
        "IDENTITY_HEADER",
        {},
    ),
    Dialect(
        "App Service",
        ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"),
        "IDENTITY_ENDPOINT",
        "2019-08-01",
        "X-IDENTITY-HEADER",
        "IDENTITY_HEADER",
        {**_USUAL, "resource_id": "mi_res_id"},
    ),
    Dialect(
        "Azure Arc",
        ("IDENTITY_ENDPOINT", "IMDS_ENDPOINT"),
        "IDENTITY_ENDPOINT",
        "2020-06-01",
        "Metadata",
        "",
        {**_USUAL, "resource_id": "msi_res_id"},
    ),
    Dialect(
        "Azure Machine Learning",
        ("MSI_ENDPOINT", "MSI_SECRET"),
        "MSI_ENDPOINT",
        "2017-09-01",
        "secret",
        "MSI_SECRET",
        {"client_id": "clientid"},
    ),
    Dialect("Cloud Shell", ("MSI_ENDPOINT",), "MSI_ENDPOINT", "", "Metadata", "", {}),
)
_MACHINE = Dialect(
    "IMDS",
    (),
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "2018-02-01",
    "Metadata",
    "",
    {**_USUAL, "resource_id": "msi_res_id"},
)
_ARC = Dialect("Azure Arc", (), "", "2020-06-01", "Metadata", "", _MACHINE.ids)
_ARC_URL = "http://127.0.0.1:40342/metadata/identity/oauth2/token"


class ManagedIdentity(Kind):
    """The machine's own identity, or one of those that it was given."""

    name = "managed-identity"
    keys = {  # noqa: RUF012 - read only
        "object_id": text,
        "resource_id": text,
        "system": lambda value: None if value is True else "true, or leave it out",
    }
    one_of = ("system", "client_id", "object_id", "resource_id")

    def proof(self, table: Mapping[str, Any]) -> Needs:
        services = tuple(dialect.needs for dialect in _DIALECTS)
        return (), (*services, (f"file:{_ARC_PROGRAM}",), (_TAG,))

    def depends(self, table: Mapping[str, Any]) -> tuple[str, ...]:
        return ("IDENTITY_ENDPOINT", "MSI_ENDPOINT")

    def words(self, identity: Identity) -> str:
        return f"Azure's managed identity of this machine, {_named(identity)}"

    def mint(self, context: Context) -> Grant:
        dialect = dialect_of(context.environ)
        resource, identity = context.resource, context.identity
        query = {"resource": resource}
        if dialect.version:
            query = {"api-version": dialect.version, **query}
        for option in _IDS:
            named = _id(identity, option)
            if not named:
                continue
            if option not in dialect.ids:
                raise Permanent(
                    f"{dialect.name} cannot choose an identity by its {_IDS[option]}",
                    hint="write `system = true` in place of it, and let the service "
                    "have one identity",
                )
            query[dialect.ids[option]] = named
        url = _endpoint(dialect, context.environ)
        try:
            reply = _asked(context, dialect, url, query)
        except Transient as error:
            raise _unreachable(dialect, error) from error
        return _grant(context, dialect, reply)


def dialect_of(environ: Mapping[str, str]) -> Dialect:
    """Return how the service is asked that *environ* tells of; IMDS without any."""
    for dialect in _DIALECTS:
        if all(map(environ.get, dialect.needs)):
            return dialect
    if not environ.get(_MACHINE.url) and os.path.exists(_ARC_PROGRAM):
        return _ARC
    return _MACHINE


def _id(identity: Identity, option: str) -> str:
    return identity.client_id if option == "client_id" else identity.option(option)


def _named(identity: Identity) -> str:
    """Return which identity is meant, for a person."""
    for option, words in _IDS.items():
        if named := _id(identity, option):
            return f"the one with the {words} {plain(named, 120)}"
    return "the one assigned by the system"


def _endpoint(dialect: Dialect, environ: Mapping[str, str]) -> str:
    """Return the URL to ask: on this machine, link-local, or pinned (https)."""
    from urllib.parse import urlsplit

    if not dialect.url:
        return _ARC_URL
    url = environ.get(dialect.url, "")
    if dialect is _MACHINE:
        url = (url or _IMDS).rstrip("/") + "/metadata/identity/oauth2/token"
    try:
        parts = urlsplit(url)
        origin = origins.parse_origin(parts.scheme, parts.netloc)
    except ValueError:
        origin = None
    if origin is None or "@" in parts.netloc or not url.isprintable():
        raise Permanent(f"{dialect.url} holds no URL that hushkey would ask")
    pinned = _THUMBPRINT in dialect.needs
    near = origins.is_loopback(origin[0]) or origins.is_link_local(origin[0])
    if pinned and parts.scheme != "https":
        raise Permanent(f"{dialect.url} names a URL that is not https")
    if not near and not pinned:
        raise Permanent(
            f"{dialect.url} names {plain(origin[0], 100)}, which is not this machine",
            hint="nothing was sent there",
        )
    return url


def _asked(
    context: Context, dialect: Dialect, url: str, query: Mapping[str, str]
) -> Reply:
    from urllib.parse import urlencode

    from hushkey.providers.workload import asking, pinned

    network = context.network(_PATIENCE)
    secret = context.environ.get(dialect.carries, "") if dialect.carries else ""
    headers = {dialect.header: secret or dialect.fixed}
    if not dialect.version:
        return asking.ask(network, "POST", url, headers=headers, form=query)
    whole = f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"
    if _THUMBPRINT in dialect.needs:
        thumbprint = context.environ[_THUMBPRINT]
        return pinned.get(whole, headers, thumbprint, network.left())
    reply = asking.ask(network, "GET", whole, headers=headers, also=(404,))
    if reply.status == 401 and dialect.name == _ARC.name:
        headers["Authorization"] = f"Basic {_arc_secret(reply)}"
        reply = asking.ask(network, "GET", whole, headers=headers)
    return reply


def _arc_secret(reply: Reply) -> str:
    """Return what the file holds that Arc's answer names, if it is the agent's.

    The path was chosen by the answerer: only a small ``.key`` in the agent's own
    folder is read.
    """
    scheme, _, named = reply.headers.get("WWW-Authenticate", "").partition(" realm=")
    path = named.strip().strip('"')
    folder, name = os.path.split(path)
    if scheme != "Basic" or folder not in _ARC_FOLDERS or not name.endswith(".key"):
        raise Permanent("Azure Arc's agent did not name a key file of its own")
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            small = stat.S_ISREG(status.st_mode) and status.st_size <= _ARC_MOST
            content = file.read(_ARC_MOST) if small else b""
    except OSError as error:
        raise Permanent(
            f"cannot read Azure Arc's {name}: {error.strerror}",
            hint="add this user to the group `himds`, and log in to the machine again",
        ) from error
    found = content.decode("ascii", "replace").strip()
    if not found or not found.isprintable():
        raise Permanent(f"Azure Arc's {name} holds no secret")
    return found


def _unreachable(dialect: Dialect, error: HushkeyError) -> Transient:
    hint = "is this a machine in Azure? A container needs the host's network"
    if dialect is not _MACHINE:
        hint = "try again"
    return Transient(
        f"{dialect.name}: {error.what}", hint=hint, retry_after=error.retry_after
    )


def _grant(context: Context, dialect: Dialect, reply: Reply) -> Grant:
    from hushkey.net import answers

    found = answers.token(reply.data) if reply.status == 200 else None
    if found is None:
        raise _refusal(context, dialect, reply)
    _check_who(context.identity, found)
    lifetime = found["expires_in"]
    if lifetime is None:
        lifetime = _left(found.get("expires_on"))
    return Grant(found["access_token"], expires_in=lifetime, scopes=context.rule.scopes)


def _left(end: object) -> float | None:
    """Return the seconds until *end* (epoch seconds), where that is all there is."""
    import time

    text = str(end)
    return (
        max(int(text) - time.time(), 1) if text.isascii() and text.isdigit() else None
    )


def _check_who(identity: Identity, found: Mapping[str, Any]) -> None:
    """Raise Permanent where the answer is for another identity than the one asked.

    Old agents of Azure Arc ignore which one is asked for, and give the system's.
    """
    for option in _IDS:
        said, named = found.get(option), _id(identity, option)
        if named and isinstance(said, str) and said.casefold() != named.casefold():
            raise Permanent(
                f"the answer is for the {_IDS[option]} {plain(said, 80)}, and "
                f"{plain(named, 80)} was asked for",
                hint="update the agent on this machine",
            )


def _refusal(context: Context, dialect: Dialect, reply: Reply) -> HushkeyError:
    """Return what an answer without a token means; the statuses are Azure's own."""
    which = _named(context.identity)
    said = f": {detail}" if (detail := reply.detail()) else ""
    if reply.status == 400:
        return Permanent(
            f"{dialect.name}: this machine has no such identity, or several; asked "
            f"for was {which}{said}",
            hint="assign it to the machine, or name one by `client_id` in config.toml",
        )
    if reply.status == 403 and "unreachable" in detail.lower():
        return Permanent(
            f"{dialect.name}: cannot be reached from this container{said}",
            hint="this is not a machine in Azure, or its network is blocked",
        )
    if reply.status in (404, 410):
        return Transient(
            f"{dialect.name} is being updated (HTTP {reply.status})",
            hint="try again in a minute",
        )
    if reply.data is None and reply.status not in (429,) and reply.status < 500:
        return Transient(
            f"something between here and {dialect.name} answered (HTTP {reply.status}, "
            "no JSON)",
            hint="is there a captive portal or proxy in between?",
        )
    return reply.failure(f"check {which} at the machine")
