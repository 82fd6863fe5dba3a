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

from hushkey.model import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from dataclasses import KW_ONLY
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
    "revocation_endpoint",
)


class Lookup(Frozen):
    """One question to a server's own API: whose a token is.

    ``url`` holds ``{api}`` or ``{base}``. ``id`` is the field that never changes,
    ``labels`` those that people read, best first; a ``header`` names both instead.
    It can be asked if the token has one of ``scopes``, or where those are empty.
    """

    url: str
    _: KW_ONLY
    id: str = "id"
    labels: tuple[str, ...] = ()
    header: str = ""
    scopes: tuple[str, ...] = ()


class Registration(Frozen):
    """Where a person registers a client of their own, and with what in which field."""

    page: str
    fields: str


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
    #: each host right below it is a server of its own, too
    domain = ""
    #: the key that names another one
    server_key = "base_url"
    #: endpoint's key -> path below ``base_url``
    paths: Mapping[str, str] = {}
    #: as which client it signs in where the config names none
    client_id = ""
    #: the program that servers have this client registered for. Others use it, too:
    #: no scope is ever sent with it, for a grant is one set of scopes
    client_name = ""
    #: what is asked for where neither host nor identity names scopes
    scopes: tuple[str, ...] = ()
    #: scope -> what it includes, which servers leave out of their answers
    implies: Mapping[str, tuple[str, ...]] = {}
    #: the fields of a token answer that may hold the scopes, the first that is there
    scope_fields: tuple[str, ...] = ("scope",)
    #: the redirect address where the config names none (RFC 8252 7.3)
    redirect_uri = "http://127.0.0.1/"
    #: the authorization request's parameter for the account that is meant
    hint_parameter = "login_hint"
    #: what goes with it, so that the page does not take whoever is signed in there
    hint_parameters: Mapping[str, str] = {}
    #: how a client secret goes to the token endpoint; empty: as the server says, else
    #: in the body (RFC 6749 2.3.1)
    auth_method = ""
    #: what else the authorization request carries
    authorize_parameters: Mapping[str, str] = {}
    #: the keys of the config that it carries, too, as parameters of the same name
    authorize_keys: tuple[str, ...] = ()
    #: a document below ``base_url`` that a server with OAuth turned off has not
    announcement = ""
    #: the questions that tell whose a token is, where no ID token does
    lookups: tuple[Lookup, ...] = ()
    #: where a client is registered: the path below ``base_url``, and the fields
    register_path = ""
    register_fields = ""
    #: keys that its clients have beside the id -> their value; empty: only people know
    client_keys: Mapping[str, str] = {}
    #: where a person makes a token to type: an address, or a path below ``base_url``,
    #: its fields, and the user name that goes with it
    typed_path = ""
    typed_fields = ""
    typed_user = "token"
    #: the ready-made command (`specs.command.READY`) of its own program
    program = ""
    #: how a server of one's own shows what it is: the realm of its Basic challenge, a
    #: response header that it alone sends, the path of its ``userinfo_endpoint``
    realms: tuple[str, ...] = ()
    header_mark = ""
    userinfo_path = ""
    #: (step, error code) -> what to do; the step is ``redirect`` for what the page
    #: sent back, else empty. Filled in by `filled`
    hints: Mapping[tuple[str, str], str] = {}
    #: why a host may refuse a token that is good, and what helps, with the page for it;
    #: ``{owner}`` is whose repository was asked for. Filled in by `refusal`
    refusal_hint = ""
    #: an OpenID Connect server: discovered at its ``issuer``, and names its accounts
    open_id = False
    #: what may help after a sign-in was given up on its page; filled in by `filled`
    given_up_hint = ""
    #: nobody signs in, and there is no token file: the secret is what people type
    typed = False
    #: nobody signs in: the identity proves itself by where it runs (`minter`)
    machine = False
    #: ... namely by a program that prints a token, of the first ``required`` key
    runs_program = False
    #: ... and its tokens are worth keeping: they are not there for the taking
    kept = True
    #: tokens are for a tenant and may have to carry claims that a host demands
    tenants = False
    #: the old access token stays good beside the new one, until its end
    keeps_old = False
    #: the only user names that go with its tokens; empty: any will do
    git_user = ""
    keyring_user = ""
    #: how git's host wants the token where no rule says it: basic, bearer, or either
    scheme = ""

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
        return self.base_url if self.base_of(table) == self.base_url else ""

    def words(self, identity: Identity) -> str:
        """Return where the tokens of a ``machine`` come from, for a person."""
        raise NotImplementedError(self.name)

    def handed(self, identity: Identity, environ: Mapping[str, str]) -> tuple[str, ...]:
        """Return the variables with tokens that the pipeline gives a job only once."""
        return ()

    def ignores(self, identity: Identity) -> tuple[str, ...]:
        """Return the variables that others obey for *identity*, and we do not."""
        return ()

    def options(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options that an identity has beside those in its *table*.

        ``issuer``, else ``token_endpoint``, names the token file, with the client id.
        """
        base = self.base_of(table)
        if not base:
            return {}
        return {"base_url": base} | {k: base + path for k, path in self.paths.items()}

    def methods(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the ways to sign in that can work with *options*; empty: all."""
        return ()

    def api_of(self, base: str) -> str:
        """Return where the API of the server at *base* is."""
        return base

    def credential_revocation(self, base: str) -> str:
        """Return where tokens are handed in that are to be void, beside RFC 7009."""
        return ""

    def registration(self, table: Mapping[str, Any]) -> Registration | None:
        """Return where the client for the server of *table* is registered."""
        base = self.base_of(table)
        if not base or not self.register_path:
            return None
        return Registration(base + self.register_path, self.register_fields)

    def typed_page(self, table: Mapping[str, Any]) -> Registration | None:
        """Return where a person makes a token to type for the server of *table*."""
        base = self.base_of(table)
        if not base or not self.typed_path:
            return None
        there = self.typed_path.startswith("https://")
        page = self.typed_path if there else base + self.typed_path
        return Registration(page, self.typed_fields)

    def is_shared(self, client_id: str) -> bool:
        """Tell whether *client_id* is the one that other programs use, too."""
        return bool(self.client_name) and client_id == self.client_id

    def filled(self, text: str, identity: Identity) -> str:
        """Return *text* with the ``{client}`` and the ``{base}`` of *identity*."""
        base = identity.option("base_url").rstrip("/")
        return text.format(client=identity.client_id, base=base or identity.issuer)

    def refusal(self, identity: Identity, place: str = "") -> str:
        """Return why a host may refuse a good token of *identity*, and what helps.

        *place* is the path that was asked for; its owner is named where it is a plain
        name, as it is put into addresses.
        """
        below = identity.option("base_url").partition("://")[2].partition("/")[2]
        inside = place.strip("/").removeprefix(below.strip("/"))
        owner = inside.strip("/").partition("/")[0]
        name = owner.replace("-", "").replace("_", "").replace(".", "")
        plain = name.isascii() and name.isalnum() and len(owner) < 100
        text = self.refusal_hint.replace("{owner}", owner if plain else "ORG")
        return self.filled(text, identity)

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
                # Compared as text: what is no URL is told by its own check.
                origin = "/".join([*base.split("/", 3)[:3], ""])
                together = all(a.startswith(origin) for a in named.values())
                return base if together else ""
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
            "scheme": self.scheme,
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

    def check_client(
        self,
        identity: Identity,
        network: Network,
        folder: str,
        environ: Mapping[str, str],
        redirect_uri: str,
    ) -> None:
        """Raise Permanent if the server refuses the client of *identity*.

        It is asked what a sign-in begins with, and no page is opened. Raises Transient
        where it does not answer. *redirect_uri* has a port.
        """

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
