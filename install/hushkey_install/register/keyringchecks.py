"""How each Python tool asks hushkey, and why that would not work.

There are two ways: the program called `keyring` on PATH, and the backend in the tool's
own environment. Who never set one of them up hears nothing; after that, what does not
work is a problem where `hushkey install` has registered the tool, and a note where its
settings name a host of ours; else the tool is for other hosts, and nothing is wrong.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from hushkey.system import programs
from hushkey_helpers.keyring.command import (
    chosen_backend,
    is_ours,
    is_switched_off,
)
from hushkey_install.common import programs_missing
from hushkey_install.common.finding import FINE, NOTE, PROBLEM, Finding
from hushkey_install.register import launcher
from hushkey_install.register.registration import Checked
from hushkey_install.tools import pythontools
from hushkey_install.tools.installation import Installation
from hushkey_install.tools.pythontools import Client

#: the code of a link of ours that leads nowhere
_GONE = "keyring-program-gone"
_MISSING = "keyring-program-missing"
Look = Callable[[Client, Mapping[str, str]], Iterator[Finding]]

#: backends that ask others, ours among them
_OPEN = ("hushkey_helpers.", "keyring.backends.chainer.")


def check(name: str, installation: Installation, look: Look) -> Iterator[Finding]:
    """Yield what *look* finds of the tool *name*, if it is here."""
    registered, environ = installation.asking_keyring, installation.environ
    first = programs.find("keyring", environ)
    ours = bool(first and is_ours(first)) or launcher.broken(environ)
    if not registered and not ours:
        return
    client = pythontools.find(name, environ)
    for finding in look(client, environ) if client else ():
        if name in registered or finding.level == FINE or _is_gone(finding):
            yield finding
        else:
            asked = installation.asks_for_ours(name)
            yield finding._replace(level=NOTE if asked else FINE)


def _is_gone(finding: Finding) -> bool:
    """Tell whether what `hushkey install` made is broken, whatever was noted of it."""
    return finding.code.endswith(_GONE)


def pinned_backend(environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the backend that keyring is told to use and who says so, or nothing.

    With one set, keyring loads no plug-in, so also not ours (keyring `core.py`).
    """
    name, where = chosen_backend(environ)
    return ("", "") if name.startswith(_OPEN) else (name, where)


def program_problem(
    environ: Mapping[str, str], pinned: tuple[str, str]
) -> Finding | None:
    """Return why the program `keyring` on PATH does not lead to us, or None."""
    first = programs.find("keyring", environ)
    link = None if first and launcher.leads_here(first) else launcher.broken(environ)
    if link:
        text = f"{link.path} leads to a hushkey that is gone"
        mend = partial(link.mend, environ)
        return Finding(_GONE, PROBLEM, text, link.command(), mend)
    if first is None:
        text = "there is no program called keyring on PATH"
        return Finding(_MISSING, PROBLEM, text, "hushkey install pip")
    if is_ours(first):
        # What is pinned to another backend is asked by other keyrings only.
        return _shut("keyring", pinned) if is_switched_off(pinned[0]) else None
    if not launcher.leads_here(first):
        client = Client("keyring", first, pythontools.prefix_of(first))
        why = "is older than 25.2" if client.has("hushkey") else "has no hushkey in it"
        text = f"{first} is the first keyring on PATH, and {why}"
        command = "hushkey install pip --launcher DIR"
        return Finding("keyring-program-foreign", PROBLEM, text, command)
    return _shut("keyring", pinned)


def _shut(tool: str, pinned: tuple[str, str]) -> Finding | None:
    """Return that keyring is pinned or switched off for *tool*, or None."""
    name, where = pinned
    if not name:
        return None
    off = "switched off" if is_switched_off(name) else ""
    text = f"keyring is {off or f'pinned to {name}'} by {where}"
    command = (
        f"unset {where}"
        if where == "PYTHON_KEYRING_BACKEND"
        else f"rm {shlex.quote(where)}"
    )
    return Finding(f"{tool}-keyring-pinned", PROBLEM, text, command)


def importing(
    client: Client, environ: Mapping[str, str], command: str = ""
) -> Iterator[Finding]:
    """Yield the state of a tool that asks the keyring of its own environment.

    *command* puts hushkey there, if one can.
    """
    name = client.name
    if not client.has("hushkey"):
        text = f"{name}: {client.prefix or client.program} has no hushkey in it"
        yield Finding(f"{name}-no-backend", PROBLEM, text, command)
    elif shut := _shut(name, pinned_backend(environ)):
        yield shut._replace(text=f"{name}: {shut.text}", cause=shut.text, tool=name)
    else:
        text = f"{name}: asks the backend in {client.prefix}"
        yield Finding(f"{name}-door", FINE, text)


def through_program(client: Client, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the state of a tool that starts the program `keyring`."""
    name = client.name
    problem = program_problem(environ, pinned_backend(environ))
    if problem is None:
        yield Finding(f"{name}-door", FINE, f"{name}: asks the program keyring on PATH")
    elif problem.code == _MISSING and launcher.is_off_path(environ):
        cause = programs_missing.cause(environ)
        command = programs_missing.command(environ)
        text = f"{name}: {cause}"
        code = f"{name}-{problem.code}"
        yield Finding(code, PROBLEM, text, command, cause=cause, tool=name)
    else:
        yield problem._replace(
            code=f"{name}-{problem.code}",
            text=f"{name}: {problem.text}",
            cause=problem.text,
            tool=name,
        )


def importing_or_through_program(
    client: Client, environ: Mapping[str, str]
) -> Iterator[Finding]:
    """Yield the state of a tool that starts the program where it has no keyring."""
    look = importing if client.has("keyring") else through_program
    return look(client, environ)


class Unregistered(Checked):
    """A tool that nobody registers us with: it asks where hushkey is beside it."""

    def __init__(self, name: str, look: Look) -> None:
        super().__init__(name)
        self._look = look

    def checks(self, installation: Installation) -> Iterator[Finding]:
        """Yield how it asks hushkey, and why that does not work."""
        return check(self.name, installation, self._look)


PDM = Unregistered("pdm", importing_or_through_program)
HATCH = Unregistered("hatch", importing)
