"""What an exchange is given, what it gives, and what it is."""

from __future__ import annotations

from hushkey.errors import Permanent
from hushkey.model import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hushkey.net.http import Network


class Context(Frozen):
    """One exchange: *token* is the access token, *host* the origin that takes it."""

    __slots__ = ("host", "tenant", "token")
    _secret = ("token",)
    host: str
    tenant: str
    token: str

    def __init__(self, host: str, token: str, tenant: str = "") -> None:
        self._set(host=host, token=token, tenant=tenant)


class Secret(Frozen):
    """What the host gave; ``lifetime`` is in seconds, None if it names no end.

    ``username`` is the user name that ``value`` goes with.
    """

    __slots__ = ("lifetime", "username", "value")
    _secret = ("value",)
    username: str
    value: str
    lifetime: float | None

    def __init__(self, username: str, value: str, lifetime: float | None) -> None:
        self._set(username=username, value=value, lifetime=lifetime)


class Exchange(Frozen):
    """One kind: ``act`` does it, at the time (epoch seconds) that it is given.

    ``username`` is the user name that its secrets usually go with; ``words`` are
    short words for user names that a host rule may name instead.
    """

    __slots__ = ("act", "username", "words")
    act: Callable[[Context, Network, float], Secret]
    username: str
    words: Mapping[str, str]

    def __init__(
        self,
        act: Callable[[Context, Network, float], Secret],
        username: str,
        words: Mapping[str, str] | None = None,
    ) -> None:
        self._set(act=act, username=username, words=words or {})


class Refused(Permanent):
    """The host refuses the access token itself (HTTP 401): a newer one may do."""
