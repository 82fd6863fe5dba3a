"""What hushkey knows of one tool that asks it for credentials."""

from __future__ import annotations

from importlib import import_module

import hushkey_helpers
from hushkey.model import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from dataclasses import KW_ONLY

    from hushkey.model import Identity
    from hushkey_helpers.answer import Answerer


def _nothing(_: Mapping[str, str]) -> str:
    return ""


def _git_user(identity: Identity) -> str:
    return identity.git_user


class Tool(Frozen):
    """One tool: the row of its *program*, and what only slow answers need.

    ``callers`` are the programs that a person types to use the tool, each with the
    subcommands worth naming in a question, in one text; none: its name says it all.
    ``command`` returns what the person typed, ``interactive`` the tool's own setting of
    whether a person may be asked, and ``no_terminal`` the option with which it keeps us
    off the terminal; or nothing. ``stderr_shown_by`` are the callers whose person sees
    what the program writes to stderr; None: everybody's does. *inside*: a client may
    ask without starting a program. ``own_user`` returns the user name that an
    identity's tokens go with in it, where neither config nor token has one; or nothing.
    """

    program: str
    _: KW_ONLY
    callers: Mapping[str, str]
    command: Callable[[], str] = str
    interactive: Callable[[Mapping[str, str]], str] = _nothing
    no_terminal: Callable[[], str] = str
    stderr_shown_by: tuple[str, ...] | None = None
    inside: bool = False
    own_user: Callable[[Identity], str] = _git_user

    @property
    def name(self) -> str:
        """Its name, here and in the log."""
        return hushkey_helpers.row(self.program)[0]

    @property
    def module(self) -> str:
        """The module with its `main` and `answer`."""
        return hushkey_helpers.row(self.program)[1]

    @property
    def verbs(self) -> tuple[str, ...]:
        """The first words of a command line that the agent is asked about."""
        return hushkey_helpers.row(self.program)[2]

    @property
    def ends(self) -> str | None:
        """Whether an empty line ends a request; None: nothing comes on stdin."""
        return hushkey_helpers.row(self.program)[3]

    @property
    def environ(self) -> tuple[str, ...]:
        """The variables that its answer depends on, beside everybody's."""
        return hushkey_helpers.row(self.program)[4]

    def answer(self) -> Answerer:
        """Return the function that answers the tool; it is loaded now."""
        found: Answerer = import_module(self.module).answer
        return found
