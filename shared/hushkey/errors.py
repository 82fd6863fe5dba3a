"""What an acquisition can end in, when it does not end in a token.

HushkeyError
 +-- UiRequired                 a person must sign in: no account, no token, grant gone
 |    +-- InteractionUnavailable   ... but nobody can see it here, or policy says never
 +-- Cancelled                  declined, or timed out; remembered for a minute
 +-- Transient                  network, captive portal, 429, 5xx: try again later
 +-- Permanent                  configuration, policy, trust, rejected client
 |    +-- ConfigError           the config file, with file, line and key
 |    +-- Unheard               no answer was had at all: trust, a proxy, a URL
 +-- StoreError                 the keyring or the token files; `reason` says which way

Only UiRequired may lead to a browser. Every error renders as one line without
secrets: what happened, for whom, the server's code, and what to run next.
"""

from __future__ import annotations

#: what Python calls printable and no screen shows: fillers, joiners, selectors of a
#: variant (Unicode: Default_Ignorable_Code_Point), and the blanks among the symbols
_UNSEEN = (
    ("\u034f", "\u034f"),
    ("\u115f", "\u1160"),
    ("\u17b4", "\u17b5"),
    ("\u180b", "\u180f"),
    ("\u2800", "\u2800"),
    ("\u3164", "\u3164"),
    ("\ufe00", "\ufe0f"),
    ("\uffa0", "\uffa0"),
    ("\U00013441", "\U00013442"),
    ("\U0001d159", "\U0001d159"),
    ("\U000e0100", "\U000e01ef"),
)


def visible(text: str) -> str:
    """Return *text* with nothing but what a screen shows as itself.

    A control character could move a terminal's cursor, a separator forge a second
    line: each becomes a space. What shows nothing or changes how other text shows
    (bidirectional marks, zero-width and tag characters, soft hyphens, fillers,
    variation selectors, private and unassigned code points) is left out, and half
    of a surrogate pair, a byte of a file name that is no UTF-8, becomes `?`.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_seen, text.encode("utf-8", "replace").decode()))


def _seen(char: str) -> str:
    if char.isprintable():
        return "" if any(a <= char <= z for a, z in _UNSEEN) else char
    # Not printable below U+00A0: the control characters C0, DEL and C1.
    return " " if char < "\xa0" or char.isspace() else ""


def plain(text: object, limit: int = 300) -> str:
    """Return *text* as one harmless line of at most *limit* characters.

    Whatever came from outside (a URL, the config, a server, a file, a program)
    passes here, or `visible`, before a person sees it.
    """
    line = " ".join(visible(str(text)[: 4 * limit]).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def span(seconds: int) -> str:
    """Return a length of time as people say it."""
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 172800 else f"{seconds // 86400} days"


class HushkeyError(Exception):
    """The root: *what* happened, and who it concerns.

    ``code`` is the server's error code and ``correlation`` its id for this
    exchange, both shown and never branched on outside the table that made the
    error; ``suberror`` refines the code (Entra), and ``claims`` is what a sign-in
    has to ask for to end it (JSON). ``ended``: the refresh token that was sent is dead.
    ``hint`` is the next command or step.
    ``retry_after`` is in seconds.
    """

    #: how a command of ours ends with it (the table of `hushkey --help`)
    exit_code = 1

    code: str | None
    correlation: str | None
    retry_after: float | None

    def __init__(
        self,
        what: str,
        *,
        hint: str = "",
        code: str | None = None,
        correlation: str | None = None,
        retry_after: float | None = None,
        suberror: str = "",
        claims: str = "",
        ended: bool = False,
        host: str = "",
        identity: str = "",
        account: str = "",
    ) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.code = code
        self.correlation = correlation
        self.retry_after = retry_after
        self.suberror = suberror
        self.claims = claims
        self.ended = ended
        self.host = host
        self.identity = identity
        self.account = account

    def about(
        self, *, host: str = "", identity: str = "", account: str = ""
    ) -> HushkeyError:
        """Fill in whom this concerns, where nobody has said so yet."""
        self.host = self.host or host
        self.identity = self.identity or identity
        self.account = self.account or account
        return self

    def line(self) -> str:
        """Return the one line a person reads."""
        about = [
            f"{name} {value}"
            for name, value in (
                ("host", self.host),
                ("identity", self.identity),
                ("account", self.account),
                ("error", self.code),
                ("correlation id", self.correlation),
            )
            if value
        ]
        text = self.what + (f" ({', '.join(about)})" if about else "")
        return plain(text, 600) + (f"; {plain(self.hint)}" if self.hint else "")

    def __str__(self) -> str:
        return self.line()


class UiRequired(HushkeyError):
    """Silence cannot do it: a person has to sign in.

    ``refused``: for no other reason than that a host refused a token which lives.
    """

    refused = False

    exit_code = 3


class InteractionUnavailable(UiRequired):
    """A sign-in is needed, and it may not or cannot happen here."""


class Cancelled(HushkeyError):
    """The person declined, or the time for the sign-in ran out."""

    exit_code = 3


class Transient(HushkeyError):
    """A fault of network or server that another try may not meet."""

    exit_code = 4


class Permanent(HushkeyError):
    """Trying again changes nothing: configuration, policy, trust."""


class ConfigError(Permanent):
    """The config file is refused as a whole; ``problems`` lists every fault."""

    exit_code = 5

    problems: tuple[str, ...] = ()


class Unheard(Permanent):
    """A server gave no answer, and trying again changes nothing: trust, proxy, URL."""


#: why keyring or token files cannot serve
REASONS = (
    *("absent", "broken", "denied", "foreign", "hung", "locked"),
    *("newer", "no-key", "open", "other-key", "unwritable"),
)


class StoreError(HushkeyError):
    """Keyring or token files cannot serve; ``reason`` is one of `REASONS`.

    ``path`` is the file or folder that is foreign (another user's), open (others may
    write it) or unwritable.
    """

    exit_code = 6

    def __init__(
        self, reason: str, what: str, *, hint: str = "", path: str = ""
    ) -> None:
        super().__init__(what, hint=hint)
        self.reason = reason
        self.path = path


class NeedsCaller(BaseException):
    """In the agent: only the process that was called can go on from here.

    A person would have to be asked, or something is needed that the agent does not
    have. No HushkeyError and no Exception: it is nobody's outcome, and must pass
    through every helper. ``person`` tells that a person would be asked.
    """

    def __init__(self, *, person: bool = False) -> None:
        super().__init__()
        self.person = person
