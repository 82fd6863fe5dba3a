"""What only a person knows: each question once, and all before anything changes."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import click

from hushkey.config.rules import Config
from hushkey.errors import Permanent, Transient, plain
from hushkey.model import Frozen, HostRule
from hushkey.providers.checks import secure_url
from hushkey.providers.registry import SPECS
from hushkey.providers.spec import ProviderSpec
from hushkey_install.common import output, probe, typedsecrets
from hushkey_install.config import addhost, clientcheck, keystore
from hushkey_install.register import table
from hushkey_install.setup import programs, recognise
from hushkey_install.setup import target as targets
from hushkey_install.setup.recognise import Found

#: who signs in where people type what is kept
_TYPED = next(spec.name for spec in SPECS.values() if spec.typed)
#: what people answer to a question that looks like the others
_YES_OR_NO = {"y": "all", "yes": "all", "n": "none", "no": "none"}
_KEY_FILE = "there is no OS keyring here; keep the key in a file only you can read?"


class Flags(Frozen):
    """What was said on the command line, so that it is not asked for."""

    _secret = ("secret", "keys")
    address: str = ""
    host: str = ""
    identity: str = ""
    keys: Mapping[str, str] = {}
    scopes: tuple[str, ...] = ()
    username: str = ""
    #: a token, from standard input
    secret: str = ""
    tools: tuple[str, ...] = ()
    yes: bool = False
    login: bool = True
    #: servers may be asked what they are, and whether they know a client
    probe: bool = True
    tries_client: bool = True

    @property
    def names_somebody(self) -> bool:
        """Tell whether the command line says who signs in, or what is kept."""
        return bool(self.keys or self.secret or self.identity)

    @property
    def tried(self) -> bool:
        """Tell whether a client is tried at its server before anything changes."""
        return self.login and self.tries_client

    @property
    def may_ask(self) -> bool:
        """Tell whether somebody answers questions."""
        return not self.yes and addhost.is_person()


class Secret(Frozen):
    """What a person typed for a host, to be kept."""

    _secret = ("value",)
    user: str
    value: str


class Answers(Frozen):
    """All that was found and said; ``given`` is what the config lacks, if anything."""

    _secret = ("given", "secret")
    found: Found
    given: addhost.Given | None = None
    secret: Secret | None = None
    key_file: bool = False


class _Way(NamedTuple):
    """One way to become known to a server, and the flag that says the same."""

    words: str
    flag: str
    ask: Callable[[], Answers]


def address(flags: Flags, environ: dict[str, str], folder: str) -> targets.Target:
    """Return what is to be set up; of a repository's remotes, one is chosen."""
    if flags.address:
        return targets.parse(flags.address)
    remotes = targets.of_repository(environ, folder)
    if len(remotes) > 1 and flags.may_ask:
        return targets.parse(remotes[_choice("which remote?", remotes)])
    if remotes:
        return targets.parse(remotes[0])
    if not flags.may_ask:
        raise Permanent(
            "name what to set up: this folder is not a repository with a remote",
            hint="for example: hushkey setup git.example.com",
        )
    words = "what to set up (a host, a URL to clone from, a registry, an index)"
    return targets.parse(output.prompt(words))


def ask(
    config: Config, found: Found, flags: Flags, environ: Mapping[str, str]
) -> Answers:
    """Return what the person says; Permanent where nobody can, and a flag is needed."""
    answers = _who(config, found, flags, environ)
    needs_key = answers.secret or flags.login
    trouble = keystore.trouble(environ) if needs_key else None
    if trouble is None or trouble.reason != "absent":
        return answers
    if flags.may_ask and not output.confirm(_KEY_FILE, default=True):
        raise Permanent(
            "nothing can be kept without a keyring or a key file",
            hint="unlock or install a keyring, then run it again",
        )
    return answers.changed(key_file=True)


