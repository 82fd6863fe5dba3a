"""What a machine lacks for a token of its own, without asking anybody for one."""

from __future__ import annotations

from contextlib import suppress

from hushkey.errors import HushkeyError
from hushkey.providers import registry
from hushkey.system import proofs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hushkey.model import HostRule
    from hushkey.net.http import Network
    from hushkey_install.common.context import Context


class _WouldAsk(Exception):
    """A machine's token would be asked for now, and looking asks nobody."""


def words(context: Context, rule: HostRule, host: str) -> str:
    """Return how a machine gets a token by itself; raise what it lacks for that."""
    identity = rule.identity
    spec = registry.SPECS[identity.provider]
    proof = proofs.check(identity.proof, context.environ)
    if proof.proven:
        return f"a new token: {spec.words(identity)}; nobody is asked"
    with suppress(_WouldAsk):
        folder = context.acquirer.session.folder
        spec.minter(identity, _nobody, folder, context.environ).mint(rule, host)
    return f"it is tried, though {proof.lacks}: {spec.words(identity)}"


def lack(context: Context, rule: HostRule, host: str) -> HushkeyError | None:
    """Return what a machine lacks in its own pipeline or cloud; None elsewhere."""
    identity = rule.identity
    if not identity.machine or not proofs.check(identity.proof, context.environ).near:
        return None
    try:
        words(context, rule, host)
    except HushkeyError as error:
        return error
    return None


def _nobody(seconds: float = 0) -> Network:
    raise _WouldAsk
