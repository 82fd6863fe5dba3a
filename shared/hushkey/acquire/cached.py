"""What the token cache alone can say to a request: no network, no lock.

Every function takes the opened cache and the time; the flow that uses them is
in `hushkey.acquire.acquirer`.
"""

from __future__ import annotations

from hushkey.errors import Permanent, UiRequired
from hushkey.providers import clouds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hushkey.model import Account, Identity, Token
    from hushkey.store.tokencache import TokenCache
    from hushkey.tokenrequest import TokenRequest

#: seconds a token must still live to be handed out while the server fails
_LAST_RESORT = 10
_REFUSAL_HINT = (
    "check that the account has access, and the host's scopes in config.toml"
)


class Unwelcome(Permanent):
    """The host refused the account's token a moment ago: another fares no better."""


def refusal_hint(identity: Identity, place: str) -> str:
    """Return what helps where a good token is refused at *place*, in one sentence."""
    from hushkey.providers.registry import SPECS

    return SPECS[identity.provider].refusal(identity, place) or _REFUSAL_HINT


def accounts_for(cache: TokenCache, wanted: TokenRequest) -> list[Account]:
    """Return the accounts that *wanted* may mean, the likeliest first; never none.

    The config's account decides. Without one, a user name counts that is an
    account's; an unknown one with an @ is a person's who is not signed in, if the
    request means a person. Whoever gets a token for another unknown name is told
    whose it is. Then whoever was chosen for this host or these scopes. Else everybody
    where a tenant knows its own; and whoever signed in last elsewhere.
    A machine's account is the identity itself, whatever a URL calls the user.
    Raises UiRequired if nobody that fits is signed in.
    """
    if wanted.rule.identity.machine:
        return [wanted.rule.identity.itself]
    if wanted.account:
        named = cache.called(wanted.account)
        if named is None:
            raise UiRequired(f"{wanted.account} is not signed in")
        return [named]
    chosen = _by_username(cache, wanted) or cache.bound(
        wanted.rule.token_key, wanted.host, wanted.where
    )
    if chosen is not None:
        return [chosen]
    current = cache.account("")
    if current is None:
        raise UiRequired("nobody is signed in")
    if not wanted.rule.identity.tenants:
        return [current]
    tenant = wanted.rule.tenant or wanted.rule.identity.option("tenant")
    everybody = [cache.known(key) for key in cache.accounts]
    everybody.sort(key=lambda a: (not clouds.is_home(a.id, tenant), a != current))
    return everybody


def fitting(cache: TokenCache, wanted: TokenRequest) -> list[Account]:
    """Return every account that has something for *wanted*, the default one first.

    Whatever its URL names: those are the accounts between which one can choose.
    """
    if wanted.rule.account:
        found = cache.called(wanted.rule.account)
        return [found] if found else []
    key = wanted.rule.token_key
    everybody = [cache.known(account) for account in cache.accounts]
    fit = [a for a in everybody if cache.grants(a, key) or cache.token(a, key)]
    default = cache.bound(key, wanted.host, wanted.where) or cache.account("")
    return sorted(fit, key=lambda account: account != default)


def undecided(cache: TokenCache, wanted: TokenRequest) -> list[Account]:
    """Return the accounts that fit *wanted*, if several do and nothing says which.

    None where a tenant tells, for which everybody is tried.
    """
    if len(cache.accounts) < 2 or wanted.rule.identity.tenants:
        return []
    bound = cache.bound(wanted.rule.token_key, wanted.host, wanted.where)
    if bound is not None or is_named(cache, wanted):
        return []
    fit = fitting(cache, wanted)
    return fit if len(fit) > 1 else []


def _by_username(cache: TokenCache, wanted: TokenRequest) -> Account | None:
    return cache.called(wanted.username) if wanted.username else None


def is_named(cache: TokenCache, wanted: TokenRequest) -> bool:
    """Tell whether *wanted* itself says whose token it means."""
    return bool(wanted.account) or _by_username(cache, wanted) is not None


