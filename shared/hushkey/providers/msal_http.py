"""The HTTP client that MSAL is given: ours, so that MSAL cannot misread an answer.

MSAL (1.39) takes an HTML page for JSON and ends in a traceback, forgets the
status of what it refuses, sends its telemetry headers to every server, and asks
for the discovery document in every process. Imported with `hushkey.providers.entra`.
"""

from __future__ import annotations

import base64
import json
from urllib.parse import urlencode

from hushkey.net import answers, http, outcomes
from hushkey.net.discovery import Discovery

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from hushkey.errors import HushkeyError
    from hushkey.net.http import Network

# Lifetimes that MSAL calculates with, beside expires_in.
_TIMES = ("ext_expires_in", "refresh_in", "expires_on")
_TELEMETRY = ("x-client-", "x-anchormailbox", "client-request-id")


class Wire:
    """The HTTP client that MSAL is given: ours, and it remembers the last answer."""

    #: the document that was served last: the authority's
    discovery: Discovery

    def __init__(self, network: Network, *, telemetry: bool) -> None:
        self._session = network.session()
        self._telemetry = telemetry
        self._documents: dict[str, Discovery] = {}
        self._last: Any = None
        #: the last answer to a POST, as the server sent it
        self.answer: dict[str, Any] = {}

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def serve(self, document: Discovery) -> None:
        """Answer MSAL's question for *document* from our own cache."""
        self._documents[document.url] = document
        self.discovery = document

    def get(self, url: str, params: Any = None, headers: Any = None, **_: Any) -> Any:
        """Answer a GET of MSAL."""
        if document := self._documents.get(url):
            return _Served(document.metadata())
        if params:
            url += "?" + urlencode(params)
        return self._kept(self._session.get(url, headers=self._headers(headers)))

    def post(
        self,
        url: str,
        params: Any = None,
        data: Any = None,
        headers: Any = None,
        **_: Any,
    ) -> Any:
        """Answer a POST of MSAL; what it would misread is raised here."""
        if params:
            url += "?" + urlencode(params)
        response = self._session.post(url, data=data, headers=self._headers(headers))
        body = http.json_of(response)
        if (
            not isinstance(body, dict)
            or response.status_code >= 500
            or (response.status_code == 429)
        ):
            raise http.Refused(response, body).outcome()
        self._kept(response)
        self.answer = body
        return _Served(_tidy(response, body), response.status_code, response.headers)

    def close(self) -> None:
        self._session.close()

    @property
    def status(self) -> int:
        """The status of the last answer."""
        return int(self._last.status_code) if self._last is not None else 400

    @property
    def date(self) -> str:
        """The Date header of the last answer."""
        return str(self._last.headers.get("Date", "")) if self._last is not None else ""

    @property
    def server(self) -> str:
        """Who answered last, for the words."""
        return http.server_of(str(self._last.url)) if self._last is not None else "MSAL"

    def outcome(
        self, result: Mapping[str, Any], *, client_id: str = ""
    ) -> HushkeyError:
        """Return what the error dict *result* of MSAL means.

        *client_id*: at the end of a sign-in; see `outcomes.from_answer`.
        """
        last = self._last
        headers = last.headers if last is not None else {}
        clean = dict(result)
        if last is not None:
            clean = http.without_secrets(clean, last.request.body)
        # Entra's own codes say which of them a person can end.
        other = last is not None and not self._telemetry
        grant = http.grant_of(last.request.body) if other else ""
        return outcomes.from_answer(
            self.status, clean, headers, self.server, client_id=client_id, grant=grant
        )

    def _headers(self, headers: Any) -> dict[str, str]:
        """Return MSAL's headers, without its telemetry for other people's servers."""
        found = dict(headers or {})
        if self._telemetry:
            return found
        return {k: v for k, v in found.items() if not k.lower().startswith(_TELEMETRY)}

    def _kept(self, response: Any) -> Any:
        self._last = response
        return response


def _tidy(response: Any, body: dict[str, Any]) -> dict[str, Any]:
    """Return a token or device code answer that MSAL can read to its end.

    The server may have rotated the refresh token: an odd lifetime, a broken ID
    token or client_info must not keep it from being saved. What those were is
    looked at afterwards, in `Wire.answer`.
    """
    if "access_token" not in body:
        if "device_code" not in body:
            # It looks a suberror up in a table, which a list would break.
            return {k: v for k, v in body.items() if k != "suberror" or _is_str(v)}
        expires_in, interval = answers.device_times(body)
        return {**body, "expires_in": int(expires_in), "interval": int(interval)}
    tidy = answers.token(body)
    if tidy is None or response.status_code != 200:
        raise http.Refused(response, body).outcome()
    for name in _TIMES:
        found = answers.seconds(body.get(name))
        tidy[name] = None if found is None else int(found)
    named = answers.scopes(body.get("scope"), ())
    tidy["scope"] = " ".join(named) or None
    odd = [name for name, value in tidy.items() if value is None]
    if "sub" not in claims(body.get("id_token")):
        odd.append("id_token")
    info = payload(body.get("client_info"))
    if info is None or not all(_is_str(info.get(n, "")) for n in ("uid", "utid")):
        odd.append("client_info")
    return {name: value for name, value in tidy.items() if name not in odd}


def _is_str(value: object) -> bool:
    return isinstance(value, str)


def claims(id_token: object) -> dict[str, Any]:
    """Return what *id_token* says, unchecked; nothing if it is no signed JWT."""
    parts = id_token.split(".") if isinstance(id_token, str) else []
    return (payload(parts[1]) or {}) if len(parts) == 3 else {}


def payload(text: object) -> dict[str, Any] | None:
    """Return the JSON object that is in *text* by base64url; None if none is."""
    if not isinstance(text, str):
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


class _Served:
    """A document of ours in the shape of a response."""

    def __init__(
        self,
        document: Mapping[str, Any],
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.text = json.dumps(document)
        self.status_code = status
        self.headers = dict(headers or {})

    def raise_for_status(self) -> None:
        """Do nothing: it is there."""
