"""Where an answer is made: in a process of its own, or in the agent.

The agent runs the very same functions as the helpers do. What it may not do, and
what it remembers for them, they learn here. In a process of its own there is no
context, and every question below is answered by doing nothing.
"""

from __future__ import annotations

import sys
import time
from _thread import get_ident

from hushkey.errors import NeedsCaller, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Protocol

    from hushkey.model import Token
    from hushkey.tokenrequest import TokenRequest

    class CallingTool(Protocol):
        """What is asked of a tool before a person is."""

        @property
        def callers(self) -> Mapping[str, str]:
            """The programs that a person types to use it.

            Each with the subcommands worth naming, in one text.
            """

        @property
        def command(self) -> Callable[[], str]:
            """Returns what the person typed, or nothing."""

        @property
        def interactive(self) -> Callable[[Mapping[str, str]], str]:
            """Returns its own setting of whether a person may be asked, or nothing."""

        @property
        def inside(self) -> bool:
            """Whether a client may ask without starting a program."""

        @property
        def no_terminal(self) -> Callable[[], str]:
            """Returns the option that keeps us off the terminal, or nothing."""

    class Uses(Protocol):
        """What is told of every token that is in use."""

        def note(
            self, wanted: TokenRequest, environ: Mapping[str, str], token: Token
        ) -> None:
            """Take note that *wanted* was answered with *token*."""

    class Memory(Protocol):
        """What the agent remembers between two answers."""

        @property
        def uses(self) -> Uses:
            """Hears which tokens are in use."""

        def config(self, source: str, stamp: object) -> Mapping[str, Any] | None:
            """Return the compiled form of *source*, if it has not changed."""

        def keep_config(
            self, source: str, stamp: object, compiled: Mapping[str, Any]
        ) -> None:
            """Remember the compiled form of *source*."""

        def proof(self, version: object) -> object:
            """Return what stays the same while the key is where it was."""

        def tokens(self, path: str, stamp: object, version: object) -> Any:
            """Return the remembered `TokenCache` of *path*, or None."""

        def keep_tokens(
            self, path: str, stamp: tuple[int, ...], proof: object, cache: Any
        ) -> None:
            """Remember the `TokenCache` of *path*."""

        def name(self, version: object, value: str, make: Callable[[], str]) -> str:
            """Return the keyed hash of the token *value*; *make* needs the key."""


def _nobody(_: str) -> None:
    return None


#: what is known of a tool by its name. Whoever answers for tools sets it before a
#: person can be asked
tool_of: Callable[[str], CallingTool | None] = _nobody


def programs_of(tool: str) -> Mapping[str, str]:
    """Return the `CallingTool.callers` of *tool*, none where it is unknown."""
    known = tool_of(tool)
    return known.callers if known else {}


class WouldBlock(BaseException):
    """A quick try has come to where it would wait; nothing was changed so far."""


class WouldRenew(WouldBlock):
    """What it would wait for is a server's new token."""


class WouldOpen(WouldBlock):
    """What it would wait for is the data key, to open what is sealed."""


class AgentContext:
    """One answer of the agent, in the thread that entered it.

    ``began`` is when the caller began to wait (epoch seconds), ``asker`` its process
    (0: unknown); a *quick* try may not wait for anything, one that
    *renews* may also ask a server for a token, one that *opens* may read the data
    key; it *counts* if somebody asked. ``lines`` collects what is said to the person
    meanwhile.
    """

    def __init__(
        self,
        memory: Memory,
        began: float,
        *,
        quick: bool,
        renews: bool = True,
        opens: bool = True,
        counts: bool = True,
        asker: int = 0,
    ) -> None:
        self.memory = memory
        self.began = began
        self.quick = quick
        self.renews = renews
        self.opens = opens
        self.counts = counts
        self.asker = asker
        self.lines: list[str] = []
        #: the config, the same for the whole of this answer
        self.config: Any = None

    def __enter__(self) -> AgentContext:
        _contexts[get_ident()] = self
        return self

    def __exit__(self, *_: object) -> None:
        _contexts.pop(get_ident(), None)


_contexts: dict[int, AgentContext] = {}


def current() -> AgentContext | None:
    """Return the context of this thread; None in a process of its own."""
    return _contexts.get(get_ident())


class Expected:
    """An answer, in the thread that entered it, for which a tool waits *seconds*.

    They count from when the caller began to wait. What comes later is lost, and so is
    the reason for it; so whatever waits in here asks `left`.
    """

    def __init__(self, seconds: float) -> None:
        here = current()
        waited = max(0.0, time.time() - here.began) if here else 0.0
        self._end = time.monotonic() + seconds - waited

    def __enter__(self) -> None:
        _ends[get_ident()] = self._end

    def __exit__(self, *_: object) -> None:
        _ends.pop(get_ident(), None)


_ends: dict[int, float] = {}


def left(seconds: float) -> float:
    """Return *seconds*, or less if the answer is `Expected` earlier; never below 0."""
    end = _ends.get(get_ident())
    return seconds if end is None else max(0.0, min(seconds, end - time.monotonic()))


def warn(line: str) -> None:
    """Write one line for the person to stderr."""
    if here := current():
        here.lines.append(line)
        return
    try:
        sys.stderr.write(f"hushkey: {plain(line, 1000)}\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError, RuntimeError):
        return  # nobody can read it, or a signal came in the middle of another line


def memory() -> Memory | None:
    """Return what the agent remembers."""
    here = current()
    return here.memory if here else None


def ensure_may_block() -> None:
    """Go on, if this answer may wait for a lock, a keyring or a server."""
    here = current()
    if here and here.quick:
        raise WouldBlock


def ensure_may_renew() -> None:
    """Go on, if this answer may ask a server for a token."""
    here = current()
    if here and (here.quick or not here.renews):
        raise WouldRenew


def ensure_may_open() -> None:
    """Go on, if this answer may read the data key."""
    here = current()
    if here and (here.quick or not here.opens):
        raise WouldOpen


def asker() -> int | None:
    """Return the process that was called; None: this one. It takes time to look."""
    here = current()
    if here is None:
        return None
    if not here.asker:
        raise NeedsCaller
    ensure_may_block()
    return here.asker


def ensure_in_caller(*, person: bool = False) -> None:
    """Go on, if this is the process that was called; *person*: one will be asked."""
    if current():
        raise NeedsCaller(person=person)


def used(wanted: TokenRequest, environ: Mapping[str, str], token: Token) -> Token:
    """Return *token*, which answers *wanted*; the agent notes that it is in use."""
    here = current()
    if here and here.counts:
        here.memory.uses.note(wanted, environ, token)
    return token
