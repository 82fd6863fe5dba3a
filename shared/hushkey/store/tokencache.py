"""The token cache of one (issuer, client id): accounts, grants, access tokens.

What a token file holds once it is opened. Access tokens are kept by the exact
set of scopes they were asked with; a broader token never serves a host that
asked for less. Times are seconds since the epoch, UTC.
"""

from __future__ import annotations

import json

from hushkey.claims import carries
from hushkey.model import Account, Token
from hushkey.scopes import SIGN_IN_SCOPES, covers, marks, resource_scopes, scope_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hushkey.model import Grant

#: seconds; for servers that name no lifetime but issue refresh tokens (as MSAL)
ASSUMED_LIFETIME = 600
#: seconds; a token refused this young is not refreshed again
YOUNG = 60


class TokenCache:
    """The opened content of one token file."""

    def __init__(self, content: dict[str, Any] | None = None) -> None:
        content = content or {}
        self.accounts: dict[str, dict[str, Any]] = content.get("accounts", {})
        self.current: str = content.get("current", "")
        self._grants: list[dict[str, Any]] = content.get("grants", [])
        self._tokens: list[dict[str, Any]] = content.get("tokens", [])
        self._refused: list[dict[str, Any]] = content.get("refused", [])
        #: which account was chosen for a set of scopes when nobody was named
        self._bound: dict[str, str] = content.get("bound", {})
        #: account and scopes -> the claims that the next token has to carry
        self._demanded: dict[str, str] = content.get("demanded", {})

    @classmethod
    def loads(cls, data: bytes) -> TokenCache:
        """Parse *data*; ValueError if it is not a token cache."""
        try:
            content = json.loads(data)
        except RecursionError as error:
            raise ValueError("not a token cache: nested too deep") from error
        if not isinstance(content, dict) or content.get("version") != 1:
            raise ValueError("not a token cache of version 1")
        if not is_whole(content):
            raise ValueError("a token cache with rows that are none")
        return cls(content)

    def dumps(self) -> bytes:
        """Return the cache as bytes for `loads`."""
        content = {
            "version": 1,
            "accounts": self.accounts,
            "current": self.current,
            "grants": self._grants,
            "tokens": self._tokens,
            "refused": self._refused,
            "bound": self._bound,
            "demanded": self._demanded,
        }
        return json.dumps(content, separators=(",", ":")).encode()

    # -- accounts -----------------------------------------------------------

    def account(self, wanted: str) -> Account | None:
        """Return the account named *wanted* (label or id), or the current one."""
        if not wanted:
            return self.known(self.current) if self.current else None
        folded = wanted.casefold()
        for key in self.accounts:
            account = self.known(key)
            names = (account.id, account.label, *self.accounts[key].get("names", ()))
            if folded in (str(name).casefold() for name in names):
                return account
        return None

    def bind(
        self, scopes: tuple[str, ...], host: str, account: Account, *, here: bool
    ) -> None:
        """Remember who serves *scopes* at *host* where nobody is named.

        *here*: at this host alone; else at every host without a choice of its
        own, because a person has just made this one.
        """
        self._bound[_host_key(host, scopes)] = account.id
        if not here:
            self._bound[scope_key(scopes)] = account.id

    def bound(self, scopes: tuple[str, ...], host: str) -> Account | None:
        """Return who was chosen for *scopes* at *host*, else for *scopes*.

        None if the host refused that account's token.
        """
        here, all_over = _host_key(host, scopes), scope_key(scopes)
        account = self._bound.get(here, self._bound.get(all_over, ""))
        return self.known(account) if account in self.accounts else None

    def known(self, key: str) -> Account:
        """Return the account with the id *key*."""
        return Account(key, str(self.accounts.get(key, {}).get("label", "")))

    # -- access tokens ------------------------------------------------------

    def token(
        self, account: Account, scopes: tuple[str, ...], claims: str = ""
    ) -> Token | None:
        """Return the stored access token for exactly *scopes*, fresh or not.

        With *claims*, only one that was asked for with them.
        """
        key = scope_key(scopes)
        for row in self._tokens:
            if row.get("account") == account.id and row.get("asked") == key:
                good = carries(row.get("claims", ""), claims)
                return token_of(row, account) if good else None
        return None

    def origin_of(self, token: Token) -> str:
        """Return how *token* was obtained: sign-in, refresh, or nothing known."""
        rows = (r for r in self._tokens if r["value"] == token.value)
        return str(next(rows, {}).get("via", ""))

    def tokens(self) -> list[Token]:
        """Return every stored access token."""
        return [token_of(row, self.known(str(row["account"]))) for row in self._tokens]

    # -- tokens that a host refused -----------------------------------------

    def refuse(self, value: str, host: str, now: int, claims: str = "") -> None:
        """Forget the access token *value*, which *host* refused.

        If it wants *claims* that the token was not asked for with just now, the
        next one is. Else a young one was refused as it is: another would be, too.
        """
        self._refused = [
            r for r in self._refused if r["at"] - 5 <= now < r["at"] + YOUNG
        ]
        for row in [r for r in self._tokens if r["value"] == value]:
            self._tokens.remove(row)
            account, asked = row["account"], row["asked"]
            young = now - row["obtained_at"] < YOUNG
            if claims and not (young and carries(row.get("claims", ""), claims)):
                self._demanded[f"{account} {asked}"] = claims
            elif young:
                scopes = sorted(resource_scopes(tuple(asked.split(" "))))
                refusal = {"host": host, "account": account, "at": now}
                self._refused.append({**refusal, "scopes": scopes})
                self._unbind(asked, host, account)

    def forget(self, value: str) -> None:
        """Forget the token *value*, which nobody refused."""
        self._tokens = [row for row in self._tokens if row["value"] != value]

    def _unbind(self, asked: str, host: str, account: str) -> None:
        """Let another account be tried at *host* alone, if there is another one."""
        here = f"{host}\t{asked}"
        chosen = self._bound.get(here, self._bound.get(asked))
        if len(self.accounts) > 1 and chosen == account:
            self._bound[here] = ""

    def was_refused(
        self, account: Account, host: str, now: float, asked: tuple[str, ...]
    ) -> bool:
        """Tell whether *host* refused a young token for *asked* a moment ago."""
        wanted = sorted(resource_scopes(asked))
        return any(
            row["host"] == host
            and row["account"] == account.id
            and row.get("scopes", wanted) == wanted
            and row["at"] - 5 <= now < row["at"] + YOUNG
            for row in self._refused
        )

    def demanded(self, account: Account, scopes: tuple[str, ...]) -> str:
        """Return the claims that the next token for *scopes* is asked for with."""
        return self._demanded.get(_demand_key(account, scopes), "")

    def forget_demand(self, account: Account, scopes: tuple[str, ...]) -> None:
        """Ask for no claims: they were asked for, or cannot be had."""
        self._demanded.pop(_demand_key(account, scopes), None)

    # -- grants -------------------------------------------------------------

    def grants(self, account: Account, scopes: tuple[str, ...]) -> list[GrantRow]:
        """Return the refresh tokens worth trying for *scopes*, best first.

        Those granted for all of *scopes* come first, newest first; then those
        of other scopes that the server has not refused to widen.
        """
        rows = [
            GrantRow(row)
            for row in self._grants
            if row.get("account") == account.id and row.get("refresh_token")
        ]
        rows.sort(key=lambda g: (not g.covers(scopes), -g.obtained_at))
        return [grant for grant in rows if not grant.is_narrow(scopes)]

    def has_grants(self, account: str) -> bool:
        """Tell whether *account* can be renewed silently at all."""
        return any(row.get("account") == account for row in self._grants)

    def refresh_tokens(self, account: str) -> list[str]:
        """Return the refresh tokens of *account*, for revocation."""
        return [r["refresh_token"] for r in self._grants if r["account"] == account]

    def mark_narrow(self, account: Account, scopes: tuple[str, ...]) -> None:
        """Remember that no grant of *account* serves *scopes*."""
        for grant in self.grants(account, scopes):
            grant.mark_narrow(scopes)

    def drop_grant(self, refresh_token: str) -> None:
        """Forget a refresh token that the server has declared dead."""
        self._grants = [r for r in self._grants if r["refresh_token"] != refresh_token]

    def sign_out(self, account: str) -> None:
        """Forget everything about *account*."""
        self.accounts.pop(account, None)
        self._grants = [r for r in self._grants if r["account"] != account]
        self._tokens = [r for r in self._tokens if r["account"] != account]
        self._refused = [r for r in self._refused if r["account"] != account]
        self._bound = {k: who for k, who in self._bound.items() if who != account}
        self._demanded = {
            k: v for k, v in self._demanded.items() if not k.startswith(f"{account} ")
        }
        if self.current == account:
            self.current = next(iter(self.accounts), "")

    # -- what came from the server ------------------------------------------

    def keep(
        self,
        granted: Grant,
        account: Account,
        asked: tuple[str, ...],
        now: int,
        replaces: str = "",
        claims: str = "",
    ) -> Token:
        """Keep what the server *granted*; return the access token.

        *replaces* is the refresh token that was redeemed for it; the server
        may have rotated it, or sent none, in which case it lives on. *claims*
        are those that it was asked for with.
        """
        token = self._keep_token(granted, account, asked, now, claims)
        self._tokens[-1]["via"] = "refresh" if replaces else "sign-in"
        self.forget_demand(account, asked)
        self.keep_grant(granted, account, asked, now, replaces)
        known = self.accounts.setdefault(account.id, {})
        if account.label or "label" not in known:
            known["label"] = account.label
        self.current = self.current or account.id
        return token

    def _keep_token(
        self,
        granted: Grant,
        account: Account,
        asked: tuple[str, ...],
        now: int,
        claims: str,
    ) -> Token:
        lifetime = granted.expires_in
        if lifetime is None and (granted.refresh_token or self.has_grants(account.id)):
            lifetime = ASSUMED_LIFETIME
        row = {
            "account": account.id,
            "asked": scope_key(asked),
            "scopes": list(granted.scopes),
            "value": granted.access_token,
            "claims": claims,
            "obtained_at": now,
            "expires_at": None if lifetime is None else now + int(lifetime),
        }
        key = (row["account"], row["asked"])
        self._tokens = [r for r in self._tokens if (r["account"], r["asked"]) != key]
        self._tokens = [
            r for r in self._tokens if r["expires_at"] is None or r["expires_at"] > now
        ]
        self._tokens.append(row)
        return token_of(row, account)

    def keep_grant(
        self,
        granted: Grant,
        account: Account,
        asked: tuple[str, ...],
        now: int,
        replaces: str = "",
    ) -> None:
        """Keep only the refresh token, if there is one."""
        if not granted.refresh_token:
            return
        old = next((r for r in self._grants if r["refresh_token"] == replaces), None)
        if old is None:
            scopes = tuple({*(granted.scopes or asked), *marks(asked)})
            # One sign-in for the same scopes replaces the one before it.
            self._grants = [
                r
                for r in self._grants
                if (r["account"], set(r["scopes"])) != (account.id, set(scopes))
            ]
            old = {"account": account.id, "scopes": list(scopes)}
            self._grants.append(old)
        old.update(refresh_token=granted.refresh_token, obtained_at=now)


