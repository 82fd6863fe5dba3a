"""The values that cross borders: frozen, and with secrets kept out of repr.

Written without dataclasses or typing, which would cost a third of the time
that the whole answer "not ours" may take.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from dataclasses import KW_ONLY
    from typing import Any, ClassVar, Never, Self, dataclass_transform

    from hushkey.errors import HushkeyError
else:

    def dataclass_transform(**_: bool) -> Any:
        """Leave the class as it is: only type checkers read this."""
        return lambda frozen: frozen


#: begins the id of an account that its server does not name
UNNAMED = "signed-in:"
#: `Token.source` of what came from the machine that the person sits at
FORWARDED = "forwarded"
#: the user name that goes with a token where neither tool, config nor provider has one
DEFAULT_USER = "oauth2"


@dataclass_transform(frozen_default=True)
class Frozen:
    """A value: fields are set once, equality is by content.

    The annotations of a subclass are its fields and the parameters of its
    constructor, in that order, after those of its base; those after ``_: KW_ONLY``
    are given by name.
    Nothing is worked out before there is a value: classes are made on every run.
    """

    #: fields whose content never appears in repr
    _secret: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *given: Any, **named: Any) -> None:
        annotated = self._annotated()
        names = [name for name in annotated if name != "_"]
        last = annotated.index("_") if "_" in annotated else len(names)
        placed = dict(zip(names[:last], given, strict=False))
        own = type(self)
        values = {name: getattr(own, name) for name in names if hasattr(own, name)}
        values |= placed | named
        if (
            len(given) > len(placed)
            or not placed.keys().isdisjoint(named)
            or values.keys() != set(names)
        ):
            raise TypeError(
                f"{type(self).__name__} has the fields {', '.join(names)}: "
                f"{len(given)} by position and {sorted(named)} are not those"
            )
        self._complete(values)
        vars(self).update(values)

    @staticmethod
    def _complete(values: dict[str, Any]) -> None:
        """Change the *values* of the fields before they are set for good."""

    @classmethod
    def _annotated(cls) -> list[str]:
        if cls.__base__ is Frozen:
            return list(cls.__annotations__)
        family = cls.__mro__[: cls.__mro__.index(Frozen)]
        return [name for each in reversed(family) for name in each.__annotations__]

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in cls._annotated() if name != "_"]

    def __setattr__(self, name: str, value: object) -> Never:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __delattr__(self, name: str) -> Never:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def changed(self, **named: Any) -> Self:
        """Return the same value, but for the fields that are *named*."""
        return type(self)(**{**self._fields(), **named})

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._names()}

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash((type(self), *map(repr, self._fields().values())))

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{name}={'***' if name in self._secret and value else repr(value)}"
            for name, value in self._fields().items()
        )
        return f"{type(self).__name__}({shown})"

    def __reduce__(self) -> Never:
        raise TypeError(f"{type(self).__name__} is not pickled: it may hold secrets")


class Request(Frozen):
    """What a tool asked: an origin, perhaps a path and a user name."""

    protocol: str
    host: str
    path: str = ""
    username: str = ""


class Identity(Frozen):
    """Who signs the user in: one ``[identity.NAME]`` table, with its defaults.

    ``options`` holds the keys that only some providers have, a client secret
    among them. ``typed`` to ``default_scopes`` are what its provider is like: see
    `hushkey.providers.spec`, which the compiled config has them from. Nobody signs a
    ``machine`` in: ``proof`` is what its environment has (`hushkey.system.proofs`),
    ``depends`` names the variables that decide whose tokens it gets, and ``kept`` tells
    whether these are kept at all.
    """

    _secret = ("options",)
    name: str
    provider: str
    _: KW_ONLY
    account: str = ""
    client_id: str = ""
    scopes: tuple[str, ...] = ()
    options: dict[str, Any] = {}  # noqa: RUF012 - never shared, see below
    typed: bool = False
    tenants: bool = False
    keeps_old: bool = False
    git_user: str = ""
    keyring_user: str = ""
    scheme: str = ""
    #: what is asked for where neither host nor identity names scopes
    default_scopes: tuple[str, ...] = ()
    machine: bool = False
    kept: bool = True
    proof: tuple[Any, Any] = ((), ())
    depends: tuple[str, ...] = ()

    @staticmethod
    def _complete(values: dict[str, Any]) -> None:
        values["options"] = values["options"] or {}

    @property
    def issuer(self) -> str:
        """What names the server; with the client id it names the token file.

        A machine's tokens are its own, whoever else signs in at that server.
        """
        if self.machine:
            return f"{self.provider}:{self.name}"
        named = self.option("issuer") or self.option("token_endpoint")
        return named or f"{self.provider}:{self.name}"

    @property
    def itself(self) -> Account:
        """The account of a machine, which is the identity itself."""
        return Account(self.issuer, self.name)

    def option(self, key: str, default: str = "") -> str:
        """Return the text option *key*."""
        return str(self.options.get(key, default))


class HostRule(Frozen):
    """One ``[host."PATTERN"]`` rule joined with its identity.

    ``origin`` says who wrote it: ``user``, ``system`` (the administrator) or
    ``preset``; ``scopes`` include the identity's;
    ``options`` are what only its ``exchange`` has keys for;
    ``min_lifetime`` is in seconds, 0 when the rule does not set it. ``bare``: the
    host's name alone, without a scheme, is enough for keyring clients. ``tenant``
    is the Entra tenant whose tokens it takes, empty where none is known. ``tools``
    are the kinds of tools that the host is for, empty where the config names none.
    ``passed`` are the identities that the rule names, too, each with why it is not the
    one here. ``user``: it is for URLs with this user name alone.
    """

    pattern: str
    identity: Identity
    _: KW_ONLY
    scopes: tuple[str, ...] = ()
    account: str = ""
    user: str = ""
    username: str = ""
    scheme: str = ""
    exchange: str = ""
    options: dict[str, Any] = {}  # noqa: RUF012 - never shared, see below
    interactive: str = ""
    min_lifetime: int = 0
    origin: str = "user"
    bare: bool = False
    tenant: str = ""
    passed: tuple[tuple[str, str], ...] = ()
    tools: tuple[str, ...] = ()

    @staticmethod
    def _complete(values: dict[str, Any]) -> None:
        for key in ("account", "scheme"):
            values[key] = values[key] or getattr(values["identity"], key)
        values["options"] = values["options"] or {}

    def with_tenant(self, tenant: str) -> HostRule:
        """Return the rule with tokens of its own for the Entra *tenant*."""
        return self.changed(tenant=tenant)

    def with_account(self, account: str) -> HostRule:
        """Return the rule for nobody but *account*."""
        return HostRule(**self._fields() | {"account": account})

    def answer_user(self, own: str, asked: str = "") -> str:
        """Return the user name to answer with: what is explicit before an accident.

        The config's, then *own*, which the provider or the exchange demands, then
        the one that the URL or the client *asked* with.
        """
        return self.username or own or asked or DEFAULT_USER

    @property
    def built_in(self) -> bool:
        """Nobody has configured it here."""
        return self.origin == "preset"

    @property
    def token_key(self) -> TokenKey:
        """The access token that the rule's hosts take."""
        return TokenKey(self.scopes, self.tenant)


