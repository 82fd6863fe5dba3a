"""What a set of scopes means: one spelling, what must be covered, what tells apart."""

from __future__ import annotations

from hushkey.model import TENANT

#: scopes that describe the sign-in itself, not what the token may do
SIGN_IN_SCOPES = frozenset({"openid", "profile", "email", "offline_access"})


def scope_key(scopes: tuple[str, ...]) -> str:
    """Return the one spelling of a set of scopes."""
    return " ".join(sorted(set(scopes)))


def resource_scopes(scopes: tuple[str, ...]) -> frozenset[str]:
    """Return the scopes that a token for a resource must cover."""
    return frozenset(
        scope
        for scope in scopes
        if scope not in SIGN_IN_SCOPES and not scope.startswith(TENANT)
    )


def covers(granted: tuple[str, ...], asked: tuple[str, ...]) -> bool:
    """Tell whether *granted* covers the resource scopes of *asked*.

    ``RESOURCE/.default`` stands for whatever was consented to (Entra's rule),
    so no list of names can cover or miss it.
    """
    named = {s for s in resource_scopes(asked) if not s.endswith("/.default")}
    return named <= set(granted)


def marks(scopes: tuple[str, ...]) -> frozenset[str]:
    """Return what tells grants apart beyond the names of granted scopes.

    The tenant, and the resources of which everything was asked for.
    """
    return frozenset(
        s for s in scopes if s.startswith(TENANT) or s.endswith("/.default")
    )
