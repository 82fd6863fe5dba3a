"""An absolute end for calls that have no deadline of their own.

Name resolution, a D-Bus daemon that is stopped, a server that sends one byte
at a time: none of them ends by itself. The call runs in a daemon thread, so a
call that never returns cannot keep the process alive either.
"""

from __future__ import annotations

import _thread
import time

from hushkey import runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")


#: seconds until the main thread looks whether a signal came: one that another thread
#: got, or that came just before the wait began, does not end the wait
_LOOK = 0.1


class Expired(Exception):
    """The call did not return in time; it may still be running."""


def within(seconds: float, call: Callable[[], T]) -> T:
    """Return what *call* returns, or raise what it raises, within *seconds*.

    Raises Expired when the time is over. Signals are heard meanwhile.
    """
    end = time.monotonic() + seconds
    runtime.ensure_may_block()
    results: list[T] = []
    errors: list[Exception] = []

    over = _thread.allocate_lock()  # `threading` costs more than most calls
    over.acquire()

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:
            errors.append(error)
        except BaseException as error:  # a panic of a binding, never our Ctrl-C
            errors.append(RuntimeError(type(error).__name__))
        finally:
            over.release()

    _thread.start_new_thread(run, ())
    left = seconds
    while not over.acquire(timeout=min(max(left, 0), _LOOK)) and left > 0:
        left = end - time.monotonic()
    if errors:
        raise errors[0]
    if not results:
        raise Expired(f"no answer within {seconds:g} s")
    return results[0]
