"""One question to the agent, and what the helpers' own functions say to it.

A question is tried quickly first: whatever would have to wait for a lock, a keyring
or a server breaks it off, and it is asked again where waiting is allowed.
"""

from __future__ import annotations

import time

from hushkey import runtime
from hushkey.config import rules
from hushkey.errors import HushkeyError, NeedsCaller, plain
from hushkey_helpers.agent import protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from hushkey_helpers.agent.memory import Memory

    Reply = tuple[bytes, ...]
    Answerer = Callable[[list[str], Callable[[], bytes], Mapping[str, str]], Any]


class Surroundings(dict[str, str]):
    """The caller's environment, as far as it came along.

    Whoever needs more of it than comes along for *tool* has to be in the caller's
    process. A proxy may have a password in it, so nothing of it is shown.
    """

    __repr__ = object.__repr__

    def __init__(
        self,
        pairs: Iterable[tuple[str, str]] = (),
        tool: str = "",
        names: Iterable[str] = (),
    ) -> None:
        self._names = frozenset(names or protocol.forwarded(tool))
        super().__init__((n, value) for n, value in pairs if n in self._names)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the variable *name*, if it is one that came along."""
        return super().get(self._known(name), default)

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(self._known(name))

    def __contains__(self, name: object) -> bool:
        return super().__contains__(self._known(name))

    def _known(self, name: Any) -> Any:
        if name not in self._names:
            raise NeedsCaller
        return name


class Question:
    """What one client asked: the process ``asker``, at ``began`` (epoch seconds)."""

    __slots__ = (
        *("argv", "asker", "began", "data", "elsewhere", "environ"),
        *("installation", "opens", "renews", "tool"),
    )

    def __init__(self, fields: list[bytes], began: float, asker: int = 0) -> None:
        """Take a frame apart; raises protocol.Garbage."""
        texts = (f.decode("utf-8", "surrogateescape") for f in fields[2:])
        try:
            self.installation, self.data = fields[:2]
            self.tool, number = next(texts), int(next(texts))
            self.argv = [next(texts) for _ in range(number)]
        except (ValueError, StopIteration, RuntimeError):
            raise protocol.Garbage("not a question") from None
        self.environ = Surroundings(_pairs(texts), self.tool)
        self.began = began
        self.asker = asker
        #: it was found that the answer needs a server's new token
        self.renews = False
        #: or what is sealed
        self.opens = False
        #: the caller's way to a server is not the agent's
        self.elsewhere = False

    def key(self) -> object:
        """Return what is the same for questions that have the same answer."""
        environ = tuple(sorted(self.environ.items()))
        return self.tool, tuple(self.argv), self.data, environ


def _pairs(texts: Iterator[str]) -> Iterator[tuple[str, str]]:
    for text in texts:
        name, _, value = text.partition("=")
        yield name, value


class Answers:
    """Answers questions by *tools*: the `answer` functions of the helpers."""

    def __init__(
        self,
        tools: Mapping[str, Answerer],
        memory: Memory,
        environ: Mapping[str, str],
    ) -> None:
        self._tools = tools
        self._memory = memory
        self._installation = protocol.installation()
        names = (*protocol.PLACE_VARS, "HUSHKEY_AGENT")
        self._own = Surroundings(environ.items(), names=names)
        #: `protocol.number` of this agent
        self.number = protocol.number(environ)
        self._facts = {name: environ.get(name) for name in protocol.IDENTITY_VARS}
        self._network = {name: environ.get(name) for name in protocol.NETWORK_VARS}
        #: why this agent has had its time; nothing: it goes on
        self.over = ""

    def quick(self, question: Question) -> Reply | None:
        """Return what can be said without waiting; None: more than that is needed.

        *question* is told whether that is a server's new token.
        """
        if not self._is_for_us(question):
            return (protocol.NOT_OURS,)
        try:
            return self._said(question, quick=True)
        except runtime.WouldBlock as need:
            found = question.environ.get
            question.elsewhere = any(found(n) != v for n, v in self._network.items())
            question.renews = isinstance(need, runtime.WouldRenew)
            return self._passed_on(question)

    def own(self, tool: str, verb: str, data: bytes, began: float) -> Question:
        """Return a question that comes without an environment: it has the agent's."""
        made = Question([self._installation, data, tool.encode(), b"0"], began)
        made.argv, made.environ = [verb], self._own
        return made

    def known(self, question: Question) -> Reply | None:
        """Return what can be said at once to a caller that sends no environment."""
        if self._is_replaced():
            return None
        try:
            return self._said(question, quick=True)
        except runtime.WouldBlock:
            return None

    def light(self, question: Question) -> Reply | None:
        """Return what can be said without what a process of its own is for.

        That is a server's new token or the data key; None: *question* is told which.
        """
        return self._without_server(question, opens=False)

    def _without_server(self, question: Question, *, opens: bool) -> Reply | None:
        try:
            return self._said(question, quick=False, renews=False, opens=opens)
        except runtime.WouldRenew:
            question.renews = True
            return self._passed_on(question)
        except runtime.WouldOpen:
            question.opens = True
            return None

    def slow(self, question: Question) -> Reply:
        """Return the answer, however long it takes."""
        if question.elsewhere:
            found = self._without_server(question, opens=True)
            return found or (protocol.NOT_OURS,)
        return self._said(question, quick=False)

    def apart(self, question: Question) -> Callable[[], bytes]:
        """Return what finds the answer in a process that has nothing else to do.

        It shares no lock with the threads of the one that it comes from. What it
        returns is for `heard`.
        """
        memory = self._memory.copy()

        def job() -> bytes:
            self._memory = memory
            reply = self.slow(question)
            return protocol.frame(*reply) + memory.learned()

        return job

    def heard(self, said: bytes) -> Reply:
        """Return the answer that a process found, and remember what it learned."""
        if not said:
            return (protocol.NOT_OURS,)
        size = protocol.size(said[: protocol.HEADER])
        self._memory.learn(said[size:])
        return tuple(protocol.fields(said[:size]))

    def _passed_on(self, question: Question) -> Reply | None:
        """Leave it to the caller to ask a server that the agent reaches otherwise.

        What is stored is the same for both; None: the agent goes on.
        """
        if question.renews and question.elsewhere:
            return (protocol.NOT_OURS,)
        return None

    def _is_for_us(self, question: Question) -> bool:
        """Tell whether this agent is of the caller's hushkey, files and keyring."""
        if question.installation != self._installation:
            self._is_replaced()
            return False
        return all(self._is_same(question, name) for name in self._facts)

    def _is_replaced(self) -> bool:
        """Tell whether the same place has another content: then our time is over."""
        if protocol.installation() == self._installation:
            return False
        self.over = "another hushkey was installed"
        return True

    def _is_same(self, question: Question, name: str) -> bool:
        """Tell whether the caller's variable *name* says what the agent's own does.

        tox, cron and ssh strip the session's: the caller sees no keyring, but has
        the same files, and found us where the session's agent is.
        """
        value = question.environ.get(name)
        stripped = not value and name in protocol.SESSION_VARS
        return stripped or value == self._facts[name]

    def _said(
        self,
        question: Question,
        *,
        quick: bool,
        renews: bool = True,
        opens: bool = True,
    ) -> Reply:
        answer = self._tools.get(question.tool)
        if answer is None:
            return (protocol.ERROR,)
        here = runtime.AgentContext(
            self._memory,
            question.began,
            quick=quick,
            renews=renews,
            opens=opens,
            asker=question.asker,
        )
        try:
            with here:
                if not self._is_wanted(question.environ):
                    return (protocol.NOT_OURS,)
                result = answer(question.argv, lambda: question.data, question.environ)
        except NeedsCaller as need:
            return (protocol.UI if need.person else protocol.NOT_OURS,)
        except HushkeyError as error:
            return _answered(1, b"", [*here.lines, error.line()])
        except Exception:
            return (protocol.ERROR,)  # the caller's own process says what it was
        if getattr(result, "instead", ()):
            return (protocol.NOT_OURS,)
        return _answered(result.code, result.out, [*here.lines, *result.lines])

    def _is_wanted(self, environ: Mapping[str, str]) -> bool:
        """Tell whether the config lets an agent answer; the switch counts more."""
        if environ.get("HUSHKEY_AGENT", "") == "on":
            return True
        try:
            wanted = rules.load(environ).settings["agent"]
        except HushkeyError:
            return True  # the answer says what is wrong
        if not wanted:
            self.over = "the config wants no agent"
        return bool(wanted)


def _answered(code: int, out: bytes, lines: list[str]) -> Reply:
    text = "".join(f"hushkey: {plain(line, 1000)}\n" for line in lines)
    return protocol.ANSWERED, str(code).encode(), out, text.encode("utf-8", "replace")


#: a lock, a token and what a host takes for it: each may take `silent_timeout`
_WAITS = 3
_LEAST = 90.0


def patience(environ: Mapping[str, str]) -> float:
    """Return the seconds after which a process that asks a server must be stuck.

    Ended earlier, it could lose a refresh token that its server has just replaced.
    """
    try:
        return max(
            _LEAST, _WAITS * float(rules.load(environ).settings["silent_timeout"])
        )
    except (HushkeyError, NeedsCaller):
        return _LEAST


def from_protocol(fields: list[bytes], asker: int) -> Question:
    """Return what the process *asker* asks just now; raises protocol.Garbage."""
    return Question(fields, time.time(), asker)
