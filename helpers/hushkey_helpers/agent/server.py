"""The agent's loop: many clients at once, and nobody can hold it up.

Quick answers are given in the loop itself. What takes time goes to a worker, and its
client hears a sign of life every second until it ends. Questions that have the same
answer do not each take a worker: the first one works, the others ask again quickly
when it is done. Whatever cannot be served is hung up on: the client's own process
gives the answer.
"""

from __future__ import annotations

import select
import time

from hushkey_helpers.agent import apart, connections, git_socket, protocol, renewal
from hushkey_helpers.agent.answers import Question, from_protocol, patience
from hushkey_helpers.agent.memory import Memory, Watch
from hushkey_helpers.agent.renewal import RenewalSchedule
from hushkey_helpers.agent.workers import THREADS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from hushkey_helpers.agent.answers import Answers, Reply
    from hushkey_helpers.agent.connections import Connection
    from hushkey_helpers.agent.workers import Workers

#: clients at once; more are hung up on
MOST = 256
#: seconds between two looks at what goes by the clock
_TICK = 5.0
#: the same in the step of a job, which the agent ends with
_STEP_TICK = 1.0
#: seconds for what is under way to end, when the agent is to end
_LAST_WAIT = 90.0


class Server:
    """Serves the two sockets until there is a reason to end.

    *idle* is after how many seconds without a question; *check* returns another
    reason, or nothing, and is asked every few seconds, and more
    often in the *step* of a job.
    """

    def __init__(
        self,
        sockets: dict[str, socket.socket],
        answers: Answers,
        memory: Memory,
        workers: Workers,
        *,
        idle: float,
        check: Check,
        step: bool = False,
    ) -> None:
        self._listeners = {s.fileno(): (kind, s) for kind, s in sockets.items()}
        self._answers = answers
        self._memory = memory
        self._workers = workers
        self._idle = idle
        self._check = check
        self._step = step
        self._links: dict[int, Connection] = {}
        self._waiting: dict[object, list[Connection]] = {}
        self._poll = select.poll()
        self._began = self._used = self._ticked = time.monotonic()
        self._counts = {"answered": 0, "passed on": 0, "renewed": 0}
        self.over = ""

    def run(self) -> str:
        """Serve; return why it is over."""
        for descriptor in (*self._listeners, self._workers.descriptor):
            self._poll.register(descriptor, select.POLLIN)
        while not self.over:
            self._turn()
        for descriptor, (_, listener) in self._listeners.items():
            self._poll.unregister(descriptor)
            listener.close()
        self._listeners.clear()
        # What a server was just asked must still be saved.
        end = time.monotonic() + _LAST_WAIT
        while (self._workers.busy or self._links) and time.monotonic() < end:
            self._turn()
        return self.over

    def _turn(self) -> None:
        now = time.monotonic()
        wait = protocol.HEARTBEAT if self._links else self._tick_seconds()
        for descriptor, event in self._poll.poll(wait * 1000):
            if descriptor == self._workers.descriptor:
                self._workers.collect()
            elif descriptor in self._listeners:
                self._accept(*self._listeners[descriptor])
            elif descriptor in self._links:
                self._attend(self._links[descriptor], event)
        now = time.monotonic()
        for link in list(self._links.values()):
            self._look_at(link, now)
        if now - self._ticked >= self._tick_seconds() or self._answers.over:
            self._ticked = now
            self._tick(now)

    def _tick_seconds(self) -> float:
        return min(_STEP_TICK, _TICK) if self._step else _TICK

    def _tick(self, now: float) -> None:
        if now - self._used > self._idle and not self._workers.busy:
            self.over = "nobody asked for a while"
        self.over = self.over or self._answers.over or self._check()
        if not self.over:
            self._renew()

    # -- connections --------------------------------------------------------------

    def _accept(self, kind: str, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        if len(self._links) >= MOST or not connections.is_mine(connection):
            connection.close()
            return
        connection.setblocking(False)
        make = connections.Connection if kind == "agent" else connections.GitLink
        link = make(connection, time.monotonic())
        self._links[link.fileno()] = link
        self._poll.register(link.fileno(), select.POLLIN)
        self._attend(link, select.POLLIN)  # mostly it has been said already

    def _attend(self, link: Connection, event: int) -> None:
        try:
            if event & select.POLLOUT:
                link.flush()
            elif link.question is None and not link.is_full:
                if (data := link.arrived()) is not None:
                    self._ask(link, data)
            elif event & ~select.POLLOUT:
                self._hang_up(link)  # nobody waits for the answer any more
                return
        except (OSError, ValueError):
            self._hang_up(link)
            return
        self._settle(link)

    def _settle(self, link: Connection) -> None:
        """Close a connection that is done, else listen for what it can do next."""
        if link.is_done:
            self._hang_up(link)
        elif link.fileno() in self._links:
            events = select.POLLOUT if link.is_full else select.POLLIN
            self._poll.modify(link.fileno(), events)

    def _look_at(self, link: Connection, now: float) -> None:
        if now > link.until:
            self._hang_up(link)
        elif link.heartbeat and now >= link.heartbeat:
            self._say(link, (protocol.WORKING,), last=False)
            link.heartbeat = now + protocol.HEARTBEAT

    def _say(self, link: Connection, reply: Reply, *, last: bool = True) -> None:
        if link.fileno() not in self._links:
            return  # it has hung up meanwhile
        try:
            link.say(*reply, now=time.monotonic(), last=last)
        except OSError:
            self._hang_up(link)
        else:
            self._settle(link)

    def _hang_up(self, link: Connection) -> None:
        if self._links.pop(link.fileno(), None):
            self._poll.unregister(link.fileno())
        link.close()

    # -- questions ------------------------------------------------------------------

    def _ask(self, link: Connection, data: bytes) -> None:
        if isinstance(link, connections.GitLink):
            text = git_socket.answer(data, self._answers, time.time())
            if text:
                self._count("answered")
            link.give(text, time.monotonic())
            return
        asker, _ = connections.peer(link.connection) or (0, 0)
        link.question = question = from_protocol(protocol.fields(data), asker)
        if question.tool == "agent":
            self._say(link, self._about_itself(question))
        else:
            self._serve(link, question)

    def _serve(self, link: Connection, question: Question) -> None:
        """Answer *question*, now or when a worker has done with it."""
        reply = self._answers.quick(question)
        if reply is not None:
            self._finish(link, reply)
            return
        now = time.monotonic()
        link.until = float("inf")  # the work has its own deadlines
        link.heartbeat = now + protocol.HEARTBEAT
        self._say(link, (protocol.WORKING,), last=False)
        key = question.key()
        if key in self._waiting:
            self._waiting[key].append(link)
            return
        self._waiting[key] = []

        def done(result: object) -> None:
            found: Reply = result if isinstance(result, tuple) else (protocol.ERROR,)
            self._finish(link, found)
            for other in self._waiting.pop(key):
                if found[0] != protocol.ANSWERED:
                    self._finish(other, found)  # their processes look for themselves
                elif other.question and other.fileno() in self._links:
                    self._serve(other, other.question)

        self._work(question, done)

    def _work(self, question: Question, done: Callable[[object], None]) -> None:
        """Let a worker answer *question*, and then *done*.

        What asks a server is loaded in a process that ends with the answer, if no
        thread is in the middle of something.
        """
        if not question.renews and apart.is_possible():

            def next_step(result: object) -> None:
                if result is None and question.renews:
                    self._work(question, done)
                else:
                    done(result)

            self._workers.run(lambda: self._answers.stored(question), next_step)
            return
        process = None
        if not self._workers.busy:
            seconds = patience(question.environ)
            process = apart.begin(lambda: self._answers.apart(question), seconds)

        def work() -> object:
            if process is None:
                return self._answers.slow(question)
            said = process.wait()
            return tuple(protocol.fields(said)) if said else (protocol.NOT_OURS,)

        self._workers.run(work, done)

    def _finish(self, link: Connection, reply: Reply) -> None:
        link.heartbeat = 0.0
        if reply[0] == protocol.ANSWERED:
            self._count("answered")
        else:
            self._counts["passed on"] += 1
        self._say(link, reply)

    def _count(self, what: str) -> None:
        self._counts[what] += 1
        self._used = time.monotonic()

    def _about_itself(self, question: Question) -> Reply:
        """Answer `hushkey agent`: how it is, or that it ends."""
        if question.argv == ["stop"]:
            self.over = "it was told to"
        elif question.argv == ["forget"]:
            self._memory.forget()
        elif question.argv != ["status"]:
            return (protocol.ERROR,)
        facts = {
            "seconds": int(time.monotonic() - self._began),
            "tokens": self._memory.count(),
            "clients": len(self._links) - 1,
            **self._counts,
        }
        text = "".join(f"{name}={value}\n" for name, value in facts.items())
        return protocol.ANSWERED, b"0", text.encode(), b""

    def _renew(self) -> None:
        due = self._memory.uses.due(time.time())
        if apart.is_possible() and due:
            if self._workers.busy:
                return  # a moment later
            due = due[:THREADS]
        jobs = [self._renewal(use) for use in due]
        for job in jobs:
            self._counts["renewed"] += 1
            self._workers.run(job, lambda _: None)

    def _renewal(self, use: ActiveToken) -> Callable[[], None]:
        """Return what renews *use* in a worker; all its forks are made by then."""
        uses = self._memory.uses
        use.not_before = float("inf")  # until this one has ended
        process = None
        # A machine's token may be in this memory only.
        if not use.wanted.rule.identity.machine:
            own = Memory(Watch(), RenewalSchedule())
            seconds = patience(use.environ)
            process = apart.begin(lambda: renewal.apart(use, own, time.time()), seconds)

        def renew() -> None:
            if process is None or uses.heard(use, process.wait()):
                uses.renew(use, self._memory, time.time())

        return renew


if TYPE_CHECKING:
    from collections.abc import Callable

    from hushkey_helpers.agent.renewal import ActiveToken

    Check = Callable[[], str]
