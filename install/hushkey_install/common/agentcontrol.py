"""`hushkey agent`: start it, end it, see how it is."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import click

from hushkey.errors import HushkeyError, Permanent, StoreError, Transient
from hushkey.system import ownership, paths
from hushkey_helpers.agent import protocol
from hushkey_helpers.agent import start as starting
from hushkey_install.common import output

#: seconds for an agent to begin or to end, and to say a word
_PATIENCE, _WORD = 10.0, 1.0
#: what the agent is
MODULE = "hushkey_helpers.agent"


@click.group("agent")
def command() -> None:
    """Control the process that keeps tokens in memory. It starts by itself."""


@command.command()
def start() -> None:
    """Start it now, if it is not running."""
    environ = dict(os.environ)
    if reason := starting.refusal(environ, asked=True):
        raise Permanent(f"the agent was not started: {reason}")
    folder = paths.runtime_folder(environ)
    if not ask(folder, "status"):
        if other := in_the_way(folder):
            raise Permanent(f"the agent was not started: {other}")
        reason = starting.start(environ, MODULE, again=True)
        _wait(lambda: ask(folder, "status"), reason or "it gives no answer")
    output.say("the agent is running", err=True)


@command.command()
def stop() -> None:
    """Stop it, even if it no longer answers. The next request starts another one."""
    ended = end(dict(os.environ))
    output.say("the agent has ended" if ended else "no agent was running", err=True)


@command.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(as_json: bool) -> None:
    """Show whether it runs, and how many tokens it has.

    No secret is shown.

    \b
    Examples:
      hushkey agent status
      hushkey agent status --json | jq -r .state
    """  # noqa: D301 - click's mark, as in the commands
    environ = dict(os.environ)
    folder = paths.runtime_folder(environ)
    facts = ask(folder, "status")
    if as_json:
        output.say_json(_row(folder, facts))
        return
    if facts:
        minutes = int(facts.pop("seconds")) // 60
        facts = {"running": f"for {minutes} min", "sockets": folder, **facts}
    else:
        frozen = starting.holder(folder)
        state = "starting or ending" if frozen else "no"
        if frozen > 0:
            state = f"process {frozen} gives no answer: hushkey agent stop"
        facts = {"running": state, "sockets": folder}
        if reason := starting.refusal(environ) or _no_place(folder):
            facts["starts"] = f"no: {reason}"
    for name, value in facts.items():
        output.say(f"{name + ':':<10} {value}")


def _row(folder: str, facts: dict[str, str]) -> dict[str, object]:
    """Return the same for programs; ``seconds``: for how long it has been running."""
    state = "running"
    if not facts:
        process = starting.holder(folder)
        state = "frozen" if process > 0 else "changing" if process else "stopped"
    numbers = {name: int(v) if v.isdigit() else v for name, v in facts.items()}
    return {"state": state, "sockets": folder, **numbers}


def _no_place(folder: str) -> str:
    try:
        ownership.check_private(folder, starting.OTHERS)
    except StoreError as error:
        return error.line()
    return in_the_way(folder)


def in_the_way(folder: str) -> str:
    """Return why no agent can listen in *folder*, nothing while one lives."""
    return "" if starting.holder(folder) else starting.in_the_way(folder)


def ask(folder: str, word: str) -> dict[str, str]:
    """Say *word* to the agent; return what it says, nothing if there is none."""
    path = os.path.join(folder, "agent")
    if not protocol.is_safe(folder, path):
        return {}
    with suppress(OSError, ValueError), socket.socket(socket.AF_UNIX) as link:
        link.settimeout(_WORD)
        link.connect(path)
        link.sendall(
            protocol.frame(protocol.installation(), b"", b"agent", b"1", word.encode())
        )
        data = b""
        while piece := link.recv(65536):
            data += piece
        fields = protocol.fields(data)
        if fields[:1] == [protocol.ANSWERED]:
            lines = fields[2].decode().splitlines()
            return {k: v for k, _, v in (line.partition("=") for line in lines)}
    return {}


def dismiss(environ: dict[str, str]) -> None:
    """Tell the agent to end: what it knows has been withdrawn.

    One that does not listen serves nothing that is in no file any more.
    """
    with suppress(HushkeyError):
        ask(paths.runtime_folder(environ), "stop")


def end(environ: dict[str, str]) -> bool:
    """End the agent, by word or by force; tell whether there was one.

    Raises StoreError ``foreign`` where sockets and lock would be another user's.
    """
    folder = paths.runtime_folder(environ)
    paths.check_owner(folder)
    if not starting.holder(folder):
        return False
    told = False

    def ended() -> bool:
        nonlocal told
        process = starting.holder(folder)
        if process and not told:  # one that is on its way listens a little later
            told = bool(ask(folder, "stop"))
            if not told:
                starting.kill(process)
        return not process

    _wait(ended, "it cannot be ended")
    return True


def _wait(done: Callable[[], object], trouble: str) -> None:
    """Wait until *done* says so; raises Transient."""
    deadline = time.monotonic() + _PATIENCE
    while not done():
        if time.monotonic() > deadline:
            raise Transient(f"the agent: {trouble}")
        time.sleep(0.02)