def demanded(cache: TokenCache, wanted: TokenRequest) -> str:
    """Return the claims that the next token for *wanted* is asked for with."""
    try:
        account = account_for(cache, wanted)
    except UiRequired:
        return wanted.claims
    return wanted.claims or cache.demanded(account, wanted.rule.token_key)


def need(cache: TokenCache, account: Account, claims: str = "") -> UiRequired:
    """Return why *account*, which has nothing to renew with, has to sign in."""
    if cache.ended(account) is not None:
        return UiRequired("the sign-in has ended at the server", claims=claims)
    return UiRequired("a sign-in for these scopes is needed", claims=claims)


def account_for(cache: TokenCache, wanted: TokenRequest) -> Account:
    """Return the likeliest account; raises UiRequired as `accounts_for` does."""
    return accounts_for(cache, wanted)[0]


def fresh_token(cache: TokenCache, wanted: TokenRequest, now: float) -> Token | None:
    """Return the token for *wanted* if it can be handed out at *now*."""
    try:
        account = account_for(cache, wanted)
    except UiRequired:
        return None
    token = cache.token(account, wanted.rule.token_key, wanted.claims)
    fresh = token and token.is_fresh(now, wanted.min_lifetime, wanted.began)
    return token if fresh else None


def last_resort(cache: TokenCache, wanted: TokenRequest, now: float) -> Token | None:
    """Return a token that is old but usable, for when it cannot be renewed."""
    try:
        account = account_for(cache, wanted)
    except UiRequired:
        return None
    token = cache.token(account, wanted.rule.token_key, wanted.claims)
    if (
        token is None
        or not token.expires_at
        or was_refused(cache, account, wanted, now)
    ):
        return None
    left, issued = token.expires_at - now, token.expires_at - token.obtained_at
    return token if _LAST_RESORT < left <= issued + 5 else None


def was_refused(
    cache: TokenCache, account: Account, wanted: TokenRequest, now: float
) -> bool:
    """Tell whether the host refused a young token of *account* a moment ago."""
    key, chosen = wanted.rule.token_key, wanted.rule.identity.option("tenant")
    return cache.was_refused(account, wanted.host, now, key, wanted.place, chosen)


def refused_token(
    cache: TokenCache,
    account: Account,
    wanted: TokenRequest,
    now: float,
    within: float = float("inf"),
) -> Token | None:
    """Return the token of *account* that was refused, if it lives all the same.

    And was obtained *within* so many seconds: one place's refusal says nothing about
    the next one, and there a newer token would fare no better.
    """
    token = cache.refused_token(account, wanted.rule.token_key, wanted.claims)
    if token is None or now - token.obtained_at >= within:
        return None
    lives = token.expires_at is None or token.expires_at - now > _LAST_RESORT
    return token if lives else None


def refusal_line(cache: TokenCache, account: Account, wanted: TokenRequest) -> str:
    """Return what to say with a token that is given out again: nothing elsewhere."""
    if not cache.has_refused(account, wanted.host, wanted.place):
        return ""
    from hushkey.signin import messages  # noqa: PLC0415 - seldom

    anew = messages.login_command(wanted.host)
    hint = refusal_hint(wanted.rule.identity, wanted.place)
    return f"{_refusal(account, wanted)}; {hint}; to sign in again: {anew}"


def _refusal(account: Account, wanted: TokenRequest) -> str:
    name = account.label or "this account"
    return f"signed in as {name}, but {wanted.where} refuses {name}"


def check_not_refused(
    cache: TokenCache, account: Account, wanted: TokenRequest, now: float
) -> None:
    """Raise Permanent where another token would be refused like the last one."""
    if was_refused(cache, account, wanted, now):
        hint = refusal_hint(wanted.rule.identity, wanted.place)
        raise Unwelcome(_refusal(account, wanted), hint=hint)
