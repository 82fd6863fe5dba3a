"""Why a URL gets the answer it gets: one fact a line, no network unless asked."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from hushkey import origins
from hushkey.acquire import cached
from hushkey.errors import HushkeyError, UiRequired
from hushkey.model import HostRule, Identity, Request
from hushkey.providers import exchange, registry
from hushkey.signin import policy, terminal
from hushkey.store import typed_index
from hushkey.system import jobs, paths
from hushkey_helpers.git import typed
from hushkey_install.common import output, probe, typedsecrets
from hushkey_install.common.context import Context
from hushkey_install.inspect import azure, minting, nosignin
from hushkey_install.tools import githelpers
from hushkey_install.tools.gitfile import Git

if TYPE_CHECKING:
    pass

Facts = Iterator[tuple[str, str]]

_PASSED_ON = "git gets an empty answer and asks its next helper"
#: facts of which there may be several, and their names for programs
_LISTED = {
    "git": "git",
    "in repo": "in_repository",
    "asked": "asked",
    "not": "passed_over",
}
#: from this git on an answer can be marked as not to be kept
_EPHEMERAL = (2, 46)


class Next(NamedTuple):
    """What would happen next: an *outcome* for programs, and *told* for people.

    cached, refresh, minted (a machine's token), sign-in, refused (the host refuses the
    token), typed (what a person typed), empty (nobody's host) or error.
    """

    outcome: str
    told: str

    def facts(self) -> Facts:
        """Yield both; a person is shown the words alone."""
        yield "outcome", self.outcome
        yield "next", self.told


#: HostRule.origin, in words
_WRITTEN = {"user": "config.toml", "system": "system config", "preset": "built in"}


def show(url: str, *, ask: bool = False, as_json: bool = False) -> None:
    """Print one fact a line; *ask* the servers, too."""
    context = Context()
    with output.progress("asking the servers" if ask else "asking git"):
        found = list(_facts(context, url, ask))
    if not as_json:
        output.block(output.facts((n, v) for n, v in found if n != "outcome"))
        return
    once = {name: value for name, value in found if name not in _LISTED}
    lists = {key: [v for n, v in found if n == name] for name, key in _LISTED.items()}
    if not lists["passed_over"]:
        del lists["passed_over"]  # a rule with one identity passes nobody over
    output.say_json({**once, **lists})


def _facts(context: Context, url: str, ask: bool) -> Facts:
    request = context.request(url)
    origin = origins.parse_origin(request.protocol, request.host)
    if origin is None:
        yield "host", "not a host name that hushkey serves"
        yield from Next("empty", _PASSED_ON).facts()
        return
    yield "host", origins.origin_text(request.protocol, *origin)
    yield "config", context.config.source
    try:
        rule = context.config.rule_for(request)
    except HushkeyError as error:
        yield from _git(context, request)
        yield from Next("error", f"an error: {error.line()}").facts()
        return
    if rule is None:
        if missing := context.config.missing_for(request):
            yield "rule", f"a built-in one that lacks {missing}"
            row = context.config.row_for(request)
            if row and missing.endswith(" client_id"):
                yield from _register(context.config.identity(row["identity"]))
        elif users := context.config.users_of(request):
            yield (
                "rule",
                f"none covers this URL, but with a user name: {', '.join(users)}",
            )
        else:
            yield "rule", "none covers this URL"
            if words := nosignin.words(request):
                yield "note", words
            elif named := registry.hosted(request.protocol, request.host):
                setup = f"`hushkey setup {request.host}`"
                yield "note", f"a {named} server, by its name: {setup} signs in there"
    elif rule.identity.typed:
        yield "rule", f'[host."{rule.pattern}"], with a static secret'
        yield "identity", f"{rule.identity.name} ({rule.identity.provider})"
        yield "answer", "what you type, by the user name that you type with it"
        rule = None  # kept as it was typed, like that of any other host
    else:
        yield from _rule(context, rule, request)
    yield from _git(context, request)
    if ask:
        yield from _asked(context, rule, request)
    step = _next(context, rule, request) if rule else _typed(context, request)
    yield from step.facts()


def _rule(context: Context, rule: HostRule, request: Request) -> Facts:
    where = _WRITTEN[rule.origin]
    identity = rule.identity
    user = f" for {rule.user}@" if rule.user else ""
    yield (
        "rule",
        f'[host."{rule.pattern}"]{user} ({where}), the most specific that fits',
    )
    yield "identity", f"{identity.name} ({identity.provider})"
    for name, why in rule.passed:
        yield "not", f"{name}: {why}"
    if identity.machine:
        for name in registry.SPECS[identity.provider].ignores(identity):
            if context.environ.get(name):
                yield "not", f"{name}: hushkey goes to the server itself"
        yield "by", registry.SPECS[identity.provider].words(identity)
    else:
        yield "issuer", identity.issuer
        yield "client", registry.client_words(identity.provider, identity.client_id)
    yield from _tenant(context, rule, request)
    shared = registry.SPECS[identity.provider].is_shared(identity.client_id)
    asked = "" if shared else " ".join(rule.scopes)
    yield "scopes", asked or "the server's default"
    if rule.account:
        yield "account", rule.account
    if rule.exchange:
        where = exchange.KINDS[rule.exchange].where
        yield "exchange", f"{rule.exchange}: the token is exchanged at {where}"
    yield "answer", _answer(rule, request)
    spec = registry.SPECS[identity.provider]
    if words := spec.refusal(identity, request.path):
        yield "refused", words
    file = context.acquirer.file_of(identity)
    key = context.acquirer.data_key.name
    if identity.machine and jobs.folder(context.environ):
        key = "a key beside it: both end with the job"
    kept = f"{file.path}, opened with {key}"
    yield "store", kept if identity.kept else "nothing is kept"


def _register(identity: Identity) -> Facts:
    """Yield where a person gets the client that is missing."""
    spec = registry.SPECS[identity.provider]
    if found := spec.registration(identity.options):
        yield "register", f"at {found.page}: {found.fields}"


def _tenant(context: Context, rule: HostRule, request: Request) -> Facts:
    """Yield the Entra tenant, where there is such a thing."""
    if not rule.identity.tenants or rule.identity.option("authority"):
        return
    there, organisation = azure.known(context, rule, request)
    tenant = there.tenant
    if azure.unproven(context, rule, request):
        what = f"{organisation} named none, and may not exist: the account's own"
        yield "tenant", what
    elif tenant and not rule.tenant:
        yield "tenant", f"{tenant}, found for {organisation}"
    elif tenant:
        yield "tenant", tenant
    elif rule.exchange:
        yield "tenant", "the account's own"
    else:
        yield "tenant", "not known yet; the organisation itself is asked at first use"


def _answer(rule: HostRule, request: Request) -> str:
    """Return in which form a tool gets the token."""
    if rule.exchange:
        user = rule.answer_user(exchange.KINDS[rule.exchange].username)
        return f"user name {user}, and what the host gives for the token"
    user = rule.answer_user(rule.identity.git_user, request.username)
    if rule.scheme == "basic":
        return f"user name {user}, the token as password"
    if rule.scheme == "bearer":
        return "Bearer where the tool can carry it"
    return f"Bearer if the host offers it and the tool can; else user name {user}"


# -- git --------------------------------------------------------------------------


def _git(context: Context, request: Request) -> Facts:
    """Yield the helpers that git asks, anywhere and in this folder."""
    try:
        git = Git(context.environ)
        usual = githelpers.chain(git, request)
        here = githelpers.chain(git, request, os.getcwd())
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


def _asked(context: Context, rule: HostRule | None, request: Request) -> Facts:
    """Yield what the servers say, or why they say nothing."""
    settings, environ = context.config.settings, context.environ
    if rule is not None and registry.SPECS[rule.identity.provider].open_id:
        address = rule.identity.issuer
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


def _typed(context: Context, request: Request) -> Next:
    """Say what git gets for a host without tokens, from the index alone."""
    key = typed.key_of(request.protocol, request.host, user=request.username or None)
    kept = typedsecrets.tools_of(request.protocol, request.host, context.environ)
    if "git" not in kept and kept:
        told = f"{', '.join(kept)} gets what was typed for this host, git nothing"
        return Next("typed", told)
    if typed_index.holds(paths.data_folder(context.environ), key):
        return Next("typed", "git gets what was typed for this host and stored")
    empty = "git gets an empty answer, asks its next helper, and has the answer stored"
    return Next("empty", f"{_forward(context)}{empty}")


def _forward(context: Context) -> str:
    """Say who is asked before nobody is, where somebody reached this machine."""
    try:
        path = paths.upstream(context.environ)
    except HushkeyError as error:
        return f"({error.line()}) "
    where = "the machine that you came from is asked by hushkey forward"
    return f"{where} ({path}); else " if path else ""


def _next(context: Context, rule: HostRule, request: Request) -> Next:
    rule, organisation = azure.known(context, rule, request)
    try:
        try:
            return _step(context, rule, organisation or rule.pattern, request)
        except UiRequired as need:
            return Next("sign-in", _sign_in(context, rule, need.what))
    except HushkeyError as error:
        return Next("error", f"an error: {error.line()}")


def _step(context: Context, rule: HostRule, host: str, request: Request) -> Next:
    """Return the silent step; raises UiRequired where there is none."""
    # To ask for a tenant takes the network.
    placed = None if rule.identity.tenants else request
    wanted = context.acquirer.wanted(rule, host, request=placed)
    machine = rule.identity.machine
    cache = context.acquirer.file_of(rule.identity).read()
    account = cached.account_for(cache, wanted)
    name = account.shown
    if cached.fresh_token(cache, wanted, time.time()):
        return Next("cached", f"the cached token, as {name}: no network")
    now = time.time()
    if machine:
        cached.check_not_refused(cache, account, wanted, now)
        return Next("minted", minting.words(context, rule, host))
    if cached.was_refused(cache, account, wanted, now):
        if cached.refused_token(cache, account, wanted, now):
            told = f"the same token again, as {name}: {wanted.where} has refused it"
            return Next("refused", told)
        cached.check_not_refused(cache, account, wanted, now)
    if cache.grants(account, rule.token_key):
        return Next("refresh", f"a silent refresh, as {name}: one request")
    if cache.ended(account) is not None:
        raise cached.need(cache, account)
    raise UiRequired("no refresh token covers these scopes")


def _sign_in(context: Context, rule: HostRule, why: str) -> str:
    """Return that a person is needed, and whether one could be asked here."""
    decision = policy.decide(
        policy.prompt_environment(
            context.environ,
            terminal=terminal.has_terminal(context.environ),
            host_mode=rule.interactive,
            settings_mode=str(context.config.settings["interactive"]),
            flows=registry.methods_of(rule.identity),
        )
    )
    first = _forward(context)
    if decision.methods:
        return f"{first}a sign-in: {why}; here by {', else '.join(decision.methods)}"
    return f"{first}a sign-in: {why}; not from here, since {decision.reason}"
