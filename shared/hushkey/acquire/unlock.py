"""Whether a person may be asked here, and the one thing asked beside a sign-in.

That is to unlock the keyring: interactive like a sign-in, by the same policy, and
by one process of the user.
"""

from __future__ import annotations

import os

from hushkey.acquire.attempts import FailureCache, once
from hushkey.errors import Cancelled, StoreError
from hushkey.signin import policy, terminal
from hushkey.system import locks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hushkey.signin.policy import PromptDecision
    from hushkey.store.datakey import DataKey
    from hushkey.tokenrequest import Session

#: seconds that a waiting process gives the asking one beyond its own limit
GRACE = 15


def decision(
    session: Session,
    *,
    host_mode: str = "",
    flows: tuple[str, ...] = (),
) -> PromptDecision:
    """Return how a person may be asked by this process; see `policy.decide`."""
    environ, options = session.environ, session.options
    prompt_environment = policy.prompt_environment(
        environ,
        terminal=terminal.has_terminal(environ),
        tool_may_ask=options.tool_may_ask,
        host_mode=host_mode,
        settings_mode=session.settings["interactive"],
        interactive=options.interactive(),
        no_terminal=options.no_terminal(),
        unattended=options.unattended(),
        login=options.login,
        flows=flows,
    )
    return policy.decide(prompt_environment)


def unlock(
    data_key: DataKey,
    locked: StoreError,
    how: PromptDecision,
    session: Session,
    *,
    began: float,
) -> None:
    """Let the keyring show its own dialog, if *how* allows; else raise *locked*.

    The dialog is a window: a terminal alone does not show it. There is one
    keyring, so one process of the user asks; those that waited find it open,
    or share that it was not opened. *began* is when the caller began to wait.
    """
    if "browser" not in how.methods:
        raise locked
    timeout = session.settings["sign_in_timeout"]
    failures = FailureCache(session.folder, "keyring")
    lock = os.path.join(session.folder, "locks", "unlock.lock")

    def look(_: None) -> bool | None:
        login = session.options.login
        if failures.sign_in_failure(began, session.clock(), asked_for=login):
            raise locked
        try:
            data_key.key()
        except StoreError as error:
            if error.reason != "locked":
                raise
            return None
        return True

    def act(_: None) -> bool:
        try:
            data_key.unlock(timeout)
        except StoreError as error:
            failures.record("sign-in", Cancelled(error.what), session.clock())
            raise
        return True

    once(locks.held(lock, timeout + GRACE), look, act)
