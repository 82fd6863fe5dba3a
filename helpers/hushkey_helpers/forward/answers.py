"""One question of a far machine, and the token that the same code gets for it as here.

Only hosts that this side's config has a rule for, over https; all that a far machine
says of itself is a name on the screen and in the log.
"""

from __future__ import annotations

import os
import time

from hushkey import origins, runtime
from hushkey.acquire import session, upstream
from hushkey.acquire.exchanged import ExchangedCredential
from hushkey.config import rules
from hushkey.errors import (
    ConfigError,
    NeedsCaller,
    Permanent,
    StoreError,
    UiRequired,
    plain,
)
from hushkey.net import forwarding
from hushkey.system import audit, paths
from hushkey.tokenrequest import PromptOptions
from hushkey_helpers import table
from hushkey_helpers.agent import process
from hushkey_helpers.agent.memory import Memory
from hushkey_helpers.agent.renewal import RenewalSchedule
from hushkey_helpers.answer import explained

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hushkey.model import HostRule, Request, Token
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
        # The far side's socket may be on this machine: it is not to ask itself.
        self._upstream = _upstream(environ)
        # As the agent does: opening the store again takes longer than all the rest.
        self._memory = Memory(process.watch(), RenewalSchedule())

    def reply(
        self,
        asked: Question,
        gone: Callable[[], bool] = bool,
        tell: Callable[[str], object] = bool,
    ) -> Reply:
        """Return kind and words of the answer; *gone* tells that nobody waits for it.

        May take as long as a person does, if somebody waits; *tell* takes a line for
        them meanwhile.
        """
        try:
            return self._rejected(asked) or self._reply(asked, gone, tell)
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

    def _reply(
        self, asked: Question, gone: Callable[[], bool], tell: Callable[[str], object]
    ) -> Reply:
        began, request = time.time(), asked.request
        here = runtime.AgentContext(self._memory, began, quick=False, counts=False)
        with here:
            rule = self._rule(asked)
        origin = origins.parse_origin("https", request.host)
        far = rule is None and paths.may_have_upstream(self._pinned())
        if not _is_plain(request) or origin is None or (rule is None and not far):
            return self._unknown(asked)
        host = origins.origin_text(request.protocol, *origin)
        allowed = self._consent.known(request, host)
        if allowed is None and asked.person:
            allowed = self._consent.ask(request, host, self._who(asked), gone, tell)
        if allowed is None and rule is not None:
            return forwarding.PERSON, {}
        if allowed is False:
            if rule is None:
                return self._unknown(asked)
            raise Permanent(f"{plain(self._to, 80)} may have no token for {host}")
        try:
            found = self._remembered(here, asked, rule, host)
        except (UiRequired, StoreError) as need:
            if isinstance(need, StoreError) and need.reason != "locked":
                raise
            if not asked.person:
                return forwarding.PERSON, {}
            found = self._found(asked, rule, host, began, gone)
        if found is None:
            return self._unknown(asked)
        if allowed is None:
            return forwarding.PERSON, {}
        token, scheme = found
        end = token.expires_at
        self._record(asked, "given", account=token.account.label, expires=end)
        return forwarding.GIVEN, {
            "username": token.username,
            "token": token.value,
            "expires": "" if end is None else str(end),
            "scheme": scheme,
        }

    def _rejected(self, asked: Question) -> Reply | None:
        """Set the token aside that the far side says was refused; None: it asks.

        As git's `erase` does here: only that token, and only of a host that it may have
        tokens for. The sign-in stays.
        """
        if not asked.refused:
            return None
        request, rule = asked.request, self._rule(asked)
        origin = origins.parse_origin("https", request.host)
        if not _is_plain(request) or origin is None:
            return self._unknown(asked)
        if rule is None:
            upstream.rejected(request, self._pinned(), asked.tool, asked.refused)
            return self._unknown(asked)
        host = origins.origin_text(request.protocol, *origin)
        if self._consent.known(request, host):
            options = PromptOptions(tool=asked.tool, tool_may_ask=False)
            acquirer = session.acquirer(self._environ, time.time(), options=options)
            tokens = acquirer.file_of(rule.identity).read().tokens()
            names = {forwarding.named(token.value): token.value for token in tokens}
            secret = names.get(asked.refused)
            if secret and acquirer.refuse(rule, host, secret, request=request):
                self._record(asked, "rejected")
                if rule.identity.tenants:
                    acquirer.forget_tenant(request)
        return forwarding.UNKNOWN, {}

    def _remembered(
        self,
        here: runtime.AgentContext,
        asked: Question,
        rule: HostRule | None,
        host: str,
    ) -> tuple[Token, str] | None:
        """Return `_found` without a person, from memory as far as that goes."""
        try:
            with here:
                return self._found(asked, rule, host, here.began, None)
        except NeedsCaller:
            here.lines.clear()
            return self._found(asked, rule, host, here.began, None)
        finally:
            for line in here.lines:
                session.warn(line)

    def _unknown(self, asked: Question) -> Reply:
        self._record(asked, "unknown")
        return forwarding.UNKNOWN, {}

    def _rule(self, asked: Question) -> HostRule | None:
        """Return the rule of this side's config, None where it has none for tokens."""
        if not _is_plain(asked.request):
            return None
        rule = rules.load(self._environ).rule_for(asked.request)
        return None if rule is None or rule.identity.typed else rule

    def _pinned(self) -> dict[str, str]:
        """Return the environment, with the upstream that was there at the beginning."""
        path, place = self._upstream
        same = bool(path) and _place(path) == place
        return {**self._environ, "HUSHKEY_UPSTREAM": path if same else "off"}

    def _found(
        self,
        asked: Question,
        rule: HostRule | None,
        host: str,
        began: float,
        gone: Callable[[], bool] | None,
    ) -> tuple[Token, str] | None:
        """Return the token with its user name, and its scheme; None: there is none.

        *gone* None: nobody is to notice. Without a *rule* the machine is asked that
        somebody reached this one from.
        """
        environ, request = self._pinned(), asked.request
        options = PromptOptions(tool=asked.tool, tool_may_ask=False)
        if gone is not None:
            options = PromptOptions(
                tool=asked.tool,
                command=lambda: self._who(asked),
                no_terminal=lambda: "hushkey forward",
                watch=lambda: gone,
            )
        if rule is None:
            there = upstream.find(
                request, environ, asked.tool, lambda: options, passes_on=True
            )
            return (there.token, there.rule.scheme) if there else None
        acquirer = session.acquirer(environ, began, options=options)
        wanted = acquirer.wanted(rule, host, request.username, request=request)
        token = ExchangedCredential(acquirer, wanted).token()
        tool = table.tool_of(asked.tool)
        own = token.username or (tool.own_user(rule.identity) if tool else "")
        user = rule.answer_user(own, request.username)
        return token.changed(username=user), rule.scheme

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


def _is_plain(request: Request) -> bool:
    """Tell whether this is a host over https, and nothing in front of it."""
    return request.protocol == "https" and "@" not in request.host


def _upstream(environ: Mapping[str, str]) -> tuple[str, object]:
    """Return the socket by which somebody reached this machine, and what it is."""
    try:
        path = paths.upstream(environ)
    except ConfigError:
        return "", None
    return path, _place(path)


def _place(path: str) -> object:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_ino, found.st_dev, found.st_mtime_ns
