"""docker-credential-hushkey: the credential helper protocol of docker and its kin.

docker/docker-credential-helpers (credentials/credentials.go, error.go). Whatever goes
wrong is one line on standard output with exit 1, and clients compare three of those
lines byte for byte. A person is asked only for a registry that the command at hand
needs: docker asks for others, too (`hushkey.system.callers.needs_registry`).
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
    from hushkey.model import HostRule
    from hushkey.store.typed import StoredCredential, TypedCredentials
    from hushkey_helpers.docker.registries import Registry

    T = TypeVar("T")

NAME = "docker-credential-hushkey"
#: compared byte for byte by every client
NOT_FOUND = "credentials not found in native keychain"
NO_SERVER = "no credentials server URL"
NO_USER = "no credentials username"
#: the user name that an access token goes with
DEFAULT_USER = "oauth2"
_TOOL = typed.TOOL


class Said(HushkeyError):
    """The protocol's own words for what went wrong."""

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
        return Answer(_line(error.what), code=1)
    except Exception as error:
        line = explained(error).line()
        # Another user's passwords are none; public images go on without one.
        foreign = getattr(error, "reason", "") == "foreign"
        foreign = foreign and argv[0] in ("get", "list")
        if foreign or isinstance(error, ConfigError):
            return Answer(_line(NOT_FOUND), (line,), 1)
        return Answer(_line(f"hushkey: {line}"), code=1)


def _line(text: str) -> bytes:
    return text.encode("utf-8", "replace") + b"\n"


def _answer(
    argv: list[str], request: Callable[[], bytes], environ: Mapping[str, str]
) -> Answer:
    usage = f"Usage: {NAME} <store|get|erase|list|version>"
    if len(argv) != 1:
        return Answer(_line(usage), code=1)
    verb = argv[0]
    if verb in ("-h", "--help"):
        return Answer(_line(usage))
    if verb in ("version", "--version", "-v"):
        from hushkey_helpers.docker import wire

        return wire.numbered(NAME)
    if verb not in ("get", "store", "erase", "list"):
        raise Said(f"{NAME}: unknown action: {verb}")
    call = _Call(environ, time.time())
    if verb == "list":
        return call.list()
    data = request()
    if len(data) > REQUEST_BYTES:
        raise Said(f"{NAME}: the request is too long")
    if verb == "store":
        return call.store(*_credentials(data))
    server = _server(data)
    return call.get(server) if verb == "get" else call.erase(server)


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
        raise Said(f"{NAME}: {error}") from None
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
            return self._typed(registry, server)
        exchanged_credential = self._derivation(rule, host)
        token = exchanged_credential.fresh()
        if token is None and not self._is_needed(registry):
            token = exchanged_credential.usable()
            if token is None:
                raise Said(NOT_FOUND)
        token = token or exchanged_credential.token()
        return _found(server, user_of(rule, token.username), token.value)

    def store(self, server: str, user: str, secret: str) -> Answer:
        """Keep what a person typed; what is ours already is only taken note of."""
        registry = registries.parse(server)
        if registry is None:
            raise Said(f"{NAME}: not a registry's address")
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
        """Return what was typed: registries of ours would only be asked for."""
        from hushkey_helpers.docker import wire

        return wire.listed(self._typed_store(typed.users, asks=False))

    # -- registries that have an identity ---------------------------------------

    def _rule(
        self, config: Config, registry: Registry, verb: str
    ) -> tuple[HostRule | None, str]:
        """Return the rule for *registry* and its origin; None: not ours."""
        for request in registry.requests():
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

    def _derivation(self, rule: HostRule, host: str) -> ExchangedCredential:
        from hushkey.acquire import session

        return session.exchanged_credential(
            self._environ, self._began, rule, host, asks_for=_TOOL
        )

    def _is_needed(self, registry: Registry) -> bool:
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
        if not typed_index.holds(paths.data_folder(self._environ), *keys):
            raise Said(NOT_FOUND)

        def first(typed_store: TypedCredentials) -> StoredCredential | None:
            return typed.first(typed_store, keys)

        try:
            record = self._typed_store(first, asks=False)
        except StoreError as error:
            if error.reason != "locked":
                raise
            if not self._is_needed(registry):
                raise Said(NOT_FOUND) from None
            record = self._typed_store(first)
        if record is None:
            raise Said(NOT_FOUND)
        return _found(server, record.values["username"], record.values["secret"])

    def _typed_store(
        self, act: Callable[[TypedCredentials], T], *, asks: bool = True
    ) -> T:
        """Return what *act* does; a locked keyring may ask the person if *asks*."""
        from hushkey.acquire import session
        from hushkey.tokenrequest import PromptOptions  # noqa: PLC0415 - for what is typed alone

        return session.with_typed_credentials(
            self._environ,
            act,
            began=self._began,
            asks_for=_TOOL,
            options=None if asks else PromptOptions(tool_may_ask=False),
        )


def user_of(rule: HostRule, own: str) -> str:
    """Return the user name for *rule*'s secret; *own* is what came with it."""
    return rule.username or own or DEFAULT_USER


def _found(server: str, user: str, secret: str) -> Answer:
    from hushkey_helpers.docker import wire

    return wire.found(server, user, secret)
