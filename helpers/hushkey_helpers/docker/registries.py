"""Every way to write a registry that OCI clients use, and the one place it means.

docker sends ``HOST[:PORT]``, at logout also ``http://HOST`` and ``https://HOST``;
nerdctl adds ``:443`` in turn; crane puts the repository behind it; Docker Hub is
``https://index.docker.io/v1/`` to docker and ``docker.io`` to podman and skopeo. A
key may have a path, and is then a credential of its own: docker's sign-in to the Hub
keeps two tokens beside the password (docker/cli, internal/oauth/manager).
"""

from __future__ import annotations

from hushkey import origins
from hushkey.model import Frozen, Request

#: what docker, crane, helm and oras call Docker Hub
HUB_KEY = "https://index.docker.io/v1/"
HUB = "docker.io"
_HUB_NAMES = frozenset(
    (HUB, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com")
)
#: what stands behind the host for the protocol's sake and names no repository
_VERSIONS = frozenset(("v1", "v2"))
#: the last part of the keys under which docker keeps the tokens of a Hub sign-in
_HUB_TOKENS = frozenset(("access-token", "refresh-token"))


class Registry(Frozen):
    """A registry: ``place`` is host[:port], the same for every spelling.

    ``scheme`` is what was written, be it as the port 443, or nothing; ``path`` what
    stands behind it, mostly a repository or its owner, if any.
    """

    place: str
    scheme: str = ""
    path: str = ""

    def requests(self) -> list[Request]:
        """Return what to look up in the config, the best first.

        A bare host is https, or http where a pattern says so (an insecure registry
        on this machine); what was written with a scheme is that and nothing else.
        """
        schemes = (self.scheme,) if self.scheme else ("https", "http")
        names = sorted(_HUB_NAMES) if self.place == HUB else [self.place]
        return [
            Request(scheme, name, self.path) for scheme in schemes for name in names
        ]

    @property
    def protocols(self) -> tuple[str, ...]:
        """Under which protocols a typed password is looked up; kept under the first.

        docker's and podman's logins name no scheme: a bare place is https, and port
        80 is http, for which older versions have kept it as https. Whoever writes
        ``http://`` is given nothing that was typed for https.
        """
        if not self.scheme and self.place.endswith(":80"):
            return "http", "https"
        return (self.scheme or "https",)

    @property
    def holds_token(self) -> bool:
        """Whether this is where docker keeps a token for the Hub's own account.

        No password and no token of another kind may stand in for it: docker sends
        it to the Hub's identity server to have it revoked.
        """
        return self.place == HUB and self.path.rpartition("/")[2] in _HUB_TOKENS

    @property
    def key(self) -> str:
        """The registry as a client's own config calls it."""
        return HUB_KEY if self.place == HUB else self.place


def key_of(protocol: str, place: str, path: str = "") -> str:
    """Return the key under which a client finds what is kept for *place*."""
    key = Registry(place).key
    if path:
        # docker's own keys below the Hub's are addresses, other clients' are not
        is_hubs = place == HUB and path.startswith("v1/")
        key = f"https://index.{HUB}/{path}" if is_hubs else f"{place}/{path}"
    if protocol == "http" and not place.endswith(":80"):
        return f"http://{place}/{path}".rstrip("/")
    return key


def parse(text: str) -> Registry | None:
    """Return the registry that *text* writes, or None if it is not one."""
    scheme, marker, rest = text.strip().partition("://")
    if not marker:
        scheme, rest = "", scheme
    scheme = scheme.lower()
    if marker and scheme not in origins.DEFAULT_PORTS:
        return None
    origin, _, path = rest.partition("#")[0].partition("?")[0].partition("/")
    if "@" in origin or any(c <= " " or c == "\x7f" for c in rest):
        return None
    found = origins.parse_origin(scheme or "https", origin)
    if found is None:
        return None
    place = origins.origin_text(scheme or "https", *found).rpartition("://")[2]
    # Whose port does not depend on the scheme has written it.
    written = origins.parse_origin("https", origin) == origins.parse_origin(
        "http", origin
    )
    if scheme == "http" and written:
        place = f"{found[0]}:{found[1]}"  # a port 80 that was written: not port 443's
    if not scheme and written and found[1] == origins.DEFAULT_PORTS["https"]:
        scheme = "https"  # and never the http of another port
    if place in _HUB_NAMES:
        place = HUB
    path = path.strip("/")
    return Registry(place, scheme, "" if path in _VERSIONS else path)
