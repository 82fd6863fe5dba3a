"""Why a URL gets the answer it gets: one fact a line, no network unless asked."""

import os
import time
from collections.abc import Callable, Iterator

from hushkey import cached, hosts, paths, providers, stashindex, terminal
from hushkey.errors import HushkeyError, UiRequired
from hushkey.model import TENANT, Request, Site, tenant_of
from hushkey.signin import policy
from hushkey_helpers import docker, gitstore
from hushkey_install import gitchain, placement, probe, screen
from hushkey_install.context import Context
from hushkey_install.gitfile import Git

Facts = Iterator[tuple[str, str]]

_PASSED_ON = "git gets an empty answer and asks its next helper"
#: facts of which there may be several, and their names for programs
_LISTED = {"git": "git", "in repo": "in_repository", "asked": "asked"}
#: from this git on an answer can be marked as not to be kept
_EPHEMERAL = (2, 46)


def show(url: str, *, ask: bool = False, as_json: bool = False) -> None:
    """Print one fact a line; *ask* the servers, too."""
    context = Context()
    found = list(_facts(context, url, ask))
    if not as_json:
        screen.block(screen.facts(found))
        return
    once = {name: value for name, value in found if name not in _LISTED}
    lists = {key: [v for n, v in found if n == name] for name, key in _LISTED.items()}
    screen.say_json({**once, **lists})


def _facts(context: Context, url: str, ask: bool) -> Facts:
    request = context.request(url)
    origin = hosts.parse_origin(request.protocol, request.host)
    if origin is None:
        yield "host", "not a host name that hushkey serves"
        yield "next", _PASSED_ON
        return
    yield "host", hosts.origin_text(request.protocol, *origin)
    yield "config", context.config.source
    try:
        site = context.config.site_for(request)
    except HushkeyError as error:
        yield from _git(context, request)
        yield "next", f"an error: {error.line()}"
        return
    if site is None:
        if missing := context.config.missing_for(request):
            yield "rule", f"a built-in one that lacks {missing}"
        else:
            yield "rule", "none covers this URL"
    elif site.identity.provider == "static":
        yield "rule", f'[host."{site.pattern}"], with a static secret'
        site = None  # kept as it was typed, like that of any other host
    else:
        yield from _site(context, site, request)
    yield from _git(context, request)
    if ask:
        yield from _asked(context, site, request)
    yield (
        "next",
        _next(context, site, request) if site else _typed(context, request),
    )


def _site(context: Context, site: Site, request: Request) -> Facts:
    where = "config.toml" if site.origin == "user" else "built in"
    identity = site.identity
    yield "rule", f'[host."{site.pattern}"] ({where}), the most specific that fits'
    yield "identity", f"{identity.name} ({identity.provider})"
    yield "issuer", identity.issuer
    yield "client", identity.client_id or "-"
    yield from _tenant(context, site, request)
    scopes = [scope for scope in site.scopes if not scope.startswith(TENANT)]
    yield "scopes", " ".join(scopes) or "the server's default"
    if site.account:
        yield "account", site.account
    if site.exchange:
        yield "exchange", f"{site.exchange}: the token is exchanged at the host itself"
    yield "answer", _answer(site, request)
    file = context.acquirer.file_of(identity)
    yield "store", f"{file.path}, opened with {context.acquirer.vault.name}"


def _tenant(context: Context, site: Site, request: Request) -> Facts:
    """Yield the Entra tenant, where there is such a thing."""
    if site.identity.provider != "entra" or site.identity.option("authority"):
        return
    there, organisation = placement.known(context, site, request)
    tenant = tenant_of(there)
    if tenant and not tenant_of(site):
        yield "tenant", f"{tenant}, found for {organisation}"
    elif tenant:
        yield "tenant", tenant
    elif site.exchange:
        yield "tenant", "the account's own"
    else:
        yield "tenant", "not known yet; the organisation itself is asked at first use"


