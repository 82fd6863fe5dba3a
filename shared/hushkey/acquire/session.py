"""From an environment to an acquirer, or to the typed credentials, as a tool asks.

Imported by helpers only when a host is ours or something may be kept for it.
"""

from __future__ import annotations

import sys

from hushkey import runtime
from hushkey.config import rules
from hushkey.errors import StoreError
from hushkey.runtime import warn as warn
from hushkey.system import paths
from hushkey.tokenrequest import PromptOptions, Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    from hushkey.acquire.acquirer import Acquirer
    from hushkey.acquire.exchanged import ExchangedCredential
    from hushkey.model import HostRule
    from hushkey.store.typed import TypedCredentials

    T = TypeVar("T")


def acquirer(
    environ: Mapping[str, str],
    began: float,
    *,
    asks_for: str = "",
    options: PromptOptions | None = None,
    limits: Mapping[str, int] | None = None,
    tool_may_ask: bool = True,
    git_url: str | None = None,
) -> Acquirer:
    """Return the acquirer for the config that *environ* points at.

    *asks_for* names the tool whose settings and command line are looked at
    before a person is asked, if *tool_may_ask*; *began* is when its call began (epoch
    seconds). *limits* are the most that some settings may be (seconds). *git_url*:
    git's settings for the network count, as git has them for this URL, or for those
    that we ask if it is empty.
    """
    from hushkey.acquire.acquirer import Acquirer

    leave_no_core()
    config = rules.load(environ)
    if here := runtime.current():
        began = min(began, here.began)  # a question may have waited for another one
    settings = {
        **config.settings,
        **{k: min(most, config.settings[k]) for k, most in (limits or {}).items()},
    }
    return Acquirer(
        Session(
            settings if git_url is None else {**settings, "git_url": git_url},
            paths.data_folder(environ),
            environ,
            options or options_of(environ, asks_for, tool_may_ask=tool_may_ask),
            warn,
            began=began,
        )
    )


def exchanged_credential(
    environ: Mapping[str, str],
    began: float,
    rule: HostRule,
    host: str,
    *,
    asks_for: str,
    options: PromptOptions | None = None,
) -> ExchangedCredential:
    """Return what finds and makes the secret that *host* of *rule* takes.

    The rest is as for `acquirer`.
    """
    from hushkey.acquire.exchanged import ExchangedCredential

    made = acquirer(environ, began, asks_for=asks_for, options=options)
    return ExchangedCredential(made, made.wanted(rule, host))


def leave_no_core() -> None:
    """Let no crash write this process's memory, tokens and all, to a file.

    A limit of one byte stops what is piped to a crash reporter too, which zero
    does not (Linux, fs/coredump.c). Programs that we start inherit the limit.
    """
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not on Windows

    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (1 if hard else 0, hard))


def with_typed_credentials(
    environ: Mapping[str, str],
    act: Callable[[TypedCredentials], T],
    *,
    began: float = 0.0,
    asks_for: str = "",
    options: PromptOptions | None = None,
) -> T:
    """Return what *act* does with the typed credentials; raises StoreError.

    *act* runs a second time if the keyring was locked and the person, who may be
    asked by the policy of sign-ins, has unlocked it.
    """
    from hushkey.store.typed import open_typed_credentials

    leave_no_core()
    settings, folder = rules.load(environ).settings, paths.data_folder(environ)
    typed_store = open_typed_credentials(settings, folder, warn)
    try:
        return act(typed_store)
    except StoreError as error:
        if error.reason != "locked":
            raise
        from hushkey.acquire import unlock

        error.hint = "unlock it and try again"
        options = options or options_of(environ, asks_for)
        session = Session(settings, folder, environ, options, warn, began=began)
        how = unlock.decision(session)
        unlock.unlock(typed_store.data_key, error, how, session, began=session.began)
        return act(typed_store)


def options_of(
    environ: Mapping[str, str], name: str, *, tool_may_ask: bool = True
) -> PromptOptions:
    """Return how the tool called *name* may ask a person, if it may."""

    def interactive() -> str:
        tool = runtime.tool_of(name)
        return tool.interactive(environ) if tool else ""

    def command() -> str:
        tool = runtime.tool_of(name)
        return tool.command() if tool else ""

    def no_terminal() -> str:
        tool = runtime.tool_of(name)
        return tool.no_terminal() if tool else ""

    def unattended() -> str:
        from hushkey.system import callers

        return callers.unattended(environ)

    def watch() -> Callable[[], bool]:
        from hushkey.system import callers

        tool = runtime.tool_of(name)
        return callers.ended(name, inside=bool(tool and tool.inside))

    return PromptOptions(
        tool=name,
        tool_may_ask=tool_may_ask,
        interactive=interactive,
        command=command,
        no_terminal=no_terminal,
        unattended=unattended,
        watch=watch,
    )
