"""The names by which a config may call an account, and who may give them.

Names come from ID tokens, and those of a tenant that a person is only a guest of
are that tenant's to choose: Entra says that they must not tell people apart
(learn.microsoft.com/entra/identity-platform/id-token-claims-reference,
``preferred_username``).
"""

from __future__ import annotations

from hushkey.errors import Permanent
from hushkey.providers import clouds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from hushkey.model import Account
    from hushkey.store.tokencache import TokenCache
    from hushkey.tokenrequest import TokenRequest

_CLAIMS = ("email", "preferred_username", "upn", "name")


def known_as(cache: TokenCache, account: Account, claims: Mapping[str, Any]) -> Account:
    """Return *account* by the label to keep: a guest's is the one it had."""
    return cache.known(account.id) if _is_guest(cache, account, claims) else account


def name(cache: TokenCache, account: Account, claims: Mapping[str, Any]) -> None:
    """Keep the names in *claims*, but none of another account's for a guest."""
    names = [claims[key] for key in _CLAIMS if isinstance(claims.get(key), str)]
    if _is_guest(cache, account, claims):
        names = [text for text in names if cache.account(text) is None]
    # Another tenant may call a guest something else: every name stays one.
    before = cache.accounts[account.id].get("names", [])
    cache.accounts[account.id]["names"] = list(dict.fromkeys([*names, *before]))


def check(
    cache: TokenCache, account: Account, wanted: TokenRequest, *, known: bool
) -> None:
    """Raise Permanent if somebody else signed in than *wanted* asks for.

    *known*: the server has named the account, and it was here before.
    """
    name = wanted.expected
    found = cache.called(name) if name else None
    if not name or (found is not None and found.id == account.id):
        return
    if cache.goes_by(account, name) and not wanted.account:
        return  # one of several who go by it, and it was this one
    if not cache.accounts[account.id]["names"] and not known:
        # The server names nobody readable. What was asked for by name for certain is
        # the label; what may be a convention of the URL's names nobody.
        if wanted.account:
            cache.accounts[account.id]["names"] = [name]
        return
    where = "change `account`" if wanted.rule.account else "take the name from the URL"
    raise Permanent(
        f"{account.shown} signed in, but {name} was asked for: nothing was stored",
        hint=f"sign in again as {name}, or {where}",
    )


def _is_guest(cache: TokenCache, account: Account, claims: Mapping[str, Any]) -> bool:
    """Tell whether *claims* on an account that is known are of a foreign tenant."""
    tenant, label = claims.get("tid"), cache.known(account.id).label
    foreign = isinstance(tenant, str) and not clouds.is_home(account.id, tenant)
    return foreign and bool(label)
