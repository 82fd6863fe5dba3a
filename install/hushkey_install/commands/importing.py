"""import: takes over what other helpers keep."""

from __future__ import annotations

import click

from hushkey_install.importers import asking


@click.command("import")
@click.argument("sources", nargs=-1, type=click.Choice(list(asking.SOURCES)))
@click.option("--dry-run", is_flag=True, help="Only show hosts and users.")
@click.option("--yes", is_flag=True, help="Take everything, without asking.")
def command(sources: tuple[str, ...], dry_run: bool, yes: bool) -> None:
    """Take over what other credential helpers keep.

    SOURCES are git-store (~/.git-credentials), libsecret (what git put into the
    Secret Service) and docker (the auths of its config.json and of podman's
    auth.json, and what its credsStore keeps); all, if you name none. Host and user
    are shown, and you are asked for each. Nothing is deleted there. Hosts that an
    identity serves are left out.

    \b
    Examples:
      hushkey import --dry-run
      hushkey import git-store
    """
    failed = asking.run(sources, yes=yes, dry_run=dry_run)
    raise click.exceptions.Exit(failed[0].exit_code if failed else 0)
