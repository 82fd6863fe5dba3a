"""Who is signed in where, for how long, and where the token came from."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from hushkey.acquire import cached
from hushkey.errors import HushkeyError, UiRequired, span
from hushkey.model import Account, HostRule, Identity, Token
from hushkey.providers import registry
from hushkey.store import typed_index
from hushkey.store.tokencache import TokenCache
from hushkey.store.typed import open_typed_credentials
from hushkey.system import paths
from hushkey_install.common import output, typedsecrets
from hushkey_install.common.context import Context, shown
from hushkey_install.inspect import azure, minting

_TITLES = ("host", "state", "identity", "account", "token", "from")
#: of a row -> what a person reads, and its colour
STATES = {
    "signed-in": ("signed in", "green"),
    "renews": ("renews", "cyan"),
    "expired": ("expired", "red"),
    "ended": ("needs you", "red"),
    "signed-out": ("needs you", "red"),
    "typed": ("typed", "green"),
    "not-typed": ("nothing typed", "yellow"),
    "unreadable": ("unreadable", "red"),
}
#: the states in which a tool gets an answer without a person
_ANSWERS = ("signed-in", "renews", "typed")
#: exit codes of `--check` (the table of `hushkey --help`)
_GOOD, _UNKNOWN, _NEEDED, _STORE = 0, 1, 3, 6
#: so many typed logins are opened to be listed; more are only counted
_LISTED = 200


def show(as_json: bool, target: str | None = None) -> None:
    """Print the status, as a table or as JSON; of *target* alone if it is given."""
    context = Context()
    found = _wanted(context, target)
    typed = _typed(context, target)
    if as_json:
        report = {
            "config": context.config.source,
            "key": context.acquirer.data_key.name,
            "hosts": found,
            "typed": stored(context),
            "typed_logins": typed,
        }
        output.say_json(report)
        return
    if not found and not typed and not target and _forwarded(context):
        output.say(
            "nobody is signed in here; tools are answered by `hushkey forward` on the "
            "machine that you came from"
        )
        return
    if not found and not typed:
        output.say(
            f"nothing is typed or signed in for {shown(target)}"
            if target
            else "nobody is signed in yet, and no host of yours has an identity; add "
            f"one: `hushkey setup HOST` (it goes to {context.config.source}); "
            "built-in ones, such as dev.azure.com, need only `hushkey login HOST`"
        )
        return
    if found:
        colours = dict(STATES.values())
        output.say_table(_TITLES, [_cells(row) for row in found], colours)
        output.say("")
    for line in _clients(found):
        output.say(line)
    if number := len(typed) if target else stored(context):
        told = output.counted(number, "typed credential")
        named = output.listed([*map(_login, typed)])
        output.say(f"kept: {told}{f': {named}' if named else ''}")
    for error in dict.fromkeys(row["error"] for row in found if row["error"]):
        output.say(f"hushkey: {error}", err=True)


def _forwarded(context: Context) -> bool:
    try:
        return bool(paths.upstream(context.environ))
    except HushkeyError:
        return False  # `explain` says what is wrong with HUSHKEY_UPSTREAM


def check(as_json: bool, target: str | None = None) -> int:
    """Say on standard error what needs a person; return the exit code.

    0: every host (of *target*) answers without a person; 1: there is none; 3: a
    sign-in is needed; 6: what is stored cannot be read.
    """
    context = Context()
    found = _wanted(context, target)
    if as_json:
        output.say_json({"hosts": found})
    needing = [row for row in found if row["state"] not in _ANSWERS]
    for row in needing:
        word = STATES[row["state"]][0]
        how = f"run `hushkey login {shlex.quote(row['identity'])}`"
        if row["state"] == "not-typed":
            how = "the next use asks for it"
        why = row["error"] or f"{word}; {how}"
        output.say(f"hushkey: {row['host']}: {why}", err=True)
    if not found and not _typed(context, target):
        output.say("hushkey: nobody is signed in; run `hushkey setup HOST`", err=True)
        return _UNKNOWN
    if any(row["state"] == "unreadable" for row in needing):
        return _STORE
    return _NEEDED if needing else _GOOD


def _wanted(context: Context, target: str | None) -> list[dict[str, Any]]:
    """Return the rows of *target*, a host, a URL or an identity, or of all."""
    if target is None:
        return rows(context)
    if target in context.config.identities():
        return [row for row in rows(context) if row["identity"] == target]
    rule = context.rule_or_none(target)
    if rule is None and _typed(context, target):
        return []
    rule, _ = context.rule(target)  # says why it is not ours
    return list(rows_of(context, rule))


def signed_in(context: Context) -> list[str]:
    """Return who is signed in, for a person: the identities and their accounts.

    Identities of one server and client share what is stored. Nobody is named where the
    key cannot be read.
    """
    names: dict[str, list[str]] = {}
    people: dict[str, list[str]] = {}
    for name, identity in context.config.identities().items():
        if not context.is_used(identity):
            continue
        file = context.acquirer.file_of(identity)
        names.setdefault(file.path, []).append(name)
        try:
            cache = file.read()
        except HushkeyError:
            continue
        people[file.path] = [cache.known(each).shown for each in cache.accounts]
    for path, who in people.items():
        names[path][-1] += f" ({', '.join(who)})" if who else ""
    return [" and ".join(found) for found in names.values()]


def logins(context: Context) -> list[str]:
    """Return all that was typed, by user name and host, for a person."""
    return [*map(_login, _kept(context))] if stored(context) else []


def _typed(context: Context, target: str | None) -> list[dict[str, str]]:
    """Return what was typed for whom, never the secret; of *target*'s host alone.

    Nothing where the key cannot be read, or where there is too much to be opened.
    """
    if not 0 < stored(context) <= _LISTED:
        return []
    host = "" if target is None else context.request(target).host
    return [r for r in _kept(context) if not host or _is_of(r["host"], host)]


def _kept(context: Context) -> list[dict[str, str]]:
    """Return what was typed for whom; nothing where the key cannot be read."""
    folder = paths.data_folder(context.environ)
    settings = context.config.settings
    try:
        keys = open_typed_credentials(settings, folder, _quiet).all_keys()
    except HushkeyError:
        return []  # told where a token cannot be read
    return [{"tool": k.tool, "host": k.host, "user": k.user or ""} for k in keys]


def _quiet(line: str) -> None:
    """Say nothing: the row is left out."""


def _is_of(kept: str, host: str) -> bool:
    """Tell whether *kept*, a host as its tool writes it, is *host*."""
    place = kept.partition("://")[2] or kept
    return place.partition("/")[0].removesuffix(":443") == host.removesuffix(":443")


def _login(row: dict[str, str]) -> str:
    user = f"{row['user']}@" if row["user"] else ""
    return f"{user}{row['host']} ({row['tool']})"


def rows(context: Context) -> list[dict[str, Any]]:
    """Return one row for each host that has an identity; never a secret."""
    found = [row for rule in _rules(context) for row in rows_of(context, rule)]
    return [r for r in found if r["origin"] != "preset" or r["account"] or r["error"]]


def stored(context: Context) -> int:
    """Return how many typed credentials are kept for hosts that are not ours."""
    return sum(1 for _ in typed_index.files(paths.data_folder(context.environ)))


def _rules(context: Context) -> Iterator[HostRule]:
    """Yield the user's rules, and the built-in ones where somebody is signed in."""
    for rule in context.config.rules():
        if not rule.built_in or _is_in_use(context, rule.identity):
            yield rule


