"""Where a token comes from on a machine that somebody has reached by `hushkey forward`.

The socket leads to the machine on which the person sits. It is asked for hosts that
nobody here has a token for: for those without a rule, and before a sign-in that a rule
needs. Nothing of an answer is kept here but a hash, so that git's `store` is known to
bring the same token back. Whoever asks first asks quietly; who asks, and whether a
person waits, is worked out only if the other side needs one.
"""

from __future__ import annotations

import os
import time

from hushkey import origins, runtime
from hushkey.config import audited, rules
from hushkey.errors import (
    ConfigError,
    HushkeyError,
    InteractionUnavailable,
    Permanent,
    Transient,
    plain,
)
from hushkey.model import FORWARDED, Account, Frozen, HostRule, Identity, Request, Token
from hushkey.net import forwarding
from hushkey.system import ownership, paths
from hushkey.trace import event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hushkey.tokenrequest import PromptOptions

_VARIABLE = "HUSHKEY_UPSTREAM"
#: seconds to connect, and between two signs of life
_PATIENCE = 5.0
#: seconds for everything: no more than a person has there, and some
_LONGEST = 900.0
#: seconds in which a host that is none of the other side's is not asked for again
_UNKNOWN = 10
#: how long (seconds) and how many tokens are known again when git brings them
_GIVEN, _MOST = 86_400.0, 256


class Forwarded(Frozen):
    """A token from the other side, with the rule as which it is answered here."""

    _secret = ("token",)
    token: Token
    rule: HostRule

    @property
    def username(self) -> str:
        """The user name that goes with it; the other side's word."""
        return self.token.username


def find(
    request: Request,
    environ: Mapping[str, str],
    tool: str,
    options: Callable[[], PromptOptions],
    warn: Callable[[str], None] = runtime.warn,
    *,
    passes_on: bool = False,
) -> Forwarded | None:
    """Return the token for *request* from the other side; None: it has none.

    *options* returns the calling *tool*'s, which say whether a person may be asked
    there. Where nobody answers, or in another version of the protocol, *warn* is told
    so in a line. *passes_on*: it is for another machine, and no tool of this one gets
    it. Raises Permanent with the
    other side's line where it refuses, InteractionUnavailable.
    """
    origin = origins.parse_origin(request.protocol, request.host)
    plain_http = request.protocol != "https"
    if plain_http or origin is None or not paths.may_have_upstream(environ):
        return None
    runtime.ensure_in_caller()
    shown = origins.origin_text(request.protocol, *origin)
    asked = Request("https", shown, request.path, request.username)
    try:
        if not (socket := paths.upstream(environ)):
            return None
        kind, words = _answer(socket, asked, environ, tool, options, warn)
    except ConfigError as error:
        _nobody(error, warn)
        return None
    except OSError as error:
        if isinstance(error, ConnectionRefusedError) and not environ.get(_VARIABLE):
            _remove(socket)  # what a lost connection left is in nobody's way
        why = error.strerror or "timed out"
        what = f"the machine that `hushkey forward` runs on does not answer ({why})"
        hint = f"connect again with `hushkey forward`, or set {_VARIABLE}=off"
        _nobody(Transient(what, hint=hint), warn)
        return None
    except forwarding.OtherVersion as error:
        _nobody(Permanent(f"the forward's other side: {error}"), warn)
        return None
    except forwarding.Garbage as error:
        raise Permanent(f"the forward's other side: {error}", host=shown) from None
    if kind == forwarding.UNKNOWN:
        return None
    if kind == forwarding.ERROR:
        line = plain(words.get("line", "it gives no reason"), 500)
        raise Permanent(f"where you sit, hushkey says: {line}", host=shown)
    found = _forwarded(shown, words)
    _note_given(found.token.value, environ)
    event("forwarded", host=shown)
    if not passes_on:
        audited.given(
            environ,
            audited.FORWARDED,
            tool=tool,
            host=shown,
            path=request.path,
            account=found.username,
            expires=found.token.expires_at,
        )
    return found


