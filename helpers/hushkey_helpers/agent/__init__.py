"""The agent: one process that answers what is known already, for every tool."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def __getattr__(name: str) -> "Callable[[], None]":
    """Return `main`, which systemd units of 0.1.0 import from here."""
    if name != "main":
        raise AttributeError(name)
    from hushkey_helpers.agent.tools import main  # noqa: PLC0415 - no client needs it

    return main
