"""`hushkey config add-host`: a host and its identity in one step.

Each key alone would be no valid config (an oidc identity needs issuer and client
id, a host needs an identity), so all of it is written at once or not at all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from hushkey import origins
from hushkey.config import rules, schema
from hushkey.errors import ConfigError, HushkeyError, Permanent, Transient, plain
from hushkey.providers import registry
from hushkey.providers.checks import one_of, secure_url
from hushkey.providers.registry import SPECS
from hushkey_install.common import output, probe
from hushkey_install.common.context import shown
from hushkey_install.config import clientcheck, document, keystore
from hushkey_install.inspect import nosignin
from hushkey_install.tools import githelpers

if TYPE_CHECKING:
    from hushkey.providers.checks import Check

_EXAMPLE = (
    "for example: hushkey config add-host git.example.com "
    "--issuer https://id.example.com --client-id hushkey"
)


class Given(NamedTuple):
    """What the person named; empty where they did not."""

    host: str
    identity: str = ""
    #: keys of the identity's table
    keys: dict[str, str] = {}  # noqa: RUF012 - never changed, only joined
    scopes: tuple[str, ...] = ()
    username: str = ""
    scheme: str = ""
    #: what the host is for, where nothing else says it
    tools: tuple[str, ...] = ()
    #: a person may be asked for what is optional
    may_ask: bool = True
    #: a client that a person types is tried at its server
    tries_client: bool = False


class Plan(NamedTuple):
    """What will be written: tables by their place in the document."""

    identity: str
    identity_table: dict[str, object]
    host_table: dict[str, object]


def run(given: Given, *, ask_server: bool | None, dry_run: bool) -> None:
    """Add the host; ask for what is missing where a person can answer.

    An issuer is asked first what it offers. *ask_server*: True where it has to
    answer, False where nobody is asked.
    """
    config = rules.load(os.environ)
    pattern = _pattern(given.host)
    if words := nosignin.words(githelpers.request_of(pattern)):
        output.say(f"note: {words}", err=True)
    plan = _plan(config, given, pattern)
    change = document.edited(
        config.source, f"add {plain(pattern)}", lambda doc: write(doc, plan, pattern)
    )
    if ask_server is not False:
        with output.progress("asking the identity server what it offers"):
            _probe(config, plan, insists=bool(ask_server))
    output.diff(document.shown(change).diff())
    if dry_run:
        return
    document.save(change)
    output.say(f"{pattern} now uses identity {plan.identity}", err=True)
    _say_built_in(config, plan, pattern)
    if rules.load(os.environ).identity(plan.identity).machine:
        output.say("next: `hushkey install git`; nobody signs in", err=True)
        return
    keystore.offer(os.environ, sure=not given.may_ask)
    output.say(
        f"next: `hushkey install git`, then `hushkey login {pattern}` "
        "(or just use git)",
        err=True,
    )


def planned(given: Given) -> tuple[Plan, str]:
    """Return what `write` is to put into the config for *given*; asks as `run`."""
    config = rules.load(os.environ)
    pattern = _pattern(given.host)
    return _plan(config, given, pattern), pattern


def _say_built_in(config: rules.Config, plan: Plan, pattern: str) -> None:
    """Say which other hosts an identity counts for, as it has a built-in one's name."""
    if not plan.identity_table:
        return
    others = [
        rule.pattern
        for rule in config.rules()
        if rule.identity.name == plan.identity and rule.pattern != pattern
    ]
    if others:
        output.say(
            f"note: {plan.identity} is a built-in identity, so this is also for "
            f"{', '.join(others)}",
            err=True,
        )


def _pattern(text: str) -> str:
    """Return the host as a pattern; of an address to clone from, the host."""
    scheme, marker, rest = text.strip().partition("://")
    pattern = text.strip().rstrip("/")
    if marker and scheme.lower() == "https":
        pattern, _, path = rest.partition("/")
        pattern = pattern.rpartition("@")[2]
        if path:
            output.say(
                f"note: this is for all of {plain(pattern)}; leave out https:// to "
                "give a path an identity of its own",
                err=True,
            )
    try:
        origins.parse_pattern(pattern)
    except ValueError as error:
        raise Permanent(f"{shown(text)!r}: {error}", hint=_EXAMPLE) from error
    return pattern