def tools(found: Found, flags: Flags, installed: Sequence[str]) -> tuple[str, ...]:
    """Return with which of the *installed* tools to register."""
    if flags.tools:
        return tuple(name for name in flags.tools if name != "none")
    kind_of = {tool.name: tool.kind for tool in table.REGISTRATIONS}
    fit = tuple(n for n in installed if kind_of[n] in found.kinds)
    if not found.kinds:
        fit = tuple(installed[:1])  # it may be for anything; git is the first
    if len(fit) < 2 or not flags.may_ask:
        return fit

    def checked(text: str) -> str:
        words = _YES_OR_NO.get(text.strip().lower(), text).replace(",", " ").split()
        words = list(fit) if words == ["all"] else words
        if wrong := [word for word in words if word not in (*installed, "none")]:
            raise click.BadParameter(f"no such tool here: {plain(wrong[0])}")
        return " ".join(words)

    question = "register hushkey with (names, all or none)"
    said = output.prompt(question, default=" ".join(fit), check=checked).split()
    return tuple(name for name in said if name != "none")


def _who(
    config: Config, found: Found, flags: Flags, environ: Mapping[str, str]
) -> Answers:
    """Return who signs in, or what is kept for the host instead."""
    host = found.target
    if found.rule and found.rule.built_in and flags.names_somebody:
        found = recognise.without_rule(found)
    if found.rule:
        _check_same(found.rule, flags)
        if not found.rule.identity.typed:
            return Answers(found)
        if typedsecrets.tools_of(host.scheme, host.host, environ) and not flags.secret:
            return Answers(found)
        return Answers(found, secret=_secret(found, flags))
    if flags.identity and flags.identity in config.identities():
        return Answers(found, given=_given(found, flags, flags.identity, {}))
    if flags.secret:
        return _typed(config, found, flags)
    if program := flags.keys.get(programs.KEY):
        keys = {**programs.identity_of(program), **flags.keys}
        name = flags.identity or program
        return Answers(found, given=_given(found, flags, name, keys))
    if flags.keys.keys() & {"provider", "issuer", "tenant", "client_id"}:
        return _client(config, found, flags)
    if found.provider:
        return _forge(config, found, flags, environ)
    if found.issuer:
        return _client(config, found, flags)
    return _unknown(config, found, flags)


def _check_same(rule: HostRule, flags: Flags) -> None:
    """Raise Permanent where the command line names another than the config does."""
    identity = rule.identity
    known = {"provider": identity.provider, "client_id": identity.client_id}
    known["account"] = rule.account
    other = [k for k, v in flags.keys.items() if known.get(k, identity.option(k)) != v]
    if flags.identity not in ("", identity.name):
        other.append("identity")
    if flags.secret and not identity.typed:
        other.append("token")
    if other:
        where = shlex.quote(f'host."{rule.pattern}"')
        raise Permanent(
            f"{rule.pattern} is set up already: identity {identity.name} has another "
            f"{plain(other[0])}, or none",
            hint="change it by `hushkey config set`, or take it out by `hushkey config "
            f"unset {where}` first",
        )


def _forge(
    config: Config, found: Found, flags: Flags, environ: Mapping[str, str]
) -> Answers:
    """Return how to become known to a forge: nothing is asked where it knows us."""
    spec, table = SPECS[found.provider], _table(found)
    if not set(spec.required) - table.keys():
        return _client(config, found, flags)
    ways = []
    if keys := programs.signed_in(spec, found.target.host, environ):
        told = _Way(
            f"take the sign-in of {spec.program}, which is here",
            f"--set {programs.KEY}={spec.program}",
            lambda: Answers(found, given=_given(found, flags, spec.program, keys)),
        )
        ways.append(told)
    if client := spec.registration(table):
        told = _Way(
            "register a client of your own, and sign in with it",
            "--client-id",
            lambda: _client(config, found, flags),
        )
        ways.append(told)
    if spec.typed_page(table):
        told = _Way(
            "type a personal access token, which is kept encrypted",
            "--with-token",
            lambda: _typed(config, found, flags),
        )
        ways.append(told)
    question = f"how do you want to sign in to {plain(found.target.host)}?"
    hint = f"register one at {client.page}: {client.fields}" if client else ""
    return _chosen(question, ways, flags, hint)


