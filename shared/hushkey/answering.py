"""From an environment to an acquirer, or to the stash, with a tool's manners.

Imported by helpers only when a host is ours or something may be kept for it.
"""

import sys
import time

from hushkey import occasion, paths, sites
from hushkey.errors import StoreError, plain
from hushkey.want import Manners

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    from hushkey.acquire import Acquirer
    from hushkey.derived import Derivation
    from hushkey.model import Site
    from hushkey.stash import Stash

    T = TypeVar("T")


def acquirer(
    environ: "Mapping[str, str]",
    began: float,
    *,
    asks_for: str = "",
    manners: "Manners | None" = None,
) -> "Acquirer":
    """Return the acquirer for the config that *environ* points at.

    *asks_for* names the tool whose settings and command line are looked at
    before a person is asked; *began* is when its call began (epoch seconds).
    """
    from hushkey.acquire import Acquirer

    leave_no_core()
    config = sites.load(environ)
    if here := occasion.now():
        began = min(began, here.began)  # a question may have waited for another one
    return Acquirer(
        config.settings,
        paths.data_folder(environ),
        environ,
        manners or _manners(environ, asks_for),
        warn,
        began=began,
    )


def derivation(
    environ: "Mapping[str, str]",
    began: float,
    site: "Site",
    host: str,
    *,
    asks_for: str,
) -> "Derivation":
    """Return what finds and makes the secret that *host* of *site* takes.

    The rest is as for `acquirer`.
    """
    from hushkey.derived import Derivation

    made = acquirer(environ, began, asks_for=asks_for)
    settings = sites.load(environ).settings
    folder = paths.data_folder(environ)
    return Derivation(made, made.want(site, host), settings, folder, environ, warn)


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


def with_stash(
    environ: "Mapping[str, str]",
    act: "Callable[[Stash], T]",
    *,
    began: float = 0.0,
    asks_for: str = "",
    manners: "Manners | None" = None,
) -> "T":
    """Return what *act* does with the stash; raises StoreError.

    *act* runs a second time if the keyring was locked and the person, who may be
    asked by the policy of sign-ins, has unlocked it.
    """
    from hushkey.stash import open_stash

    leave_no_core()
    settings, folder = sites.load(environ).settings, paths.data_folder(environ)
    stash = open_stash(settings, folder, warn)
    try:
        return act(stash)
    except StoreError as error:
        if error.reason != "locked":
            raise
        from hushkey import asking

        error.hint = "unlock it and try again"
        manners = manners or _manners(environ, asks_for)
        asking.unlock(
            stash.vault,
            error,
            asking.verdict(environ, settings, manners),
            settings["sign_in_timeout"],
            folder,
            began=began or time.time(),
        )
        return act(stash)


def warn(line: str) -> None:
    """Write one line for the person to stderr."""
    if here := occasion.now():
        here.lines.append(line)
        return
    try:
        sys.stderr.write(f"hushkey: {plain(line, 1000)}\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return  # nobody can read it


def _manners(environ: "Mapping[str, str]", tool: str) -> Manners:
    def wish() -> str:
        from hushkey import caller

        return caller.git_wish(environ) if tool == "git" else ""

    def command() -> str:
        from hushkey import caller, installer

        return installer.command() if tool == "python" else caller.command_of(tool)

    def no_terminal() -> str:
        from hushkey import installer

        return installer.forbidding_option() if tool == "python" else ""

    return Manners(wish=wish, command=command, no_terminal=no_terminal)
