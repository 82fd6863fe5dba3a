"""git-credential-hushkey: git's credential helper, gitcredentials(7).

Hosts with a rule get tokens, here; for all others `gitstore` keeps what the user
types. Never printed: protocol, host, path, url (git would file the credential
under what a helper printed).
"""

from __future__ import annotations

import time

from hushkey import origins
from hushkey.config import rules
from hushkey.errors import Cancelled, ConfigError, HushkeyError
from hushkey.model import Request
from hushkey.system import paths
from hushkey.trace import event
from hushkey_helpers.answer import Answer, explained
from hushkey_helpers.git import typed
from hushkey_helpers.git.wire import Malformed, Message, parse, read, render
from hushkey_helpers.process import serve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hushkey.acquire.acquirer import Acquirer
    from hushkey.model import HostRule, Token
    from hushkey.tokenrequest import PromptOptions, TokenRequest

STATE = "hushkey:"
_ACTIONS = ("get", "store", "erase")
_CAPABILITIES = b"version 0\ncapability authtype\ncapability state\n"
_USAGE = (
    "git-credential-hushkey speaks git's credential protocol: get, store, erase, "
    "capability",
    "to use it: hushkey install git",
)


def main(
    request: bytes | None = None, after_work: Callable[[], None] | None = None
) -> None:
    """Answer git; *request* is what was read of it already."""
    serve(answer, read, request, after_work)


def answer(
    argv: list[str], request: Callable[[], bytes], environ: Mapping[str, str]
) -> Answer:
    """Answer one call; unknown actions are ignored, as git demands."""
    action = argv[0] if argv else ""
    if action == "capability":
        return Answer(_CAPABILITIES)
    if action in ("", "-h", "--help"):
        return Answer(lines=_USAGE, code=0 if action else 1)
    if action not in _ACTIONS:
        return Answer()
    began = time.time()
    try:
        message = parse(request())
        asked = _request(message)
        rule = _rule(asked, environ)
        if action != "get":
            rule = _issuing(message, asked, environ, began) or rule
        host = message.get("host")
        event("asked" if rule else "not-ours", rule=rule, host=host, verb=action)
    except (Malformed, ConfigError) as error:
        return Answer(lines=(explained(error).line(),))
    except HushkeyError as error:
        return _stop(explained(error)) if action == "get" else Answer()
    may_be_forwarded = paths.may_have_upstream(environ)
    if action != "get" and may_be_forwarded and _was_given(message, environ):
        if action == "erase":
            _reject(message, asked, environ)
        return Answer()
    if not rule or rule.identity.typed:
        kept = typed.answer(action, message, environ, began)
        if kept.out:
            _note_typed(asked, environ)
        if rule or action != "get" or kept.out or not may_be_forwarded:
            return kept
        return _forwarded(message, asked, environ, began) or kept
    call = _Call(message, asked, rule, environ, began)
    return {"get": call.get, "store": call.store, "erase": call.erase}[action]()


def _request(message: Message) -> Request:
    """Return what git asks for; without protocol or host no rule covers it."""
    words = (message.get(key) for key in ("protocol", "host", "path", "username"))
    return Request(*words)


def _note_typed(asked: Request, environ: Mapping[str, str]) -> None:
    from hushkey.config import audited  # noqa: PLC0415 - seldom

    audited.given(
        environ,
        audited.TYPED,
        tool="git",
        host=asked.host,
        path=asked.path,
        account=asked.username,
    )


def _was_given(message: Message, environ: Mapping[str, str]) -> bool:
    from hushkey.acquire import upstream

    return upstream.gave(message.secret(), environ)


def _reject(message: Message, asked: Request, environ: Mapping[str, str]) -> None:
    """Tell the machine that the token came from that it was refused."""
    from hushkey.acquire import upstream
    from hushkey.net import forwarding  # noqa: PLC0415 - seldom

    upstream.rejected(asked, environ, "git", forwarding.named(message.secret()))