def _answer(site: Site, request: Request) -> str:
    """Return in which form a tool gets the token."""
    if site.exchange:
        return (
            f"user name {docker.user_of(site)}, and what the host gives for the token"
        )
    user = request.username or site.username or "oauth2"
    if site.scheme == "basic":
        return f"user name {user}, the token as password"
    if site.scheme == "bearer":
        return "Bearer where the tool can carry it"
    return f"Bearer if the host offers it and the tool can; else user name {user}"


# -- git --------------------------------------------------------------------------


def _git(context: Context, request: Request) -> Facts:
    """Yield the helpers that git asks, anywhere and in this folder."""
    try:
        git = Git(context.environ)
        usual = gitchain.chain(git, request)
        here = gitchain.chain(git, request, os.getcwd())
        version = git.version()
    except (HushkeyError, OSError) as error:
        yield "git", str(error)
        return
    for helper in usual.helpers:
        yield "git", helper.line()
    if not usual.helpers:
        yield "git", "asks no helper, only you"
    if here.helpers == usual.helpers:
        return
    for helper in here.helpers or ():
        yield "in repo", helper.line()
    if not here.helpers:
        yield "in repo", "asks no helper, only you"
    own = [helper.name for helper in here.others() if helper.of_repository]
    if own and here.has_ours and version < _EPHEMERAL:
        shown = ".".join(map(str, version))
        yield (
            "in repo",
            (
                f"warning: {', '.join(own)} of this repository is handed our tokens, "
                f"and git {shown} cannot mark them as not to be kept"
            ),
        )


# -- the servers ------------------------------------------------------------------


def _asked(context: Context, site: Site | None, request: Request) -> Facts:
    """Yield what the servers say, or why they say nothing."""
    settings, environ = context.config.settings, context.environ
    if site is not None and site.identity.provider == "oidc":
        address = site.identity.issuer
        yield (
            "asked",
            f"{address}: "
            + _said(lambda: probe.issuer(address, settings, environ).line()),
        )
    url = f"{request.protocol}://{request.host}/{request.path}"
    yield "asked", f"{url}: " + _said(lambda: probe.host(url, settings, environ).line())


def _said(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except HushkeyError as error:
        return error.line()


# -- what would happen ------------------------------------------------------------


def _typed(context: Context, request: Request) -> str:
    """Say what git gets for a host without tokens, from the index alone."""
    slot = gitstore.slot_of(
        request.protocol, request.host, user=request.username or None
    )
    if stashindex.holds(paths.data_folder(context.environ), slot):
        return "git gets what was typed for this host and stored"
    return "git gets an empty answer, asks its next helper, and has the answer stored"


def _next(context: Context, site: Site, request: Request) -> str:
    site, organisation = placement.known(context, site, request)
    if not providers.can_serve(site.identity):
        return f"an error: this version has no provider {site.identity.provider}"
    try:
        try:
            return _step(context, site, organisation or site.pattern)
        except UiRequired as need:
            return _sign_in(context, site, need.what)
    except HushkeyError as error:
        return f"an error: {error.line()}"


def _step(context: Context, site: Site, host: str) -> str:
    """Return the silent step; raises UiRequired where there is none."""
    want = context.acquirer.want(site, host)
    cache = context.acquirer.file_of(site.identity).read()
    account = cached.account_for(cache, want)
    name = account.label or account.id
    if cached.fresh_token(cache, want, time.time()):
        return f"the cached token, as {name}: no network"
    cached.check_not_refused(cache, account, want, time.time())
    if cache.grants(account, site.scopes):
        return f"a silent refresh, as {name}: one request"
    raise UiRequired("no refresh token covers these scopes")


def _sign_in(context: Context, site: Site, why: str) -> str:
    """Return that a person is needed, and whether one could be asked here."""
    verdict = policy.decide(
        policy.situation(
            context.environ,
            terminal=terminal.has_terminal(context.environ),
            host_mode=site.interactive,
            settings_mode=str(context.config.settings["interactive"]),
            flows=tuple(site.identity.options.get("flows", ())),
        )
    )
    if verdict.rungs:
        return f"a sign-in: {why}; here by {', else '.join(verdict.rungs)}"
    return f"a sign-in: {why}; not from here, since {verdict.reason}"
