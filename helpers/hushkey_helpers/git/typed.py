"""git's get, store and erase for hosts without a rule: what the user typed is kept.

The rules are those of git's own storage helpers (credential.c `credential_match`,
builtin/credential-store.c, builtin/credential-cache--daemon.c): a question without
path or user name fits any, one with them fits exactly those; erase drops every
match, but only that secret which the request names, if it names one. A question
without a host is never a question for any host (CVE-2020-11008).
"""

from __future__ import annotations

from hushkey import origins
from hushkey.errors import HushkeyError
from hushkey.store import typed_index
from hushkey.store.typed_index import CredentialKey
from hushkey.system import paths
from hushkey.trace import event
from hushkey_helpers.answer import Answer
from hushkey_helpers.git.wire import Message, render

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from hushkey.store.typed import StoredCredential

TOOL = "git"
STATE = "hushkey:kept:"
_EXPIRY, _REFRESH = "password_expiry_utc", "oauth_refresh_token"
_TYPED, _TOKEN, _EITHER = ("password",), ("authtype", "credential"), (_EXPIRY, _REFRESH)
_SECRETS = ("password", "credential")
_NO = ("", "0", "false", "no", "off")


def answer(
    action: str, message: Message, environ: Mapping[str, str], began: float
) -> Answer:
    """Answer one call for a host that is not ours; nothing asks for no password.

    What goes wrong is one line and exit code 1, which git ignores: it goes on to
    its next helper.
    """
    key = _key(message)
    if key is None:
        return Answer()
    try:
        if action == "store":
            if _is_ours(key, message, environ):
                event("kept", host=key.host)
                return Answer()
            return _store(key, message, environ, began)
        if not typed_index.holds(paths.data_folder(environ), key):
            return _not_kept(action, key, message)
        if action == "erase":
            return _erase(key, message, environ, began)
        return _get(key, message, environ, began)
    except HushkeyError as error:
        event("failed", host=key.host, error=error)
        return Answer(lines=(error.about(host=key.host).line(),), code=1)


def _not_kept(action: str, key: CredentialKey, message: Message) -> Answer:
    """Answer with nothing; a person reads how to sign in to a server that is known.

    Who somebody else's realm says they are is a word for that person, and no more.
    """
    realms = message.lists.get("wwwauth", ())
    if action != "get" or not any("realm" in header.lower() for header in realms):
        return Answer()
    from hushkey.providers.realms import provider_of  # noqa: PLC0415 - seldom

    provider = provider_of(realms)
    origin = origins.parse_origin(key.protocol, key.host)
    if not provider or origin is None:
        return Answer()
    place = origins.origin_text(key.protocol, *origin)
    return Answer(
        lines=(
            f"{place} calls itself a {provider} server: to sign in there instead of "
            f"typing a password, run `hushkey setup {place}`",
        )
    )


def _key(message: Message) -> CredentialKey | None:
    """Return what git asks about; None without a protocol, or host and path.

    The host may be empty where there is a path (``cert``: the passphrase of a
    file).
    """
    protocol, host, path = (message.get(key) for key in ("protocol", "host", "path"))
    if not protocol or not (host or path):
        return None
    return key_of(protocol, host, path, message.values.get("username"))


def key_of(
    protocol: str, host: str, path: str = "", user: str | None = None
) -> CredentialKey:
    """Return the key; case, a default port and a trailing dot make no other host."""
    if origin := origins.parse_origin(protocol, host) if "@" not in host else None:
        name, port = origin
        host = name if port == origins.SERVED.get(protocol) else f"{name}:{port}"
    return CredentialKey(TOOL, protocol, host, path or None, user)


def _get(
    key: CredentialKey, message: Message, environ: Mapping[str, str], began: float
) -> Answer:
    """Give the newest secret that is still good and that the caller can take.

    One that has expired still gives the user name and the refresh token, with
    which a helper further down the list gets a new one.
    """
    bearer = message.has("capability", "authtype")

    def find(typed_store: Any) -> StoredCredential | None:
        spent = None
        for record in typed_store.matching(key):
            if "password" not in record.values and not bearer:
                continue
            if not _expired(record.values, began):
                return record  # type: ignore[no-any-return]
            if spent is None and _REFRESH in record.values:
                spent = record
        return spent

    record = _with_stash(environ, find, began)
    if record is None:
        return Answer()
    lines = _lines(record, bearer, _expired(record.values, began))
    if message.has("capability", "state"):
        lines = _with_state(key, record, lines, environ)
    return Answer(render(lines))