def write(doc: Any, plan: Plan, pattern: str) -> None:
    """Put *plan* into the document; Permanent where the host is there already."""
    if pattern in doc.get("host", {}):
        raise Permanent(
            f'[host."{pattern}"] is in the config already',
            hint="use `hushkey config set`, or `hushkey config edit`",
        )
    if plan.identity_table:
        table = document.new_table(plan.identity_table)
        document.put(doc, ["identity", plan.identity], table)
    if plan.host_table:
        document.put(doc, ["host", pattern], document.new_table(plan.host_table))


# -- what to write ----------------------------------------------------------------


def _plan(config: rules.Config, given: Given, pattern: str) -> Plan:
    preset = _preset(config, pattern)
    whole = preset and preset["pattern"] == pattern
    if preset and whole and not given.identity and _takes_client(config, preset):
        return _completed(config, given, preset)
    own = _own_identities(config)
    name = given.identity or ("" if given.keys else _chosen(own))
    if name in own or (name in config.identities() and not given.keys):
        if given.keys:
            raise Permanent(
                f"identity {plain(name)} exists already",
                hint=f"use `hushkey config set identity.{plain(name)}.KEY VALUE`, "
                "or name a new identity",
            )
        table: dict[str, object] = {}
    else:
        table = _identity(given, pattern)
        if not name and (name := _same(config, table)):
            output.say(f"identity {plain(name)} signs in as that client", err=True)
            table = {}
        # A built-in identity's name would make it that of all its hosts.
        taken = {*own, *config.identities()}
        name = name or _free_name(str(table.get("issuer") or ""), pattern, taken)
    provider = str(table.get("provider") or config.identity(name).provider)
    usual = preset["scopes"] if preset and not SPECS[provider].typed else ()
    scopes = given.scopes or usual
    if SPECS[provider].needs_scopes and not scopes:
        scopes = tuple(_needed("scope", "scopes (RESOURCE/.default)").split())
    elif _may_need_scopes(provider, scopes) and given.may_ask and is_person():
        words = "scopes that the host wants, if any (for example: git)"
        answer = output.prompt(words, default="")
        scopes = tuple(answer.split())
    host: dict[str, object] = {"identity": name}
    host |= {"scopes": list(scopes)} if scopes else {}
    if preset and config.identity(preset["identity"]).provider == provider:
        host |= _exchange(preset)
    return Plan(name, table, host | _options(given))


def _exchange(preset: Mapping[str, Any]) -> dict[str, object]:
    """Return what the built-in host takes in place of the identity's own token.

    It belongs to the host, so that another tenant's registry takes the same.
    """
    return {"exchange": preset["exchange"]} if preset.get("exchange") else {}


def _may_need_scopes(provider: str, scopes: Collection[str]) -> bool:
    """Tell whether scopes of the host's own may be missing."""
    spec = SPECS[provider]
    # With a client that others use, too, no scope is ever sent.
    none = spec.typed or spec.runs_program or spec.client_name
    return not (scopes or spec.scopes or none)


def _options(given: Given) -> dict[str, object]:
    named: dict[str, object] = {"username": given.username, "scheme": given.scheme}
    named["tools"] = list(given.tools)
    return {key: value for key, value in named.items() if value}


def _preset(config: rules.Config, pattern: str) -> dict[str, Any] | None:
    """Return the built-in rule that covers the host so far, if there is one."""
    try:
        rule = config.row_for(githelpers.request_of(pattern))
    except HushkeyError:
        return None  # its rules go by path already
    # The user's own identity may have completed it, and made it theirs.
    written = document.tables(config.source).get("host", {})
    if rule is None or rule["pattern"] in written:
        return None
    return {"scopes": (), **rule}


def _takes_client(config: rules.Config, preset: dict[str, Any]) -> bool:
    """Tell whether a built-in host waits for a client, or takes one of one's own."""
    identity = config.identity(preset["identity"])
    return bool(preset["missing"]) or bool(SPECS[identity.provider].client_name)


