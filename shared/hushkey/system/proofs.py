"""Whether the environment proves that a machine's identity is at home here.

No network and no probe: variables, files and the search path, no more. What has to
hold is data in the compiled config (`Proof.parse`), so that choosing between the
identities of a host loads no provider.

A requirement is ``NAME`` (a variable that is not empty), ``NAME=value`` (whatever its
case), ``file:/path``, ``program:NAME``, or ``text:/path=value`` (what a file holds).
"""

from __future__ import annotations

import os

from hushkey.model import Frozen
from hushkey.system import programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: hints, and alternatives of which one has to hold with all of its requirements
Needs = tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]
#: bytes of a file that is compared
_MOST = 256


class Proof(Frozen):
    """What the environment says: *proven*, or what it *lacks*.

    ``near``: this is its pipeline or its cloud, and something is missing there.
    """

    proven: bool
    near: bool = False
    lacks: str = ""


def check(needs: Needs, environ: Mapping[str, str]) -> Proof:
    """Return whether *needs* hold in *environ*; no needs always do."""
    hints, alternatives = needs
    if not hints and not alternatives:
        return Proof(True)
    lacks = ""
    near = False
    for alternative in alternatives:
        missing = next((r for r in alternative if not _holds(r, environ)), "")
        if not missing:
            return Proof(True)
        # What is missing where the most is there is what a person has to mend.
        if missing != alternative[0] and not near:
            near, lacks = True, missing
        lacks = lacks or missing
    near = near or any(_holds(hint, environ) for hint in hints)
    return Proof(False, near, _words(lacks))


def _holds(requirement: str, environ: Mapping[str, str]) -> bool:
    kind, colon, rest = requirement.partition(":")
    if not colon or not kind.islower():
        name, equals, value = requirement.partition("=")
        found = environ.get(name, "")
        return found.lower() == value.lower() if equals else bool(found)
    if kind == "program":
        return programs.find(rest, environ) is not None
    if kind == "text":
        path, _, value = rest.partition("=")
        return _content(path) == value
    return os.path.isabs(rest) and os.path.exists(rest)


def _content(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(_MOST).decode("ascii", "replace").strip()
    except OSError:
        return ""


def _words(requirement: str) -> str:
    kind, colon, rest = requirement.partition(":")
    if not colon or not kind.islower():
        name, equals, value = requirement.partition("=")
        return f"{name} is not {value}" if equals else f"{name} is not set"
    if kind == "program":
        return f"there is no program {rest} on PATH"
    if kind == "text":
        return "this is no machine of that cloud"
    return f"there is no {rest}"
