"""accounts, switch: who is signed in, and whose token answers by default."""

from __future__ import annotations

import os
from typing import Any

import click

from hushkey.acquire import cached
from hushkey.acquire.acquirer import Acquirer
from hushkey.errors import Permanent, plain
from hushkey.model import Account, HostRule
from hushkey.store.tokencache import TokenCache, place_of
from hushkey_install.commands import completing
from hushkey_install.common import output
from hushkey_install.common.context import Context
from hushkey_install.inspect import status

_TITLES = ("host", "identity", "account", "default", "state")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def accounts(as_json: bool) -> None:
    """List the accounts that are signed in.

    Shows where each is the default one. Asks no server and shows no secret.

    \b
    Examples:
      hushkey accounts
      hushkey accounts --json | jq -r '.accounts[] | select(.default) | .account'
    """
    rows = _rows(Context())
    if as_json:
        listed = [{k: v for k, v in row.items() if k != "words"} for row in rows]
        output.say_json({"accounts": listed})
    elif rows:
        shown = [
            r | {"default": "yes" if r["default"] else "", "state": r["words"]}
            for r in rows
        ]
        output.say_table(_TITLES, [[r[title] for title in _TITLES] for r in shown])
    else:
        output.say("nobody is signed in; `hushkey login HOST` signs in")


def _rows(context: Context) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for row in status.rows(context):
        if row["account"]:
            keys = ("host", "identity", "provider", "account", "state")
            told = {"default": row.get("default", True), "words": status.words(row)}
            found.append({key: row[key] for key in keys} | told)
    known = {(r["identity"], r["account"]): r for r in found}
    for rule in context.config.rules():
        if rule.account or not context.is_used(rule.identity):
            continue
        cache = context.acquirer.file_of(rule.identity).read()
        for place, account in cache.choices(rule.token_key):
            there = known.get((rule.identity.name, account.shown))
            if there and "/" in place and _is_of(context, rule, place):
                found.append(there | {"host": place, "default": True})
    return found


def _is_of(context: Context, rule: HostRule, place: str) -> bool:
    """Tell whether *rule* is the one for a *place* for which somebody was chosen."""
    row = context.config.row_for(context.request(place))
    return row is not None and row["pattern"] == rule.pattern


@click.command()
@click.argument("host", required=False, shell_complete=completing.urls)
@click.argument("account", required=False)
@click.option("--forget", is_flag=True, help="Forget what was chosen for HOST.")
def switch(host: str | None, account: str | None, forget: bool) -> None:
    """Choose whose token HOST gets where nothing names an account.

    HOST may be a URL with the path of an organisation: the choice counts below it,
    and before that of the whole host. Of two accounts, the other one is chosen if
    none is named. A user name in a URL, `credential.username` and `account` in the
    config still say more.

    \b
    Examples:
      hushkey switch git.example.com bob
      hushkey switch git.example.com/contoso alice
      hushkey switch git.example.com          # the other one of two
      hushkey switch --forget git.example.com/contoso
    """
    context = Context()
    rule, origin, path = _meant(context, host)
    if rule.account:
        raise Permanent(
            f"{rule.pattern} is for the account {rule.account}, as the config says",
            hint="change `account` in config.toml",
        )
    place = place_of(origin, path)
    file = context.acquirer.file_of(rule.identity)
    before = _before(file.read(), rule, place)
    if forget:
        with file.change(context.config.settings["silent_timeout"]) as change:
            if change.cache.unbind(rule.token_key, place):
                change.save()
        was = f", which was {before.shown}" if before else ""
        output.say(f"forgot the choice for {place}{was}", err=True)
        return
    chosen = _chosen(context.acquirer, file.read(), rule, (origin, place), account)
    with file.change(context.config.settings["silent_timeout"]) as change:
        change.cache.bind(rule.token_key, place, chosen, here=True)
        change.save()
    words = f"{place} {before.shown}" if before else f"--forget {place}"
    back = f"hushkey switch {words}"
    output.say(f"{place} gets the token of {chosen.shown}; to undo: `{back}`", err=True)


def _before(cache: TokenCache, rule: HostRule, place: str) -> Account | None:
    return cache.chosen_at(rule.token_key, place)


def _meant(context: Context, target: str | None) -> tuple[HostRule, str, str]:
    """Return the rule for *target*, its origin, and the path below that.

    No target means the only host at which several accounts are signed in.
    """
    if target is None:
        rows = [row for row in _rows(context) if not row["default"]]
        hosts = list(dict.fromkeys(str(row["host"]) for row in rows))
        if len(hosts) != 1:
            shown = f" ({', '.join(hosts)})" if hosts else ""
            raise Permanent(
                f"which host?{shown}" if hosts else "no host has two accounts",
                hint="run `hushkey accounts`",
            )
        target = hosts[0]
    rule, origin = context.rule(target)
    request = context.request(target)
    if rule.identity.tenants:
        # Its organisations are hosts to their users.
        return rule, context.wanted(rule, origin, target).host, ""
    return rule, origin, request.path


def _chosen(
    acquirer: Acquirer,
    cache: TokenCache,
    rule: HostRule,
    where: tuple[str, str],
    name: str | None,
) -> Account:
    """Return the account that is called *name*, else the other one of two."""
    host, place = where
    if name is not None:
        if found := cache.called(name):
            return found
        raise Permanent(
            f"{plain(name, 200)} is not signed in to {host}",
            hint=f"run: hushkey login --account {plain(name, 200)} {host}",
        )
    wanted = acquirer.wanted(rule, host).changed(place=place.removeprefix(f"{host}/"))
    fit = cached.fitting(cache, wanted)
    if len(fit) == 2:
        return fit[1]  # the first one is the default
    names = ", ".join(account.shown for account in fit)
    if not fit:
        raise Permanent(
            f"nobody is signed in to {host}", hint=f"run: hushkey login {host}"
        )
    if len(fit) == 1:
        raise Permanent(
            f"{names} is the only account at {host}",
            hint=f"run: hushkey login --account NAME {host}",
        )
    if not os.isatty(0):
        raise Permanent(f"which account? ({names})", hint="name it after the host")
    return fit[_asked([account.shown for account in fit])]


def _asked(names: list[str]) -> int:
    """Let the person choose one of *names* by its number."""
    for number, name in enumerate(names, 1):
        output.say(f"  {number}  {plain(name, 200)}", err=True)

    def check(typed: str) -> str:
        if typed.strip() not in map(str, range(1, len(names) + 1)):
            raise click.BadParameter(f"a number from 1 to {len(names)}, please")
        return typed.strip()

    return int(output.prompt("which account", check=check)) - 1
