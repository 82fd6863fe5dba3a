"""Doctor on the servers, for `--probe` only: whether they answer, and their clocks.

Each is asked without a credential: an identity server for its metadata, a host for
the headers of its first page.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from hushkey import origins
from hushkey.errors import HushkeyError, plain, span
from hushkey.model import HostRule
from hushkey.providers import registry
from hushkey_install.common import probe
from hushkey_install.common.context import Context
from hushkey_install.common.finding import FINE, PROBLEM, Finding
from hushkey_install.tools.installation import Installation

#: seconds by which a server's clock may differ from ours: what ID tokens are given
_SKEW = 60
#: how a server shows a client that it does not know (RFC 6749 4.1.2.1)
_REFUSED = (400, 401, 403, 404)
#: servers that are asked at once; each has the deadline of `silent_timeout`
_AT_ONCE = 8
#: where addresses, `proxy` and `ca_file` are written
_EDIT = "hushkey config edit"


class _Answer(NamedTuple):
    """What one server said: *date* as its header has it, or why there is nothing."""

    address: str
    identity: str
    line: str = ""
    date: str = ""
    error: HushkeyError | None = None
    #: the HTTP status for our client's sign-in, 0 where that is not known
    client: int = 0


def check(installation: Installation) -> Iterator[Finding]:
    """Yield servers that give no answer, and that this machine's clock is off."""
    context = installation.context
    if context is None:
        return
    questions = list(_questions(context))
    if not questions:
        return
    began = time.time()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = list(pool.map(lambda ask: ask(), questions))
    failed = [answer for answer in answers if answer.error is not None]
    if len(failed) == len(answers) > 1:  # the network, a proxy, certificates: one cause
        names = ", ".join(answer.address for answer in failed)
        text = f"no server gives an answer ({names}): {_why(failed[0])}"
        yield Finding("server-silent", PROBLEM, text, _EDIT)
    else:
        for answer in failed:
            text = f"{answer.address} gives no answer: {_why(answer)}"
            yield Finding("server-silent", PROBLEM, text, _EDIT)
    for answer in answers:
        if answer.error is None:
            text = f"{answer.address}: {plain(answer.line, 200)}"
            yield Finding("server-answers", FINE, text)
        if answer.client in _REFUSED:
            yield _unknown_client(context, answer)
    yield from _clock(answers, began)


def _questions(context: Context) -> Iterator[Callable[[], _Answer]]:
    """Yield what asks each identity server and each host of the user's once."""
    settings, environ = context.config.settings, context.environ
    asked: dict[str, Callable[[], _Answer]] = {}
    for rule, written in context.own_rules():
        identity = rule.identity
        if not identity.typed and registry.SPECS[identity.provider].open_id:
            issuer = identity.issuer

            def ask(issuer: str = issuer, rule: HostRule = rule) -> _Answer:
                found = _asked(
                    issuer,
                    rule.identity.name,
                    lambda: (probe.issuer(issuer, settings, environ).line(), ""),
                )
                if found.error is None:
                    with suppress(HushkeyError):  # what it lacks is no client's fault
                        status = probe.client_status(rule, settings, environ)
                        return found._replace(client=status)
                return found

            asked.setdefault(f"{issuer} {identity.client_id}", ask)
        pattern = origins.parse_pattern(written)
        if pattern.wild or pattern.scheme != "https":
            continue
        where = origins.origin_text(pattern.scheme, pattern.host, pattern.port)
        url = f"https://{where}/"

        def look(url: str = url, name: str = identity.name) -> _Answer:
            def head() -> tuple[str, str]:
                found = probe.host(url, settings, environ)
                return found.line(), found.date

            return _asked(url, name, head)

        asked.setdefault(url, look)
    yield from asked.values()


def _asked(address: str, identity: str, ask: Callable[[], tuple[str, str]]) -> _Answer:
    try:
        return _Answer(address, identity, *ask())
    except HushkeyError as error:
        return _Answer(address, identity, error=error)


def _unknown_client(context: Context, answer: _Answer) -> Finding:
    client = context.config.identity(answer.identity).client_id
    return Finding(
        "client-refused",
        PROBLEM,
        f"{answer.address} refuses sign-ins by client {client} (HTTP "
        f"{answer.client}): it does not know the client, or its redirect address",
        f"hushkey config set identity.{answer.identity}.client_id CLIENT_ID",
    )


def _why(answer: _Answer) -> str:
    return answer.error.line() if answer.error else ""


def _clock(answers: list[_Answer], now: float) -> Iterator[Finding]:
    """Yield that the servers' clocks agree that ours is off (RFC 9110 6.6.1)."""
    ahead = []
    for answer in answers:
        try:
            ahead.append(now - parsedate_to_datetime(answer.date).timestamp())
        except (ValueError, OverflowError):
            continue  # it has no clock, or will not say
    if not ahead:
        return
    off = sorted(ahead)[len(ahead) // 2]
    if abs(off) <= _SKEW:
        yield Finding("clock-right", FINE, "this machine's clock agrees with servers")
        return
    yield Finding(
        "clock-off",
        PROBLEM,
        f"this machine's clock is {span(int(abs(off)))} "
        f"{'ahead of' if off > 0 else 'behind'} the servers': sign-ins fail",
        "timedatectl set-ntp true",
    )


TOPICS = (check,)
