r"""The content of token files as hushkey 0.1.0 wrote them, made into today's.

Version 1 kept the tenant and the exchange as marks among the scopes,
``\tenant=TENANT`` and ``\exchange=KIND:HOST``, and joined what `hushkey.model`
calls a `TokenKey` with a host or an account into one text. A file is written in
today's form with its next change; until then it is read through here.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_MARKS = {"tenant": "\\tenant=", "exchange": "\\exchange="}
#: the user name with which every exchanged secret of that version was given
_USERNAME = "<token>"


def upgraded(content: dict[str, Any]) -> dict[str, Any]:
    """Return *content* of version 1 as version 2; nothing in it is lost.

    Raises ValueError if it is no content of version 1.
    """
    try:
        return {
            **content,
            "version": 2,
            "grants": [_grant(row) for row in content.get("grants", [])],
            "tokens": [_token(row) for row in content.get("tokens", [])],
            "refused": [_refusal(row) for row in content.get("refused", [])],
            "bound": [_bound(*item) for item in content.get("bound", {}).items()],
            "demanded": list(_demands(content)),
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("not a token cache of version 1") from error


def _split(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """Return the scopes among *words*, and what their marks say."""
    if not isinstance(words, list):
        raise TypeError("no list of words")
    scopes: list[str] = []
    said: dict[str, str] = {}
    for word in words:
        for name, mark in _MARKS.items():
            if word.startswith(mark):
                said.setdefault(name, word.removeprefix(mark))
                break
        else:
            scopes.append(word)
    return scopes, said


def _key(asked: str) -> dict[str, str]:
    scopes, said = _split(asked.split(" "))
    return {"asked": " ".join(scopes), **said}


def _grant(row: dict[str, Any]) -> dict[str, Any]:
    scopes, said = _split(row.get("scopes", []))
    new = {**row, "scopes": scopes, **said}
    if "refused" in row:
        new["refused"] = [_key(asked) for asked in list(row["refused"])]
    return new


def _token(row: dict[str, Any]) -> dict[str, Any]:
    # The marks among the granted scopes are those of what was asked for.
    scopes, _ = _split(row.get("scopes", []))
    new = {**row, **_key(row["asked"]), "scopes": scopes}
    return {**new, "username": _USERNAME} if "exchange" in new else new


def _refusal(row: dict[str, Any]) -> dict[str, Any]:
    if "scopes" not in row:
        return {**row}
    scopes, said = _split(row["scopes"])
    return {**row, "scopes": [scope for scope in scopes if scope], **said}


def _bound(place: str, account: str) -> dict[str, Any]:
    """Return the choice of *account* for ``HOST<tab>SCOPES``, or just ``SCOPES``."""
    host, tab, asked = place.rpartition("\t")
    row = {**_key(asked), "account": account}
    return {**row, "host": host} if tab else row


def _demands(content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the claims that tokens must carry: ``ACCOUNT SCOPES`` -> claims.

    An account's id may hold spaces: every account that it may be has the demand,
    as it had it before.
    """
    rows = [*content.get("grants", []), *content.get("tokens", [])]
    known = {*content.get("accounts", {}), *(row["account"] for row in rows)}
    for text, claims in content.get("demanded", {}).items():
        fits = [name for name in sorted(known) if text.startswith(f"{name} ")]
        for account in fits or [text.partition(" ")[0]]:
            asked = text.removeprefix(account).removeprefix(" ")
            yield {**_key(asked), "account": account, "claims": claims}
