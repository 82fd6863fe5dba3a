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

    _secret = ("token",)
    host: str
    token: str
    tenant: str = ""


class Secret(Frozen):
    """What the host gave; ``lifetime`` is in seconds, None if it names no end.

    ``username`` is the user name that ``value`` goes with.
    """

    _secret = ("value",)
    username: str
    value: str
    lifetime: float | None


class Exchange(Frozen):
    """One kind: ``act`` does it, at the time (epoch seconds) that it is given.

    ``username`` is the user name that its secrets usually go with; ``words`` are
    short words for user names that a host rule may name instead.
    """

    act: Callable[[Context, Network, float], Secret]
    username: str
    words: Mapping[str, str] = {}


class Refused(Permanent):
    """The host refuses the access token itself (HTTP 401): a newer one may do."""