def _completed(config: rules.Config, given: Given, preset: dict[str, Any]) -> Plan:
    """Return the plan that gives a built-in host what only the user has."""
    name = preset["identity"]
    provider = config.identity(name).provider
    if given.keys.get("provider", provider) != provider:
        raise Permanent(
            f"{preset['pattern']} is built in with provider {provider}",
            hint="name another --identity to sign in differently",
        )
    table: dict[str, object] = {"provider": provider, **given.keys}
    for key in SPECS[provider].required:
        table[key] = table.get(key) or asked(
            provider, table, key, given.may_ask, tried=given.tries_client
        )
    host = _options(given) | ({"scopes": list(given.scopes)} if given.scopes else {})
    scopes = list(preset["scopes"] or SPECS[provider].scopes)
    known = {"scopes": scopes} if scopes else {}
    whole = {"identity": name, **known, **_exchange(preset), **host}
    return Plan(name, table, whole if host else {})


def _identity(given: Given, pattern: str) -> dict[str, object]:
    """Return the table of a new identity, complete."""
    keys = dict(given.keys)
    provider = keys.pop("provider", "")
    if not provider:
        implied = [s.name for s in SPECS.values() if s.implied_by in keys]
        provider = implied[-1] if implied else ""
    if not provider:
        request = githelpers.request_of(pattern)
        provider = registry.hosted(request.protocol, request.host)
    if not provider:
        provider = _needed("provider", "who signs you in", default="oidc")
    if provider not in SPECS:
        expected = one_of(*SPECS)(provider)
        raise Permanent(f"provider {plain(provider)!r}: expected {expected}")
    table: dict[str, object] = {"provider": provider}
    table |= _server(provider, keys, pattern)
    for key in SPECS[provider].required:
        if key not in table:
            table[key] = keys.pop(key, "") or asked(
                provider,
                table | keys,
                key,
                given.may_ask,
                tried=given.tries_client,
            )
    return table | keys


def _server(provider: str, keys: dict[str, str], pattern: str) -> dict[str, str]:
    """Return the forge's address for the config: the host's own, said explicitly."""
    spec, parsed = SPECS[provider], origins.parse_pattern(pattern)
    if "base_url" not in spec.keys or "base_url" in keys or spec.own_server(keys):
        return {}
    shown = origins.origin_text(parsed.scheme, parsed.host, parsed.port)
    public = origins.parse_url(spec.base_url).host if spec.base_url else ""
    if public and parsed.host == public:
        return {}
    if parsed.wild:
        raise Permanent(
            f"provider {provider} signs in at one server, and {plain(pattern)} is many",
            hint=f"name a host, or add --set base_url=https://{shown}",
        )
    return {"base_url": shown if "://" in shown else f"https://{shown}"}


def _own_identities(config: rules.Config) -> list[str]:
    """Return the names of the identities that the user's file has."""
    doc = document.tables(config.source)
    return list(doc.get("identity", {}))


def _same(config: rules.Config, table: Mapping[str, object]) -> str:
    """Return the user's one identity that is the client of *table*, if there is one.

    A second identity of one client would need an account to tell them apart.
    """
    kept = document.tables(config.source).get("identity", {})

    def known(other: Mapping[str, object]) -> bool:
        return all(_alike(other.get(key), value) for key, value in table.items())

    found = [name for name, other in kept.items() if known(other)]
    return found[0] if len(found) == 1 else ""


def _alike(one: object, other: object) -> bool:
    return str(one).rstrip("/") == str(other).rstrip("/")


def _chosen(own: list[str]) -> str:
    """Return which of the user's identities is meant; nothing means a new one."""
    if not own:
        return ""
    if is_person():
        words = f"identity ({', '.join(own)}, or a new name)"
        return output.prompt(words, default=own[0])
    if len(own) == 1:
        return own[0]
    raise Permanent(f"which identity? ({', '.join(own)})", hint="name it by --identity")


