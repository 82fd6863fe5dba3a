"""What an acquisition can end in, when it does not end in a token.

HushkeyError
 +-- UiRequired                 a person must sign in: no account, no token, grant gone
 |    +-- InteractionUnavailable   ... but nobody can see it here, or policy says never
 +-- Cancelled                  declined, or timed out; remembered for a minute
 +-- Transient                  network, captive portal, 429, 5xx: try again later
 +-- Permanent                  configuration, policy, trust, rejected client
 |    +-- ConfigError           the config file, with file, line and key
 +-- StoreError                 the keyring or the token files; `reason` says which way

Only UiRequired may lead to a browser. Every error renders as one line without
secrets: what happened, for whom, the server's code, and what to run next.
"""

# Characters that could move a terminal's cursor, forge a second line or turn
# the direction of what follows.
_CONTROL = dict.fromkeys([*range(32), *range(127, 160), 0x2028, 0x2029], " ")
_BIDI = [0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_CONTROL.update(dict.fromkeys(_BIDI, ""))


def plain(text: object, limit: int = 300) -> str:
    """Return *text* as one harmless line of at most *limit* characters."""
    # "replace": a path may hold bytes that are not UTF-8, which no stream takes.
    whole = str(text)[: 4 * limit].encode("utf-8", "replace").decode()
    line = " ".join(whole.translate(_CONTROL).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


class HushkeyError(Exception):
    """The root: *what* happened, and who it concerns.

    ``code`` is the server's error code and ``correlation`` its id for this
    exchange, both shown and never branched on outside the table that made the
    error; ``suberror`` refines the code (Entra), and ``claims`` is what a sign-in
    has to ask for to end it (JSON). ``hint`` is the next command or step.
    ``retry_after`` is in seconds.
    """

    code: "str | None"
    correlation: "str | None"
    retry_after: "float | None"

    def __init__(
        self,
        what: str,
        *,
        hint: str = "",
        code: "str | None" = None,
        correlation: "str | None" = None,
        retry_after: "float | None" = None,
        suberror: str = "",
        claims: str = "",
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
        self.host = host
        self.identity = identity
        self.account = account

    def about(
        self, *, host: str = "", identity: str = "", account: str = ""
    ) -> "HushkeyError":
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
    """Silence cannot do it: a person has to sign in."""


class InteractionUnavailable(UiRequired):
    """A sign-in is needed, and it may not or cannot happen here."""


class Cancelled(HushkeyError):
    """The person declined, or the time for the sign-in ran out."""


class Transient(HushkeyError):
    """A fault of network or server that another try may not meet."""


class Permanent(HushkeyError):
    """Trying again changes nothing: configuration, policy, trust."""


class ConfigError(Permanent):
    """The config file is refused as a whole; ``problems`` lists every fault."""

    problems: "tuple[str, ...]" = ()


class StoreError(HushkeyError):
    """Keyring or token files cannot serve.

    ``reason`` is one of absent, locked, denied, hung, broken, other-key,
    no-key, unwritable, foreign (another user's), open (others may write); ``path``
    is the file or folder that these two are about.
    """

    def __init__(
        self, reason: str, what: str, *, hint: str = "", path: str = ""
    ) -> None:
        super().__init__(what, hint=hint)
        self.reason = reason
        self.path = path


class AskElsewhere(BaseException):
    """In the agent: only the process that was called can go on from here.

    A person would have to be asked, or something is needed that the agent does not
    have. No HushkeyError and no Exception: it is nobody's outcome, and must pass
    through every helper. ``person`` tells that a person would be asked.
    """

    def __init__(self, *, person: bool = False) -> None:
        super().__init__()
        self.person = person
