"""`hushkey run`."""

from __future__ import annotations

import click

from hushkey_install.commands import completing
from hushkey_install.running import start
from hushkey_install.running.variables import VARIABLES

_WORDS = "hushkey: the words after --"


class _Split(click.Command):
    """What stands behind ``--`` is the command's, and none of it ours."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the command line that is to be started, and read the rest."""
        if "--" in args:
            at = args.index("--")
            args, ctx.meta[_WORDS] = args[:at], tuple(args[at + 1 :])
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "-- COMMAND..."]


@click.command(cls=_Split)
@click.argument("tool", required=False, type=click.Choice(list(VARIABLES)))
@click.option(
    "--host",
    "hosts",
    required=True,
    multiple=True,
    metavar="HOST[/PATH]",
    shell_complete=completing.urls,
    help="Whose token it is: a host or a URL; npm and the like take several.",
)
@click.option(
    "--env", "names", multiple=True, metavar="NAME", help="Set NAME to the token."
)
@click.option("--name", default="", help="The registry's name in cargo's config.")
@click.pass_context
def run(
    ctx: click.Context,
    tool: str | None,
    hosts: tuple[str, ...],
    names: tuple[str, ...],
    name: str,
) -> None:
    """Run COMMAND with a token in a variable.

    The token is for HOST, the variable is the one that TOOL reads, or --env NAME.

    Nothing is written to a disk. The command takes the place of this process: its
    streams, signals and exit code are its own. What it starts inherits the token.

    \b
    Examples:
      hushkey run npm --host npm.example.com/team/ -- npm ci
      hushkey run npm --host npm.example.com --host scope.example.com -- npm ci
      hushkey run --host api.example.com --env API_TOKEN -- ./deploy
      hushkey run cargo --name mine --host crates.example.com -- cargo build
    """
    words = ctx.meta.get(_WORDS, ())
    if not words:
        raise click.UsageError("put `--` and the command to run after the options")
    start.run(tool or "", hosts, names, name, words)
