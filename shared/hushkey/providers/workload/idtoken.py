"""``id-token``: the assertion itself, for a host that has it exchanged by its own rule.

AWS and Google take a pipeline's token as it is (`hushkey.providers.exchange`). It goes
there alone: a host whose rule has no ``exchange`` never sees it.
"""

from __future__ import annotations

from hushkey.errors import Permanent
from hushkey.model import Grant
from hushkey.providers.checks import text
from hushkey.providers.workload import assertions
from hushkey.providers.workload.kind import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from hushkey.model import Identity
    from hushkey.providers.workload.kind import Context
    from hushkey.system.proofs import Needs


class IdToken(Kind):
    """A job, a pod or a program by the token that its surroundings sign."""

    name = "id-token"
    keys = {  # noqa: RUF012 - read only
        "assertion": assertions.check,
        "audience": text,
    }
    required = ("assertion",)
    #: it lives for minutes, and another one is read or asked for each time
    kept = False

    def proof(self, table: Mapping[str, Any]) -> Needs:
        source, rest = assertions.source_of(table["assertion"])
        return source.proof(rest)

    def faults(self, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield that nobody is named for whom a token is to be asked for."""
        yield from super().faults(table)
        value = table.get("assertion")
        if assertions.check(value) is None and "audience" not in table:
            source, _ = assertions.source_of(value)
            if source.asks:
                yield "audience", f"is required with assertion = {value!r}"

    def words(self, identity: Identity) -> str:
        source, rest = assertions.source_of(identity.options["assertion"])
        said = source.words(rest, identity.option("audience"))
        return f"{said}, for the host's own exchange"

    def handed(self, identity: Identity, environ: Mapping[str, str]) -> tuple[str, ...]:
        """Return the variable with the assertion, where there is no other one."""
        return assertions.handed(identity.options["assertion"])

    def mint(self, context: Context) -> Grant:
        from hushkey.providers import exchange

        identity = context.identity
        takers = [name for name, kind in exchange.KINDS.items() if kind.takes_proof]
        if context.rule.exchange not in takers:
            raise Permanent(
                f"kind = {self.name!r} is for an exchange that takes such a token, and "
                f"{context.host} has none",
                hint=f"write `exchange` in the host's rule ({', '.join(takers)}), "
                "or another `kind`",
            )
        source, rest = assertions.source_of(identity.options["assertion"])
        audience = identity.option("audience")
        assertion = source.read(rest, audience, context)
        if not assertions.is_jwt(assertion):
            raise Permanent(f"{source.words(rest, audience)}: not one signed token")
        return Grant(assertion, scopes=context.rule.scopes)