def _answer(
    socket: str,
    asked: Request,
    environ: Mapping[str, str],
    tool: str,
    options: Callable[[], PromptOptions],
    warn: Callable[[str], None],
) -> tuple[str, Mapping[str, str]]:
    """Return kind and words of the answer; raises Garbage, OSError, UiRequired."""
    unknown = _Unknown(socket, asked, environ)
    if unknown.is_noted():
        return forwarding.UNKNOWN, {}
    question = forwarding.Question(tool, asked, _machine())
    kind, words = _asked(socket, question, warn)
    if kind == forwarding.PERSON:
        around = options()
        if reason := _no_person(environ, around):
            raise InteractionUnavailable(
                f"a sign-in or a consent is needed where you sit, but {reason}",
                host=asked.host,
            )
        question = question.changed(command=around.command(), person=True)
        kind, words = _asked(socket, question, warn)
    if kind == forwarding.UNKNOWN:
        unknown.note()
    return kind, words


def _nobody(error: HushkeyError, warn: Callable[[str], None]) -> None:
    """Say why nobody was asked: whoever called goes on as without a forward."""
    event("failed", error=error)
    warn(error.line())


def gave(secret: str, environ: Mapping[str, str]) -> bool:
    """Tell whether *secret* came from the other side, so that nobody keeps it here."""
    folder = _given_folder(environ)
    return os.path.isdir(folder) and os.path.exists(_given_file(folder, secret))


def rejected(
    request: Request, environ: Mapping[str, str], tool: str, name: str
) -> None:
    """Tell the other side that the host refused its token, as git tells us.

    *name* is the token's (`forwarding.named`): the socket may lead to somebody else by
    now. Nothing is said where no such token came from there, nor of what goes wrong.
    """
    if not os.path.exists(os.path.join(_given_folder(environ), name)):
        return
    origin = origins.parse_origin(request.protocol, request.host)
    if request.protocol != "https" or origin is None:
        return
    shown = origins.origin_text(request.protocol, *origin)
    asked = Request("https", shown, request.path, request.username)
    try:
        if socket := paths.upstream(environ):
            question = forwarding.Question(tool, asked, _machine(), refused=name)
            _asked(socket, question, lambda _: None)
    except (ConfigError, OSError, forwarding.Garbage):
        return


def _forwarded(host: str, words: Mapping[str, str]) -> Forwarded:
    token, user = words.get("token", ""), words.get("username", "")
    expires = words.get("expires", "")
    if not token or not user or not (expires.isdigit() or not expires):
        raise Permanent("the forward's other side gave half an answer", host=host)
    scheme = words.get("scheme", "")
    return Forwarded(
        Token(
            token,
            expires_at=int(expires) if expires else None,
            obtained_at=int(time.time()),
            scopes=(),
            account=Account("", ""),
            source=FORWARDED,
            username=user,
        ),
        HostRule(
            host,
            Identity(FORWARDED, FORWARDED),
            scheme=scheme if scheme in ("basic", "bearer") else "",
            username=user,
        ),
    )


def _no_person(environ: Mapping[str, str], options: PromptOptions) -> str:
    """Return why nobody may be asked, or nothing; a display here does not count."""
    from hushkey.signin import policy  # noqa: PLC0415 - seldom

    settings = rules.load(environ).settings
    around = policy.prompt_environment(
        environ,
        terminal=True,
        tool_may_ask=options.tool_may_ask,
        settings_mode=settings["interactive"],
        interactive=options.interactive(),
        unattended=options.unattended(),
    )
    return policy.decide(around.changed(browser=True)).reason


def _machine() -> str:
    try:
        return plain(os.uname().nodename, 80)
    except (AttributeError, OSError):
        return ""


# -- the line --------------------------------------------------------------------


