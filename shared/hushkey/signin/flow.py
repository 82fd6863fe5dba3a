"""The flow of a sign-in: browser, printed address with paste-back, device code.

One flow and one listener serve the first two methods, so that whichever way the
answer comes, through the browser here or by hand from another machine, it is
compared with the same state and redeemed once.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext

from hushkey.errors import Cancelled, HushkeyError, InteractionUnavailable
from hushkey.model import CodeFlow, DeviceCode, Frozen, Grant
from hushkey.providers.base import Provider
from hushkey.signin import browser, device, messages, pages
from hushkey.signin.paste import PasteReader, parse_redirect
from hushkey.signin.policy import PromptDecision, over_ssh
from hushkey.signin.receiver import Receiver
from hushkey.signin.terminal import Terminal, TerminalWriter, open_terminal, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import KW_ONLY

# Seconds between two looks at a browser command that still runs.
_LOOK = 0.2
# Seconds without an answer until it is said what may be wrong.
_QUIET = 20.0
# Seconds that a browser has for its page before its command, if that has ended, is
# taken for one that only prints.
_SHOWN_AFTER = 2.0
# Seconds between two looks at whether the caller is still there.
_BEAT = 1.0


class PromptSubject(Frozen):
    """Who is asked, for what, and by which *command* ('git fetch in /repo')."""

    host: str
    _: KW_ONLY
    identity: str = ""
    account: str = ""
    command: str = ""

    def asks(self) -> str:
        """Return the words that say who asks for what."""
        return messages.who_asks(self.host, self.identity, self.account, self.command)


def sign_in(
    provider: Provider,
    scopes: tuple[str, ...],
    *,
    who: PromptSubject,
    decision: PromptDecision,
    redirect_uri: str,
    login_hint: str = "",
    environ: Mapping[str, str],
    timeout: float,
    finish: Callable[[Grant], None],
    says_who: bool = False,
    opened: Callable[[str], object] = bool,
    ended: Callable[[], bool] = bool,
    terminal: Terminal | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Grant:
    """Ask a person, by the methods that *verdict* allows, and return the grant.

    *finish* is called with the grant before anyone is told "signed in": it stores.
    *timeout* is in seconds, for everything. *terminal* is opened here if not given,
    and only if a method needs it. *says_who*: the caller writes to standard error who
    signed in, so this does not. *opened* is called with the address that cancels it;
    *ended* tells that nobody waits for the answer any more. Raises
    InteractionUnavailable if no method works or the caller has ended, Cancelled, and
    whatever *provider* and *finish* raise.
    """
    if not decision.methods:
        raise _unavailable(who, decision.reason)
    with _opened(decision, environ, terminal) as chosen:
        climb = _Attempt(provider, scopes, who, decision, environ, chosen)
        climb.deadline = clock() + timeout
        climb.opened, climb.ended = opened, ended
        try:
            grant = climb.by_redirect(redirect_uri, login_hint, finish)
            if grant is None and "device" in decision.methods:
                grant = climb.by_code(finish, clock, sleep)
        except KeyboardInterrupt:
            raise _about(who, Cancelled("cancelled with Ctrl-C")) from None
        except HushkeyError as error:
            _about(who, error)
            raise
        if grant is None:
            raise _unavailable(who, climb.missing)
        # The tool does not say whose token it got, and the window may have been left to
        # somebody else. Standard error hears it unless it is that terminal.
        done = messages.signed_in(who.host, _label(grant, who))
        if chosen is not None and not (says_who and os.isatty(2)):
            chosen.line(done)
        if not says_who and (chosen is None or not os.isatty(2)):
            warn(done)
    return grant


class _Attempt:
    """One sign-in under way; a method that does not work returns None."""

    deadline: float = 0.0
    opened: Callable[[str], object]
    ended: Callable[[], bool]
    #: why the last method did not work
    missing = "nobody can be asked here"

    def __init__(
        self,
        provider: Provider,
        scopes: tuple[str, ...],
        who: PromptSubject,
        decision: PromptDecision,
        environ: Mapping[str, str],
        terminal: Terminal | None,
    ) -> None:
        self._provider = provider
        self._scopes = scopes
        self._who = who
        self._methods = decision.methods
        self._environ = environ
        self._terminal = terminal
        #: set where pasting is allowed and somebody can paste
        self._reading = terminal if "paste" in decision.methods else None
        self._code: DeviceCode | None = None

    def by_redirect(
        self, redirect_uri: str, login_hint: str, finish: Callable[[Grant], None]
    ) -> Grant | None:
        """Wait for the redirect: from a browser that we start, or pasted."""
        self._check_ended()
        if "browser" not in self._methods and self._reading is None:
            return None
        with Receiver(redirect_uri, self._who.host) as receiver:
            flow = self._provider.begin_code(
                self._scopes, receiver.redirect_uri, login_hint
            )
            browser.check(flow.url)
            receiver.expect(flow.state, flow.url)
            self.opened(receiver.cancel_url)
            answer = self._answer(receiver, flow)
            return (
                None if answer is None else self._redeem(receiver, flow, answer, finish)
            )

    def _answer(self, receiver: Receiver, flow: CodeFlow) -> dict[str, str] | None:
        """Open the address and return what comes back; None: on to the next method."""
        raw = self._reading.raw_input() if self._reading else nullcontext()
        with raw:  # first of all, for it drops what was typed before
            launch = None
            if "browser" in self._methods:
                launch = browser.launch(receiver.open_url, self._environ)
            if launch is None and self._reading is None:
                self.missing = "no browser could be started"
                return None
            self._announce(receiver, flow, launch is not None)
            return self._wait(receiver, flow, launch)

    def _announce(self, receiver: Receiver, flow: CodeFlow, opening: bool) -> None:
        if self._reading is None:
            url = flow.url if over_ssh(self._environ) else receiver.open_url
            warn(messages.browser_only(self._who.asks(), url, receiver.cancel_url))
            return
        self._reading.line(self._who.asks())
        # The short address leads nowhere on another machine.
        here = opening and not over_ssh(self._environ)
        self._show(receiver.open_url if here else flow.url, opening=opening)
        self._reading.line(messages.how_to_paste("device" in self._methods))

    def _show(self, url: str, *, opening: bool) -> None:
        if self._reading is not None:
            self._reading.line(messages.address_follows(opening))
            self._reading.value(url)

    def _wait(
        self, receiver: Receiver, flow: CodeFlow, launch: browser.Launch | None
    ) -> dict[str, str] | None:
        """Wait for receiver, terminal and browser command, whichever moves first."""
        reader = PasteReader()
        fd = self._reading.fileno() if self._reading else None
        shown = self._reading is not None or not self._environ.get("BROWSER")
        began = time.monotonic()
        quiet_until = began + _QUIET
        while True:
            if launch is not None and launch.failed():
                launch = launch.instead()
                if launch is None and not self._go_on_without_browser(flow):
                    return None
            late = time.monotonic() > began + _SHOWN_AFTER
            if not shown and late and launch is not None and not launch.running():
                # `echo` and its like print to nobody: what is no browser has ended.
                shown = True
                warn(messages.browser_ended(flow.url))
            look = _LOOK if launch is not None and launch.running() else _BEAT
            if quiet_until:
                look = min(look, max(quiet_until - time.monotonic(), 0.0))
            self._check_ended()
            answer = receiver.wait(self.deadline, fd, look)
            if answer is not None:
                return answer
            if quiet_until and time.monotonic() >= quiet_until:
                quiet_until = 0.0
                self._say_what_may_be_wrong(receiver, flow)
            lines = [] if fd is None else reader.read(fd)
            for line in lines:
                answer = parse_redirect(line, flow.redirect_uri, flow.state)
                if answer is not None:
                    return answer
            if lines and self._goes_to_code(lines[-1]):
                return None

    def _say_what_may_be_wrong(self, receiver: Receiver, flow: CodeFlow) -> None:
        far = self._reading is not None and over_ssh(self._environ)
        line = messages.no_answer_yet(
            self._provider.client_id,
            flow.redirect_uri,
            "" if far else receiver.cancel_url,
        )
        if self._reading is not None:
            self._reading.line(line)
        else:
            warn(line)

    def _check_ended(self) -> None:
        """End with the caller: it would keep every other one waiting for nobody."""
        if self.ended():
            raise InteractionUnavailable("the command that asked has ended")

    def _go_on_without_browser(self, flow: CodeFlow) -> bool:
        """Tell whether a person can still bring the answer, and tell the person."""
        if self._reading is None:
            self.missing = messages.browser_failed()
            return False
        self._reading.line(messages.browser_failed())
        self._show(flow.url, opening=False)
        return True

    def _goes_to_code(self, line: str) -> bool:
        """Answer a *line* that was no redirect; an empty one asks for a code."""
        if self._reading is None:
            return False
        if line.strip() or "device" not in self._methods:
            self._reading.line(messages.not_taken())
            return False
        self._code = self._provider.begin_device(self._scopes)
        if self._code is None:
            self._reading.line(messages.no_code(self._who.host))
        return self._code is not None

    def _redeem(
        self,
        receiver: Receiver,
        flow: CodeFlow,
        answer: Mapping[str, str],
        finish: Callable[[Grant], None],
    ) -> Grant:
        """Redeem and store; only then, or with the reason why not, let the page go."""
        host, command = self._who.host, self._who.command
        try:
            grant = self._provider.redeem_code(flow, answer)
            finish(grant)
        except Cancelled as error:
            receiver.conclude(pages.declined(host, error.what, command))
            raise
        except HushkeyError as error:
            report = _report(_about(self._who, error).line())
            page = pages.failed(host, error.what, error.hint, command, report)
            receiver.conclude(page)
            raise
        except BaseException as error:  # a fault of ours, whose text may hold anything
            what = "something unexpected happened"
            report = _report(f"{host}: {what} ({type(error).__name__})")
            receiver.conclude(pages.failed(host, what, "", command, report))
            raise
        account = _label(grant, self._who)
        receiver.conclude(pages.signed_in(host, account, command))
        return grant

    def by_code(
        self,
        finish: Callable[[Grant], None],
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> Grant | None:
        """Show a device code, on standard error where one was asked for by name."""
        code = self._code or self._provider.begin_device(self._scopes)
        if code is None:
            self.missing = "the server offers no device code"
            return None
        voice = self._terminal or TerminalWriter(2)
        if self._reading is None:
            voice.line(self._who.asks())

        def watchful(seconds: float) -> None:
            sleep(seconds)
            self._check_ended()

        grant = device.sign_in(
            self._provider,
            code,
            voice,
            deadline=self.deadline,
            clock=clock,
            sleep=watchful,
        )
        finish(grant)
        return grant


@contextmanager
def _opened(
    decision: PromptDecision, environ: Mapping[str, str], given: Terminal | None
) -> Iterator[Terminal | None]:
    """Give the terminal that the methods may use: *given*, or one of our own."""
    if not {"paste", "device"} & set(decision.methods):
        yield None
    elif given is not None:
        yield given
    else:
        own = open_terminal(environ)
        with own or nullcontext():
            yield own


def _label(grant: Grant, who: PromptSubject) -> str:
    return grant.account.label if grant.account else who.account


def _report(line: str) -> str:
    """Return what a person copies for somebody who helps."""
    from importlib.metadata import version  # noqa: PLC0415 - slow, and for this alone

    return f"hushkey {version('hushkey')}, {sys.platform}: {line}"


def _about(who: PromptSubject, error: HushkeyError) -> HushkeyError:
    return error.about(host=who.host, identity=who.identity, account=who.account)


def _unavailable(who: PromptSubject, reason: str) -> HushkeyError:
    what = f"a sign-in is needed, but {reason}"
    hint = f"run: {messages.login_command(who.host)}"
    return _about(who, InteractionUnavailable(what, hint=hint))
