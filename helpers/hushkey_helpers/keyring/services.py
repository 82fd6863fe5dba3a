"""What keyring clients ask for: a service name, and whose it is.

A service is an index's URL, a bare ``host[:port]`` (pip, for a file that lies on
another host; uv and poetry, when the URL found nothing), or a name that is neither,
which is ours only as an alias in the config. It is told from the name and the config
alone: no network, no keyring, no prompt.
"""

from __future__ import annotations

import os
import time
from binascii import crc32

from hushkey import origins
from hushkey.config import rules
from hushkey.errors import HushkeyError, Permanent
from hushkey.model import Request
from hushkey.system import paths
from hushkey.trace import event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from hushkey.model import HostRule, Token
    from hushkey.tokenrequest import PromptOptions

#: seconds that a token must have left: an installer runs on with it
MIN_LIFETIME = 600
#: seconds in which a host asked for over plain http is not answered by bare name
_PLAIN = 600
#: how many files hold those notes
_FILES = 256


class Service:
    """A service that is ours: the rule that serves it, and how to name it.

    ``unproven``: a bare name of an https host, which is not to be answered unless
    `_proofs` has it that the token goes over https.
    """

    __slots__ = ("host", "request", "rule", "unproven", "username")

    def __init__(
        self, request: Request, rule: HostRule, username: str, *, unproven: bool = False
    ) -> None:
        self.request = request
        self.rule = rule
        self.username = username
        self.unproven = unproven
        self.host = _shown(request, rule)

    def refusal(self) -> Permanent:
        """Return why a bare name gets no token."""
        return Permanent(
            "gave no token for a host's name alone: nothing proves that it would go "
            "over https",
            host=self.host,
            hint="`hushkey help python` says when to set "
            f'host."{self.rule.pattern}".bare',
        )

    def answer_user(self, token: Token | None = None) -> str:
        """Return the user name to answer with; see `HostRule.answer_user`."""
        own = (token and token.username) or self.rule.identity.keyring_user
        return self.rule.answer_user(own, self.username)

    def token(self, environ: Mapping[str, str], began: float) -> Token:
        """Return a token that outlives an install; raises `hushkey.errors`."""
        from hushkey.acquire import session

        acquirer = session.acquirer(environ, began, asks_for="keyring")
        wanted = acquirer.wanted(
            self.rule, self.host, self.username, request=self.request
        )
        lifetime = self.rule.min_lifetime or max(wanted.min_lifetime, MIN_LIFETIME)
        # A built-in organisation is one host to git and pip, with one account; the
        # user's own rule may be for this host alone, and so is what to run then.
        host = self.host if not self.rule.built_in else wanted.host
        origin = origins.parse_origin(self.request.protocol, self.request.host)
        if self.rule.exchange and origin:
            host = origins.origin_text(self.request.protocol, *origin)
        request = wanted.changed(host=host, min_lifetime=lifetime)
        if not self.rule.exchange:
            return acquirer.given(request, acquirer.acquire(request))
        from hushkey.acquire.exchanged import ExchangedCredential

        made = ExchangedCredential(acquirer, request)
        return made.given(made.token())


def find(name: str, username: str, environ: Mapping[str, str]) -> Service | None:
    """Return the service called *name* if it is ours, else None.

    *username* is the client's, empty for none. Raises ConfigError.
    """
    found = _find(name, username, environ)
    if found is None:
        event("not-ours")  # whose name may be anybody's secret
    else:
        event("asked", rule=found.rule, host=found.host)
    return found


def _find(name: str, username: str, environ: Mapping[str, str]) -> Service | None:
    config = rules.load(environ)
    _note_plain(config, name, environ)
    aliased = config.aliased(name)
    request = aliased or _request(name)
    if request is None:
        return None
    asked, request = request.username, _without_user(request)
    user = username or asked
    bare = aliased is None and "://" not in name
    rule = _rule(config, request, user)
    unproven = bare and rule is not None
    if rule is None and bare:
        # A bare name does not say how it is reached; http:// is the config's word.
        request = Request("http", request.host)
        rule = _rule(config, request, user)
    if rule is None:
        return None
    if unproven and rule.bare:
        unproven = _may_be_plain(request.host, environ)
    return Service(request, rule, user, unproven=unproven)


def forwarded(name: str, username: str, environ: Mapping[str, str]) -> Token | None:
    """Return the token for *name* of the machine that the person sits at, if any.

    For URLs only: of a bare name nothing proves that it goes over https. Raises
    `hushkey.errors`.
    """
    request = _request(name) if "://" in name else None
    if request is None or not paths.may_have_upstream(environ):
        return None
    from hushkey.acquire import upstream

    request = _without_user(request).changed(username=username or request.username)
    found = upstream.find(request, environ, "keyring", lambda: _options(environ))
    return found.token if found else None


def _options(environ: Mapping[str, str]) -> PromptOptions:
    from hushkey.acquire import session

    return session.options_of(environ, "keyring")


