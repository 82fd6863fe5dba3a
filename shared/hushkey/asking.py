"""Whether a person may be asked here, and the one thing asked beside a sign-in.

That is to unlock the keyring: interactive like a sign-in, by the same policy, and
by one process of the user (design 7).
"""

import os
import time

from hushkey import locks, terminal
from hushkey.errors import Cancelled, StoreError
from hushkey.flight import Flight
from hushkey.signin import policy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from hushkey.signin.policy import Verdict
    from hushkey.vault import Vault
    from hushkey.want import Manners

#: seconds that a waiting process gives the asking one beyond its own limit
GRACE = 15


def verdict(
    environ: "Mapping[str, str]",
    settings: "Mapping[str, Any]",
    manners: "Manners",
    *,
    host_mode: str = "",
    flows: "tuple[str, ...]" = (),
) -> "Verdict":
    """Return how a person may be asked by this process; see `policy.decide`."""
    situation = policy.situation(
        environ,
        terminal=terminal.has_terminal(environ),
        tool_may_ask=manners.tool_may_ask,
        host_mode=host_mode,
        settings_mode=settings["interactive"],
        wish=manners.wish(),
        no_terminal=manners.no_terminal(),
        login=manners.login,
        flows=flows,
    )
    return policy.decide(situation)


def unlock(
    vault: "Vault",
    locked: StoreError,
    how: "Verdict",
    timeout: float,
    folder: str,
    *,
    began: float,
    clock: "Callable[[], float]" = time.time,
    login: bool = False,
) -> None:
    """Let the keyring show its own dialog, if *how* allows; else raise *locked*.

    The dialog is a window: a terminal alone does not show it. There is one
    keyring, so one process of the user asks; those that waited find it open,
    or share that it was not opened. *timeout* in seconds is the person's;
    *began* is when the caller began to wait.
    """
    if "browser" not in how.rungs:
        raise locked
    flight = Flight(folder, "keyring")
    with locks.held(os.path.join(folder, "locks", "unlock.lock"), timeout + GRACE):
        if flight.sign_in_failure(began, clock(), asked_for=login):
            raise locked
        try:
            vault.key()
            return
        except StoreError as error:
            if error.reason != "locked":
                raise
        try:
            vault.unlock(timeout)
        except StoreError as error:
            flight.note("sign-in", Cancelled(error.what), clock())
            raise