def _asked(
    path: str, question: forwarding.Question, warn: Callable[[str], None]
) -> tuple[str, Mapping[str, str]]:
    """Return kind and words of the answer; raises Garbage, OSError.

    *warn* is told the first line that comes before it.
    """
    import _socket  # 3 ms less than socket, where there is an upstream

    data = question.bytes()
    if len(data) > forwarding.QUESTION_BYTES:
        raise forwarding.Garbage("the question is too long")
    end = time.monotonic() + runtime.left(_LONGEST)
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        link.settimeout(_PATIENCE)
        link.connect(path)
        try:  # noqa: SIM105 - contextlib costs more than the answer may
            link.sendall(data)
        except BrokenPipeError:
            pass  # it was refused unread, and is told why
        rest, told = bytearray(), False
        while time.monotonic() < end:
            at = rest.find(b"\n\n") + 2
            if at < 2:
                if len(rest) > forwarding.ANSWER_BYTES:
                    raise forwarding.Garbage("the answer is too long")
                link.settimeout(max(0.001, min(_PATIENCE, end - time.monotonic())))
                piece = link.recv(65536)
                if not piece:
                    raise ConnectionResetError(0, "the connection was cut")
                rest += piece
                continue
            whole, rest = bytes(rest[:at]), rest[at:]
            kind, words = forwarding.parse(whole, forwarding.ANSWER_BYTES)
            if kind in (forwarding.GET, forwarding.REJECTED):
                raise forwarding.Garbage("a question instead of an answer")
            if kind != forwarding.WORKING:
                return kind, words
            if not told and (line := words.get("line")):
                warn(f"where you sit: {plain(line, 300)}")
                told = True
        raise TimeoutError(0, "it took too long")
    finally:
        link.close()


# -- what is remembered ------------------------------------------------------------


class _Unknown:
    """The note that a host is none of the other side's, for as long as it is that."""

    def __init__(
        self, socket: str, request: Request, environ: Mapping[str, str]
    ) -> None:
        folder = os.path.join(paths.data_folder(environ), "state", "upstream-unknown")
        status = os.lstat(socket)
        text = f"{socket} {status.st_ino} {status.st_mtime_ns} {request.host}"
        text += f"/{request.path} {request.username}"
        self._path = os.path.join(folder, forwarding.named(text))

    def is_noted(self) -> bool:
        """Tell whether that was said a moment ago."""
        try:
            return 0 <= time.time() - os.stat(self._path).st_mtime < _UNKNOWN
        except OSError:
            return False

    def note(self) -> None:
        """Remember it, as far as there is a place for that."""
        _note(self._path, _UNKNOWN)


def _note_given(secret: str, environ: Mapping[str, str]) -> None:
    path = _given_file(_given_folder(environ), secret)
    try:
        if 0 <= time.time() - os.stat(path).st_mtime < _GIVEN / 2:
            return
    except OSError:
        pass
    _note(path, _GIVEN)


def _note(path: str, seconds: float) -> None:
    """Let the empty file *path* be of now; where that cannot be, do without it.

    Of many, those older than *seconds* go.
    """
    folder = os.path.dirname(path)
    try:
        ownership.make_inside(folder)
        os.close(ownership.create(path, os.O_TRUNC))
        os.utime(path)
        if len(os.listdir(folder)) <= _MOST:
            return
    except (OSError, HushkeyError):
        return
    from hushkey.system import cachefile  # noqa: PLC0415 - json, for many only

    cachefile.trim(folder, seconds, _MOST, time.time())


def _remove(path: str) -> None:
    try:  # noqa: SIM105 - see above
        os.unlink(path)
    except OSError:
        pass


def _given_folder(environ: Mapping[str, str]) -> str:
    return os.path.join(paths.data_folder(environ), "state", "upstream-given")


def _given_file(folder: str, secret: str) -> str:
    return os.path.join(folder, forwarding.named(secret))
