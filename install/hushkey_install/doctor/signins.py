"""Doctor on sign-ins: who is missing, what will not renew, and the clock."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator

from hushkey.acquire import cached
from hushkey.errors import HushkeyError, span
from hushkey.signin import policy
from hushkey_install.common.finding import FINE, NOTE, PROBLEM, Finding
from hushkey_install.inspect import status
from hushkey_install.tools.installation import Installation

#: seconds by which clocks of one machine may differ from themselves
_SKEW = 5


def check(installation: Installation) -> Iterator[Finding]:
    """Yield identities without a sign-in, and sign-ins without renewal."""
    if installation.context is None or policy.ci(installation.environ):
        return  # nobody signs in there
    seen = set()
    for row in status.rows(installation.context):
        # Nobody signs in to what keeps what is typed.
        who = row["identity"], row["account"]
        if "kept" in row or row["error"] or who in seen:
            continue
        seen.add(who)  # one sign-in may be for several hosts
        command = f"hushkey login {shlex.quote(row['identity'])}"
        if row["account"] is None:
            yield Finding(
                "signed-out",
                NOTE,
                f"nobody is signed in as {row['identity']} ({row['host']})",
                command,
            )
        elif "ended_at" in row:
            yield Finding(
                "sign-in-ended",
                PROBLEM,
                f"the sign-in to {row['host']} as {row['account']} has ended at the "
                "server",
                command,
            )
        elif not row["renewable"] and row["seconds_left"] == 0:
            yield Finding(
                "sign-in-expired",
                PROBLEM,
                f"the sign-in to {row['host']} as {row['account']} has expired, and "
                "the server gave no refresh token",
                command,
            )
        elif not row["renewable"] and row["seconds_left"] is not None:
            yield Finding(
                "not-renewable",
                NOTE,
                f"the sign-in to {row['host']} ends with its token: the server gave "
                "no refresh token",
                command,
            )
        else:
            text = f"signed in to {row['host']} as {row['account']}"
            yield Finding("signed-in", FINE, text)


def refused(installation: Installation) -> Iterator[Finding]:
    """Yield what hosts have refused, although the sign-in is good; and what helps."""
    if installation.context is None:
        return
    context = installation.context
    for identity in context.config.identities().values():
        if identity.typed or identity.machine or not context.is_used(identity):
            continue
        try:
            refusals = context.acquirer.file_of(identity).read().refusals()
        except HushkeyError:
            return  # has a finding of its own
        for account, host, place in refusals:
            where = f"{host}/{place}" if place else host
            why = cached.refusal_hint(identity, place)
            yield Finding(
                "host-refuses",
                NOTE,
                f"{where} refused the token of {account.shown}: {why}",
                f"hushkey explain {shlex.quote(where)}",
            )


def clock(installation: Installation) -> Iterator[Finding]:
    """Yield tokens from the future: the clock went back since they came."""
    if installation.context is None:
        return
    now = time.time()
    try:
        found = [
            token.obtained_at - now
            for identity in installation.context.config.identities().values()
            for token in installation.context.acquirer.file_of(identity).read().tokens()
        ]
    except HushkeyError:
        return  # has a finding of its own
    ahead = max(found, default=0.0)
    if ahead > _SKEW:
        yield Finding(
            "clock-back",
            PROBLEM,
            f"a token was obtained {span(int(ahead))} in the future: this "
            "machine's clock is wrong, or was",
            "timedatectl set-ntp true",
        )