def _forwarded(
    message: Message, asked: Request, environ: Mapping[str, str], began: float
) -> Answer | None:
    """Return the answer of the machine that the person sits at; None: it has none."""
    from hushkey.acquire import upstream

    try:
        found = upstream.find(asked, environ, "git", lambda: _options(environ))
        if found is None:
            return None
        call = _Call(message, asked, found.rule, environ, began)
        return Answer(call.render(found.token, "", asked.username))
    except HushkeyError as error:
        return _stop(explained(error))


def _options(environ: Mapping[str, str]) -> PromptOptions:
    from hushkey.acquire import session

    return session.options_of(environ, "git")


def _rule(request: Request, environ: Mapping[str, str]) -> HostRule | None:
    return rules.load(environ).rule_for(request)


def _issuing(
    message: Message, request: Request, environ: Mapping[str, str], began: float
) -> HostRule | None:
    """Return the rule of a user name that gave out the token which *message* holds.

    git says the user name that we answered with, which a provider may demand.
    """
    config = rules.load(environ)
    if not (users := config.users_of(request)):
        return None
    from hushkey.acquire import session

    acquirer = session.acquirer(environ, began, asks_for="git")
    for user in users:
        named = Request(request.protocol, request.host, request.path, user)
        rule = config.rule_for(named)
        if rule is not None and not rule.identity.typed:
            file = acquirer.file_of(rule.identity)
            if file.stamp() and file.read_cached().is_known(message.secret()):
                return rule
    return None


def _whose(wanted: TokenRequest, account: str) -> str:
    from hushkey.signin import messages  # noqa: PLC0415 - seldom

    login = messages.login_command(wanted.host, wanted.username)
    return messages.token_of(wanted.host, account, wanted.username, login)


def _stop(error: HushkeyError) -> Answer:
    """End git's questions: its own prompt could not help (quit=1, since 2.3)."""
    return Answer(b"quit=1\n", (error.line(),), 1)


