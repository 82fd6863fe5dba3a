"""What a caller needs, and how it may ask a person for it."""

from __future__ import annotations

import time

from hushkey import origins
from hushkey.model import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from dataclasses import KW_ONLY
    from typing import Any

    from hushkey.model import HostRule, Request


#: what stands where a URL needs a user name and the server looks at none
_CONVENTIONS = (
    " __token__ _json_key _token anonymous azuredevops build ci git gitlab-ci-token "
    "guest oauth oauth2 oauth2accesstoken pat personal-access-token private-token "
    "token user username vsssessiontoken x-access-token x-oauth-basic x-token-auth "
)


class PromptOptions(Frozen):
    """How this caller may ask a person.

    ``tool`` is the name of the tool that is answered, empty where it is a person.
    ``interactive`` returns the caller's own setting (git's credential.interactive)
    and ``command`` who is asking, both worked out only when somebody is about
    to be asked; so is ``unattended``, by what is known that nobody waits.
    ``watch`` returns what tells whether the caller has ended meanwhile.
    ``no_terminal`` returns the option with which the caller keeps us off the
    terminal. ``login`` is an explicit ``hushkey login``.
    """

    _: KW_ONLY
    tool: str = ""
    tool_may_ask: bool = True
    login: bool = False
    interactive: Callable[[], str] = str
    command: Callable[[], str] = str
    no_terminal: Callable[[], str] = str
    unattended: Callable[[], str] = str
    watch: Callable[[], Callable[[], bool]] = lambda: bool


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
    is what is asked for below the host, a repository's path, where the tool says it;
    ``request`` is the whole of what it said, where it is known.
    *person*: the user name, if there is one, says whose token is meant; else any will
    do.
    """

    rule: HostRule
    host: str
    username: str
    began: float
    min_lifetime: int
    claims: str = ""
    place: str = ""
    person: bool = False
    request: Request | None = None

    @property
    def where(self) -> str:
        """What a refusal is about: the host, or what the tool said below it."""
        return f"{self.host}/{self.place}" if self.place else self.host

    @property
    def account(self) -> str:
        """The account that is wanted by name, or nothing: whoever is signed in.

        A user name with an @ is a person's, and so is the one that a rule asks for;
        others may be the convention of a host.
        """
        sure = self.person and ("@" in self.username or bool(self.rule.user))
        return self.rule.account or (self.username if sure else "")

    @property
    def expected(self) -> str:
        """Who has to come back from a sign-in, or nothing: whoever does."""
        return self.rule.account or (self.username if self.person else "")


def may_be_person(name: str, rule: HostRule) -> bool:
    """Tell whether the user name *name* in a URL may say whose token is meant.

    Not the names that servers and tools write there, the ones that *rule* answers
    with, a GUID, and the organisation that has led to the rule; where there are
    tenants, people's names have an @ and organisations' have none.
    """
    folded, identity = name.casefold(), rule.identity
    fixed = (rule.username, identity.git_user, identity.keyring_user)
    if not name.isprintable() or f" {folded} " in _CONVENTIONS or name in ("", *fixed):
        return False
    if identity.tenants and "@" not in name:
        return False
    if len(name) == 36 and name.count("-") == 4 and _is_hex(name.replace("-", "")):
        return False
    return not set("<>/:") & set(name) and (
        origins.place((name,)) != origins.parse_pattern(rule.pattern).path[:1]
    )


def _is_hex(text: str) -> bool:
    return all(c in "0123456789abcdefABCDEF" for c in text)
