"""What hushkey knows of one tool that asks it for credentials."""

from __future__ import annotations

from importlib import import_module

from hushkey.model import Frozen
from hushkey_helpers import PROGRAMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from hushkey_helpers.answer import Answerer


class Tool(Frozen):
    """One tool: the row of its *program*, and what only slow answers need.

    ``callers`` are the programs that a person types to use the tool, each with the
    subcommands worth naming in a question, in one text; none: its name says it all.
    """

    __slots__ = (
        "callers",
        "ends_blank",
        "environ",
        "module",
        "name",
        "program",
        "verbs",
    )
    program: str
    name: str
    module: str
    verbs: tuple[str, ...]
    ends_blank: bool | None
    environ: tuple[str, ...]
    callers: Mapping[str, str]

    def __init__(self, program: str, *, callers: Mapping[str, str]) -> None:
        """Describe the tool whose row in `hushkey_helpers.PROGRAMS` is *program*."""
        name, module, verbs, ends_blank, environ = PROGRAMS[program]
        self._set(
            program=program,
            name=name,
            module=module,
            verbs=verbs,
            ends_blank=ends_blank,
            environ=environ,
            callers=callers,
        )

    def answer(self) -> Answerer:
        """Return the function that answers the tool; it is loaded now."""
        found: Answerer = import_module(self.module).answer
        return found