def _unknown(config: Config, found: Found, flags: Flags) -> Answers:
    """Return who signs in to a server that does not say it."""
    names = [n for n in config.identities() if config.origin_of(n) != "preset"]

    def with_identity(name: str) -> Callable[[], Answers]:
        return lambda: Answers(found, given=_given(found, flags, name, {}))

    ways = [
        *(
            _Way(f"identity {name}", "--identity", with_identity(name))
            for name in names
        ),
        _Way(
            "an OpenID Connect server, by its address",
            "--issuer",
            lambda: _client(config, found, flags, by_issuer=True),
        ),
        _Way(
            "nobody: you type a user name and a password or token, kept encrypted",
            "--with-token",
            lambda: _typed(config, found, flags),
        ),
    ]
    return _chosen(f"who signs in to {plain(found.target.host)}?", ways, flags)


def _chosen(question: str, ways: list[_Way], flags: Flags, hint: str = "") -> Answers:
    if not flags.may_ask:
        words = " or ".join(dict.fromkeys(way.flag for way in ways))
        raise Permanent(f"{question} {words} is needed", hint=hint)
    return ways[_choice(question, [way.words for way in ways])].ask()


def _client(
    config: Config, found: Found, flags: Flags, *, by_issuer: bool = False
) -> Answers:
    """Return the identity that signs in as a client; its id is asked for."""
    keys = dict(flags.keys)
    issuer = found.issuer if not keys.keys() & {"issuer", "provider"} else ""
    if by_issuer:
        keys["issuer"] = _text(
            "issuer (its https address)", partial(_no_issuer, config, tried=flags.tried)
        )
    elif issuer:
        keys["issuer"] = issuer
    elif found.provider and "issuer" not in keys:
        keys.setdefault("provider", found.provider)
    provider = keys.get("provider", "")
    if provider and provider == found.provider:
        keys |= _client_keys(SPECS[provider], found, keys, flags)
    elif "client_id" in keys:
        implied = [s.name for s in SPECS.values() if s.implied_by in keys]
        named = provider or (implied or [""])[-1]
        if flags.tried and (fault := clientcheck.fault(named, keys)):
            raise fault
    if issuer and not found.target.kind:
        found = _for_host(found, flags)
        if known := _known(config, found, issuer):
            return Answers(known)
    return Answers(found, given=_given(found, flags, flags.identity, keys))


def _no_issuer(config: Config, text: str, *, tried: bool) -> str | None:
    """Return why *text* is the address of no OpenID Connect server, if it is none.

    A wrong one would be taken for a wrong client id at the next question.
    """
    if expected := secure_url(text):
        return f"expected {expected}"
    if tried:
        try:
            probe.issuer(text, config.settings, os.environ)
        except (Transient, Permanent) as error:
            return clientcheck.words(error)  # a sign-in follows, which needs it, too
    return None


def _known(config: Config, found: Found, issuer: str) -> Found | None:
    """Return what is known of the host of *found*, if its tokens are *issuer*'s so far.

    Raises Permanent where another identity of the config serves it.
    """
    rule = config.rule_for(found.target.request)
    if rule is None or rule.built_in:
        return None
    there = recognise.find(config, found.target, {}, ask=False)
    if rule.identity.option("issuer").rstrip("/") != issuer.rstrip("/"):
        raise Permanent(
            f"{there.line()}, and its tokens are not {plain(issuer)}'s",
            hint=f"`hushkey config unset 'host.\"{rule.pattern}\"'` takes that out",
        )
    output.say(there.line(), err=True)
    return there


