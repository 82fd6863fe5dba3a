"""Doctor on a job's own tokens: those that end, and of which the job gets no others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

from hushkey.errors import HushkeyError, span
from hushkey.providers.registry import SPECS
from hushkey.providers.workload import claims
from hushkey_install.common.context import Context
from hushkey_install.common.finding import NOTE, PROBLEM, Finding
from hushkey_install.inspect import minting
from hushkey_install.tools.installation import Installation

#: seconds before its end at which a token is worth a word
_SOON = 600


def check(installation: Installation) -> Iterator[Finding]:
    """Yield what keeps this job from tokens, and those that have ended, or will soon.

    Only what says itself when it ends (RFC 7519 4.1.4, ``exp``) is looked at.
    """
    if installation.context is None:
        return
    yield from _lacking(installation.context)
    environ = installation.environ
    for name in dict.fromkeys(_variables(installation)):
        end = claims.end(environ.get(name, ""))
        if end is None:
            continue
        left = end - time.time()
        once = "the pipeline issues it once for a job"
        if left <= 0:
            when = f"{datetime.fromtimestamp(end, UTC):%H:%M:%S} UTC"
            yield Finding(
                "job-token-ended",
                PROBLEM,
                f"the token in {name} ended at {when}: {once}, so ask for the first "
                "token early in it",
            )
        elif left < _SOON:
            text = f"the token in {name} ends in {span(int(left))}, and {once}"
            yield Finding("job-token-ends", NOTE, text)


def _lacking(context: Context) -> Iterator[Finding]:
    """Yield what the identities of this job lack: a permission, a variable."""
    with suppress(HushkeyError):  # told by the config's own finding
        for rule, host in context.own_rules():
            if error := minting.lack(context, rule, host):
                yield Finding("job-lacks", PROBLEM, error.line())


def _variables(installation: Installation) -> Iterator[str]:
    """Yield the variables that the identities which are at home here depend on."""
    assert installation.config is not None  # noqa: S101 - the caller looked
    try:
        identities = [rule.identity for rule in installation.config.rules()]
    except HushkeyError:
        return  # told by the config's own finding
    for identity in identities:
        if identity.machine:
            spec = SPECS[identity.provider]
            yield from spec.handed(identity, installation.environ)
