"""What a set of scopes means: what must be covered, what tells apart."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: scopes that describe the sign-in itself, not what the token may do
SIGN_IN_SCOPES = frozenset({"openid", "profile", "email", "offline_access"})


def resource_scopes(scopes: tuple[str, ...]) -> frozenset[str]:
    """Return the scopes that a token for a resource must cover."""
    return frozenset(scopes) - SIGN_IN_SCOPES


def covers(granted: tuple[str, ...], asked: tuple[str, ...]) -> bool:
    """Tell whether *granted* covers the resource scopes of *asked*.

    ``RESOURCE/.default`` stands for whatever was consented to (Entra's rule),
    so no list of names can cover or miss it.
    """
    return resource_scopes(asked) - whole_resources(asked) <= set(granted)


def with_included(
    granted: tuple[str, ...], implies: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """Return *granted* and what it includes at a server where *implies* holds.

    Servers leave out what a greater scope includes (RFC 6749 3.3 lets them).
    """
    found = list(dict.fromkeys(granted))
    for scope in found:  # which grows meanwhile
        found += [s for s in implies.get(scope, ()) if s not in found]
    return tuple(found)


def whole_resources(scopes: tuple[str, ...]) -> frozenset[str]:
    """Return those of *scopes* that ask for everything of a resource.

    They tell grants apart beyond the names of granted scopes.
    """
    return frozenset(s for s in scopes if s.endswith("/.default"))