def _host_key(host: str, scopes: tuple[str, ...]) -> str:
    return f"{host}\t{scope_key(scopes)}"


def _demand_key(account: Account, scopes: tuple[str, ...]) -> str:
    return f"{account.id} {scope_key(scopes)}"


class GrantRow:
    """One refresh token and what it was granted for."""

    def __init__(self, row: dict[str, Any]) -> None:
        self._row = row
        self.refresh_token: str = row["refresh_token"]
        self.obtained_at: int = row.get("obtained_at", 0)
        self.scopes: tuple[str, ...] = tuple(row.get("scopes", ()))

    def covers(self, scopes: tuple[str, ...]) -> bool:
        """Tell whether the grant named every resource scope of *scopes*."""
        return marks(scopes) <= set(self.scopes) and covers(self.scopes, scopes)

    def is_narrow(self, scopes: tuple[str, ...]) -> bool:
        """Tell whether the server has refused this grant for *scopes* before."""
        return scope_key(scopes) in self._row.get("refused", ())

    def mark_narrow(self, scopes: tuple[str, ...]) -> None:
        """Remember that the server refuses this grant for *scopes*."""
        self._row.setdefault("refused", []).append(scope_key(scopes))

    def scopes_to_send(self, scopes: tuple[str, ...]) -> tuple[str, ...]:
        """Return the scope parameter of a refresh for *scopes*.

        RFC 6749 6: it must not name what was not granted. Strict servers drop
        offline_access from a grant and then refuse it in a refresh.
        """
        granted = frozenset(self.scopes)
        return tuple(s for s in scopes if s in granted or s not in SIGN_IN_SCOPES)


#: what each row must hold for the methods above to work on it
_ROWS: dict[str, dict[str, Any]] = {
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


def is_whole(content: dict[str, Any]) -> bool:
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


def _is_row(row: object, fields: dict[str, Any]) -> bool:
    return (
        isinstance(row, dict)
        and all(isinstance(row.get(name), kind) for name, kind in fields.items())
        and all(_is_words(row.get(name, [])) for name in _WORDS)
    )


def _is_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())


def _is_words(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def token_of(row: dict[str, Any], account: Account) -> Token:
    """Return the access token that *row* holds."""
    return Token(
        str(row["value"]),
        expires_at=row.get("expires_at"),
        obtained_at=int(row["obtained_at"]),
        scopes=tuple(row.get("scopes", ())),
        account=account,
    )
