"""`hushkey forward` and `hushkey log`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import Any

import click

from hushkey import origins
from hushkey.errors import Permanent
from hushkey.system import audit
from hushkey_install.commands import completing
from hushkey_install.common import output
from hushkey_install.forward import places, run, sshwords

#: what `hushkey forward status` shows of each forward
_LAST = 20


@click.group(invoke_without_command=True)
@click.option(
    "--only",
    multiple=True,
    metavar="HOST[/PATH]",
    shell_complete=completing.urls,
    help="Answer for this host and ask nobody; for no other. May be repeated.",
)
@click.option("--for", "lasts", default="", metavar="8h", help="End it after so long.")
@click.option("--socket", default="", metavar="PATH", help="For a container's mount.")
@click.pass_context
def forward(ctx: click.Context, only: tuple[str, ...], lasts: str, socket: str) -> None:
    """Sign in here, for a machine that you reach from here.

    Helpers of hushkey there ask this machine, by a socket that ssh forwards, for hosts
    of this machine's config. A sign-in that is needed opens here. Nothing but access
    tokens goes there.

    \b
    Examples:
      hushkey forward ssh me@build.example.com
      hushkey forward --only git.example.com --for 8h ssh me@build.example.com
      hushkey forward --socket ~/.hushkey/upstream     # to mount into a container
      hushkey forward status                           # who asked for what, when
    """
    if sys.platform == "win32":
        raise click.UsageError("Windows has no Unix sockets that ssh could forward")
    for pattern in only:
        try:
            if origins.parse_pattern(pattern).scheme != "https":
                raise ValueError("tokens go over https only")
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--only") from None
    try:
        length = run.seconds(lasts) if lasts else 0
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from None
    ctx.obj = (only, length)
    if ctx.invoked_subcommand is None:
        if not socket:
            raise click.UsageError("say `ssh USER@SERVER` or `--socket PATH`")
        run.by_socket(os.path.expanduser(socket), only, length, os.environ)
    elif socket:
        raise click.UsageError("--socket goes without ssh")


@forward.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def ssh(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Run ssh, and answer what is asked over it.

    \b
    Example:
      hushkey forward ssh me@build.example.com
    """
    try:
        parsed = sshwords.parse(words)
    except sshwords.Unusable as error:
        raise click.UsageError(str(error)) from None
    only, lasts = ctx.obj
    raise click.exceptions.Exit(run.by_ssh(parsed, only, lasts, os.environ))


@forward.command()
@click.argument("host")
@click.option("--deny", is_flag=True, help="Refuse it instead.")
@click.option("--forward", "name", default="", help="Which one, if several ask.")
def allow(host: str, deny: bool, name: str) -> None:
    """Let a running forward answer for HOST.

    For where no window can ask, and the terminal belongs to the ssh session.

    \b
    Example:
      hushkey forward allow git.example.com
    """
    every = places.waiting(os.environ)
    found = [row for row in every if row[1] == host and name in ("", row[0])]
    if len(found) > 1:
        names = ", ".join(row[0] for row in found)
        raise click.UsageError(f"several ask for it: name one by --forward ({names})")
    if not found:
        others = ", ".join(sorted({row[1] for row in every}))
        hint = f"these are asked for: {others}" if others else "run it while one asks"
        raise Permanent(f"no forward asks for {host}", hint=hint)
    ((forward_name, _, question),) = found
    output.say(question)
    places.answer(os.environ, forward_name, host, question, allow=not deny)
    output.say("refused" if deny else "allowed")


@forward.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(as_json: bool) -> None:
    """Show the forwards that run, and who asked for what, when.

    \b
    Examples:
      hushkey forward status
      hushkey forward status --json | jq -r '.forwards[].to'
    """
    running = places.living(os.environ)
    if as_json:
        output.say_json({"forwards": [_row(name, facts) for name, facts in running]})
        return
    if not running:
        output.say("no forward runs; to start one: hushkey forward ssh USER@SERVER")
        return
    every = audit.lines(os.environ)
    rows = [
        (
            str(facts.get("to", "")),
            _when(facts.get("began")),
            _when(facts.get("until")) or "it is ended",
            " ".join(map(str, facts.get("only") or ())) or "as you say",
            name,
        )
        for name, facts in running
    ]
    output.say_table(("to", "since", "until", "hosts", "forward"), rows)
    for name, host, question in places.waiting(os.environ):
        output.say(f"{question} To allow it: hushkey forward allow {host} ({name})")
    names = {name for name, _ in running}
    asked = [facts for facts in every if facts.get("forward") in names][-_LAST:]
    if asked:
        output.say("")
        _say_lines(asked)


def _row(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return one forward for programs; times are seconds since 1970, or null."""
    return {
        "forward": name,
        "to": str(facts.get("to", "")),
        "began": facts.get("began") or None,
        "until": facts.get("until") or None,
        "only": list(map(str, facts.get("only") or ())),
    }


@click.command()
@click.option("-n", "count", default=50, show_default=True, help="So many lines.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def log(count: int, as_json: bool) -> None:
    """Show which tokens went to whom, and what was refused.

    Answers to other machines are always written down; those to this machine's tools
    are with `audit = true` in the config's settings.

    \b
    Example:
      hushkey log -n 200
    """
    found = audit.lines(os.environ)[-max(0, count) :] if count > 0 else []
    if as_json:
        output.say_json({"lines": found})
    elif not found:
        output.say(
            "nobody has asked by hushkey forward; for this machine's own tools: "
            "hushkey config set audit true"
        )
    else:
        _say_lines(found)


def _say_lines(found: list[dict[str, Any]]) -> None:
    rows = [
        (
            _when(facts["time"]),
            str(facts.get("outcome", "")),
            "/".join(str(facts[k]) for k in ("host", "path") if facts.get(k)),
            str(facts.get("command") or facts.get("tool", "")),
            str(facts.get("machine", "")),
            str(facts.get("to", "")),
            str(facts.get("why", "")),
        )
        for facts in found
    ]
    titles = ("when", "outcome", "for", "asked by", "on", "forwarded to", "why")
    output.say_table(titles, rows)


def _when(epoch: object) -> str:
    if not isinstance(epoch, int) or not epoch:
        return ""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(epoch))
    except (OverflowError, OSError, ValueError):
        return ""  # a line that somebody has written by hand
