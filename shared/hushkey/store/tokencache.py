"""The token cache of one (issuer, client id): accounts, grants, access tokens.

What a token file holds once it is opened. Access tokens are kept by the exact
set of scopes they were asked with; a broader token never serves a host that
asked for less. Times are seconds since the epoch, UTC.

Rows name their `hushkey.model.TokenKey` with ``asked`` (the scopes, sorted,
separated by spaces), ``tenant`` and ``exchange``; the last two only where they
are not empty.
"""

from __future__ import annotations

import json

from hushkey import origins
from hushkey.claims import carries
from hushkey.errors import StoreError
from hushkey.model import Account, Token
from hushkey.scopes import SIGN_IN_SCOPES, covers, resource_scopes, whole_resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from hushkey.model import Grant, TokenKey

#: of the content; version 1 is read, too (`hushkey.store.tokencache_v1`)
VERSION = 2

#: seconds; for servers that name no lifetime but issue refresh tokens (as MSAL)
ASSUMED_LIFETIME = 600
#: seconds; a token refused this young is not refreshed again
YOUNG = 60
#: how many refusals are noted at most: the newest
_MOST = 100
#: seconds in which refusals alone lead to one window at most
RARE = 600


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
        self._bound: list[dict[str, Any]] = content.get("bound", [])
        #: the claims that the next token of an account has to carry
        self._demanded: list[dict[str, Any]] = content.get("demanded", [])

    @classmethod
    def loads(cls, data: bytes) -> TokenCache:
        """Parse *data*; ValueError if it is not a token cache.

        Raises StoreError if a newer version of hushkey has written it.
        """
        try:
            content = json.loads(data)
        except RecursionError as error:
            raise ValueError("not a token cache: nested too deep") from error
        version = content.get("version") if isinstance(content, dict) else None
        if type(version) is not int or version < 1:
            raise ValueError("not a token cache")
        if version > VERSION:
            raise StoreError(
                "newer",
                "a newer version of hushkey has written these tokens",
                hint="update this hushkey; `hushkey reset` forgets them",
            )
        if version == 1:
            from hushkey.store import tokencache_v1

            content = tokencache_v1.upgraded(content)
        if not is_whole(content):
            raise ValueError("a token cache with rows that are not rows")
        return cls(content)

    def dumps(self) -> bytes:
        """Return the cache as bytes for `loads`."""
        content = {
            "version": VERSION,
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
            if folded in self._names(account):
                return account
        return None

    def called(self, name: str) -> Account | None:
        """Return the account named *name*, or the only one that goes by it."""
        if found := self.account(name):
            return found
        everybody = (self.known(key) for key in self.accounts)
        going = [account for account in everybody if self.goes_by(account, name)]
        return going[0] if len(going) == 1 else None

    def goes_by(self, account: Account, name: str) -> bool:
        """Tell whether *name* may mean *account*: a name or its address up to the @."""
        names, folded = self._names(account), name.casefold()
        return folded in names or folded in (n.partition("@")[0] for n in names)

    def _names(self, account: Account) -> list[str]:
        names = self.accounts.get(account.id, {}).get("names", ())
        return [str(n).casefold() for n in (account.id, account.label, *names)]

    def bind(self, key: TokenKey, host: str, account: Account, *, here: bool) -> None:
        """Remember who serves *key* at *host* (or a place) where nobody is named.

        *here*: at this host alone; else at every host without a choice of its
        own, because a person has just made this one.
        """
        self._bind(_row_of(key), host, account.id)
        if not here:
            self._bind(_row_of(key), None, account.id)

    def bound(self, key: TokenKey, host: str, where: str = "") -> Account | None:
        """Return who was chosen for *key* at *where*, at *host*, else for *key*.

        *where* is a place of the host: what was chosen for it counts, then for the
        longest path that it begins with. None if that account's token was refused
        there.
        """
        account = self._chosen(_row_of(key), host, where)
        return self.known(account) if account in self.accounts else None

    def bound_by(self, key: TokenKey, host: str, where: str) -> str:
        """Return where a choice for *key* counts: all of *host*, or *where* alone.

        Who serves the one place that refused somebody is no choice for the others.
        """
        row = {**_row_of(key), "host": where}
        return where if any(_is_like(r, row, "host") for r in self._bound) else host

    def _bind(self, row: dict[str, Any], host: str | None, account: str) -> None:
        if host is not None:
            row = {**row, "host": host}
        self._bound = [r for r in self._bound if not _is_like(r, row, "host")]
        self._bound.append({**row, "account": account})

    def _chosen(self, row: dict[str, Any], host: str, where: str = "") -> str:
        places = [{**row, "host": place} for place in _around(host, where)]
        for wanted in (*places, row):
            for found in self._bound:
                if _is_like(found, wanted, "host"):
                    return str(found["account"])
        return ""

    def unbind(self, key: TokenKey, place: str) -> bool:
        """Forget who was chosen for *key* at *place*; tell whether anybody was."""
        row = {**_row_of(key), "host": place}
        kept = [r for r in self._bound if not _is_like(r, row, "host")]
        forgotten, self._bound = len(kept) < len(self._bound), kept
        return forgotten

    def chosen_at(self, key: TokenKey, place: str) -> Account | None:
        """Return who was chosen for *key* at exactly *place*, if anybody was."""
        return next((a for p, a in self.choices(key) if p == place), None)

    def choices(self, key: TokenKey) -> list[tuple[str, Account]]:
        """Return each host, and place of a host, for which somebody was chosen."""
        return [
            (row["host"], self.known(row["account"]))
            for row in self._bound
            if "host" in row
            and row["account"] in self.accounts
            and _is_like(row, _row_of(key), "")
        ]

    def known(self, key: str) -> Account:
        """Return the account with the id *key*."""
        return Account(key, str(self.accounts.get(key, {}).get("label", "")))

    # -- access tokens ------------------------------------------------------

    def token(self, account: Account, key: TokenKey, claims: str = "") -> Token | None:
        """Return the stored access token for exactly *key*, fresh or not.

        With *claims*, only one that was asked for with them.
        """
        wanted = _row_of(key, account=account.id)
        for row in self._tokens:
            if _is_like(row, wanted, "account"):
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

    def exchanged(self) -> list[tuple[str, Token]]:
        """Return what hosts gave for access tokens, each with its host."""
        return [
            (row["exchange"].partition(":")[2], token_of(row, self.known(account)))
            for row in self._tokens
            if row.get("exchange") and (account := str(row["account"]))
        ]

    # -- tokens that a host refused -----------------------------------------

    def refuse(
        self,
        value: str,
        host: str,
        now: int,
        claims: str = "",
        place: str = "",
        *,
        keeps_young: bool = False,
    ) -> None:
        """Set the access token *value* aside, which *host* refused at *place*.

        If it wants *claims* that the token was not asked for with just now, the
        next one is. Else a young one was refused as it is: another would be, too, so
        that `refused_token` gives it out again. With *keeps_young* it still serves
        other hosts, where it is young.
        """
        self._refused = [r for r in self._refused if self._counts(r, now)][-_MOST:]
        rows = [r for r in self._tokens if r["value"] == value]
        self._tokens = [r for r in self._tokens if r["value"] != value]
        for row in rows or [r for r in self._aside() if r["value"] == value][:1]:
            account, key = row["account"], _key_part(row)
            if not rows and self.has_refused(self.known(account), host, place):
                continue  # which it did before, and got it again
            age = now - row["obtained_at"]
            young = age < YOUNG
            if young and keeps_young and rows:
                self._tokens.append(row)
            if claims and not (young and carries(row.get("claims", ""), claims)):
                demand = {**key, "account": account}
                self._forget_demand(demand)
                self._demanded.append({**demand, "claims": claims})
                self._set_nothing_aside(row)
                continue
            refusal = {"host": host, "account": account, "at": now}
            refusal |= {"token": row, "age": age} | ({"place": place} if place else {})
            for part in ("exchange", "tenant"):
                refusal |= {part: key[part]} if part in key else {}
            scopes = sorted(resource_scopes(tuple(row["asked"].split())))
            self._refused.append({**refusal, "scopes": scopes})
            if young:
                self._unbind(key, host, account, f"{host}/{place}" if place else host)

    def _counts(self, refusal: dict[str, Any], now: float) -> bool:
        """Tell whether *refusal* matters: for good where only a person could renew."""
        last = refusal["at"] + YOUNG if self.has_grants(refusal["account"]) else now + 1
        return bool(refusal["at"] - 5 <= now < last)

    def _set_nothing_aside(self, like: dict[str, Any]) -> None:
        """Forget the refused tokens of one key: there is a newer one."""
        for row in self._refused:
            if "token" in row and _is_like(row["token"], like, "account"):
                del row["token"]

    def _aside(self) -> list[dict[str, Any]]:
        return [row["token"] for row in self._refused if "token" in row]

    def refused_token(
        self, account: Account, key: TokenKey, claims: str = ""
    ) -> Token | None:
        """Return the newest token of *account* for *key*, which a host has refused."""
        wanted = _row_of(key, account=account.id)
        for refusal in reversed(self._refused):
            row = refusal.get("token")
            if row is not None and _is_like(row, wanted, "account"):
                obtained = refusal["at"] - refusal.get("age", 0)
                good = carries(row.get("claims", ""), claims)
                found = token_of({**row, "obtained_at": obtained}, account)
                return found if good else None
        return None

    def has_refused(self, account: Account, host: str, place: str = "") -> bool:
        """Tell whether a refusal of *account* by *host* at *place* is noted."""
        return any(
            (row["host"], row.get("place", ""), row["account"])
            == (host, place, account.id)
            for row in self._refused
        )

    def refusals(self) -> list[tuple[Account, str, str]]:
        """Return who was refused, by which host and where there, the newest last."""
        found = (
            (self.known(row["account"]), str(row["host"]), str(row.get("place", "")))
            for row in self._refused
        )
        return list(dict.fromkeys(found))

    def is_known(self, value: str) -> bool:
        """Tell whether *value* is an access token of ours, refused or not."""
        return any(row["value"] == value for row in (*self._tokens, *self._aside()))

    def forget(self, value: str) -> None:
        """Forget the token *value*, which nobody refused."""
        self._tokens = [row for row in self._tokens if row["value"] != value]

    def _unbind(self, key: dict[str, Any], host: str, account: str, where: str) -> None:
        """Let another account be tried at *where* alone, if there is another one."""
        if len(self.accounts) > 1 and self._chosen(key, host, where) in ("", account):
            self._bind(key, where, "")

    def was_refused(
        self,
        account: Account,
        host: str,
        now: float,
        key: TokenKey,
        place: str = "",
        tenant: str = "",
    ) -> bool:
        """Tell whether *host* refused a young token for *key* at *place* just now.

        Of whatever tenant: the same server may name another one each time. But what
        was of another one says nothing about a *tenant* that a person has set.
        """
        wanted = sorted(resource_scopes(key.scopes))
        return any(
            row["host"] == host
            and row.get("place", "") == place
            and row.get("age", 0) < YOUNG
            and row["account"] == account.id
            and row.get("exchange", "") == key.exchange
            and row.get("scopes", wanted) == wanted
            and tenant in ("", row.get("tenant", ""))
            and row["at"] - 5 <= now < row["at"] + YOUNG
            for row in self._refused
        )

    def demanded(self, account: Account, key: TokenKey) -> str:
        """Return the claims that the next token for *key* is asked for with."""
        wanted = _row_of(key, account=account.id)
        rows = (r for r in self._demanded if _is_like(r, wanted, "account"))
        return str(next(rows, {}).get("claims", ""))

    def forget_demand(self, account: Account, key: TokenKey) -> None:
        """Ask for no claims: they were asked for, or cannot be had."""
        self._forget_demand(_row_of(key, account=account.id))

    def _forget_demand(self, demand: dict[str, Any]) -> None:
        self._demanded = [
            r for r in self._demanded if not _is_like(r, demand, "account")
        ]

    # -- grants -------------------------------------------------------------

    def grants(self, account: Account, key: TokenKey) -> list[GrantRow]:
        """Return the refresh tokens worth trying for *key*, best first.

        Those granted for all of its scopes come first, newest first; then those
        of other scopes that the server has not refused to widen.
        """
        rows = [
            GrantRow(row)
            for row in self._grants
            if row.get("account") == account.id and row.get("refresh_token")
        ]
        rows.sort(key=lambda g: (not g.covers(key), -g.obtained_at))
        return [grant for grant in rows if not grant.is_narrow(key)]

    def has_grants(self, account: str) -> bool:
        """Tell whether *account* can be renewed silently at all."""
        return any(row.get("account") == account for row in self._grants)

    def refresh_tokens(self, account: str) -> list[str]:
        """Return the refresh tokens of *account*."""
        return [r["refresh_token"] for r in self._grants if r["account"] == account]

    def revocable(self, account: str) -> list[str]:
        """Return the tokens of *account* by which a server can be told that it left.

        The refresh tokens; where there are none, the access tokens that have no end of
        their own. What a host gave for one of those is not the server's.
        """
        found = self.refresh_tokens(account)
        rows = [r for r in self._tokens if r["account"] == account]
        endless = [r for r in rows if r.get("expires_at") is None]
        return found or [r["value"] for r in endless if not r.get("exchange")]

    def mark_narrow(self, account: Account, key: TokenKey) -> None:
        """Remember that no grant of *account* serves *key*."""
        for grant in self.grants(account, key):
            grant.mark_narrow(key)

    def drop_grant(self, refresh_token: str, *, ended: int | None = None) -> None:
        """Forget a refresh token that the server has declared dead.

        *ended* is when (epoch seconds); it is kept until the next sign-in.
        """
        for row in self._grants:
            if row["refresh_token"] == refresh_token and ended is not None:
                self.accounts.setdefault(row["account"], {})["ended"] = ended
        self._grants = [r for r in self._grants if r["refresh_token"] != refresh_token]

    def ended(self, account: Account) -> int | None:
        """Return when the server declared a sign-in of *account* dead; else None."""
        found = self.accounts.get(account.id, {}).get("ended")
        return found if isinstance(found, int) else None

    def sign_out(self, account: str) -> None:
        """Forget everything about *account*."""
        self.accounts.pop(account, None)
        self._grants = [r for r in self._grants if r["account"] != account]
        self._tokens = [r for r in self._tokens if r["account"] != account]
        self._refused = [r for r in self._refused if r["account"] != account]
        self._bound = [r for r in self._bound if r["account"] != account]
        self._demanded = [r for r in self._demanded if r["account"] != account]
        if self.current == account:
            self.current = next(iter(self.accounts), "")

    # -- what came from the server ------------------------------------------

    def keep(
        self,
        granted: Grant,
        account: Account,
        key: TokenKey,
        now: int,
        replaces: str = "",
        claims: str = "",
        *,
        username: str = "",
    ) -> Token:
        """Keep what the server *granted* for *key*; return the access token.

        *replaces* is the refresh token that was redeemed for it; the server
        may have rotated it, or sent none, in which case it lives on. *claims*
        are those that it was asked for with; *username* goes with it (`Token`).
        """
        row = self._keep_token(granted, account, key, now, claims)
        row["via"] = "refresh" if replaces else "sign-in"
        if username := username or granted.username:
            row["username"] = username
        if granted.beside:
            row["beside"] = granted.beside
        self.forget_demand(account, key)
        self.keep_grant(granted, account, key, now, replaces)
        known = self.accounts.setdefault(account.id, {})
        if account.label or "label" not in known:
            known["label"] = account.label
        if not replaces and not key.exchange:
            known.pop("ended", None)
        self.current = self.current or account.id
        return token_of(row, account)

    def _keep_token(
        self,
        granted: Grant,
        account: Account,
        key: TokenKey,
        now: int,
        claims: str,
    ) -> dict[str, Any]:
        lifetime = granted.expires_in
        if lifetime is None and (granted.refresh_token or self.has_grants(account.id)):
            lifetime = ASSUMED_LIFETIME
        row = {
            **_row_of(key, account=account.id),
            "scopes": list(granted.scopes),
            "value": granted.access_token,
            "claims": claims,
            "obtained_at": now,
            "expires_at": None if lifetime is None else now + int(lifetime),
        }
        self._tokens = [r for r in self._tokens if not _is_like(r, row, "account")]
        self._tokens = [
            r for r in self._tokens if r["expires_at"] is None or r["expires_at"] > now
        ]
        self._tokens.append(row)
        self._set_nothing_aside(row)
        return row

    def keep_grant(
        self,
        granted: Grant,
        account: Account,
        key: TokenKey,
        now: int,
        replaces: str = "",
    ) -> None:
        """Keep only the refresh token, if there is one."""
        if not granted.refresh_token:
            return
        old = next((r for r in self._grants if r["refresh_token"] == replaces), None)
        if old is None:
            scopes = {*(granted.scopes or key.scopes), *whole_resources(key.scopes)}
            old = {"account": account.id, "scopes": sorted(scopes)}
            if key.tenant:
                old["tenant"] = key.tenant
            # One sign-in for the same scopes replaces the one before it.
            self._grants = [r for r in self._grants if not _is_same_grant(r, old)]
            self._grants.append(old)
        old.update(refresh_token=granted.refresh_token, obtained_at=now)
        self.accounts.setdefault(account.id, {}).pop("ended", None)


def place_of(host: str, path: str) -> str:
    """Return how a choice names *path* of *host*, or the host where it is empty."""
    segments = origins.place(tuple(filter(None, path.split("/"))))
    return "/".join((host, *segments))


def _around(host: str, where: str) -> Iterator[str]:
    """Yield *where* as it is written, the paths that it begins with, and the host."""
    if where:
        yield where
    if where.startswith(f"{host}/"):
        path = tuple(filter(None, where.removeprefix(host).split("/")))
        for length in range(len(path), 0, -1):
            yield "/".join((host, *origins.place(path[:length])))
    if host:
        yield host


_KEY = ("asked", "tenant", "exchange")


def _row_of(key: TokenKey, **more: str) -> dict[str, Any]:
    """Return how a row names *key*, and *more*."""
    row = {**more, "asked": key.asked}
    if key.tenant:
        row["tenant"] = key.tenant
    if key.exchange:
        row["exchange"] = key.exchange
    return row


def _key_part(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in _KEY if name in row}


def _is_like(row: dict[str, Any], wanted: dict[str, Any], more: str) -> bool:
    """Tell whether two rows name the same key, and the same in the field *more*."""
    return (
        row["asked"] == wanted["asked"]
        and row.get(more) == wanted.get(more)
        and row.get("tenant") == wanted.get("tenant")
        and row.get("exchange") == wanted.get("exchange")
    )


def _is_same_grant(row: dict[str, Any], other: dict[str, Any]) -> bool:
    return (
        row["account"] == other["account"]
        and row.get("tenant") == other.get("tenant")
        and set(row.get("scopes", ())) == set(other["scopes"])
    )


class GrantRow:
    """One refresh token and what it was granted for."""

    def __init__(self, row: dict[str, Any]) -> None:
        self._row = row
        self.refresh_token: str = row["refresh_token"]
        self.obtained_at: int = row.get("obtained_at", 0)
        self.scopes: tuple[str, ...] = tuple(row.get("scopes", ()))

    def covers(self, key: TokenKey) -> bool:
        """Tell whether the grant named every resource scope of *key*."""
        return (
            key.tenant in ("", self._row.get("tenant"))
            and whole_resources(key.scopes) <= set(self.scopes)
            and covers(self.scopes, key.scopes)
        )

    def is_narrow(self, key: TokenKey) -> bool:
        """Tell whether the server has refused this grant for *key* before."""
        return _row_of(key) in self._row.get("refused", ())

    def mark_narrow(self, key: TokenKey) -> None:
        """Remember that the server refuses this grant for *key*."""
        self._row.setdefault("refused", []).append(_row_of(key))

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
    "bound": {"account": str, "asked": str},
    "demanded": {"account": str, "asked": str, "claims": str},
}
_WORDS = ("scopes", "names")
_TEXTS = ("tenant", "exchange", "host", "place", "username")
_NUMBERS = ("age",)


