"""import: takes over what other helpers keep."""

import click


@click.command("import")
def command() -> None:
    """Take over what other credential helpers keep."""
    raise click.UsageError("not yet")