class _Call:
    """One action for a host that is ours."""

    def __init__(
        self,
        message: Message,
        request: Request,
        rule: HostRule,
        environ: Mapping[str, str],
        began: float,
    ) -> None:
        self._message = message
        self._request = request
        self._rule = rule
        self._environ = environ
        self._began = began
        origin = origins.parse_origin(request.protocol, request.host)
        self._host = origins.origin_text(request.protocol, *origin) if origin else ""
        if rule.identity.tenants:
            # Organisations of one host are different hosts to their users.
            from hushkey.providers import azure_devops

            self._host = azure_devops.organisation(request) or self._host

    def get(self) -> Answer:
        acquirer = self._acquirer()
        try:
            retry = self._refuse_stale(acquirer)
            wanted = acquirer.wanted(
                self._rule,
                self._host,
                self._request.username,
                request=self._request,
                challenges=self._challenges(),
                person=True,
            )
            token = acquirer.given(wanted, acquirer.acquire(wanted))
            state = self._state(acquirer, token) if not retry else ""
            lines: tuple[str, ...] = ()
            user = self._request.username
            named = acquirer.named(wanted, token)
            if named != wanted.username:
                user = named
                # What the config says needs no words.
                lines = () if self._rule.account else (_whose(wanted, named),)
            return Answer(self.render(token, state, user), lines)
        except HushkeyError as error:
            error.about(host=self._host, identity=self._rule.identity.name)
            if self._is_the_user_s(acquirer, error):
                return _stop(error)
            return Answer(lines=(error.line(),))
        except Exception as error:
            # Ours, and yet no answer: git's own prompt would be no help.
            return _stop(explained(error, more=""))

    def _is_the_user_s(self, acquirer: Acquirer, error: HushkeyError) -> bool:
        """Tell whether git's own prompt would be no help: the user is with us."""
        if not self._rule.built_in or isinstance(error, Cancelled):
            return True
        try:
            return bool(acquirer.file_of(self._rule.identity).read_cached().accounts)
        except HushkeyError:
            return False

    def store(self) -> Answer:
        """Ignore our own token; say where another secret would belong."""
        if any(s.startswith(STATE) for s in self._message.lists.get("state", ())):
            return Answer()
        secret = self._message.secret()
        # Nobody types for a machine, whose token may be in no file here.
        if not secret or self._rule.built_in or self._rule.identity.machine:
            return Answer()
        try:
            cache = self._acquirer().file_of(self._rule.identity).read_cached()
            if cache.is_known(secret):
                return Answer()
        except HushkeyError:
            return Answer()  # `get` says what is wrong; git asked for no answer
        line = (
            f"did not store another secret for {self._host}, which identity "
            f"{self._rule.identity.name} signs in to; give the host an identity "
            'with provider = "static" to have what you type kept'
        )
        return Answer(lines=(line,))

    def erase(self) -> Answer:
        try:
            acquirer = self._acquirer()
            secret = self._message.secret()
            acquirer.refuse(
                self._rule, self._host, secret, self._challenges(), self._request
            )
            if self._rule.identity.tenants:
                acquirer.forget_tenant(self._request)
        except HushkeyError as error:
            error.about(host=self._host, identity=self._rule.identity.name)
            return Answer(lines=(error.line(),))
        return Answer()

    # -- parts of get -------------------------------------------------------

    def _acquirer(self) -> Acquirer:
        from hushkey.acquire import session

        asked = self._request
        url = f"{asked.protocol}://{asked.host}/{asked.path}"
        return session.acquirer(self._environ, self._began, asks_for="git", git_url=url)

    def _challenges(self) -> tuple[str, ...]:
        return tuple(self._message.lists.get("wwwauth", ()))

    def _refuse_stale(self, acquirer: Acquirer) -> bool:
        """Drop the token that git was given a moment ago and a 401 refused.

        git >= 2.46 sends our state back when our last answer carried
        ``continue``; the state names the token by a keyed hash.
        """
        ours = [s for s in self._message.lists.get("state", ()) if s.startswith(STATE)]
        if not ours:
            return False
        name = ours[0].removeprefix(STATE)
        acquirer.refuse_hashed(
            self._rule, self._host, name, self._challenges(), self._request
        )
        if self._rule.identity.tenants:
            acquirer.forget_tenant(self._request)
        return True

    def _state(self, acquirer: Acquirer, token: Token) -> str:
        """Return the state for a cached token, so that a stale one heals at once."""
        if token.source != "cache" or not self._message.has("capability", "state"):
            return ""
        return acquirer.hashed(token)

    def render(self, token: Token, state: str, user: str) -> bytes:
        """Return what git is told: *token*, its *state*, whom the request named."""
        lines = []
        if bearer := self._wants_bearer():
            lines += ["capability[]=authtype"]
        if state:
            lines += ["capability[]=state"]
        if bearer:
            lines += ["authtype=Bearer", f"credential={token.value}", "ephemeral=1"]
        else:
            own = token.username or self._rule.identity.git_user
            name = self._rule.answer_user(own, user)
            lines += [f"username={name}", f"password={token.value}"]
        if token.expires_at is not None:
            lines.append(f"password_expiry_utc={token.expires_at}")
        if state:
            lines += ["continue=1", f"state[]={STATE}{state}"]
        return render(lines)

    def _wants_bearer(self) -> bool:
        """Tell whether git can carry a Bearer token and the host takes one."""
        if not self._message.has("capability", "authtype"):
            return False
        if self._rule.scheme:
            return self._rule.scheme == "bearer"
        preferred = self._message.get("authtype").lower()
        if preferred in ("basic", "bearer"):
            return preferred == "bearer"
        offered = self._challenges()
        first = {header.partition(" ")[0].lower() for header in offered}
        if not offered or "bearer" in first:
            return True
        if not any("bearer" in header.lower() for header in offered):
            return False
        from hushkey.net import challenges  # noqa: PLC0415 - a header may hold several

        return "bearer" in challenges.schemes(offered)
