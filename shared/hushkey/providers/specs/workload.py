"""Machines: a pipeline's job, a cloud's machine, an application; nobody signs in."""

from __future__ import annotations

from hushkey.providers.checks import one_of
from hushkey.providers.spec import ProviderSpec
from hushkey.providers.workload.kind import Context
from hushkey.providers.workload.kinds import KINDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from hushkey.model import Grant, HostRule, Identity
    from hushkey.net.http import Network
    from hushkey.providers.base import Minter
    from hushkey.providers.checks import Check
    from hushkey.providers.workload.kind import Kind


class Workload(ProviderSpec):
    """What runs here, by what its environment proves."""

    name = "workload"
    machine = True
    keys = {  # noqa: RUF012 - read only
        "kind": one_of(*KINDS),
        **{key: check for kind in KINDS.values() for key, check in kind.keys.items()},
    }
    required = ("kind",)

    def keys_of(self, table: Mapping[str, Any]) -> Mapping[str, Check]:
        """Return the keys of the table's kind; every kind's while it has none."""
        kind = _kind(table)
        return {"kind": self.keys["kind"], **kind.keys} if kind else self.keys

    def required_of(self, table: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the keys that the table's kind cannot do without."""
        kind = _kind(table)
        return ("kind", *kind.required) if kind else ("kind",)

    def faults(self, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield what is wrong between the keys of the table's kind."""
        kind = _kind(table)
        if kind:
            yield from kind.faults(table)

    def traits_of(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """Return what `Identity` knows of the table's kind."""
        kind = _kind(table)
        if kind is None:
            return self.traits()
        return {
            **self.traits(),
            "kept": kind.kept,
            "proof": kind.proof(table),
            "depends": kind.depends(table),
        }

    def words(self, identity: Identity) -> str:
        """Return where a token of *identity* comes from, for a person."""
        return KINDS[identity.option("kind")].words(identity)

    def handed(self, identity: Identity, environ: Mapping[str, str]) -> tuple[str, ...]:
        """Return the variables with tokens that the pipeline gives a job only once."""
        return KINDS[identity.option("kind")].handed(identity, environ)

    def ignores(self, identity: Identity) -> tuple[str, ...]:
        """Return the variables that others obey for *identity*, and we do not."""
        return KINDS[identity.option("kind")].ignores

    def minter(
        self,
        identity: Identity,
        network: Callable[..., Network],
        folder: str,
        environ: Mapping[str, str],
    ) -> Minter:
        """Return what gets tokens of the identity's kind."""
        return _Minter(identity, network, folder, environ)


class _Minter:
    """A `hushkey.providers.base.Minter`."""

    def __init__(
        self,
        identity: Identity,
        network: Callable[..., Network],
        folder: str,
        environ: Mapping[str, str],
    ) -> None:
        self._surroundings = identity, network, folder, environ

    def mint(self, rule: HostRule, host: str) -> Grant:
        """Return a token for *rule*, for the origin *host*."""
        context = Context(*self._surroundings, rule, host)
        return KINDS[context.identity.option("kind")].mint(context)


def _kind(table: Mapping[str, Any]) -> Kind | None:
    name = table.get("kind")
    return KINDS.get(name) if isinstance(name, str) else None
