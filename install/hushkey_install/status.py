"""Who is signed in where, and for how long."""

import json
import time
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from hushkey.errors import HushkeyError
from hushkey.model import Identity, Site
from hushkey_install.context import Context


def show(as_json: bool) -> None:
    """Print the status, as a table or as JSON."""
    context = Context()
    rows = [_row(context, site) for site, _ in context.own_sites()]
    if as_json:
        report = {"config": context.config.source, "hosts": rows}
        click.echo(json.dumps(report, indent=2))
        return
    if not rows:
        click.echo(f"no host has an identity yet; add one to {context.config.source}")
        return
    console = Console(highlight=False)
    with console.capture() as table:  # rich has its own idea of a broken pipe
        console.print(_table(rows))
    click.echo(table.get() + "\n" + "\n".join(_clients(rows)))
    for error in dict.fromkeys(row["error"] for row in rows if row["error"]):
        click.echo(f"hushkey: {error}", err=True)


def _row(context: Context, site: Site) -> dict[str, Any]:
    identity = site.identity
    row: dict[str, Any] = {
        "host": site.pattern,
        "identity": identity.name,
        "issuer": identity.issuer,
        "client": identity.client_id,
        "account": None,
        "renewable": False,
        "seconds_left": None,
        "error": None,
    }
    try:
        row.update(_signed_in(context, site, identity))
    except HushkeyError as error:
        row["error"] = error.line()
    return row


def _signed_in(context: Context, site: Site, identity: Identity) -> dict[str, Any]:
    cache = context.acquirer.file_of(identity).read()
    account = cache.account(site.account)
    if account is None:
        return {}
    token = cache.token(account, site.scopes)
    left = token.expires_at - time.time() if token and token.expires_at else None
    return {
        "account": account.label or account.id,
        "renewable": bool(cache.grants(account, site.scopes)),
        "seconds_left": None if left is None else max(int(left), 0),
    }


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("host", "identity", "account", "token"):
        table.add_column(title, overflow="fold")
    for row in rows:
        account = row["account"] or "-"
        table.add_row(row["host"], row["identity"], account, _token(row))
    return table


def _clients(rows: list[dict[str, Any]]) -> list[str]:
    """Return one line for each identity: which client at which server."""
    lines = (
        f"{row['identity']}: client {row['client']} at {row['issuer']}" for row in rows
    )
    return list(dict.fromkeys(lines))


def _token(row: dict[str, Any]) -> str:
    if row["error"]:
        return "unreadable"
    if row["account"] is None:
        return "signed out"
    renewed = "renewed silently" if row["renewable"] else "sign-in needed after"
    left = row["seconds_left"]
    if left:
        span = f"{left // 60} min" if left >= 120 else f"{left} s"
        return f"good for {span}, then {renewed}"
    return renewed if row["renewable"] else "sign-in needed"
