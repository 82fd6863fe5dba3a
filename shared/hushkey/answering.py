"""From an environment to an acquirer with the manners of the tool that asks.

Imported by helpers only when a host is ours.
"""

import sys

from hushkey import paths, sites
from hushkey.acquire import Acquirer  # noqa: TID253 - itself imported late
from hushkey.errors import plain
from hushkey.want import Manners

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def acquirer(
    environ: "Mapping[str, str]",
    began: float,
    *,
    asks_for: str = "",
    manners: "Manners | None" = None,
) -> Acquirer:
    """Return the acquirer for the config that *environ* points at.

    *asks_for* names the tool whose settings and command line are looked at
    before a person is asked; *began* is when its call began (epoch seconds).
    """
    leave_no_core()
    config = sites.load(environ)
    return Acquirer(
        config.settings,
        paths.data_folder(environ),
        environ,
        manners or _manners(environ, asks_for),
        warn,
        began=began,
    )


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


def warn(line: str) -> None:
    """Write one line for the person to stderr."""
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
        from hushkey import caller

        return caller.command_of(tool)

    def no_terminal() -> str:
        from hushkey import caller

        return caller.forbidding_option() if tool == "python" else ""

    return Manners(wish=wish, command=command, no_terminal=no_terminal)
