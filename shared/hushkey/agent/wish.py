"""Whether there should be an agent here: the switch, the config, the place."""

import sys

from hushkey import sites
from hushkey.errors import HushkeyError
from hushkey.signin import policy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_OFF = ("off", "0", "false", "no")


def refusal(environ: "Mapping[str, str]") -> str:
    """Return why no agent is to be started by itself; nothing: it may be."""
    if sys.platform == "win32":
        return "there is no agent on Windows yet"
    switch = environ.get("HUSHKEY_AGENT", "").strip().lower()
    if switch in _OFF:
        return f"HUSHKEY_AGENT is {switch}"
    if named := policy.ci(environ):
        return f"this is CI ({named} is set)"
    if switch == "on":
        return ""
    try:
        wanted = sites.load(environ).settings["agent"]
    except HushkeyError as error:
        return error.line()
    return "" if wanted else "agent is false in config.toml"


def is_to_start(environ: "Mapping[str, str]") -> bool:
    """Tell whether a helper may start the agent."""
    return not refusal(environ)
