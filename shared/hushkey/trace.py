"""The one call that traces a step, if HUSHKEY_LOG asks for it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hushkey.model import HostRule
    from hushkey.system.tracefile import Journal
    from hushkey.tokenrequest import TokenRequest

#: set by `hushkey.system.tracefile.begin`, which nobody imports without HUSHKEY_LOG
_journal: Journal | None = None


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
    """Trace one step, if HUSHKEY_LOG asks for it.

    What can be said is what has a name here: no secret, no text of a server or
    a person. Of *url* only host and path count, of *error* only its class and
    codes; *verb* is one of our own words or an HTTP method; *began* is when the
    step began, by time.monotonic().
    """
    if _journal is not None:
        if wanted is not None:
            rule, host = wanted.rule, wanted.host
        pattern = rule.pattern if rule is not None else ""
        _journal.note(
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
