"""The `hushkey` command: what people run, and how failures end.

Exit codes: 0 done; 1 failed; 2 wrong usage; 3 a sign-in is needed or was
declined; 4 network or server fault, try again; 5 the config is wrong; 6 the
keyring or token files cannot serve.
"""

import os
import re
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import click
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from hushkey import journal, step
from hushkey.errors import (
    Cancelled,
    ConfigError,
    HushkeyError,
    StoreError,
    Transient,
    UiRequired,
)
from hushkey_install import (
    accounts,
    dockerconfig,
    explain,
    gitconfig,
    reset,
    settings,
    status,
)

_EXIT_CODES: tuple[tuple[type[HushkeyError], int], ...] = (
    (UiRequired, 3),
    (Cancelled, 3),
    (Transient, 4),
    (ConfigError, 5),
    (StoreError, 6),
)


class _Group(click.Group):
    """A group whose commands end in one line, whatever happens to them."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HushkeyError as error:
            step("failed", error=error)
            click.echo(f"hushkey: {error.line()}", err=True)
            code = next((c for kind, c in _EXIT_CODES if isinstance(error, kind)), 1)
            raise click.exceptions.Exit(code) from error
        except BrokenPipeError:
            # The reader has gone (`hushkey status | head`); nothing is wrong.
            sys.stdout = None
            raise click.exceptions.Exit(0) from None


#: rich's picture of a terminal, without the fonts it would fetch from the web
_LOCAL_SVG = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 sign-in needed or declined, "
    "4 network or server fault, 5 config wrong, 6 keyring or token files. "
    "HUSHKEY_LOG=debug shows every step, of helpers too; HUSHKEY_LOG=/a/file keeps "
    "them. Never a secret.",
)
@click.version_option(version("hushkey"), prog_name="hushkey")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Sign in once; git and friends are answered silently.

    To begin: `hushkey config path` names the file where each of your hosts
    gets an identity, `hushkey install git` registers hushkey with git, and
    `hushkey login HOST` signs you in (or just use git: it asks when it must).
    """
    if os.environ.get("HUSHKEY_LOG"):
        if line := journal.begin("hushkey", os.environ):
            click.echo(f"hushkey: {line}", err=True)
        step("asked", verb=ctx.invoked_subcommand or "")


@main.command()
@click.argument("target", required=False)
@click.option("--force", is_flag=True, help="Sign in even if silence would do.")
@click.option(
    "--method",
    type=click.Choice(["auto", "browser", "paste", "device"]),
    default="auto",
    help="How to ask; auto takes what works here.",
)
def login(target: str | None, force: bool, method: str) -> None:
    """Sign in for TARGET: a host, a URL, or the name of an identity."""
    accounts.login(target, force=force, method=method)


@main.command()
@click.argument("target", required=False)
@click.option("--all", "everyone", is_flag=True, help="Sign out of every identity.")
@click.option("--local", is_flag=True, help="Do not tell the server.")
def logout(target: str | None, everyone: bool, local: bool) -> None:
    """Forget the sign-in of TARGET (identity or host) and revoke it."""
    accounts.logout(target, everyone=everyone, local=local)


@main.command("status")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def show_status(as_json: bool) -> None:
    """Show who is signed in where, and for how long. Never a secret."""
    status.show(as_json)


@main.command()
@click.argument("host")
@click.option(
    "--format",
    "form",
    type=click.Choice(["raw", "bearer", "json", "header"]),
    default="raw",
    show_default=True,
    help="raw token; `Bearer TOKEN`; JSON; a whole Authorization header.",
)
def token(host: str, form: str) -> None:
    """Print an access token for HOST (a host or a URL)."""
    accounts.print_token(host, form)


@main.command("explain")
@click.argument("url")
def explain_url(url: str) -> None:
    """Say which rule covers URL and what would happen next. No network."""
    explain.show(url)


@main.group("config")
def config_group() -> None:
    """Find, check and change the config file."""


@config_group.command("path")
def config_path() -> None:
    """Print where the config file is, or would be."""
    settings.print_path()


@config_group.command("check")
def config_check() -> None:
    """Print every problem of the config file at once."""
    raise click.exceptions.Exit(settings.check())


@config_group.command("set")
@click.argument("key")
@click.argument("value")
def config_set(key: str, value: str) -> None:
    """Set KEY to VALUE; comments and the rest stay as they are.

    A bare KEY belongs to [settings]; others are written with dots:
    `identity.work.account me@contoso.com`.
    """
    settings.set_value(key, value)


@main.command("reset")
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset_store(yes: bool) -> None:
    """Start anew: move all stored sign-ins aside. Nothing is deleted."""
    reset.run(yes)


#: tool -> the module whose `install` and `uninstall` register hushkey with it
_TOOLS = {
    "git": gitconfig,
    "docker": dockerconfig.DOCKER,
    "podman": dockerconfig.PODMAN,
}


def _registering(verb: str, about: str) -> click.Group:
    """Return the group *verb*, with one command for each tool."""
    group = click.Group(verb, help=f"{about} a tool.")
    for tool, module in _TOOLS.items():
        command = _for_tool(tool, getattr(module, verb), f"{about} {tool}.")
        for option in getattr(module, f"{verb}_options", ()):
            option(command)  # what only this tool has
        group.add_command(command)
    return group


def _for_tool(tool: str, run: Callable[..., None], about: str) -> click.Command:
    @click.command(tool, help=about)
    @click.argument("hosts", nargs=-1)
    @click.option("--dry-run", is_flag=True, help="Only show what would change.")
    def command(hosts: tuple[str, ...], dry_run: bool, **more: bool) -> None:
        run(hosts, dry_run, **more)

    return command


main.add_command(_registering("install", "Register hushkey with"))
main.add_command(_registering("uninstall", "Remove hushkey from"))


@main.command()
@click.option("--browser/--no-browser", default=None, help="Default: if there is one.")
@click.option(
    "--svg", type=click.Path(dir_okay=False), help="Also draw the story into FILE."
)
def demo(browser: bool | None, svg: str | None) -> None:
    """Watch the main job done on real servers, on this machine alone."""
    from hushkey_install.demo import story  # noqa: PLC0415 - the optional extra

    console = Console(record=svg is not None)
    code = story.run(console, browser)
    if svg is not None:
        console.save_svg(svg, title="hushkey demo", code_format=_LOCAL_SVG)
    raise click.exceptions.Exit(code)
