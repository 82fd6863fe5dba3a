"""Whether a person may be asked here, and the one thing asked beside a sign-in.

That is to unlock the keyring: interactive like a sign-in, by the same policy, and
by one process of the user (design 7).
"""

from __future__ import annotations

import os
import time

from hushkey.acquire.attempts import FailureCache
from hushkey.errors import Cancelled, StoreError
from hushkey.signin import policy, terminal
from hushkey.system import locks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from hushkey.signin.policy import PromptDecision
    from hushkey.store.datakey import DataKey
    from hushkey.tokenrequest import PromptOptions

#: seconds that a waiting process gives the asking one beyond its own limit
GRACE = 15


def decision(
    environ: Mapping[str, str],
    settings: Mapping[str, Any],
    options: PromptOptions,
    *,
    host_mode: str = "",
    flows: tuple[str, ...] = (),
) -> PromptDecision:
    """Return how a person may be asked by this process; see `policy.decide`."""
    prompt_environment = policy.prompt_environment(
        environ,
        terminal=terminal.has_terminal(environ),
        tool_may_ask=options.tool_may_ask,
        host_mode=host_mode,
        settings_mode=settings["interactive"],
        wish=options.wish(),
        no_terminal=options.no_terminal(),
        login=options.login,
        flows=flows,
    )
    return policy.decide(prompt_environment)


def unlock(
    data_key: DataKey,
    locked: StoreError,
    how: PromptDecision,
    timeout: float,
    folder: str,
    *,
    began: float,
    clock: Callable[[], float] = time.time,
    login: bool = False,
) -> None:
    """Let the keyring show its own dialog, if *how* allows; else raise *locked*.

    The dialog is a window: a terminal alone does not show it. There is one
    keyring, so one process of the user asks; those that waited find it open,
    or share that it was not opened. *timeout* in seconds is the person's;
    *began* is when the caller began to wait.
    """
    if "browser" not in how.methods:
        raise locked
    failures = FailureCache(folder, "keyring")
    with locks.held(os.path.join(folder, "locks", "unlock.lock"), timeout + GRACE):
        if failures.sign_in_failure(began, clock(), asked_for=login):
            raise locked
        try:
            data_key.key()
            return
        except StoreError as error:
            if error.reason != "locked":
                raise
        try:
            data_key.unlock(timeout)
        except StoreError as error:
            failures.record("sign-in", Cancelled(error.what), clock())
            raise
