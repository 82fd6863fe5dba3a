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
    config = sites.load(environ)
    return Acquirer(
        config.settings,
        paths.data_folder(environ),
        environ,
        manners or _manners(environ, asks_for),
        warn,
        began=began,
    )


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

    return Manners(wish=wish, command=command)