def _is_in_use(context: Context, identity: Identity) -> bool:
    """Tell whether a built-in *identity* has a token file; costs one stat."""
    return not identity.typed and bool(context.acquirer.file_of(identity).stamp())


def rows_of(context: Context, rule: HostRule) -> Iterator[dict[str, Any]]:
    """Yield the rows of one rule; a rule of several tenants may have several."""
    for there, host in azure.everywhere(context, rule):
        yield from _rows(context, there, host)


def _rows(context: Context, rule: HostRule, host: str) -> Iterator[dict[str, Any]]:
    """Yield a row for each account at *host*, the default one first.

    Of several, ``default`` tells which is; ``user`` is in it where the rule has one.
    """
    identity = rule.identity
    row: dict[str, Any] = {
        "host": host,
        "state": "signed-out",
        "origin": rule.origin,
        "identity": identity.name,
        "provider": identity.provider,
        "issuer": identity.issuer,
        "client": identity.client_id,
        "tenant": rule.tenant or None,
        "account": None,
        "renewable": False,
        "seconds_left": None,
        "obtained_at": None,
        "obtained_by": None,
        "error": None,
    }
    row |= {"user": rule.user} if rule.user else {}
    if identity.typed:
        kept = typedsecrets.tools_of_rule(rule, context.environ)
        yield row | {"state": "typed" if kept else "not-typed", "kept": kept}
        return
    if identity.machine:
        row["by"] = registry.SPECS[identity.provider].words(identity)
    if rule.passed:
        row["passed_over"] = dict(rule.passed)
    try:
        cache = context.acquirer.file_of(identity).read()
        wanted = context.acquirer.wanted(rule, host, rule.user)
        default = cached.account_for(cache, wanted)
        others = [] if wanted.account else cached.fitting(cache, wanted)
    except UiRequired:
        # Nobody is signed in: the row says so.
        yield row | {"state": "renews" if identity.machine else "signed-out"}
    except HushkeyError as error:
        yield row | {"state": "unreadable", "error": error.line()}
    else:
        everybody = tuple(dict.fromkeys((default, *others)))
        for account in everybody:
            found = _signed_in(cache, rule, account)
            lacks = minting.lack(context, rule, host)
            if lacks and found["state"] == "renews":
                found |= {"state": "signed-out", "error": lacks.line()}
            found |= {"default": account == default} if len(everybody) > 1 else {}
            yield row | found