def _request(name: str) -> Request | None:
    if "://" not in name and ("/" in name or "@" in name):
        return None  # neither a URL nor a host: somebody's own entry
    try:
        return origins.parse_url(name)
    except ValueError:
        return None


def _without_user(request: Request) -> Request:
    """Return the request without its user name, which names no organisation here."""
    return Request(request.protocol, request.host, request.path)


def _rule(config: rules.Config, request: Request, user: str) -> HostRule | None:
    """Return the rule for *request*; None also where that would be a guess.

    Whoever asks without a path has asked with one before, or has none: only a
    rule for the whole host answers, never the one that some path has.
    """
    try:
        rule = config.rule_for(request, user)
    except Permanent:
        return None
    if rule is None or rule.identity.typed:
        return None
    if not request.path.strip("/") and origins.parse_pattern(rule.pattern).path:
        return None
    return rule if _has_tenant(rule, request) else None


def _has_tenant(rule: HostRule, request: Request) -> bool:
    """Tell whether config or organisation say whose token this would be."""
    identity = rule.identity
    origin = origins.parse_origin(request.protocol, request.host)
    if not identity.tenants or not origin:
        return True
    if identity.option("tenant") or identity.option("authority"):
        return True
    from hushkey.providers import azure_devops

    if origin[0] not in azure_devops.BY_PATH:
        return True
    return bool(azure_devops.organisation(request))


def _shown(request: Request, rule: HostRule) -> str:
    """Return the host as people write it, with the organisation where it counts."""
    origin = origins.parse_origin(request.protocol, request.host)
    if origin is None:
        return request.host
    text = origins.origin_text(request.protocol, *origin)
    segments = origins.split_path(request.path) or ()
    pattern = origins.parse_pattern(rule.pattern)
    depth = len(pattern.path)
    if not depth and rule.identity.tenants:
        from hushkey.providers import azure_devops

        depth = 1 if origin[0] in azure_devops.BY_PATH else 0
    return "/".join((text, *segments[:depth]))


# -- plain http ---------------------------------------------------------------
#
# A client that found nothing under http://HOST/... (uv, poetry) asks for the bare HOST
# next, perhaps from another process, and would send a token over plain http.


#
# A note is the time of a file that stands for each _FILES-th host: a flood of hosts
# takes no more room and pushes no note out, it only makes notes of hosts without one.


def _plain_file(host: str, environ: Mapping[str, str]) -> str:
    """Return the file whose time says when *host*, or one that shares it, was asked.

    An empty *host* stands for every host.
    """
    name = f"plain-{crc32(host.encode()) % _FILES:02x}" if host else "plain-all"
    return os.path.join(paths.data_folder(environ), "state", name)


def _note_plain(config: rules.Config, name: str, environ: Mapping[str, str]) -> None:
    """Remember that *name* goes over http, if that is of use to `_may_be_plain`.

    Also where it is none of our URLs: what the client makes of it is not ours to say.
    """
    seen = "".join(c for c in name if c > " ")  # as some readers do
    if not seen.lower().startswith("http:"):
        return
    # Any port: the bare name for https is without the one that http has.
    hosts = [
        (pattern.host, pattern.wild)
        for rule in config.rules()
        if rule.bare
        for pattern in (origins.parse_pattern(rule.pattern),)
        if pattern.scheme == "https"
    ]
    host = _plain_host(name)
    if not hosts or (
        host
        and (host, False) not in hosts
        and (host.partition(".")[2], True) not in hosts
    ):
        return
    try:
        _note(_plain_file(host, environ), time.time())
    except (OSError, HushkeyError):
        return  # `_may_be_plain` finds that out, too


def _plain_host(name: str) -> str:
    """Return the host of an http URL, normalised; empty if readers may differ on it."""
    rest = name.strip().partition(":")[2].lstrip("/")
    origin = origins.parse_origin("http", rest.partition("/")[0])
    return origin[0] if origin else ""


def _may_be_plain(netloc: str, environ: Mapping[str, str]) -> bool:
    """Tell whether *netloc* was asked for over http, or no note of that can be kept."""
    origin = origins.parse_origin("https", netloc)
    if origin is None:
        return True
    path, every = (_plain_file(host, environ) for host in (origin[0], ""))
    try:
        noted = _noted(path)
        if time.time() - max(noted, _noted(every)) < _PLAIN:
            return True
        _note(path, noted)
    except (OSError, HushkeyError):
        return True
    return False


def _noted(path: str) -> float:
    """Return the time of *path* in epoch seconds, 0 if there is none."""
    try:
        return os.stat(path).st_mtime
    except FileNotFoundError:
        return 0


def _note(path: str, when: float) -> None:
    """Let *path* have the time *when*, in epoch seconds; raises if that fails."""
    paths.make_private(os.path.dirname(path))
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    os.utime(path, (when, when))
