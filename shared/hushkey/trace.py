"""The one call that traces a step, if HUSHKEY_LOG asks for it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from hushkey.model import HostRule
    from hushkey.tokenrequest import TokenRequest

    class Sink(Protocol):
        """What writes the steps down (`hushkey.system.tracefile.Trace`)."""

        def event(
            self,
            step: str,
            *,
            verb: str = "",
            host: str = "",
            rule: str = "",
            url: str = "",
            status: int | None = None,
            correlation: str | None = None,
            error: BaseException | None = None,
            began: float | None = None,
        ) -> None:
            """Write one line."""


#: set by `hushkey.system.tracefile.begin`, which nobody imports without HUSHKEY_LOG
_sink: Sink | None = None


def event(
    name: str,
    wanted: TokenRequest | None = None,
    *,
    rule: HostRule | None = None,
    host: str = "",
    verb: str = "",
    url: str = "",
    status: int | None = None,
    correlation: str | None = None,
    error: BaseException | None = None,
    began: float | None = None,
) -> None:
    """Write one step to the log, if HUSHKEY_LOG names one.

    What can be said is what has a name here: no secret, no text of a server or
    a person. Of *url* only host and path count, of *error* only its class and
    codes; *verb* is one of our own words or an HTTP method; *began* is when the
    step began, by time.monotonic().
    """
    if _sink is not None:
        if wanted is not None:
            rule, host = wanted.rule, wanted.host
        pattern = rule.pattern if rule is not None else ""
        _sink.event(
            name,
            verb=verb,
            host=host,
            rule=pattern,
            url=url,
            status=status,
            correlation=correlation,
            error=error,
            began=began,
        )