def _signed_in(cache: TokenCache, rule: HostRule, account: Account) -> dict[str, Any]:
    """Return what the token file says about *account* at *rule*, as part of a row.

    ``ended_at`` is in it where the server has declared the sign-in dead.
    """
    token = cache.token(account, rule.token_key)
    renewable = bool(cache.grants(account, rule.token_key)) or rule.identity.machine
    ended = None if renewable else cache.ended(account)
    left = _left(token)
    return {
        **({} if ended is None else {"ended_at": ended}),
        "state": _state(token, left, renewable=renewable, ended=ended is not None),
        "account": account.shown,
        "renewable": renewable,
        "seconds_left": left,
        "obtained_at": token.obtained_at if token else None,
        "obtained_by": cache.origin_of(token) or None if token else None,
    }


def _state(
    token: Token | None, left: int | None, *, renewable: bool, ended: bool
) -> str:
    """Return one of `STATES` for somebody who has signed in."""
    if token is not None and left != 0:
        return "signed-in"
    if renewable:
        return "renews"
    return "ended" if ended else "expired" if token else "signed-out"


def _left(token: Token | None) -> int | None:
    if token is None or token.expires_at is None:
        return None
    return max(int(token.expires_at - time.time()), 0)


# -- for a person ---------------------------------------------------------------


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    user = f"{row['user']}@" if "user" in row else ""
    host = user + row["host"] + (" (built in)" if row["origin"] == "preset" else "")
    account = (row["account"] or "-") + (" (default)" if row.get("default") else "")
    if row["tenant"] and row["account"]:
        account = f"{account} in {row['tenant']}"
    word = STATES[row["state"]][0]
    return host, word, row["identity"], account, words(row), _came(row)


def _clients(found: list[dict[str, Any]]) -> list[str]:
    """Return one line for each identity: which client at which server."""
    lines = (
        f"{row['identity']}: what you type, stored encrypted ({row['provider']})"
        if "kept" in row
        else f"{row['identity']}: {_by(row)}"
        for row in found
    )
    others = (
        f"{row['host']}: not {name}, {why}"
        for row in found
        for name, why in row.get("passed_over", {}).items()
    )
    return list(dict.fromkeys((*lines, *others)))


def _by(row: dict[str, Any]) -> str:
    """Return who gives the tokens of a row, for a person."""
    if by := row.get("by"):
        return str(by)
    client = registry.client_words(row["provider"], row["client"])
    return f"client {client} at {row['issuer']}"


def _came(row: dict[str, Any]) -> str:
    """Return how and when the token was obtained."""
    at = row["obtained_at"]
    if at is None:
        return "-"
    moment = datetime.fromtimestamp(at, UTC).astimezone()
    day = "" if time.time() - at < 12 * 3600 else f"{moment:%Y-%m-%d} "
    return f"{row['obtained_by'] or 'server'} at {day}{moment:%H:%M}"


def words(row: dict[str, Any]) -> str:
    """Return what there is of a token, and what happens at its end."""
    if "kept" in row:
        kept = ", ".join(row["kept"])
        return f"kept for {kept}" if kept else "nothing typed yet"
    if row["error"]:
        return "-"
    if row["account"] is None:
        return "signed out"
    if "by" in row and not row["seconds_left"]:
        return "none yet; gets one by itself"
    ended = "ended_at" in row
    left = row["seconds_left"]
    if left:
        after = "renewed silently" if row["renewable"] else "sign-in needed after"
        if ended:
            after = "sign-in needed, since it ended at the server"
        return f"good for {span(left)}, then {after}"
    if left is None and row["obtained_at"] is not None:
        return "good until it is revoked"
    if ended:
        renewed = "sign-in needed, since it ended at the server"
        return renewed if left is None else f"expired, {renewed}"
    if not row["renewable"]:
        return "sign-in needed" if left is None else "expired, sign-in needed"
    silently = "gets one" if left is None else "renews it"
    return (
        f"{'none yet' if left is None else 'expired'}, the next use {silently} silently"
    )
