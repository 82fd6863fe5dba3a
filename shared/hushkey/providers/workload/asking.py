"""Requests to what hands out a machine's tokens: JSON, no redirect, one more try.

The request tokens that go along are secrets: an answer that is no token is told by
its status and the server's code, never by what was sent.
"""

from __future__ import annotations

import time
from urllib.parse import urlencode

from hushkey.errors import Permanent, Transient, plain
from hushkey.net import http, outcomes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from hushkey.errors import HushkeyError
    from hushkey.net.http import Network

#: bytes of an answer
_MOST = 64 * 1024
#: what another try may not meet; 410 is IMDS being updated (learn.microsoft.com,
#: "How to use managed identities on a VM", error handling)
_AGAIN = (410, 429)
#: seconds before the second try, where the server names none
_PAUSE = 1.0


class Reply:
    """An answer: its status, its headers, and its JSON object if it is one."""

    def __init__(self, response: Any) -> None:
        if len(response.content) > _MOST:
            raise Transient(f"{http.server_of(str(response.url))}: too long an answer")
        found = http.json_of(response)
        self.status = int(response.status_code)
        self.headers: Mapping[str, str] = response.headers
        self.server = http.server_of(str(response.url))
        self.data: dict[str, Any] | None = found if isinstance(found, dict) else None

    def detail(self) -> str:
        """Return the server's own words, if it has any."""
        data = self.data or {}
        said = data.get("error_description") or data.get("message") or data.get("error")
        return plain(said, 160) if isinstance(said, str) else ""

    def refusal(self, sent: Mapping[str, str]) -> HushkeyError:
        """Return what a token endpoint meant that gave no token for *sent*."""
        body = http.without_secrets(self.data, urlencode(sent))
        grant = sent.get("grant_type", "")
        return outcomes.from_answer(
            self.status, body, self.headers, self.server, grant=grant
        )

    def failure(self, hint: str) -> Transient | Permanent:
        """Return what this answer means, which brought no token.

        What is wrong with the request is Permanent, with *hint*; a page in place of
        JSON, a redirect, 429 and 5xx are not the last word.
        """
        if self.status == 200 and self.data is not None:
            return Permanent(f"{self.server}: the answer holds no token", hint=hint)
        if 400 <= self.status < 500 and self.status not in (*_AGAIN, 404, 407):
            said = f": {said}" if (said := self.detail()) else ""
            return Permanent(f"{self.server}: HTTP {self.status}{said}", hint=hint)
        if self.status in _AGAIN or self.status == 404:
            what = f"{self.server}: not now (HTTP {self.status})"
            return Transient(what, hint="try again in a minute")
        error = outcomes.from_answer(self.status, None, self.headers, self.server)
        kind = Permanent if isinstance(error, Permanent) else Transient
        return kind(error.what, hint=error.hint, retry_after=error.retry_after)


def ask(
    network: Network,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
    json: Mapping[str, str] | None = None,
    also: tuple[int, ...] = (),
    sleep: Callable[[float], None] = time.sleep,
) -> Reply:
    """Return the answer of *url*; once more for 410, 429, 5xx and what is in *also*.

    All within the network's deadline: the server's Retry-After counts if it fits, and
    ends the matter if it does not. Raises Transient or Permanent where no answer came.
    """
    with network.session() as session:
        for last in (False, True):
            reply = Reply(
                session.request(
                    method,
                    url,
                    headers={"Accept": "application/json", **(headers or {})},
                    data=form,
                    json=json,
                )
            )
            if last or not (reply.status in (*_AGAIN, *also) or reply.status >= 500):
                break
            wait = _pause(reply.headers)
            if wait >= network.left() - 1:
                break
            sleep(wait)
    return reply


def _pause(headers: Mapping[str, str]) -> float:
    value = headers.get("Retry-After", "").strip()
    return float(value[:6]) if value.isascii() and value.isdigit() else _PAUSE
