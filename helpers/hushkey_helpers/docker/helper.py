"""docker-credential-hushkey: the credential helper protocol of docker and its kin.

docker/docker-credential-helpers (credentials/credentials.go, error.go). Whatever goes
wrong is one line on standard output with exit 1, and clients compare three of those
lines byte for byte; docker 28 shows none of the others, so each is said on standard
error, too. A person is asked only for a registry that the command at hand needs:
docker asks for others, too (`hushkey.system.callers.needs_registry`).
"""

from __future__ import annotations

import time

import hushkey_helpers
from hushkey import origins
from hushkey.config import rules
from hushkey.errors import ConfigError, HushkeyError, Permanent, StoreError
from hushkey.store import typed_index
from hushkey.system import paths
from hushkey.trace import event
from hushkey_helpers import REQUEST_BYTES
from hushkey_helpers.answer import Answer, explained
from hushkey_helpers.docker import registries, typed
from hushkey_helpers.process import serve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    from hushkey.acquire.exchanged import ExchangedCredential
    from hushkey.config.rules import Config
    from hushkey.model import HostRule, Token
    from hushkey.store.typed import StoredCredential, TypedCredentials
    from hushkey.tokenrequest import PromptOptions
    from hushkey_helpers.docker.registries import Registry

    T = TypeVar("T")

NAME = "docker-credential-hushkey"
#: compared byte for byte by every client
NOT_FOUND = "credentials not found in native keychain"
NO_SERVER = "no credentials server URL"
NO_USER = "no credentials username"
_USAGE = f"Usage: {NAME} <store|get|erase|list|version>"
_VERBS = ("get", "store", "erase", "list")
_TOOL = typed.TOOL


class Said(HushkeyError):
    """The protocol's own words for what went wrong, and *lines* for the person."""

    def __init__(self, what: str, *lines: str) -> None:
        super().__init__(what)
        self.lines = lines

    def line(self) -> str:
        """Return the words as they are."""
        return self.what


def main(
    request: bytes | None = None, after_work: Callable[[], None] | None = None
) -> None:
    """Answer docker; *request* is what was read of it already."""
    serve(answer, read, request, after_work)


def read(descriptor: int) -> bytes:
    """Read one request to its end, or to one byte too many."""
    return hushkey_helpers.read(descriptor, "end")


def answer(
    argv: list[str], request: Callable[[], bytes], environ: Mapping[str, str]
) -> Answer:
    """Answer one call; every failure is a line for docker, too."""
    try:
        return _answer(argv, request, environ)
    except Said as error:
        lines = _news(argv, error.__cause__ or error, error.lines, environ)
        return Answer(_line(error.what), lines, 1)
    except Exception as error:
        line = explained(error).line()
        lines = _news(argv, error, (line,), environ)
        # Another user's passwords are none; public images go on without one.
        foreign = getattr(error, "reason", "") == "foreign"
        if argv[0] == "get" and (foreign or isinstance(error, ConfigError)):
            return Answer(_line(NOT_FOUND), lines, 1)
        return Answer(_line(f"hushkey: {line}"), lines, 1)


def _news(
    argv: list[str],
    error: BaseException,
    lines: tuple[str, ...],
    environ: Mapping[str, str],
) -> tuple[str, ...]:
    """Return *lines* about *error*, or none if this docker has just said them."""
    if argv[0] != "get" or not lines:
        return lines
    from hushkey_helpers.docker import told  # noqa: PLC0415 - seldom

    return () if told.again(error, environ) else lines


def _line(text: str) -> bytes:
    return text.encode("utf-8", "replace") + b"\n"


def _answer(
    argv: list[str], request: Callable[[], bytes], environ: Mapping[str, str]
) -> Answer:
    if len(argv) != 1:
        return _misused(argv)
    verb = argv[0]
    if verb in ("-h", "--help"):
        return Answer(_line(_USAGE))
    if verb in ("version", "--version", "-v"):
        from hushkey_helpers.docker import wire

        return wire.numbered(NAME)
    if verb not in _VERBS:
        raise Said(f"{NAME}: unknown action: {verb}")
    call = _Call(environ, time.time())
    if verb == "list":
        return call.list()
    data = request()
    if len(data) > REQUEST_BYTES:
        raise _unread("the request is too long")
    if verb == "store":
        return call.store(*_credentials(data))
    server = _server(data)
    return call.get(server) if verb == "get" else call.erase(server)


def _misused(argv: list[str]) -> Answer:
    """Return how it is used; whoever typed an address learns where it goes."""
    if argv[:1] not in (["get"], ["erase"]):
        return Answer(_line(_USAGE), code=1)
    how = f"the server's address comes on standard input: echo HOST | {NAME} {argv[0]}"
    return Answer(_line(f"{_USAGE}; {how}"), (how,), 1)


