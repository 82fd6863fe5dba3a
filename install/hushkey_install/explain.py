"""Why a URL gets the answer it gets."""

import time
from collections.abc import Iterator

import click

from hushkey import hosts, paths, providers, stashindex
from hushkey.errors import HushkeyError
from hushkey.model import TENANT, Request, Site
from hushkey_helpers import gitstore
from hushkey_install.context import Context


def show(url: str) -> None:
    """Print one fact a line."""
    for name, value in _facts(Context(), url):
        click.echo(f"{name + ':':<10} {value}")


def _facts(context: Context, url: str) -> Iterator[tuple[str, str]]:
    request = context.request(url)
    origin = hosts.parse_origin(request.protocol, request.host)
    if origin is None:
        yield "host", "not a host name that hushkey serves"
        yield "next", "git gets an empty answer and asks its next helper"
        return
    yield "host", hosts.origin_text(request.protocol, *origin)
    yield "config", context.config.source
    try:
        site = context.config.site_for(request)
    except HushkeyError as error:
        yield "next", f"an error: {error.line()}"
        return
    if site is None:
        if missing := context.config.missing_for(request):
            yield "rule", f"a built-in one that lacks {missing}"
        else:
            yield "rule", "none covers this URL"
        yield "next", _typed(context, request)
        return
    if site.identity.provider == "static":
        yield "rule", f'[host."{site.pattern}"], with a static secret'
        yield "next", _typed(context, request)
        return
    yield from _site_facts(context, site)


def _typed(context: Context, request: Request) -> str:
    """Say what git gets for a host without tokens, from the index alone."""
    slot = gitstore.slot_of(
        request.protocol, request.host, user=request.username or None
    )
    if stashindex.holds(paths.data_folder(context.environ), slot):
        return "git gets what was typed for this host and stored"
    return "git gets an empty answer, asks its next helper, and has the answer stored"


def _site_facts(context: Context, site: Site) -> Iterator[tuple[str, str]]:
    where = "config.toml" if site.origin == "user" else "built in"
    yield "rule", f'[host."{site.pattern}"] ({where}), the most specific that fits'
    yield "identity", f"{site.identity.name} ({site.identity.provider})"
    yield "issuer", site.identity.issuer
    yield "client", site.identity.client_id or "-"
    scopes = [scope for scope in site.scopes if not scope.startswith(TENANT)]
    yield "scopes", " ".join(scopes) or "the server's default"
    if site.identity.provider == "entra":
        yield "tenant", site.identity.option("tenant") or "found by organisation"
    if site.account:
        yield "account", site.account
    file = context.acquirer.file_of(site.identity)
    yield "store", f"{file.path}, opened with {context.acquirer.vault.name}"
    yield "next", _next(context, site)


def _next(context: Context, site: Site) -> str:
    if not providers.can_serve(site.identity):
        return f"an error: this version has no provider {site.identity.provider}"
    try:
        cache = context.acquirer.file_of(site.identity).read()
    except HushkeyError as error:
        return f"an error: {error.line()}"
    account = cache.account(site.account)
    if account is None:
        return "a sign-in: nobody is signed in"
    token = cache.token(account, site.scopes)
    want = context.acquirer.want(site, site.pattern)
    if token and token.is_fresh(time.time(), want.min_lifetime, time.time()):
        return f"the cached token, as {account.label or account.id}: no network"
    if cache.grants(account, site.scopes):
        return f"a silent refresh, as {account.label or account.id}: one request"
    return "a sign-in: no refresh token covers these scopes"