def _free_name(issuer: str, pattern: str, taken: Collection[str]) -> str:
    """Return a name for a new identity.

    `example` for id.example.com; where a rule is for a path, its first segment.
    """
    path = "" if issuer else pattern.partition("://")[2] or pattern
    segment = path.partition("/")[2].partition("/")[0].lower()
    host = origins.parse_url(issuer or pattern.replace("*.", "", 1)).host
    labels = [x for x in host.partition(":")[0].split(".") if x and not x.isdigit()]
    base = labels[-2] if len(labels) > 1 else "".join(labels) or "corp"
    if segment.isascii() and segment.replace("-", "").replace("_", "").isalnum():
        base = segment
    names = (base if n == 1 else f"{base}{n}" for n in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


# -- asking ---------------------------------------------------------------------


def is_person() -> bool:
    """Tell whether somebody can answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def asked(
    provider: str,
    table: Mapping[str, object],
    key: str,
    may_ask: bool = True,
    *,
    tried: bool = False,
) -> str:
    """Return what the person types for *key*, after saying where a client is made.

    *tried*: the server of *table* is asked whether it takes the client, and the person
    once more where it does not. Permanent where nobody can be asked, or *may_ask* is
    false.
    """
    found = SPECS[provider].registration(table) if key == "client_id" else None
    told = f"register a client at {found.page}: {found.fields}" if found else _EXAMPLE
    if not (may_ask and is_person()):
        raise _missing(key, told)
    if found:
        output.say(told, err=True)
    words, check = _questions(provider, key)

    def taken(text: str) -> str | None:
        if check is not None and (expected := check(text)):
            return f"expected {expected}"
        if not tried or key != "client_id":
            return None
        fault = clientcheck.fault(provider, {**table, key: text})
        return clientcheck.words(fault) if fault else None

    return _needed(key, words, taken)


def _questions(provider: str, key: str) -> tuple[str, Check | None]:
    """Return how to ask for *key*, and what the answer has to be."""
    words = {
        "issuer": "issuer (the https address of your identity server)",
        "client_id": "client id (of hushkey's registration there)",
    }
    return words.get(key, key), schema.identity_keys(provider).get(key)


def _needed(
    key: str,
    words: str = "",
    check: Check | None = None,
    default: str | None = None,
) -> str:
    """Return what the person types for *key*; Permanent where nobody can."""
    if not is_person():
        raise _missing(key, _EXAMPLE)

    def checked(text: str) -> str:
        if check is not None and (wrong := check(text)):
            raise click.BadParameter(wrong)  # asked once more
        return text

    question = words or key
    return output.prompt(question, default=default, check=checked)


def _missing(key: str, hint: str) -> Permanent:
    return Permanent(f"--{key.replace('_', '-')} is needed", hint=hint)


def pair(text: str) -> tuple[str, str]:
    """Return key and value of KEY=VALUE; raises Permanent for anything else."""
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise Permanent(f"--set {plain(key)}: expected KEY=VALUE")
    return key, value


def _probe(config: rules.Config, plan: Plan, *, insists: bool) -> None:
    """Ask the issuer whether it is one, before anything is written.

    Where nobody *insists*, one that cannot be reached now may be right all the same.
    """
    table = plan.identity_table
    issuer = table.get("issuer") or (
        config.identity(plan.identity).option("issuer") if not table else ""
    )
    if not issuer and not insists:
        return
    if not issuer:
        raise Permanent("--probe works with an issuer only")
    if expected := secure_url(issuer):
        raise ConfigError(f"issuer: expected {expected}")
    try:
        found = probe.issuer(str(issuer), config.settings, os.environ)
    except Transient as error:
        if insists:
            raise
        output.say(f"note: it could not be asked: {error.line()}", err=True)
        return
    except Permanent as error:
        if not insists:
            error.hint = f"{error.hint}; or --no-probe" if error.hint else "--no-probe"
        raise
    output.say(f"{issuer} {found.line()}", err=True)
    asked = plan.host_table.get("scopes")
    unknown = [
        scope
        for scope in (asked if isinstance(asked, list) else ())
        if found.scopes and scope not in found.scopes
    ]
    if unknown:
        output.say(f"note: it does not list the scope {' '.join(unknown)}", err=True)
