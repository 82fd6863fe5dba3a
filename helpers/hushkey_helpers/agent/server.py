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
from functools import partial

from hushkey_helpers.agent import apart, connections, git_socket, protocol, renewal
from hushkey_helpers.agent.answers import Question, from_protocol, patience
from hushkey_helpers.agent.workers import THREADS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from hushkey_helpers.agent.answers import Answers, Reply
    from hushkey_helpers.agent.connections import Connection
    from hushkey_helpers.agent.memory import Memory
    from hushkey_helpers.agent.workers import Workers

#: clients at once; more are hung up on
MOST = 256
#: seconds between two looks at what goes by the clock
_TICK = 5.0
#: the same in the step of a job, which the agent ends with
_STEP_TICK = 1.0
#: seconds for which a question that needs a process waits for what is in its way
_PATIENCE = 0.5
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
        #: until when to wait for a process, the question, and what gets its answer
        self._held: list[tuple[float, Question, Done]] = []
        self._is_opening = False
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
        if self._held:
            wait = min(wait, max(0.0, self._held[0][0] - now))
        for descriptor, event in self._poll.poll(wait * 1000):
            if descriptor == self._workers.descriptor:
                self._workers.collect()
                self._take_up()
            elif descriptor in self._listeners:
                self._accept(*self._listeners[descriptor])
            elif descriptor in self._links:
                self._attend(self._links[descriptor], event)
        now = time.monotonic()
        for link in list(self._links.values()):
            self._look_at(link, now)
        if self._held and now >= self._held[0][0]:
            self._take_up()
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

    def _work(self, question: Question, done: Done, until: float = 0.0) -> None:
        """Let a worker answer *question*, and then *done*.

        What opens the store or asks a server does so in a process that ends with the
        answer: a fork, while no thread is in the middle of something. For that it
        waits a moment, *until* then, if it waits already.
        """
        if not apart.is_possible():
            self._workers.run(lambda: self._answers.slow(question), done)
        elif not (question.renews or question.opens):

            def next_step(result: object) -> None:
                if result is None and (question.renews or question.opens):
                    self._work(question, done)
                else:
                    done(result)

            self._workers.run(lambda: self._answers.light(question), next_step)
        else:
            now = time.monotonic()
            # Who opens the same file finds out for all.
            same = self._is_opening and not question.renews
            if (same or not self._is_free()) and (not until or now < until):
                self._held.append((until or now + _PATIENCE, question, done))
            else:
                self._work_apart(question, done)

    def _is_free(self) -> bool:
        """Tell whether a process can be made now, and a thread waits for it."""
        return not self._workers.at_work and self._workers.busy < THREADS

    def _work_apart(self, question: Question, done: Done) -> None:
        process = None
        if self._is_free():
            seconds = patience(question.environ)
            process = apart.begin(self._answers.apart(question), seconds)
        if process is None:
            self._workers.run(lambda: self._answers.slow(question), done)
            return
        opens = not question.renews
        self._is_opening |= opens

        def ended(result: object) -> None:
            self._is_opening &= not opens
            self._answers.quick(question)  # which notes what is in use by now
            done(result)

        job = partial(_heard, process, self._answers)
        self._workers.run(job, ended, waits=True)

    def _take_up(self) -> None:
        """Look again at what waits for a process: it may be known by now."""
        held, self._held = self._held, []
        for until, question, done in held:
            reply = self._answers.quick(question)
            if reply is None:
                self._work(question, done, until)
            else:
                done(reply)

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
        processes = [self._renewing(use) for use in due]
        for use, process in zip(due, processes, strict=True):
            self._counts["renewed"] += 1
            job = partial(_renewed, use, process, self._memory)
            self._workers.run(job, lambda _: None, waits=process is not None)

    def _renewing(self, use: ActiveToken) -> apart.Apart | None:
        """Return the process that renews *use*; None: a thread is to do it."""
        use.not_before = float("inf")  # until this one has ended
        # A machine's token may be in this memory only.
        if use.wanted.rule.identity.machine:
            return None
        own, seconds = self._memory.copy(), patience(use.environ)
        return apart.begin(lambda: renewal.apart(use, own, time.time()), seconds)


def _heard(process: apart.Apart, answers: Answers) -> Reply:
    return answers.heard(process.wait())


def _renewed(use: ActiveToken, process: apart.Apart | None, memory: Memory) -> None:
    if process is None:
        memory.uses.renew(use, memory, time.time())
    else:
        memory.uses.heard(use, process.wait(), memory)


if TYPE_CHECKING:
    from collections.abc import Callable

    from hushkey_helpers.agent.renewal import ActiveToken

    Check = Callable[[], str]
    Done = Callable[[object], None]
