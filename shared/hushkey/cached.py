"""What the token cache alone can say to a want: no network, no lock.

Every function takes the opened cache and the time; the flow that uses them is
in `hushkey.acquire`.
"""

from hushkey import clouds
from hushkey.errors import Permanent, UiRequired
from hushkey.model import tenant_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hushkey.model import Account, Token
    from hushkey.tokencache import TokenCache
    from hushkey.want import Want

#: seconds a token must still live to be handed out while the server fails
_LAST_RESORT = 10


def accounts_for(cache: "TokenCache", want: "Want") -> "list[Account]":
    """Return the accounts that *want* may mean, the likeliest first; never none.

    The config's account decides. Without one, a user name counts that is an
    account's; an unknown one only if it cannot be one (``git``, ``oauth2``, an
    organisation): nobody gets another person's token under a name of theirs.
    Then whoever was chosen for this host or these scopes. Else everybody at
    Entra, where a tenant knows its own; and whoever signed in last elsewhere.
    Raises UiRequired if nobody that fits is signed in.
    """
    if want.account:
        named = cache.account(want.account)
        if named is None:
            raise UiRequired(f"{want.account} is not signed in")
        return [named]
    chosen = _by_username(cache, want) or cache.bound(want.site.scopes, want.host)
    if chosen is not None:
        return [chosen]
    current = cache.account("")
    if current is None:
        raise UiRequired("nobody is signed in")
    if want.site.identity.provider != "entra":
        return [current]
    tenant = tenant_of(want.site) or want.site.identity.option("tenant")
    everybody = [cache.known(key) for key in cache.accounts]
    everybody.sort(key=lambda a: (not clouds.is_home(a.id, tenant), a != current))
    return everybody


def _by_username(cache: "TokenCache", want: "Want") -> "Account | None":
    return cache.account(want.username) if want.username else None


def is_named(cache: "TokenCache", want: "Want") -> bool:
    """Tell whether *want* itself says whose token it means."""
    return bool(want.account) or _by_username(cache, want) is not None


def demanded(cache: "TokenCache", want: "Want") -> str:
    """Return the claims that the next token for *want* is asked for with."""
    try:
        account = account_for(cache, want)
    except UiRequired:
        return want.claims
    return want.claims or cache.demanded(account, want.site.scopes)


def account_for(cache: "TokenCache", want: "Want") -> "Account":
    """Return the likeliest account; raises UiRequired as `accounts_for` does."""
    return accounts_for(cache, want)[0]


def fresh_token(cache: "TokenCache", want: "Want", now: float) -> "Token | None":
    """Return the token for *want* if it can be handed out at *now*."""
    try:
        account = account_for(cache, want)
    except UiRequired:
        return None
    token = cache.token(account, want.site.scopes, want.claims)
    fresh = token and token.is_fresh(now, want.min_lifetime, want.began)
    return token if fresh else None


def last_resort(cache: "TokenCache", want: "Want", now: float) -> "Token | None":
    """Return a token that is old but alive, for when it cannot be renewed."""
    try:
        account = account_for(cache, want)
    except UiRequired:
        return None
    token = cache.token(account, want.site.scopes, want.claims)
    if token is None or not token.expires_at or was_refused(cache, account, want, now):
        return None
    left, issued = token.expires_at - now, token.expires_at - token.obtained_at
    return token if _LAST_RESORT < left <= issued + 5 else None


def was_refused(
    cache: "TokenCache", account: "Account", want: "Want", now: float
) -> bool:
    """Tell whether the host refused a young token of *account* a moment ago."""
    return cache.was_refused(account, want.host, now, want.site.scopes)


def check_not_refused(
    cache: "TokenCache", account: "Account", want: "Want", now: float
) -> None:
    """Raise Permanent where another token would be refused like the last one."""
    if was_refused(cache, account, want, now):
        name = account.label or "this account"
        raise Permanent(
            f"signed in as {name}, but {want.host} refuses {name}",
            hint="check that the account has access, and the host's scopes "
            "in config.toml",
        )
