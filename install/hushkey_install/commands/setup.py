"""setup: from an address to "done" in one command."""

from __future__ import annotations

import os
import sys
from functools import partial

import click

from hushkey import origins
from hushkey.config import rules
from hushkey.errors import HushkeyError, Permanent
from hushkey.providers import registry
from hushkey.providers.registry import SPECS
from hushkey_install.commands import accounts, completing
from hushkey_install.common import output
from hushkey_install.config import addhost
from hushkey_install.register import table
from hushkey_install.setup import apply, plan, questions, recognise

_TOOLS = [tool.name for tool in table.REGISTRATIONS]


@click.command("setup")
@click.argument("url", required=False, default="", shell_complete=completing.urls)
@click.option(
    "--host", default="", help="For which host a sign-in server's tokens are."
)
@click.option("--provider", type=click.Choice(list(SPECS)), help="Who signs you in.")
@click.option("--issuer", help="Address of an OpenID Connect server.")
@click.option("--tenant", help="Tenant of Microsoft Entra ID.")
@click.option("--client-id", help="The client that hushkey is registered as.")
@click.option("--account", help="Who signs in, if there are several.")
@click.option(
    "--identity",
    default="",
    shell_complete=completing.identities,
    help="An identity of the config.",
)
@click.option(
    "--set", "more", multiple=True, metavar="KEY=VALUE", help="Any other key of it."
)
@click.option("--scope", "scopes", multiple=True, help="May be given again.")
@click.option("--username", default="", help="Goes with the token that is typed.")
@click.option("--with-token", is_flag=True, help="Keep the token on standard input.")
@click.option(
    "--tool",
    "tools",
    multiple=True,
    type=click.Choice([*_TOOLS, "none"]),
    help="Register with this one, or `none`; may be repeated.",
)
@click.option(
    "--no-login", is_flag=True, help="Sign in later; tools are not registered."
)
@click.option(
    "--no-probe",
    is_flag=True,
    help="Ask no server what it is, nor whether it knows the client.",
)
@click.option("--yes", is_flag=True, help="Ask nothing, and do it.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
def command(
    url: str,
    host: str,
    identity: str,
    more: tuple[str, ...],
    scopes: tuple[str, ...],
    username: str,
    with_token: bool,
    tools: tuple[str, ...],
    no_login: bool,
    no_probe: bool,
    yes: bool,
    dry_run: bool,
    **named: str | None,
) -> None:
    """Set up a host: find out, sign in, register tools.

    URL is a host, what you clone from, a registry, an index or a sign-in server.
    Without URL, the remote of the repository you are in. It finds out what it can,
    asks for the rest, shows what will change, signs you in and registers your tools.
    Nothing is changed before you say yes; a second time nothing is.

    \b
    Examples:
      hushkey setup github.com
      hushkey setup git@git.example.com:team/app.git
      hushkey setup https://git.example.com/team/app --issuer https://id.example.com \\
          --client-id hushkey --yes
      hushkey setup github.com --with-token --yes < token.txt
    """
    keys = {key: value for key, value in named.items() if value}
    flags = questions.Flags(
        url,
        host,
        identity,
        keys | dict(map(addhost.pair, more)),
        scopes,
        username,
        secret=_secret() if with_token else "",
        tools=("none",) if no_login and not tools else tools,
        yes=yes or with_token,
        login=not no_login,
        probe=not no_probe,
        tries_client=not no_probe,
    )
    run(flags, dry_run=dry_run, sure=yes)


def run(
    flags: questions.Flags,
    *,
    dry_run: bool = False,
    sure: bool = False,
    force: bool = False,
    method: str = "auto",
    account: str = "",
) -> None:
    """Ask, show and do it; *sure*: without being told to go on.

    *force*, *method* and *account* are those of `accounts.login`.
    """
    environ = dict(os.environ)
    target = questions.address(flags, environ, _folder())
    config = rules.load(environ)
    with output.progress(f"asking {target.host} what it is"):
        found = recognise.find(config, target, environ, ask=flags.probe)
    replaced = found.rule and found.rule.built_in and flags.names_somebody
    if (found.known and not replaced) or not flags.names_somebody:
        output.say(found.line(), err=True)
    answers = questions.ask(config, found, flags, environ)
    made = plan.make(answers, flags, environ)
    if not made:
        output.say("nothing to change", err=True)
        apply.say_done(made, environ)
        return
    made.show(environ, whole=dry_run)
    if dry_run:
        output.say("dry run: nothing was changed", err=True)
        return
    if not sure:
        if not addhost.is_person():
            raise Permanent("nobody can be asked here", hint="run it with --yes")
        output.confirm("go ahead?", default=True, abort=True)
    login = partial(accounts.login, force=force, method=method, account=account)
    failed = apply.run(made, login, environ)
    apply.say_done(made, environ)
    if failed:
        raise click.exceptions.Exit(failed[0].exit_code)


def waits(host: str) -> bool:
    """Tell whether *host* is one that is known without a client, and who can answer."""
    config = rules.load(os.environ)
    if host in config.identities() or not addhost.is_person():
        return False
    try:
        request = origins.parse_url(host)
        row = config.row_for(request)
    except (ValueError, HushkeyError):
        return False  # `login` says what is wrong
    if row is None:
        return bool(registry.hosted(request.protocol, request.host))
    return bool(row["missing"])


def sign_in(host: str, *, force: bool, method: str, account: str) -> None:
    """Become known to *host*, and sign in there; no tool is registered."""
    flags = questions.Flags(host, tools=("none",), probe=False)
    run(flags, force=force, method=method, account=account)


def _secret() -> str:
    """Return the token on standard input: its first line."""
    line = sys.stdin.readline(64 * 1024).strip()
    if not line:
        raise Permanent("no token came on standard input")
    return line


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return "/"
