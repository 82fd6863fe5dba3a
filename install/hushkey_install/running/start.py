"""Starting the command: it takes this process's place, signals, streams and all."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import click

from hushkey.config import rules
from hushkey.errors import Permanent, plain
from hushkey_helpers.tools import command
from hushkey_helpers.tools.token import TOOL
from hushkey_install.common import output
from hushkey_install.running.variables import SEVERAL, VARIABLES, Place

#: as shells say that there is no such program, or that it may not be run
_NO_PROGRAM, _NO_PERMISSION = 127, 126


def run(
    tool: str,
    hosts: tuple[str, ...],
    names: tuple[str, ...],
    name: str,
    words: tuple[str, ...],
) -> None:
    """Start *words* with the variables of *tool*, and the token in each of *names*.

    Several *hosts* are for a tool that has a variable for each. *name* is what the
    tool calls the registry in its own config. Raises HushkeyError; exits with the
    command's code.
    """
    if not tool and not names:
        raise click.UsageError("name a tool, or a variable with --env NAME")
    if len(hosts) > 1 and (names or tool not in SEVERAL):
        what = "--env" if names else tool
        raise click.UsageError(f"{what} takes one token: give --host once")
    environ = dict(os.environ)
    for host in hosts:
        environ |= _variables(environ, tool, host, names, name)
    _start(words, environ)


def _variables(
    environ: Mapping[str, str], tool: str, host: str, names: tuple[str, ...], name: str
) -> dict[str, str]:
    asked = command.asked_for(host)
    config = rules.load(environ)
    rule = config.rule_for(asked.request)
    if rule is not None:
        served = command.served(TOOL, asked, rule, environ)
    elif there := command.forwarded(TOOL, asked, environ):
        served = there
    else:
        raise command.not_served(asked, config.missing_for(asked.request))
    path = asked.request.path.strip("/")
    place = Place(asked.request.host, f"/{path}" if path else "", name)
    found = dict.fromkeys(names, served.token.value)
    if tool:
        found |= VARIABLES[tool](served, place, environ)
    for variable in found:
        if not variable or "=" in variable or "\0" in variable:
            raise Permanent(f"{plain(variable)!r} cannot be a variable's name")
    return found


def _start(words: tuple[str, ...], environ: dict[str, str]) -> Any:
    program = words[0]
    try:
        if sys.platform != "win32":
            os.execvpe(program, words, environ)  # noqa: S606 - what the person typed
        done = subprocess.run(words, env=environ, check=False)
    except FileNotFoundError:
        code, why = _NO_PROGRAM, "there is no such program"
    except OSError as error:
        code, why = _NO_PERMISSION, error.strerror or "it cannot be started"
    else:
        raise click.exceptions.Exit(done.returncode)
    output.say(f"hushkey: {plain(program)}: {why}", err=True)
    raise click.exceptions.Exit(code)
