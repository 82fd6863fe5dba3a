"""What a caller needs, and how it may ask a person for it."""

from __future__ import annotations

from hushkey.model import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from hushkey.model import HostRule


class PromptOptions(Frozen):
    """How this caller may ask a person.

    ``wish`` returns the caller's own setting (git's credential.interactive)
    and ``command`` who is asking, both worked out only when somebody is about
    to be asked. ``no_terminal`` returns the option with which the caller keeps
    us off the terminal. ``login`` is an explicit ``hushkey login``.
    """

    __slots__ = ("command", "login", "no_terminal", "tool_may_ask", "wish")
    tool_may_ask: bool
    login: bool
    wish: Callable[[], str]
    command: Callable[[], str]
    no_terminal: Callable[[], str]

    def __init__(
        self,
        *,
        tool_may_ask: bool = True,
        login: bool = False,
        wish: Callable[[], str] = str,
        command: Callable[[], str] = str,
        no_terminal: Callable[[], str] = str,
    ) -> None:
        self._set(
            tool_may_ask=tool_may_ask,
            login=login,
            wish=wish,
            command=command,
            no_terminal=no_terminal,
        )


class TokenRequest(Frozen):
    """One caller's need: a token for *rule*, for the origin *host*.

    ``began`` is when the caller began to wait (epoch seconds);
    ``min_lifetime`` in seconds is how much the token must have left; ``claims``
    is the claims request (JSON) with which the host refuses lesser tokens.
    """

    __slots__ = ("began", "claims", "host", "min_lifetime", "rule", "username")
    rule: HostRule
    host: str
    username: str
    began: float
    min_lifetime: int
    claims: str

    def __init__(
        self,
        rule: HostRule,
        host: str,
        username: str,
        began: float,
        min_lifetime: int,
        claims: str = "",
    ) -> None:
        self._set(
            rule=rule,
            host=host,
            username=username,
            began=began,
            min_lifetime=min_lifetime,
            claims=claims,
        )

    @property
    def account(self) -> str:
        """The account that is wanted by name, or nothing: whoever is signed in.

        A user name with an @ is a person's; git's others are conventions.
        """
        return self.rule.account or (self.username if "@" in self.username else "")
