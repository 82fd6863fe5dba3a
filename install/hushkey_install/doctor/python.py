"""Which door each Python tool uses to ask hushkey, and why it would not work.

Two doors: the program called `keyring` on PATH, and the backend in the tool's own
environment. Who never set one of them up hears nothing; after that, a shut door
is a problem where `hushkey install` has registered the tool, else a note.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from hushkey.errors import HushkeyError
from hushkey.system import programs
from hushkey_helpers.keyring.command import (
    chosen_backend,
    is_ours,
    is_switched_off,
)
from hushkey_install.common.installrecord import InstallRecord
from hushkey_install.doctor.finding import NOTE, PROBLEM, Finding, Installation
from hushkey_install.register import launcher, pip, table, uv
from hushkey_install.tools import pythontools
from hushkey_install.tools.pythontools import Client

#: tools that import keyring in their own process
_IMPORTING = ("twine", "poetry", "pdm", "hatch")
#: backends that ask others, ours among them
_OPEN = ("hushkey_helpers.", "keyring.backends.chainer.")


def check(installation: Installation) -> Iterator[Finding]:
    """Yield how each tool here asks hushkey, and why that does not work."""
    registered = {
        tool.name
        for tool in table.REGISTRATIONS
        if tool.asks_keyring and InstallRecord(installation.environ, tool.name).read()
    }
    first = programs.find("keyring", installation.environ)
    if not registered and not (first and is_ours(first)):
        return
    for finding in found(installation.environ, installation.folder):
        ours = finding.code.partition("-")[0] in registered
        yield finding if ours else finding._replace(level=NOTE)


def found(environ: Mapping[str, str], folder: str = "") -> Iterator[Finding]:
    """Yield what is true of each tool that is here, and what keeps it from us.

    uv goes by the project that *folder* is in.
    """
    pinned = pinned_backend(environ)
    each = [pythontools.find(name, environ) for name in ("pip", "uv", *_IMPORTING)]
    here = [client for client in each if client is not None]
    program = program_door(environ, pinned)
    for client in here:
        if client.name == "pip":
            yield from _pip(client, environ, pinned, program)
        elif client.name == "uv":
            yield from _uv(environ, program, folder)
        else:
            yield from _importing(client, pinned, program)


def pinned_backend(environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the backend that keyring is told to use and who says so, or nothing.

    With one set, keyring loads no plug-in, so also not ours (keyring `core.py`).
    """
    name, where = chosen_backend(environ)
    return ("", "") if name.startswith(_OPEN) else (name, where)


def program_door(environ: Mapping[str, str], pinned: tuple[str, str]) -> Finding | None:
    """Return why the program `keyring` on PATH does not lead to us, or None."""
    first = programs.find("keyring", environ)
    if first is None:
        text = "there is no program called keyring on PATH"
        return Finding("keyring-program-missing", PROBLEM, text, "hushkey install pip")
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
    return Finding(f"{tool}-keyring-pinned", PROBLEM, f"{tool}: {text}", command)


def _pip(
    client: Client,
    environ: Mapping[str, str],
    pinned: tuple[str, str],
    program: Finding | None,
) -> Iterator[Finding]:
    try:
        place = pip.overruling(environ, client.prefix)
        command = pip.mending(environ, client, place) if place else ""
    except HushkeyError as error:
        yield Finding("pip-config", PROBLEM, f"pip: {error.line()}")
        return
    if place is None:
        yield from _through_program("pip", program)
        version = client.version("pip")
        if version and _number(version) < (26, 2):
            text = f"pip {version} asks only for URLs with a user name: https://me@HOST"
            yield Finding("pip-user-name", NOTE, text)
        return
    if place.value == "import":
        yield from _importing(client, pinned, None)
        return
    mend: Callable[[], None] | None = partial(pip.PIP.install, (), False)
    if command:
        mend = partial(pip.mend, environ, client, place) if place.section else None
    code, text = "pip-disabled", f"{place.shown()} says {pip.KEY} = {place.value}"
    if place.value != "disabled":
        code, why = "pip-auto", "is auto, which asks nobody under --no-input"
        text = f"{pip.KEY} {why}" + (f" ({place.shown()})" if place.value else "")
    yield Finding(code, PROBLEM, f"pip: {text}", command or "hushkey install pip", mend)


def _uv(
    environ: Mapping[str, str], program: Finding | None, folder: str
) -> Iterator[Finding]:
    try:
        place = uv.overruling(environ, folder)
        command = uv.mending(environ, place) if place else ""
    except (HushkeyError, ValueError) as error:
        yield Finding("uv-config", PROBLEM, f"uv: its config cannot be read: {error}")
        return
    if place is None:
        yield from _through_program("uv", program)
        return
    text = "uv: keyring-provider is not subprocess, so uv asks no keyring"
    text += f" ({place.shown()})" if place.path else ""
    mend: Callable[[], None] | None = partial(uv.UV.install, (), False)
    if command:
        in_file = os.path.isabs(place.path)
        mend = partial(uv.mend, environ, place) if in_file else None
    yield Finding("uv-disabled", PROBLEM, text, command or "hushkey install uv", mend)


def _importing(
    client: Client, pinned: tuple[str, str], program: Finding | None
) -> Iterator[Finding]:
    """Yield the state of a tool that asks the keyring of its own environment."""
    name = client.name
    if not client.has("keyring") and name == "pdm":
        yield from _through_program(name, program)
    elif not client.has("hushkey"):
        text = f"{name}: {client.prefix or client.program} has no hushkey in it"
        command = f"hushkey install {name}" if name in ("twine", "poetry") else ""
        yield Finding(f"{name}-no-backend", PROBLEM, text, command)
    elif shut := _shut(name, pinned):
        yield shut
    else:
        text = f"{name}: asks the backend in {client.prefix}"
        yield Finding(f"{name}-door", NOTE, text)


def _through_program(name: str, program: Finding | None) -> Iterator[Finding]:
    if program is None:
        yield Finding(f"{name}-door", NOTE, f"{name}: asks the program keyring on PATH")
    else:
        yield program._replace(
            code=f"{name}-{program.code}", text=f"{name}: {program.text}"
        )


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
