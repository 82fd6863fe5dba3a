"""What a caller needs, and how it may ask a person for it."""

from __future__ import annotations

import time

from hushkey.model import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from dataclasses import KW_ONLY
    from typing import Any

    from hushkey.model import HostRule


class PromptOptions(Frozen):
    """How this caller may ask a person.

    ``interactive`` returns the caller's own setting (git's credential.interactive)
    and ``command`` who is asking, both worked out only when somebody is about
    to be asked. ``no_terminal`` returns the option with which the caller keeps
    us off the terminal. ``login`` is an explicit ``hushkey login``.
    """

    _: KW_ONLY
    tool_may_ask: bool = True
    login: bool = False
    interactive: Callable[[], str] = str
    command: Callable[[], str] = str
    no_terminal: Callable[[], str] = str


class Session(Frozen):
    """One call of a tool: what everything that is done for it works with.

    ``settings`` are the config's, ``folder`` the data folder; ``warn`` says a line
    to the person. ``began`` is when the caller began to wait (epoch seconds):
    now, unless it is given. ``clock`` returns the time (epoch seconds).
    """

    _secret = ("environ", "settings")
    settings: Mapping[str, Any]
    folder: str
    environ: Mapping[str, str]
    options: PromptOptions
    warn: Callable[[str], None]
    _: KW_ONLY
    began: float = 0.0
    clock: Callable[[], float] = time.time

    @staticmethod
    def _complete(values: dict[str, Any]) -> None:
        values["began"] = values["began"] or values["clock"]()


class TokenRequest(Frozen):
    """One caller's need: a token for *rule*, for the origin *host*.

    ``began`` is when the caller began to wait (epoch seconds);
    ``min_lifetime`` in seconds is how much the token must have left; ``claims``
    is the claims request (JSON) with which the host refuses lesser tokens. ``place``
    is what is asked for below the host, a repository's path, where the tool says it.
    """

    rule: HostRule
    host: str
    username: str
    began: float
    min_lifetime: int
    claims: str = ""
    place: str = ""

    @property
    def where(self) -> str:
        """What a refusal is about: the host, or what the tool said below it."""
        return f"{self.host}/{self.place}" if self.place else self.host

    @property
    def account(self) -> str:
        """The account that is wanted by name, or nothing: whoever is signed in.

        A user name with an @ is a person's; git's others are conventions.
        """
        return self.rule.account or (self.username if "@" in self.username else "")
