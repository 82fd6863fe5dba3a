"""Signing in, signing out, and handing a token to a person."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from hushkey.errors import HushkeyError, Permanent, plain
from hushkey.model import HostRule, Identity, Token, TokenKey
from hushkey.providers.registry import client_words
from hushkey.system import ownership, paths
from hushkey.tokenrequest import TokenRequest, may_be_person
from hushkey_helpers.tools import token as token_tool
from hushkey_install.common import agentcontrol, output, typedsecrets
from hushkey_install.common.context import Context
from hushkey_install.inspect import azure


def login(target: str | None, *, force: bool, method: str, account: str = "") -> None:
    """Sign in for every set of scopes that *target* needs, as *account* if named."""
    environ = dict(os.environ)
    if method != "auto":
        environ["HUSHKEY_INTERACTIVE"] = method
    context = Context(environ, login=True)
    done: set[tuple[str, TokenKey]] = set()
    # Only a URL can name an organisation; a pattern names many.
    url = "" if target in context.config.identities() else target or ""
    for rule, host in context.rules_of(target):
        typedsecrets.check_not_typed(rule.identity, host)
        key = (rule.account, rule.token_key)
        if key not in done:
            done.add(key)
            wanted = context.wanted(rule, host, url, account)
            _login(context, wanted, force=force and len(done) == 1)


def _login(context: Context, wanted: TokenRequest, *, force: bool) -> None:
    _check_there(context, wanted)
    get = context.acquirer.sign_in if force else context.acquirer.acquire
    token = get(wanted)
    _say_unproven(context, wanted)
    how = "signed in" if token.source == "sign-in" else "already signed in"
    if wanted.rule.identity.machine:
        how = "nobody needs to sign in"
    output.say(
        f"{how} to {wanted.host} as {token.account.label or 'the only account'} "
        f"({_client(wanted.rule)}); the token is good {until(token)}",
        err=True,
    )


def _check_there(context: Context, wanted: TokenRequest) -> None:
    """Raise Permanent if the organisation that a person named does not exist."""
    request = context.request(wanted.host)
    if organisation := azure.absent(context, wanted.rule, request):
        raise Permanent(
            f"there is no {organisation}: it answers with HTTP 404",
            hint="check its name; `hushkey login "
            f"{wanted.rule.identity.name}` signs in without one",
        )


def _say_unproven(context: Context, wanted: TokenRequest) -> None:
    """Say that nothing tells whether there is such an organisation."""
    request = context.request(wanted.host)
    if organisation := azure.unproven(context, wanted.rule, request):
        output.say(
            f"note: {organisation} named no tenant when it was asked, and may not "
            "exist: your account's own tenant was used",
            err=True,
        )


def _client(rule: HostRule) -> str:
    identity = rule.identity
    tenant = f", tenant {found}" if (found := rule.tenant) else ""
    return (
        f"identity {identity.name}, "
        f"client {client_words(identity.provider, identity.client_id)} "
        f"at {identity.issuer}{tenant}"
    )


def until(token: Token) -> str:
    """Return how long *token* is good, for a person."""
    if token.expires_at is None:
        return "until it is revoked"
    moment = datetime.fromtimestamp(token.expires_at, UTC).astimezone()
    return f"until {moment:%H:%M:%S}"


def logout(
    target: str | None, *, everyone: bool, local: bool, account: str = ""
) -> None:
    """Forget sign-ins here, *account*'s alone if named; tell the server unless *local*.

    A URL may name the account, too.
    """
    context = Context(login=True)
    # Another user's folder says nothing of who is signed in.
    ownership.check_private(paths.data_folder(context.environ))
    known = context.config.identities().values()
    if target is None and not everyone and not any(context.own_rules()):
        used = [identity for identity in known if context.is_used(identity)]
        everyone = len(used) == 1  # a built-in one: nobody else can be meant
    if everyone:
        identities = list(known)
    elif account and target is None:
        identities = [i for i in known if _has(context, i, account)]
        if not identities:
            raise Permanent(
                f"{plain(account, 200)} is not signed in",
                hint="run `hushkey accounts`",
            )
    else:
        identities = [context.identity(target)]
        account = account or _named(context, target)
        typedsecrets.check_not_typed(identities[0], "")
    done = 0
    for identity in identities:
        # Looked at again: identities of one server and client share their sign-ins.
        used = [each for each in known if context.is_used(each)]
        if not everyone or context.is_used(identity):
            others = [each for each in used if each.name != identity.name]
            line = _logout(context, identity.name, account, others, local=local)
            output.say(line, err=True)
            done += 1
    if not done:
        output.say("nobody is signed in", err=True)
    agentcontrol.dismiss(context.environ)


def _has(context: Context, identity: Identity, account: str) -> bool:
    """Tell whether *account* is signed in by *identity*."""
    if not context.is_used(identity):
        return False
    found = context.acquirer.file_of(identity).read().called(account)
    own = identity.account
    return found is not None and (not own or own.casefold() == account.casefold())


def _named(context: Context, target: str | None) -> str:
    """Return the account that the URL *target* names, or nothing."""
    if target is None or "@" not in target or target in context.config.identities():
        return ""
    rule, _ = context.rule(target)
    name = context.request(target).username
    return name if may_be_person(name, rule) else ""


def _logout(
    context: Context,
    identity_name: str,
    account: str,
    others: list[Identity],
    *,
    local: bool,
) -> str:
    """Sign out, and say of whom: also of those *others* that it was shared with."""
    identity = context.config.identity(identity_name)
    refresh_tokens = context.acquirer.sign_out(identity, account)
    name = f"{identity_name} as {account}" if account else identity_name
    if ended := [each.name for each in others if not context.is_used(each)]:
        name += f" (with it of {', '.join(ended)})"
    if not refresh_tokens:
        return f"signed out of {name}; there was no sign-in to revoke"
    if local:
        return f"signed out of {name} here; the server was not told (--local)"
    try:
        revoked = context.acquirer.revoke(identity, refresh_tokens)
    except HushkeyError as error:
        return f"signed out of {name} here; the server was not told: {error.line()}"
    told = "and revoked" if revoked else "here; the server offers no revocation"
    return f"signed out of {name} {told}"


def print_token(host: str, form: str) -> int:
    """Print a token for *host* to standard output, and nothing else there.

    Returns the exit code. `hushkey token` comes here only where the command was
    loaded for another reason: the program answers it by itself.
    """
    words = [f"--format={form}", "--", host]
    answer = token_tool.answer(words, lambda: b"", os.environ)
    for line in answer.lines:
        output.say(f"hushkey: {line}", err=True)
    if answer.out:
        output.block(answer.out.decode("utf-8", "surrogateescape").rstrip("\n"))
    return answer.code
