"""Claims requests (OpenID Connect Core 5.5): what a token must prove beyond its scopes.

A host or an authority demands them, and the next token is asked for with them. They
come from whoever answers: what is no claims request counts as none.
"""

from __future__ import annotations

import json

#: bytes of a claims request that are believed
LONGEST_CLAIMS = 4096


def claims(text: object) -> str:
    """Return *text* as compact JSON if it is a claims request, else nothing.

    A JSON object of objects (OpenID Connect Core 5.5); at most 4096 bytes.
    """
    if not isinstance(text, str):
        return ""
    try:
        wanted = json.loads(text) if len(text.encode()) <= LONGEST_CLAIMS else None
    except (ValueError, RecursionError):
        return ""
    good = isinstance(wanted, dict) and all(
        isinstance(part, dict) for part in wanted.values()
    )
    return json.dumps(wanted, separators=(",", ":")) if good and wanted else ""


def merged(host: str, server: str) -> str:
    """Return one claims request for both; where they differ, *server* is right.

    A host demands claims and Entra, asked for them, demands others: a sign-in
    for only one of the two would end in the next refusal.
    """
    if not host or not server:
        return host or server
    both: dict[str, dict[str, object]] = json.loads(host)
    for part, wanted in json.loads(server).items():
        both[part] = both.get(part, {}) | wanted
    return json.dumps(both, separators=(",", ":"))


def carries(asked: str, wanted: str) -> bool:
    """Tell whether a token that was *asked* for with claims has those *wanted*."""
    if not wanted or asked == wanted:
        return True
    if not asked:
        return False
    had = json.loads(asked)
    return all(
        part in had and demand.items() <= had[part].items()
        for part, demand in json.loads(wanted).items()
    )
