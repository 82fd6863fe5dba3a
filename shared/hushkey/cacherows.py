"""The rows of a token cache: what each must hold, and what a grant may be used for."""

from hushkey.model import Account, Token
from hushkey.scopes import SIGN_IN_SCOPES, covers, marks, scope_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class GrantRow:
    """One refresh token and what it was granted for."""

    def __init__(self, row: "dict[str, Any]") -> None:
        self._row = row
        self.refresh_token: str = row["refresh_token"]
        self.obtained_at: int = row.get("obtained_at", 0)
        self.scopes: tuple[str, ...] = tuple(row.get("scopes", ()))

    def covers(self, scopes: "tuple[str, ...]") -> bool:
        """Tell whether the grant named every resource scope of *scopes*."""
        return marks(scopes) <= set(self.scopes) and covers(self.scopes, scopes)

    def is_narrow(self, scopes: "tuple[str, ...]") -> bool:
        """Tell whether the server has refused this grant for *scopes* before."""
        return scope_key(scopes) in self._row.get("refused", ())

    def mark_narrow(self, scopes: "tuple[str, ...]") -> None:
        """Remember that the server refuses this grant for *scopes*."""
        self._row.setdefault("refused", []).append(scope_key(scopes))

    def scopes_to_send(self, scopes: "tuple[str, ...]") -> "tuple[str, ...]":
        """Return the scope parameter of a refresh for *scopes*.

        RFC 6749 6: it must not name what was not granted. Strict servers drop
        offline_access from a grant and then refuse it in a refresh.
        """
        granted = frozenset(self.scopes)
        return tuple(s for s in scopes if s in granted or s not in SIGN_IN_SCOPES)


#: what each row must hold for the methods above to work on it
_ROWS: "dict[str, dict[str, Any]]" = {
    "grants": {"account": str, "refresh_token": str, "obtained_at": int},
    "tokens": {
        "account": str,
        "asked": str,
        "value": str,
        "obtained_at": int,
        "expires_at": int | None,
    },
    "refused": {"account": str, "host": str, "at": int},
}
_WORDS = ("scopes", "refused", "names")


def is_whole(content: "dict[str, Any]") -> bool:
    """Tell whether *content* is a token cache with all that its rows need."""
    accounts = content.get("accounts", {})
    return (
        isinstance(content.get("current", ""), str)
        and all(_is_texts(content.get(name, {})) for name in ("bound", "demanded"))
        and isinstance(accounts, dict)
        and all(_is_row(row, {}) for row in accounts.values())
        and all(
            isinstance(rows := content.get(name, []), list)
            and all(_is_row(row, fields) for row in rows)
            for name, fields in _ROWS.items()
        )
    )


def _is_row(row: object, fields: "dict[str, Any]") -> bool:
    return (
        isinstance(row, dict)
        and all(isinstance(row.get(name), kind) for name, kind in fields.items())
        and all(_is_words(row.get(name, [])) for name in _WORDS)
    )


def _is_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())


def _is_words(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def token_of(row: "dict[str, Any]", account: Account) -> Token:
    """Return the access token that *row* holds."""
    return Token(
        str(row["value"]),
        expires_at=row.get("expires_at"),
        obtained_at=int(row["obtained_at"]),
        scopes=tuple(row.get("scopes", ())),
        account=account,
    )
