"""status, explain, doctor, report: what is, why, what is wrong, and telling others."""

from __future__ import annotations

import click

from hushkey_install.commands import completing
from hushkey_install.commands import report as reporting
from hushkey_install.doctor import run
from hushkey_install.inspect import explain as explaining
from hushkey_install.inspect import status as state


@click.command()
@click.argument("host", required=False, shell_complete=completing.urls)
@click.option(
    "--check", is_flag=True, help="Only an exit code: does all answer without you?"
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(host: str | None, check: bool, as_json: bool) -> None:
    """Show who is signed in where, and for how long.

    Of HOST alone if you name one: a host, a URL or an identity. Also as which
    client, and where each token came from. Asks no server and shows no secret.
    Built-in hosts are listed once you are signed in to them.

    --check prints nothing where all is well. It exits with 0 if a tool gets its
    answer without you, with 3 if a sign-in is needed, with 6 if what is stored
    cannot be read, with 1 if there is nothing to check.

    \b
    Examples:
      hushkey status
      hushkey status --check git.example.com || hushkey login git.example.com
      hushkey status --json | jq '.hosts[] | select(.account == null) | .host'
    """
    if check:
        raise click.exceptions.Exit(state.check(as_json, host))
    state.show(as_json, host)


@click.command()
@click.argument("url", shell_complete=completing.urls)
@click.option(
    "--probe", is_flag=True, help="Also ask the servers, without credentials."
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def explain(url: str, probe: bool, as_json: bool) -> None:
    """Explain why URL gets the answer it gets.

    Which rule covers it, which helpers git asks, and what would happen next. In a
    repository whose own settings change git's helpers, those are shown, too. No
    network, unless --probe asks the identity server for its metadata and the host
    for its challenge.

    \b
    Examples:
      hushkey explain https://git.example.com/contoso/app.git
      hushkey explain --probe git.example.com
    """
    explaining.show(url, ask=probe, as_json=as_json)


@click.command()
@click.option("--fix", is_flag=True, help="Fix what can be fixed, asking before each.")
@click.option("--yes", is_flag=True, help="With --fix: do not ask.")
@click.option(
    "--probe", is_flag=True, help="Also ask the servers, without credentials."
)
@click.option("-v", "--verbose", is_flag=True, help="Also show what is fine.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor(fix: bool, yes: bool, probe: bool, verbose: bool, as_json: bool) -> None:
    """Find what is wrong, and say what fixes it.

    Changes nothing without --fix, asks no server without --probe, which also
    compares this machine's clock with theirs. Exits with 0 if there is nothing to
    fix, with 1 if there is. Notes do not count.

    \b
    Examples:
      hushkey doctor
      hushkey doctor --fix
      hushkey doctor --probe -v
      hushkey doctor --json | jq -r '.findings[].command'
    """
    raise click.exceptions.Exit(
        run.make(fix=fix, yes=yes, as_json=as_json, probe=probe, verbose=verbose)
    )


@click.command()
@click.option("--output", type=click.Path(dir_okay=False), help="Write it into FILE.")
@click.option("--with-hosts", is_flag=True, help="Name hosts and identities.")
@click.option("--yes", is_flag=True, help="With --output: do not ask.")
def report(output: str | None, with_hosts: bool, yes: bool) -> None:
    """Make a bundle for support, without secrets.

    Versions, the shape of the config, what doctor found, the end of the log. Only
    fields of a fixed list are taken: never a token, a secret, an account or a
    path. Hosts and identities are called host-1, identity-1 ... unless you add
    --with-hosts. It is shown on standard output; --output FILE also writes it,
    after you have seen it and said yes.

    \b
    Examples:
      hushkey report
      hushkey report --output hushkey-report.json
    """
    reporting.show(output, with_hosts=with_hosts, yes=yes)
