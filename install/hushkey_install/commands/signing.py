"""login, logout, token: signing in and out, and handing over a token."""

from __future__ import annotations

import click

from hushkey_helpers.tools.token import FORMATS
from hushkey_install.commands import accounts, completing, setup


@click.command()
@click.argument("target", required=False, shell_complete=completing.targets)
@click.option("--force", is_flag=True, help="Sign in even if silence would do.")
@click.option(
    "--method",
    type=click.Choice(["auto", "browser", "paste", "device"]),
    default="auto",
    help="How to ask; auto takes what works here.",
)
@click.option("--account", default="", help="Who has to sign in.")
def login(target: str | None, force: bool, method: str, account: str) -> None:
    """Sign in for TARGET, a host or an identity.

    A URL will do, too. Without TARGET, the only identity of the config is meant.

    \b
    Examples:
      hushkey login git.example.com
      hushkey login corp                     # every host of that identity
      hushkey login dev.azure.com/contoso
      hushkey login --method device corp     # no browser on this machine
      hushkey login --account bob git.example.com
    """
    if target and setup.waits(target):
        setup.sign_in(target, force=force, method=method, account=account)
    else:
        accounts.login(target, force=force, method=method, account=account)


@click.command()
@click.argument("target", required=False, shell_complete=completing.targets)
@click.option("--all", "everyone", is_flag=True, help="Sign out of every identity.")
@click.option("--local", is_flag=True, help="Do not tell the server.")
@click.option("--account", default="", help="Sign out of this account alone.")
def logout(target: str | None, everyone: bool, local: bool, account: str) -> None:
    """Forget the sign-in of TARGET and revoke it.

    \b
    Examples:
      hushkey logout corp
      hushkey logout --all
      hushkey logout --local corp            # offline, or the server is gone
      hushkey logout --account bob corp
    """
    accounts.logout(target, everyone=everyone, local=local, account=account)


@click.command()
@click.argument("host", shell_complete=completing.urls)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    default="raw",
    show_default=True,
    help="raw token; `Bearer TOKEN`; JSON; a whole Authorization header; a line for a "
    "shell, netrc, curl -K.",
)
def token(host: str, form: str) -> None:
    """Print an access token for HOST (a host or a URL).

    Only the token goes to standard output. It is a secret.

    \b
    Example:
      hushkey token --format header git.example.com | curl -H @- https://git.example.com/
      hushkey token --format curl git.example.com | curl -K - https://git.example.com/
    """
    raise click.exceptions.Exit(accounts.print_token(host, form))
