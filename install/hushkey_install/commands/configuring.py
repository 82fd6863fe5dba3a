"""`hushkey config ...`."""

from __future__ import annotations

import click

from hushkey.providers.registry import SPECS
from hushkey_install.commands import completing
from hushkey_install.config import addhost, editor, settings


@click.group("config")
def config() -> None:
    """Find, show, check and change the config file.

    \b
    Examples:
      hushkey config add-host git.example.com \\
          --issuer https://id.example.com --client-id hushkey
      hushkey config set key_store file
      hushkey config edit
    """


@config.command()
def path() -> None:
    """Print where the config file is, or would be."""
    settings.print_path()


@config.command()
@click.option("--json", "as_json", is_flag=True, help="With defaults and presets.")
def show(as_json: bool) -> None:
    """Print the config file, its secrets masked.

    With --json: what counts in the end, with defaults and built-in hosts.

    \b
    Examples:
      hushkey config show
      hushkey config show --json | jq .hosts
    """
    settings.show(as_json)


@config.command()
def check() -> None:
    """Print every problem of the config file at once. Exits with 5 if there is one."""
    raise click.exceptions.Exit(settings.check())


@config.command()
def edit() -> None:
    """Edit the config file, and check it before it counts.

    Opens it in $VISUAL or $EDITOR. A file with mistakes is not put in place: they are
    named, and you can go on editing. What you wrote is kept.

    \b
    Example:
      EDITOR=nano hushkey config edit
    """
    editor.edit()


@config.command("set")
@click.argument("key", shell_complete=completing.keys)
@click.argument("value")
def set_key(key: str, value: str) -> None:
    """Set KEY to VALUE; comments and the rest stay as they are.

    A bare KEY belongs to [settings]; others are written with dots.

    \b
    Examples:
      hushkey config set key_store file
      hushkey config set identity.work.account me@contoso.com
      hushkey config set 'host."git.example.com".scopes' '["openid", "git"]'
    """
    settings.set_value(key, value)


@config.command()
@click.argument("key", shell_complete=completing.keys)
def unset(key: str) -> None:
    """Remove KEY (or a whole table) from the config file.

    \b
    Examples:
      hushkey config unset interactive
      hushkey config unset 'host."git.example.com"'
    """
    settings.unset(key)


@config.command("add-host")
@click.argument("host")
@click.option(
    "--identity",
    default="",
    shell_complete=completing.identities,
    help="An identity of the config, or the name of a new one.",
)
@click.option(
    "--provider",
    type=click.Choice(list(SPECS)),
    help="Who signs you in; oidc with --issuer, entra with --tenant.",
)
@click.option("--issuer", help="Address of an OpenID Connect server.")
@click.option("--tenant", help="Tenant of Microsoft Entra ID.")
@click.option("--client-id", help="The client that hushkey is registered as.")
@click.option("--account", help="Who signs in, if there are several.")
@click.option(
    "--set",
    "more",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any other key of the identity.",
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    help="A scope that the host needs; may be repeated.",
)
@click.option(
    "--username", default="", help="User name to answer with where the tool gives none."
)
@click.option(
    "--scheme",
    type=click.Choice(["basic", "bearer"]),
    default=None,
    help="How the host wants the token.",
)
@click.option(
    "--probe/--no-probe",
    default=None,
    help="Ask the issuer first what it offers; --probe: it has to answer.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option(
    "--yes", is_flag=True, help="Ask nothing; without a keyring, use a key file."
)
def add_host(
    host: str,
    identity: str,
    more: tuple[str, ...],
    scopes: tuple[str, ...],
    username: str,
    scheme: str | None,
    probe: bool | None,
    dry_run: bool,
    yes: bool,
    **named: str | None,
) -> None:
    """Give HOST an identity, and make the identity if there is none.

    On a terminal, what is missing is asked for. A built-in host that waits for a
    client id (github.com, gitlab.com ...) only needs --client-id.

    \b
    Examples:
      hushkey config add-host git.example.com \\
          --issuer https://id.example.com/realms/dev --client-id hushkey --probe
      hushkey config add-host other.example.com --identity corp --scope git
      hushkey config add-host github.com --client-id Iv1.0123
      hushkey config add-host dev.azure.com/contoso --tenant contoso.onmicrosoft.com
    """
    keys = {key: value for key, value in named.items() if value}
    given = addhost.Given(
        host,
        identity,
        keys | dict(map(addhost.pair, more)),
        scopes,
        username,
        scheme or "",
        may_ask=not yes,
    )
    addhost.run(given, ask_server=probe, dry_run=dry_run)