def _client_keys(
    spec: ProviderSpec, found: Found, keys: Mapping[str, str], flags: Flags
) -> dict[str, str]:
    """Return what a client is known by, beside what the command line says."""
    table: dict[str, str] = {**_table(found), **keys}
    made: dict[str, str] = {}
    asks = "client_id" in spec.required and "client_id" not in keys
    while True:
        if asks:
            made["client_id"] = addhost.asked(
                spec.name, table, "client_id", flags.may_ask
            )
        made |= _client_secrets(spec, keys, flags)
        fault = clientcheck.fault(spec.name, table | made) if flags.tried else None
        if fault is None:
            break
        if not asks:
            raise fault
        output.say(f"Error: {clientcheck.words(fault)}", err=True)  # asked once more
    if not found.waits and found.base:
        made["base_url"] = found.base
    return made


def _client_secrets(
    spec: ProviderSpec, keys: Mapping[str, str], flags: Flags
) -> dict[str, str]:
    """Return what else clients of *spec* are known by, beside *keys*."""
    made = {}
    for key, value in spec.client_keys.items():
        if key in keys or f"{key}_env" in keys:
            continue
        if not value and not flags.may_ask:
            raise Permanent(
                f"--set {key}_env=VARIABLE is needed",
                hint="name the variable that holds it",
            )
        made[key] = value or output.secret(f"{key} of the client (it is not shown)")
    return made


def _for_host(found: Found, flags: Flags) -> Found:
    """Return *found* for the host that the tokens of a sign-in server are for."""
    if not flags.host and not flags.may_ask:
        raise Permanent(
            f"{plain(found.issuer)} signs people in: for which host?",
            hint="name it: --host git.example.com",
        )
    words = "for which host are its tokens (a git server, a registry, an index)"
    host = targets.parse(flags.host or output.prompt(words))
    kinds = frozenset((host.kind,)) if host.kind else frozenset[str]()
    return found._replace(target=host, kinds=kinds)


def _typed(config: Config, found: Found, flags: Flags) -> Answers:
    """Return a secret, and the identity with which hosts keep what is typed."""
    secret = _secret(found, flags)
    own = [
        name
        for name, identity in config.identities().items()
        if identity.typed and config.origin_of(name) != "preset"
    ]
    name = flags.identity or (own[0] if own else "typed")
    keys = {} if own else {"provider": _TYPED}
    return Answers(found, given=_given(found, flags, name, keys), secret=secret)


def _secret(found: Found, flags: Flags) -> Secret:
    """Return the token that a person types, or that came on standard input."""
    provider = found.provider
    spec = SPECS[provider] if provider else None
    user = flags.username or (spec.typed_user if spec else "")
    if flags.secret:
        return Secret(user or "token", flags.secret)
    if not flags.may_ask:
        raise Permanent(
            f"{plain(found.target.host)} wants a token that somebody types",
            hint="hand it over on standard input: --with-token",
        )
    if spec and (page := spec.typed_page(_table(found))):
        output.say(f"make one at {page.page}: {page.fields}", err=True)
    user = user or _text("user name")
    return Secret(user, output.secret("token (it is not shown)"))


def _given(
    found: Found, flags: Flags, identity: str, keys: dict[str, str]
) -> addhost.Given:
    target = found.target
    host = target.host if target.scheme == "https" else target.origin
    return addhost.Given(
        host,
        identity,
        keys,
        flags.scopes,
        tools=found.told_kinds,
        may_ask=flags.may_ask,
        tries_client=flags.tried,
    )


def _table(found: Found) -> dict[str, str]:
    return {"base_url": found.base} if found.base and not found.waits else {}


def _text(words: str, check: Callable[[str], str | None] | None = None) -> str:
    def checked(text: str) -> str:
        if check is not None and (wrong := check(text)):
            raise click.BadParameter(wrong)  # asked once more
        return text

    return output.prompt(words, check=checked)


def _choice(question: str, options: Sequence[str]) -> int:
    """Return the number of the option that a person chooses, from 0."""
    output.say(question, err=True)
    for number, option in enumerate(options, 1):
        output.say(f"  {number}. {option}", err=True)

    def checked(text: str) -> str:
        if not (text.isascii() and text.isdigit() and 0 < int(text) <= len(options)):
            raise click.BadParameter(f"expected a number from 1 to {len(options)}")
        return text

    return int(output.prompt("number", default="1", check=checked)) - 1
