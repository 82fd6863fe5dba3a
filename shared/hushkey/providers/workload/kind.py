"""What is particular about one kind of machine: all of it, in one value."""

from __future__ import annotations

from hushkey.errors import Permanent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from hushkey.model import Grant, HostRule, Identity
    from hushkey.net.http import Network
    from hushkey.providers.checks import Check
    from hushkey.system.proofs import Needs

#: where nothing tells whether an identity is at home
ANYWHERE: Needs = ((), ())


class Context:
    """One token that is wanted: by which identity, for which host, and from where.

    ``network`` makes a new one, of which all requests together have so many
    ``seconds``, if any are given; ``folder`` is for what servers publish.
    """

    def __init__(
        self,
        identity: Identity,
        network: Callable[..., Network],
        folder: str,
        environ: Mapping[str, str],
        rule: HostRule,
        host: str,
    ) -> None:
        self.identity = identity
        self.network = network
        self.folder = folder
        self.environ = environ
        self.rule = rule
        self.host = host

    def needed(self, key: str, variable: str) -> str:
        """Return the option *key*, else what *variable* holds; raises Permanent."""
        found = self.identity.option(key) or self.environ.get(variable, "")
        if not found:
            raise Permanent(
                f"no {key} is known",
                hint=f"write `{key}` in [identity.{self.identity.name}], or let the "
                f"environment have {variable}",
            )
        return found

    @property
    def resource_scope(self) -> str:
        """The one scope that Entra takes from machines: ``RESOURCE/.default``."""
        scopes = self.rule.scopes
        if len(scopes) != 1 or not scopes[0].endswith("/.default"):
            shown = " ".join(scopes) or "none"
            raise Permanent(
                f"a machine's token is for one resource, and the scopes are: {shown}",
                hint='write `scopes = ["RESOURCE/.default"]` in the host\'s rule',
            )
        return scopes[0]

    @property
    def resource(self) -> str:
        """The resource of `resource_scope`, as endpoints of version 1 want it."""
        return self.resource_scope.removesuffix("/.default")


class Kind:
    """One kind; the attributes are the defaults of those that set no other."""

    #: how the config names it
    name: str
    #: the config keys that only its identities may have, with their checks
    keys: Mapping[str, Check] = {}
    #: keys without which it cannot do
    required: tuple[str, ...] = ()
    #: of these keys exactly one is needed
    one_of: tuple[str, ...] = ()
    #: variables of other ways to a token, which count for nothing here
    ignores: tuple[str, ...] = ()
    #: what it gives is worth keeping
    kept = True

    def proof(self, table: Mapping[str, Any]) -> Needs:
        """Return what proves that the identity *table* is at home."""
        return ANYWHERE

    def depends(self, table: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the variables that decide whose tokens the identity *table* gets."""
        return ()

    def faults(self, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield (key, what is wrong) beyond what the checks of the keys say."""
        given = [key for key in self.one_of if key in table]
        if self.one_of and not given:
            yield self.one_of[0], f"is required, or one of {', '.join(self.one_of[1:])}"
        elif len(given) > 1:
            yield given[1], f"give this or {given[0]}, not both"

    def words(self, identity: Identity) -> str:
        """Return where a token of *identity* comes from, for a person."""
        raise NotImplementedError(self.name)

    def handed(self, identity: Identity, environ: Mapping[str, str]) -> tuple[str, ...]:
        """Return the variables with tokens that the pipeline gives a job only once."""
        return ()

    def mint(self, context: Context) -> Grant:
        """Return a token; raises Transient or Permanent."""
        raise NotImplementedError(self.name)


def from_environ(table: Mapping[str, Any], **keys: str) -> tuple[str, ...]:
    """Return the variables that stand for those of *keys* that *table* lacks."""
    return tuple(variable for key, variable in keys.items() if key not in table)
