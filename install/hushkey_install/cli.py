"""The `hushkey` command: its groups and verbs, each from its own file."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.metadata import version

import click

from hushkey.errors import HushkeyError
from hushkey.system import madefolders, tracefile
from hushkey.trace import event
from hushkey_install.commands import (
    completing,
    configuring,
    exitcodes,
    forwarding,
    helping,
    importing,
    leaving,
    looking,
    running,
    setup,
    signing,
    switching,
)
from hushkey_install.commands import reset as resetting
from hushkey_install.common import agentcontrol, output
from hushkey_install.register import table

#: what `-v` and `version` print
_VERSION = "%(prog)s, version %(version)s"
#: title -> the commands that `--help` lists below it
SECTIONS = {
    "Sign in": (
        "login",
        "logout",
        "accounts",
        "switch",
        "token",
        "run",
        "forward",
        "log",
    ),
    "Hosts and tools": ("setup", "config", "install", "uninstall", "import"),
    "Look and repair": ("status", "explain", "doctor", "report", "reset", "agent"),
    "Learn": ("help", "demo", "version", "completion"),
}


@click.group(
    cls=exitcodes.Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=exitcodes.CODES,
)
@click.version_option(
    version("hushkey"), "-v", "--version", message=_VERSION, prog_name="hushkey"
)
@click.pass_context
def main(ctx: click.Context) -> None:
    """Sign in once; git and friends are answered silently.

    \b
    To begin:
      hushkey setup git.example.com    # or a clone URL, a registry, an index: it
                                       # asks what it must, shows it, signs you in

    \b
    When something is odd:
      hushkey doctor                   # what is wrong, and what fixes it
      hushkey explain URL              # why a URL gets the answer it gets
      hushkey status                   # who is signed in where, for how long
      hushkey help                     # the guide; `hushkey help docker`: one page
      HUSHKEY_LOG=debug git fetch      # every step, of helpers too; never a secret
    """
    if os.environ.get("HUSHKEY_LOG"):
        if line := tracefile.begin("hushkey", os.environ):
            output.say(f"hushkey: {line}", err=True)
        event("asked", verb=ctx.invoked_subcommand or "")
    with suppress(HushkeyError):
        lacked = madefolders.before_own(os.environ)
        ctx.call_on_close(partial(madefolders.note_own, os.environ, lacked))


main.sections = SECTIONS

for verb in (
    setup.command,
    signing.login,
    signing.logout,
    signing.token,
    looking.status,
    looking.explain,
    looking.doctor,
    looking.report,
    configuring.config,
    importing.command,
    completing.command,
    running.run,
    helping.command,
    forwarding.forward,
    forwarding.log,
    switching.accounts,
    switching.switch,
):
    main.add_command(verb)


@main.command("version")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def print_version(as_json: bool) -> None:
    """Print the version.

    \b
    Examples:
      hushkey version
      hushkey version --json | jq -r .version
    """
    if as_json:
        output.say_json({"version": version("hushkey")})
        return
    output.say(_VERSION % {"prog": "hushkey", "version": version("hushkey")})


@main.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(yes: bool) -> None:
    """Start over: move all stored sign-ins aside. Nothing is deleted.

    For when the key is lost or the keyring was replaced. Needs no valid config.

    \b
    Example:
      hushkey reset && hushkey login
    """
    resetting.run(yes)


def _registering(verb: str, about: str) -> click.Group:
    """Return the group *verb*, with one command for each tool."""
    group = click.Group(verb, help=f"{about} a tool.")
    if verb == "uninstall":
        group = leaving.uninstall
    for tool in table.REGISTRATIONS:
        installs = verb == "install"
        run = tool.install if installs else tool.uninstall
        line = f"hushkey {verb} {tool.name}"
        what = table.WHAT[tool.name]
        if installs and tool.sample:
            line = f"{line} {tool.sample}"
        example = f"\b\nExamples:\n  {line} --dry-run\n  {line}"
        command = _for_tool(
            tool.name, run, f"{about} {tool.name}: {what}.\n\n{example}"
        )
        for option in tool.install_options if installs else tool.uninstall_options:
            option(command)  # what only this tool has
        group.add_command(command)
    return group


def _for_tool(tool: str, run: Callable[..., None], about: str) -> click.Command:
    @click.command(tool, help=about, short_help=table.WHAT[tool])
    @click.argument("hosts", nargs=-1, shell_complete=completing.urls)
    @click.option("--dry-run", is_flag=True, help="Only show what would change.")
    @click.option("--yes", is_flag=True, help="Do not ask.")
    def command(hosts: tuple[str, ...], dry_run: bool, **more: object) -> None:
        run(hosts, dry_run, **more)

    return command


main.add_command(agentcontrol.command)
main.add_command(_registering("install", "Register hushkey with"))
main.add_command(_registering("uninstall", "Remove hushkey from"))


@main.command()
@click.option("--browser/--no-browser", default=None, help="Default: if there is one.")
@click.option(
    "--svg", type=click.Path(dir_okay=False), help="Also draw the story into FILE."
)
def demo(browser: bool | None, svg: str | None) -> None:
    """Watch it work on real servers, on this machine.

    \b
    Examples:
      hushkey demo
      hushkey demo --no-browser --svg story.svg
    """
    from rich.console import Console  # noqa: PLC0415 - no other verb draws

    from hushkey_install.demo import picture, story  # noqa: PLC0415 - an extra

    console = Console(record=svg is not None)
    code = story.run(console, browser)
    if svg is not None:
        picture.save(console, svg)
    raise click.exceptions.Exit(code)