class TokenKey(Frozen):
    """Which token of an account: what it was asked for with, and where.

    ``scopes`` are a set: sorted, each once. ``tenant`` is the Entra tenant that it
    is of. ``exchange`` is ``KIND:HOST`` for what that host gave for the access
    token, and empty for the access token itself.
    """

    scopes: tuple[str, ...]
    tenant: str = ""
    exchange: str = ""

    @staticmethod
    def _complete(values: dict[str, Any]) -> None:
        values["scopes"] = tuple(sorted(set(values["scopes"])))

    @property
    def asked(self) -> str:
        """The scopes in their one spelling: sorted, separated by spaces."""
        return " ".join(self.scopes)

    @property
    def text(self) -> str:
        """One line that no other key has, for what is noted about it."""
        return f"{self.exchange}\t{self.tenant}\t{self.asked}"


class Account(Frozen):
    """A signed-in user: *id* is the issuer's key for it, *label* what people read."""

    id: str
    label: str

    @property
    def shown(self) -> str:
        """What people read: never our own name for one whom no server names."""
        return self.label or ("unnamed" if self.id.startswith(UNNAMED) else self.id)


class Token(Frozen):
    """An access token as helpers get it: no refresh token, no ID token.

    Times are seconds since the epoch, UTC; ``expires_at`` is None for a token
    that the server gave no end. ``source`` is cache, refresh, sign-in or `FORWARDED`.
    ``username`` goes with what a host gave for an access token, or with what a program
    or a pipeline gave, else it is empty. ``beside`` is what was granted with it: an ID
    token, or the session token of AWS keys. Helpers never see that.
    """

    _secret = ("value", "beside")
    value: str
    _: KW_ONLY
    expires_at: int | None
    obtained_at: int
    scopes: tuple[str, ...]
    account: Account
    source: str = "cache"
    username: str = ""
    beside: str = ""

    def is_fresh(self, now: float, min_lifetime: int, began: float) -> bool:
        """Tell whether the token can be handed out at *now*.

        Fresh is: more than min(*min_lifetime*, half of its issued lifetime) is
        left, or it was obtained after the caller *began* to wait and is usable.
        More left than was ever issued means that the clock went back: not fresh.
        """
        if self.expires_at is None:
            return True
        issued, left = self.expires_at - self.obtained_at, self.expires_at - now
        if left > issued + 5:
            return False
        return left > min(min_lifetime, issued / 2) or (
            self.obtained_at >= int(began) and left > 0
        )

    def with_source(self, source: str) -> Token:
        """Return the same token, said to come from *source*."""
        return self.changed(source=source)


class CodeFlow(Frozen):
    """An authorization code request under way (RFC 6749 4.1, PKCE RFC 7636)."""

    _secret = ("data", "state", "url")
    url: str
    state: str
    redirect_uri: str
    #: what redeeming needs: verifier, nonce, scopes
    data: Mapping[str, Any]


class DeviceCode(Frozen):
    """A device authorization under way (RFC 8628 3.2); times in seconds."""

    _secret = ("data",)
    verification_uri: str
    user_code: str
    expires_in: float
    interval: float
    data: Mapping[str, Any]
    verification_uri_complete: str = ""


class Grant(Frozen):
    """What a token endpoint granted.

    ``expires_in`` is in seconds or None; ``scopes`` are the granted ones;
    ``account`` is None where the server named nobody (a refresh without an ID
    token). ``refresh_token`` is empty when the server sent none. ``fault`` is
    what is wrong with the answer beyond its refresh token, which must be saved
    all the same: the server may have rotated it.

    ``refresh_token`` is whatever the provider wants to be given back to renew:
    with MSAL, its own cache as JSON. ``username`` and ``beside`` are as in `Token`.
    """

    _secret = ("access_token", "refresh_token", "beside")
    access_token: str
    _: KW_ONLY
    refresh_token: str = ""
    expires_in: float | None = None
    scopes: tuple[str, ...] = ()
    account: Account | None = None
    username: str = ""
    beside: str = ""
    claims: Mapping[str, Any] = {}
    fault: HushkeyError | None = None
