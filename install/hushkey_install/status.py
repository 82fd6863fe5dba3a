"""Who is signed in where, for how long, and where the token came from."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from hushkey import cached, paths, providers, stashindex
from hushkey.errors import HushkeyError, UiRequired
from hushkey.model import Identity, Site, Token, tenant_of
from hushkey.tokencache import TokenCache
from hushkey_install import placement, screen
from hushkey_install.context import Context

_TITLES = ("host", "identity", "account", "token", "from")


def show(as_json: bool) -> None:
    """Print the status, as a table or as JSON."""
    context = Context()
    found = rows(context)
    if as_json:
        report = {
            "config": context.config.source,
            "key": context.acquirer.vault.name,
            "hosts": found,
            "typed": stored(context),
        }
        screen.say_json(report)
        return
    if not found:
        screen.say(
            "nobody is signed in yet, and no host of yours has an identity; add one: "
            f"`hushkey config add-host HOST` (it goes to {context.config.source}); "
            "built-in ones, such as dev.azure.com, need only `hushkey login HOST`"
        )
        return
    screen.say_table(_TITLES, [_cells(row) for row in found])
    screen.say("")
    for line in _clients(found):
        screen.say(line)
    if typed := stored(context):
        screen.say(f"beside these: {typed} typed credential(s) for other hosts")
    for error in dict.fromkeys(row["error"] for row in found if row["error"]):
        screen.say(f"hushkey: {error}", err=True)


def rows(context: Context) -> list[dict[str, Any]]:
    """Return one row for each host that has an identity; never a secret."""
    found = [row for site in _sites(context) for row in rows_of(context, site)]
    return [r for r in found if r["origin"] == "user" or r["account"] or r["error"]]


def stored(context: Context) -> int:
    """Return how many typed credentials are kept for hosts that are not ours."""
    return sum(1 for _ in stashindex.files(paths.data_folder(context.environ)))


def _sites(context: Context) -> Iterator[Site]:
    """Yield the user's sites, and the built-in ones where somebody is signed in."""
    for site in context.config.sites():
        if site.origin == "user" or _is_in_use(context, site.identity):
            yield site


def _is_in_use(context: Context, identity: Identity) -> bool:
    """Tell whether a built-in *identity* has a token file; costs one stat."""
    return providers.can_serve(identity) and bool(
        context.acquirer.file_of(identity).stamp()
    )


def rows_of(context: Context, site: Site) -> Iterator[dict[str, Any]]:
    """Yield the rows of one site; a site of several tenants may have several."""
    for there, host in placement.everywhere(context, site):
        yield _row(context, there, host)


def _row(context: Context, site: Site, host: str) -> dict[str, Any]:
    identity = site.identity
    row: dict[str, Any] = {
        "host": host,
        "origin": site.origin,
        "identity": identity.name,
        "provider": identity.provider,
        "issuer": identity.issuer,
        "client": identity.client_id,
        "tenant": tenant_of(site) or None,
        "account": None,
        "renewable": False,
        "seconds_left": None,
        "obtained_at": None,
        "obtained_by": None,
        "error": None,
    }
    try:
        cache = context.acquirer.file_of(identity).read()
        row.update(_signed_in(context, cache, site, host))
    except UiRequired:
        pass  # nobody is signed in: the row says so
    except HushkeyError as error:
        row["error"] = error.line()
    return row


def _signed_in(
    context: Context, cache: TokenCache, site: Site, host: str
) -> dict[str, Any]:
    """Return what the token file says about *site*, as part of a row."""
    account = cached.account_for(cache, context.acquirer.want(site, host))
    token = cache.token(account, site.scopes)
    return {
        "account": account.label or account.id,
        "renewable": bool(cache.grants(account, site.scopes)),
        "seconds_left": _left(token),
        "obtained_at": token.obtained_at if token else None,
        "obtained_by": cache.came_by(token) or None if token else None,
    }


def _left(token: Token | None) -> int | None:
    if token is None or token.expires_at is None:
        return None
    return max(int(token.expires_at - time.time()), 0)


# -- for a person ---------------------------------------------------------------


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    host = row["host"] + (" (built in)" if row["origin"] == "preset" else "")
    return host, row["identity"], row["account"] or "-", _token(row), _came(row)


def _clients(found: list[dict[str, Any]]) -> list[str]:
    """Return one line for each identity: which client at which server."""
    lines = (
        f"{row['identity']}: client {row['client'] or '-'} at {row['issuer']}"
        for row in found
    )
    return list(dict.fromkeys(lines))


def _came(row: dict[str, Any]) -> str:
    """Return how and when the token was obtained."""
    at = row["obtained_at"]
    if at is None:
        return "-"
    moment = datetime.fromtimestamp(at, UTC).astimezone()
    day = "" if time.time() - at < 12 * 3600 else f"{moment:%Y-%m-%d} "
    return f"{row['obtained_by'] or 'server'} at {day}{moment:%H:%M}"


def _token(row: dict[str, Any]) -> str:
    if row["error"]:
        return "unreadable"
    if row["account"] is None:
        return "signed out"
    renewed = "renewed silently" if row["renewable"] else "sign-in needed after"
    left = row["seconds_left"]
    if left:
        return f"good for {span(left)}, then {renewed}"
    if left is None and row["obtained_at"] is not None:
        return "good until it is revoked"
    return renewed if row["renewable"] else "sign-in needed"


def span(seconds: int) -> str:
    """Return a length of time as people say it."""
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 172800 else f"{seconds // 86400} days"
