"""The audit log's lines of answers that no identity of this machine gave.

What a person typed, and what came by `hushkey forward`: in the log, if
``audit = true``, as the tokens of `hushkey.acquire` are.
"""

from __future__ import annotations

from hushkey.config import rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

TYPED, FORWARDED = "typed here once", "came by hushkey forward"


def given(environ: Mapping[str, str], why: str, **facts: object) -> None:
    """Write that something was given, *why* and to whom; no secret is in *facts*."""
    if rules.load(environ).settings["audit"]:
        from hushkey.system import audit  # noqa: PLC0415 - if on

        audit.record(environ, outcome="given", why=why, **facts)
