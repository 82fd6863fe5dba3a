"""What is particular about one identity provider: all of it, in one value.

Each provider is a subclass in a file of its own under `hushkey.providers.specs`, and
one entry in `hushkey.providers.registry`; the schema, the compiled config,
``config add-host``, ``explain``, the README's table and the tests walk the registry.
No other module asks for a provider by its name.

A further difference between providers is a further attribute here: with the default
that suits all present ones, read where the difference shows. What a helper has to
know while it answers from the cache goes into `ProviderSpec.traits`, too, and becomes
an attribute of `hushkey.model.Identity`: no helper loads the registry for that.
"""

from __future__ import annotations

from urllib.parse import urlsplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from hushkey.model import Identity
    from hushkey.net.http import Network
    from hushkey.providers.base import Minter, Provider
    from hushkey.providers.checks import Check


#: the config's keys for endpoints, the one that tokens come from first
ENDPOINTS = (
    "token_endpoint",
    "authorization_endpoint",
    "device_authorization_endpoint",
)


class ProviderSpec:
    """One provider; the attributes are the defaults of those that set no other."""

    #: how the config names it
    name: str
    #: the config keys that only its identities may have, with their checks
    keys: Mapping[str, Check] = {}
    #: keys whose values may have a secret in them: they are not shown
    mixed: tuple[str, ...] = ()
    #: keys without which its identities cannot sign anybody in
    required: tuple[str, ...] = ()
    #: one of these is needed, too; the first is the one that is missed
    any_of: tuple[str, ...] = ()
    #: ``add-host`` takes an identity that has this key, and no provider, for its
    implied_by = ""
    #: ``add-host`` asks for scopes: without any its tokens are good for nothing
    needs_scopes = False
    #: the one public server that its endpoints are at, if the config names no other
    base_url = ""
    #: the key that names another one
    server_key = "base_url"
    #: endpoint's key -> path below ``base_url``
    paths: Mapping[str, str] = {}
    #: as which client it signs in where the config names none
    client_id = ""
    #: the redirect address where the config names none (RFC 8252 7.3)
    redirect_uri = "http://127.0.0.1/"
    #: the authorization request's parameter for the account that is meant
    hint_parameter = "login_hint"
    #: an OpenID Connect server: discovered at its ``issuer``, and names its accounts
    open_id = False
    #: what may help after a sign-in was given up on its page; ``{client}`` is the id
    given_up_hint = ""
    #: nobody signs in, and there is no token file: the secret is what people type
    typed = False
    #: nobody signs in: the identity proves itself by where it runs (`minter`)
    machine = False
    #: ... and its tokens are worth keeping: they are not there for the taking
    kept = True
    #: tokens are for a tenant and may have to carry claims that a host demands
    tenants = False
    #: the old access token stays good beside the new one, until its end
    keeps_old = False
    #: the only user names that go with its tokens; empty: any will do
    git_user = ""
    keyring_user = ""

    def keys_of(self, table: Mapping[str, Any]) -> Mapping[str, Check]:
        """Return the keys that the identity *table* may have, beside the common."""
        return self.keys

    def required_of(self, table: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the keys without which the identity *table* gets no token."""
        missing = self.any_of and not table.keys() & {*self.any_of}
        return (*self.required, self.any_of[0]) if missing else self.required

    def faults(self, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield (key, what is wrong) beyond what the checks of `keys_of` say."""
        yield from ()

    def server(self, table: Mapping[str, Any]) -> str:
        """Return the URL of the one server that its tokens are for, or nothing."""
        return "" if self.own_server(table) else self.base_url

    def words(self, identity: Identity) -> str:
        """Return where the tokens of a ``machine`` come from, for a person."""
        raise NotImplementedError(self.name)

    def options(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options that an identity has beside those in its *table*.

        ``issuer``, else ``token_endpoint``, names the token file, with the client id.
        """
        base = self.base_of(table)
        return {key: base + path for key, path in self.paths.items()} if base else {}

    def own_server(self, table: Mapping[str, Any]) -> str:
        """Return the key by which *table* names a server of its own, or nothing."""
        keys = ("base_url", *ENDPOINTS) if self.base_url else ()
        return next((key for key in keys if key in table), "")

    def base_of(self, table: Mapping[str, Any]) -> str:
        """Return the address below which the endpoints are that *table* leaves out.

        Beside an endpoint of one's own the public server's are never used: what is
        left out is at the same host, where the named ones tell how they are placed
        there, or it is nowhere (the empty string).
        """
        if own := str(table.get("base_url", "")):
            return own.rstrip("/")
        if not self.own_server(table):
            return self.base_url
        named = {key: str(table[key]) for key in ENDPOINTS if key in table}
        for key, url in named.items():
            path = self.paths.get(key)
            if path and url.endswith(path):
                base = url.removesuffix(path)
                hosts = {urlsplit(address).netloc for address in named.values()}
                return base if hosts == {urlsplit(base).netloc} else ""
        return ""

    def traits_of(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """Return what `Identity` knows of its provider, for the identity *table*."""
        return self.traits()

    def traits(self) -> dict[str, Any]:
        """Return what `Identity` knows of its provider."""
        return {
            "typed": self.typed,
            "machine": self.machine,
            "kept": self.kept,
            "tenants": self.tenants,
            "keeps_old": self.keeps_old,
            "git_user": self.git_user,
            "keyring_user": self.keyring_user,
        }

    def open(
        self,
        identity: Identity,
        network: Network,
        folder: str,
        environ: Mapping[str, str],
        claims: str,
        tenant: str,
    ) -> Provider:
        """Return the client that speaks to the provider; it is imported only here.

        *folder* is the data folder; *claims* (JSON) are asked for with every request,
        where there are ``tenants``.
        Not called where secrets are ``typed``.
        """
        raise NotImplementedError(self.name)

    def minter(
        self,
        identity: Identity,
        network: Callable[..., Network],
        folder: str,
        environ: Mapping[str, str],
    ) -> Minter:
        """Return what gets tokens for a ``machine``; it is imported only here.

        *network* returns a new one, of which all requests together have so many
        ``seconds``, if any are given.
        """
        raise NotImplementedError(self.name)