def _unread(what: str) -> Said:
    return Said(f"{NAME}: {what}", what)


def _server(data: bytes) -> str:
    """Return the server URL in *data*: all lines as one, as Go's helpers do."""
    lines = (line.removesuffix(b"\r") for line in data.split(b"\n"))
    # What is no UTF-8 stays what it is: a path with it is judged by its bytes.
    server = b"".join(lines).decode("utf-8", "surrogateescape").strip()
    if not server:
        raise Said(NO_SERVER)
    return server


def _credentials(data: bytes) -> tuple[str, str, str]:
    """Return server, user and secret of a store request."""
    from hushkey_helpers.docker import wire

    try:
        server, user, secret = wire.credentials(data)
    except wire.Unreadable as error:
        raise _unread(str(error)) from None
    if not server:
        raise Said(NO_SERVER)
    if not user:
        raise Said(NO_USER)
    return server, user, secret


class _Call:
    """One call, in one environment."""

    def __init__(self, environ: Mapping[str, str], began: float) -> None:
        self._environ = environ
        self._began = began

    def get(self, server: str) -> Answer:
        registry = registries.parse(server)
        if registry is None:
            raise Said(NOT_FOUND)
        config = rules.load(self._environ)
        rule, host = self._rule(config, registry, "get")
        if rule is None:
            try:
                return self._typed(registry, server)
            except Said as none:
                found = None if none.lines else self._forwarded(registry)
                if found is None:
                    raise
                return _found(server, found.username, found.value)
        made = self._made_for(registry, rule, host)
        if config.settings["audit"]:
            self._derivation(rule, host).given(made)
        return _found(server, rule.answer_user(made.username), made.value)

    def store(self, server: str, user: str, secret: str) -> Answer:
        """Keep what a person typed; what is ours already is only taken note of."""
        registry = registries.parse(server)
        if registry is None:
            raise _unread("not a registry's address")
        config = rules.load(self._environ)
        rule, host = self._rule(config, registry, "store")
        if rule is None:
            self._typed_store(
                lambda typed_store: typed.keep(typed_store, registry, user, secret)
            )
            return Answer()
        if self._is_ours(rule, host, secret):
            return Answer()
        line = (
            f"did not store another secret for {host}, which identity "
            f"{rule.identity.name} signs in to; give the host an identity with "
            'provider = "static" to keep what you type'
        )
        return Answer(lines=(line,))

    def erase(self, server: str) -> Answer:
        """Forget what docker was given; the account stays signed in."""
        registry = registries.parse(server)
        if registry is None:
            return Answer()
        config = rules.load(self._environ)
        rule, host = self._rule(config, registry, "erase")
        if rule is None:
            self._typed_store(
                lambda typed_store: typed.erase(typed_store, registry), asks=False
            )
            return Answer()
        if not self._derivation(rule, host).forget():
            return Answer()
        line = (
            f"forgot the token for {host}; {rule.identity.name} stays signed in, to "
            f"sign out run: hushkey logout {rule.identity.name}"
        )
        return Answer(lines=(line,))

    def list(self) -> Answer:
        """Return what `get` would answer: no secret is read, so none is missed.

        Where the keyring cannot serve, what it hides is left out, and said.
        """
        from hushkey_helpers.docker import served, wire  # noqa: PLC0415 - for list

        found: dict[str, str] = {}
        lines: dict[str, None] = {}
        try:
            config = rules.load(self._environ)
            found |= served.named(config, self._environ)
            sources: tuple[Callable[[], dict[str, str]], ...] = (
                lambda: served.live(config, self._environ),
                lambda: self._typed_store(typed.users, asks=False),
            )
            for source in sources:
                try:
                    found |= source()
                except StoreError as error:
                    lines[explained(error).line()] = None
        except HushkeyError as error:
            lines[explained(error).line()] = None
        return wire.listed(found, tuple(lines))

    # -- registries that have an identity ---------------------------------------

    def _rule(
        self, config: Config, registry: Registry, verb: str
    ) -> tuple[HostRule | None, str]:
        """Return the rule for *registry* and its origin; None: not ours."""
        for request in () if registry.holds_token else registry.requests():
            try:
                rule = config.rule_for(request)
            except Permanent as error:
                # Written for git, which could be told to name the path.
                error.hint = "clients name no repository: write one rule for the host"
                raise
            if rule and not rule.identity.typed:
                found = origins.parse_origin(request.protocol, request.host)
                host = origins.origin_text(request.protocol, *(found or ("", 0)))
                event("asked", rule=rule, host=host, verb=verb)
                return rule, host
        event("not-ours", host=registry.place, verb=verb)
        return None, ""

    def _derivation(
        self, rule: HostRule, host: str, options: PromptOptions | None = None
    ) -> ExchangedCredential:
        from hushkey.acquire import session

        return session.exchanged_credential(
            self._environ, self._began, rule, host, asks_for=_TOOL, options=options
        )

    def _made_for(self, registry: Registry, rule: HostRule, host: str) -> Token:
        """Return what *registry* takes, after as much as the caller may cost."""
        credential = self._derivation(rule, host)
        if token := credential.fresh():
            return token
        is_needed = self._is_needed(registry)
        if is_needed:
            return credential.token()
        if is_needed is False:
            if token := credential.usable():
                return token
            raise Said(NOT_FOUND)
        try:
            return self._derivation(rule, host, _silent()).token()
        except HushkeyError as error:
            raise _missed(error) from error

    def _forwarded(self, registry: Registry) -> Token | None:
        """Return the token that the machine has at which the person sits, if any."""
        if registry.holds_token or not paths.may_have_upstream(self._environ):
            return None
        from hushkey.acquire import upstream

        def options() -> PromptOptions:
            from hushkey.acquire import session

            # Whether the command needs it is worked out where somebody must be asked.
            made = session.options_of(self._environ, _TOOL)
            return made.changed(unattended=lambda: self._unneeded(registry))

        for request in registry.requests():
            try:
                found = upstream.find(request, self._environ, _TOOL, options)
            except HushkeyError as error:  # what is public may be pulled all the same
                raise _missed(error) from error
            if found:
                return found.token
        return None

    def _unneeded(self, registry: Registry) -> str:
        return "" if self._is_needed(registry) else "docker may not need this registry"

    def _is_needed(self, registry: Registry) -> bool | None:
        from hushkey.system import callers

        return callers.needs_registry(registry.place, self._environ)

    def _is_ours(self, rule: HostRule, host: str, secret: str) -> bool:
        try:
            token = self._derivation(rule, host).usable()
        except HushkeyError:
            return False
        return token is not None and token.value == secret

    # -- registries whose password a person types -------------------------------

    def _typed(self, registry: Registry, server: str) -> Answer:
        keys = typed.keys_of(registry)
        data = paths.data_folder(self._environ)
        if not typed_index.holds(data, *keys, exact=True):
            raise Said(NOT_FOUND)

        def first(typed_store: TypedCredentials) -> StoredCredential | None:
            return typed.first(typed_store, keys)

        try:
            record = self._typed_store(first, asks=False)
        except StoreError as error:
            is_needed = self._is_needed(registry)
            if is_needed is None and error.reason != "foreign":
                raise _missed(error) from error
            if error.reason != "locked":
                raise
            if not is_needed:
                raise Said(NOT_FOUND) from None
            record = self._typed_store(first)
        if record is None:
            raise Said(NOT_FOUND)
        from hushkey.config import audited  # noqa: PLC0415 - seldom

        user, place = record.values["username"], registry.place
        audited.given(
            self._environ, audited.TYPED, tool=_TOOL, host=place, account=user
        )
        return _found(server, user, record.values["secret"])

    def _typed_store(
        self, act: Callable[[TypedCredentials], T], *, asks: bool = True
    ) -> T:
        """Return what *act* does; a locked keyring may ask the person if *asks*."""
        from hushkey.acquire import session

        return session.with_typed_credentials(
            self._environ,
            act,
            began=self._began,
            asks_for=_TOOL,
            options=None if asks else _silent(),
        )


def _silent() -> PromptOptions:
    from hushkey.tokenrequest import PromptOptions  # noqa: PLC0415 - where nothing is cached

    return PromptOptions(tool_may_ask=False)


def _missed(error: HushkeyError) -> Said:
    """Return the answer to who may not need the registry at all: the reason, aside.

    docker-py (ansible, compose 1) asks for every key, and an error ends its build.
    """
    return Said(NOT_FOUND, explained(error).line())


def _found(server: str, user: str, secret: str) -> Answer:
    text = server + user + secret
    if text.isascii() and text.isprintable() and not {'"', "\\"} & {*text}:
        # Nothing to escape: json takes longer to load than the rest of a quick answer.
        pairs = f'"ServerURL":"{server}","Username":"{user}","Secret":"{secret}"'
        return Answer(_line(f"{{{pairs}}}"))
    from hushkey_helpers.docker import wire

    return wire.found(server, user, secret)
