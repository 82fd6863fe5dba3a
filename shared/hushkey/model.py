"""The values that cross borders: frozen, and with secrets kept out of repr.

Written without dataclasses or typing, which would cost a third of the time
that the whole answer "not ours" may take.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Never


class Frozen:
    """A value: fields are set once, equality is by content."""

    __slots__: tuple[str, ...] = ()
    #: fields whose content never appears in repr
    _secret: tuple[str, ...] = ()

    def _set(self, **fields: object) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> Never:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __delattr__(self, name: str) -> Never:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

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

    __slots__ = ("host", "path", "protocol", "username")
    protocol: str
    host: str
    path: str
    username: str

    def __init__(
        self, protocol: str, host: str, path: str = "", username: str = ""
    ) -> None:
        self._set(protocol=protocol, host=host, path=path, username=username)


class Identity(Frozen):
    """Who signs the user in: one ``[identity.NAME]`` table, with its defaults.

    ``options`` holds the keys that only some providers have, a client secret
    among them.
    """

    __slots__ = ("account", "client_id", "name", "options", "provider", "scopes")
    _secret = ("options",)
    name: str
    provider: str
    account: str
    client_id: str
    scopes: tuple[str, ...]
    options: dict[str, Any]

    def __init__(
        self,
        name: str,
        provider: str,
        *,
        account: str = "",
        client_id: str = "",
        scopes: tuple[str, ...] = (),
        options: dict[str, Any] | None = None,
    ) -> None:
        self._set(
            name=name,
            provider=provider,
            account=account,
            client_id=client_id,
            scopes=scopes,
            options=options or {},
        )

    @property
    def issuer(self) -> str:
        """What names the server; with the client id it names the token file."""
        named = self.option("issuer") or self.option("token_endpoint")
        return named or f"{self.provider}:{self.name}"

    def option(self, key: str, default: str = "") -> str:
        """Return the text option *key*."""
        return str(self.options.get(key, default))


class HostRule(Frozen):
    """One ``[host."PATTERN"]`` rule joined with its identity.

    ``origin`` is ``user`` or ``preset``; ``scopes`` include the identity's;
    ``min_lifetime`` is in seconds, 0 when the rule does not set it. ``bare``: the
    host's name alone, without a scheme, is enough for keyring clients. ``tenant``
    is the Entra tenant whose tokens it takes, empty where none is known.
    """

    __slots__ = (
        "account",
        "bare",
        "exchange",
        "identity",
        "interactive",
        "min_lifetime",
        "origin",
        "pattern",
        "scheme",
        "scopes",
        "tenant",
        "username",
    )
    pattern: str
    identity: Identity
    scopes: tuple[str, ...]
    account: str
    username: str
    scheme: str
    exchange: str
    interactive: str
    min_lifetime: int
    origin: str
    bare: bool
    tenant: str

    def __init__(
        self,
        pattern: str,
        identity: Identity,
        *,
        scopes: tuple[str, ...] = (),
        account: str = "",
        username: str = "",
        scheme: str = "",
        exchange: str = "",
        interactive: str = "",
        min_lifetime: int = 0,
        origin: str = "user",
        bare: bool = False,
        tenant: str = "",
    ) -> None:
        self._set(
            pattern=pattern,
            identity=identity,
            scopes=scopes,
            account=account or identity.account,
            username=username,
            scheme=scheme,
            exchange=exchange,
            interactive=interactive,
            min_lifetime=min_lifetime,
            origin=origin,
            bare=bare,
            tenant=tenant,
        )

    def with_tenant(self, tenant: str) -> HostRule:
        """Return the rule with tokens of its own for the Entra *tenant*."""
        return HostRule(**self._fields() | {"tenant": tenant})

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

    __slots__ = ("exchange", "scopes", "tenant")
    scopes: tuple[str, ...]
    tenant: str
    exchange: str

    def __init__(
        self, scopes: tuple[str, ...], tenant: str = "", exchange: str = ""
    ) -> None:
        self._set(scopes=tuple(sorted(set(scopes))), tenant=tenant, exchange=exchange)

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

    __slots__ = ("id", "label")
    id: str
    label: str

    def __init__(self, id: str, label: str) -> None:
        self._set(id=id, label=label)


class Token(Frozen):
    """An access token as helpers get it: no refresh token, no ID token.

    Times are seconds since the epoch, UTC; ``expires_at`` is None for a token
    that the server gave no end. ``source`` is cache, refresh or sign-in.
    ``username`` goes with what a host gave for an access token, else it is empty.
    """

    __slots__ = (
        "account",
        "expires_at",
        "obtained_at",
        "scopes",
        "source",
        "username",
        "value",
    )
    _secret = ("value",)
    value: str
    expires_at: int | None
    obtained_at: int
    scopes: tuple[str, ...]
    account: Account
    source: str
    username: str

    def __init__(
        self,
        value: str,
        *,
        expires_at: int | None,
        obtained_at: int,
        scopes: tuple[str, ...],
        account: Account,
        source: str = "cache",
        username: str = "",
    ) -> None:
        self._set(
            value=value,
            expires_at=expires_at,
            obtained_at=obtained_at,
            scopes=scopes,
            account=account,
            source=source,
            username=username,
        )

    def is_fresh(self, now: float, min_lifetime: int, began: float) -> bool:
        """Tell whether the token can be handed out at *now*.

        Fresh is: more than min(*min_lifetime*, half of its issued lifetime) is
        left, or it was obtained after the caller *began* to wait and is alive.
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
        return Token(
            self.value,
            expires_at=self.expires_at,
            obtained_at=self.obtained_at,
            scopes=self.scopes,
            account=self.account,
            source=source,
            username=self.username,
        )
