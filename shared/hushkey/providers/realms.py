"""What an unknown server says that it is, in the realm of its challenge.

Anybody can say that. It is good for words to a person, and for addresses at that very
server; never for another authority's.
"""

from __future__ import annotations

from hushkey.net import challenges

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: headers of one answer that are looked at
_MOST = 20


def provider_of(headers: Iterable[str]) -> str:
    """Return which provider the realm of a Basic challenge names, or nothing.

    *headers* are values of ``WWW-Authenticate``. A realm is compared as a whole and
    regardless of case.
    """
    from hushkey.providers.registry import SPECS

    for number, header in enumerate(headers):
        if number == _MOST:
            break
        for scheme, parameters in challenges.parse(header):
            realm = parameters.get("realm", "").lower()
            for spec in SPECS.values() if scheme == "basic" else ():
                if realm in map(str.lower, spec.realms):
                    return spec.name
    return ""
