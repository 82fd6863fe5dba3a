"""One question of a far machine, and the token that the same code gets for it as here.

Only hosts that this side's config has a rule for, over https; all that a far machine
says of itself is a name on the screen and in the log.
"""

from __future__ import annotations

import time

from hushkey import origins
from hushkey.config import rules
from hushkey.errors import ConfigError, Permanent, StoreError, UiRequired, plain
from hushkey.net import forwarding
from hushkey.system import audit
from hushkey.tokenrequest import PromptOptions
from hushkey_helpers import table
from hushkey_helpers.answer import explained

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hushkey.model import HostRule, Token
    from hushkey.net.forwarding import Question
    from hushkey_helpers.forward.consent import Consent

    Reply = tuple[str, dict[str, str]]


class Answers:
    """Answers for the forward called *name*, to the machine *to*."""

    def __init__(
        self, name: str, to: str, environ: Mapping[str, str], consent: Consent
    ) -> None:
        self._name = name
        self._to = to
        self._environ = environ
        self._consent = consent

    def reply(self, asked: Question, gone: Callable[[], bool] = bool) -> Reply:
        """Return kind and words of the answer; *gone* tells that nobody waits for it.

        May take as long as a person does, if somebody waits.
        """
        try:
            return self._reply(asked, gone)
        except Exception as error:
            line = explained(error).line()
            self._record(asked, "refused", why=line)
            if isinstance(error, ConfigError | StoreError):
                # Paths and words of this machine's files are nobody's there.
                line = "it cannot answer now; run `hushkey doctor` there"
            return forwarding.ERROR, {"line": plain(line, 500)}

    def refused(self, why: str) -> None:
        """Take note of a question that was not even read."""
        audit.record(
            self._environ, forward=self._name, to=self._to, outcome="refused", why=why
        )

    def _reply(self, asked: Question, gone: Callable[[], bool]) -> Reply:
        began, request = time.time(), asked.request
        rule = self._rule(asked)
        if rule is None:
            self._record(asked, "unknown")
            return forwarding.UNKNOWN, {}
        origin = origins.parse_origin(request.protocol, request.host)
        host = origins.origin_text(request.protocol, *(origin or ("", 0)))
        allowed = self._consent.known(request, host)
        if allowed is None:
            if not asked.person:
                return forwarding.PERSON, {}
            allowed = self._consent.ask(request, host, self._who(asked))
        if not allowed:
            raise Permanent(f"{plain(self._to, 80)} may have no token for {host}")
        try:
            token = self._token(asked, rule, host, began, None)
        except (UiRequired, StoreError) as need:
            if isinstance(need, StoreError) and need.reason != "locked":
                raise
            if not asked.person:
                return forwarding.PERSON, {}
            token = self._token(asked, rule, host, began, gone)
        tool = table.tool_of(asked.tool)
        own = token.username or (tool.own_user(rule.identity) if tool else "")
        self._record(
            asked,
            "given",
            account=token.account.label,
            expires=token.expires_at,
        )
        return forwarding.GIVEN, {
            "username": rule.answer_user(own, request.username),
            "token": token.value,
            "expires": "" if token.expires_at is None else str(token.expires_at),
            "scheme": rule.scheme,
        }

    def _rule(self, asked: Question) -> HostRule | None:
        """Return the rule of this side's config, None where it has none for tokens."""
        request = asked.request
        if request.protocol != "https" or "@" in request.host:
            return None
        rule = rules.load(self._environ).rule_for(request)
        return None if rule is None or rule.identity.typed else rule

    def _token(
        self,
        asked: Question,
        rule: HostRule,
        host: str,
        began: float,
        gone: Callable[[], bool] | None,
    ) -> Token:
        """Return the token; *gone* None: nobody is to notice."""
        from hushkey.acquire import session
        from hushkey.acquire.exchanged import ExchangedCredential

        options = PromptOptions(tool=asked.tool, tool_may_ask=False)
        if gone is not None:
            options = PromptOptions(
                tool=asked.tool,
                command=lambda: self._who(asked),
                no_terminal=lambda: "hushkey forward",
                watch=lambda: gone,
            )
        acquirer = session.acquirer(self._environ, began, options=options)
        user = asked.request.username
        wanted = acquirer.wanted(rule, host, user, request=asked.request)
        return ExchangedCredential(acquirer, wanted).token()

    def _who(self, asked: Question) -> str:
        """Return who asks, as far as it says so, and by which way it came."""
        command = plain(asked.command or asked.tool, 80)
        machine = plain(asked.machine, 60) or "another machine"
        return f"{command} on {machine} (forwarded to {plain(self._to, 60)})"

    def _record(self, asked: Question, outcome: str, **more: object) -> None:
        audit.record(
            self._environ,
            forward=self._name,
            to=self._to,
            machine=asked.machine,
            command=asked.command,
            tool=asked.tool,
            host=asked.request.host,
            path=asked.request.path,
            outcome=outcome,
            **more,
        )