def _lines(record: StoredCredential, bearer: bool, expired: bool) -> list[str]:
    """Return the answer in one form only: a reply with both confuses git < 2.46."""
    lines, keys = [], [*_TYPED, *_EITHER]
    if expired:
        keys = [_REFRESH]
    elif bearer and "credential" in record.values:
        lines, keys = ["capability[]=authtype"], [*_TOKEN, *_EITHER]
    if record.key.user is not None:
        lines.append(f"username={record.key.user}")
    values = record.values
    return lines + [f"{key}={values[key]}" for key in keys if key in values]


def _with_state(
    key: CredentialKey,
    record: StoredCredential,
    lines: list[str],
    environ: Mapping[str, str],
) -> list[str]:
    """Let git (2.46) say at `store` that it has this answer from here.

    Then nothing is to be stored, and the keyring is not asked for that. The state
    is a keyed hash of the answer, so another secret with it is still another one.
    Without the newest of several users: `store` makes that one the newest.
    """
    index = _index(environ)
    if index is None or not index.is_last(record.key):
        return lines
    said = [line for line in lines if not line.startswith("capability")]
    state = f"state[]={STATE}{index.digest(key.protocol, key.host, *sorted(said))}"
    return ["capability[]=state", *lines, state]


def _index(environ: Mapping[str, str]) -> typed_index.Index | None:
    try:
        return typed_index.read(paths.data_folder(environ))
    except typed_index.Lost:
        return None


def _is_ours(key: CredentialKey, message: Message, environ: Mapping[str, str]) -> bool:
    """Tell whether git brings back what `get` gave it."""
    if not any(s.startswith(STATE) for s in message.lists.get("state", ())):
        return False
    index = _index(environ)
    keys = ("username", *_TYPED, *_TOKEN, *_EITHER)
    given = [f"{key}={message.values[key]}" for key in keys if key in message.values]
    ours = index and index.digest(key.protocol, key.host, *sorted(given))
    return message.has("state", f"{STATE}{ours}")


def _store(
    key: CredentialKey, message: Message, environ: Mapping[str, str], began: float
) -> Answer:
    """Keep a whole credential that is neither ephemeral nor over."""
    given = message.values
    typed = key.user is not None and "password" in given
    token = message.has("capability", "authtype") and all(k in given for k in _TOKEN)
    ephemeral = message.get("ephemeral").lower() not in _NO
    if ephemeral or not (typed or token) or _expired(given, began):
        return Answer()
    keys = [*(_TYPED if typed else ()), *(_TOKEN if token else ()), *_EITHER]
    values = {key: given[key] for key in keys if key in given}

    def keep(typed_store: Any) -> None:
        from hushkey.store.typed import StoredCredential

        typed_store.store(StoredCredential(key, values))

    _with_stash(environ, keep, began)
    return Answer()


def _erase(
    key: CredentialKey, message: Message, environ: Mapping[str, str], began: float
) -> Answer:
    named = {key: message.values[key] for key in _SECRETS if key in message.values}

    def is_named(record: StoredCredential) -> bool:
        return all(record.values.get(key) == value for key, value in named.items())

    only = is_named if named else None
    _with_stash(environ, lambda typed_store: typed_store.erase(key, only), began)
    return Answer()


def _with_stash(
    environ: Mapping[str, str], act: Callable[[Any], Any], began: float
) -> Any:
    from hushkey.acquire import session

    return session.with_typed_credentials(environ, act, began=began, asks_for=TOOL)


def _expired(values: Mapping[str, str], now: float) -> bool:
    expiry = _expiry(values)
    return bool(expiry) and expiry <= now


def _expiry(values: Mapping[str, str]) -> int:
    """Return the expiry in Unix seconds; 0, as anything unreadable, is never."""
    text = values.get(_EXPIRY, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
