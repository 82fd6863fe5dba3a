"""The device code: shown here, entered anywhere (RFC 8628).

Whoever enters a code signs somebody's terminal in. So the code is shown only where
the person who asked can see it, and never opened for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from hushkey.errors import Cancelled, Transient
from hushkey.model import DeviceCode, Grant
from hushkey.providers.base import Pending, Provider
from hushkey.signin import messages
from hushkey.signin.terminal import TerminalWriter

# Seconds: RFC 8628 3.2 where the server says nothing, 3.5 for slow_down.
_INTERVAL = 5.0
_SLOWER = 5.0
# However bad the network is, look once a minute.
_SLOWEST = 60.0


def present(code: DeviceCode, voice: TerminalWriter, seconds: float) -> None:
    """Show *code*; *seconds* is how long we shall wait."""
    voice.line(messages.code_follows(code.verification_uri))
    voice.value(code.user_code)
    if code.verification_uri_complete:
        voice.line(messages.complete_follows())
        voice.value(code.verification_uri_complete)
    voice.line(messages.code_waiting(max(1, round(seconds / 60))))


def sign_in(
    provider: Provider,
    code: DeviceCode,
    voice: TerminalWriter,
    *,
    deadline: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Grant:
    """Show *code* and poll until it is approved.

    Raises Cancelled when the code expires, when *clock* passes *deadline*, or for
    Ctrl-C; Transient faults only make the polls rarer.
    """
    now = clock()
    expires = now + code.expires_in if code.expires_in > 0 else deadline
    until = min(expires, deadline)
    present(code, voice, until - now)
    try:
        return _poll(provider, code, until, clock, sleep)
    except KeyboardInterrupt:
        raise Cancelled("cancelled with Ctrl-C") from None
    except TimeoutError:
        what = "the code expired before anyone approved it"
        if expires > deadline:
            what = messages.no_answer(deadline - now)
        raise Cancelled(what) from None


def _poll(
    provider: Provider,
    code: DeviceCode,
    until: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Grant:
    """Ask again and again; raises TimeoutError when the next time would be too late."""
    interval = code.interval if code.interval > 0 else _INTERVAL
    wait = interval
    while clock() + wait < until:
        sleep(wait)
        try:
            return provider.poll_device(code)
        except Pending as pending:
            interval += _SLOWER if pending.slow_down else 0
            wait = interval
        except Transient as error:
            interval = max(interval, min(2 * interval, _SLOWEST))
            wait = max(interval, error.retry_after or 0)
    raise TimeoutError