def is_whole(content: dict[str, Any]) -> bool:
    """Tell whether *content* is a token cache with all that its rows need."""
    accounts = content.get("accounts", {})
    return (
        isinstance(content.get("current", ""), str)
        and isinstance(accounts, dict)
        and all(_is_row(row, {}) for row in accounts.values())
        and all(
            isinstance(rows := content.get(name, []), list)
            and all(_is_row(row, fields) for row in rows)
            for name, fields in _ROWS.items()
        )
        and all(_are_keys(row.get("refused", [])) for row in content.get("grants", ()))
        and all(
            "token" not in row or _is_row(row["token"], _ROWS["tokens"])
            for row in content.get("refused", ())
        )
    )


def _is_row(row: object, fields: dict[str, Any]) -> bool:
    return (
        isinstance(row, dict)
        and all(isinstance(row.get(name), kind) for name, kind in fields.items())
        and all(_is_words(row.get(name, [])) for name in _WORDS)
        and all(isinstance(row.get(name, ""), str) for name in _TEXTS)
        and all(isinstance(row.get(name, 0), int) for name in _NUMBERS)
    )


def _are_keys(value: object) -> bool:
    return isinstance(value, list) and all(
        _is_row(row, {"asked": str}) for row in value
    )


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
        username=row.get("username", ""),
        beside=row.get("beside", ""),
    )
