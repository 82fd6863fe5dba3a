"""The HTTP client that MSAL is given: ours, so that MSAL cannot misread an answer.

MSAL (1.39) takes an HTML page for JSON and ends in a traceback, forgets the
status of what it refuses, sends its telemetry headers to every server, and asks
for the discovery document in every process. Imported with `hushkey.entra`.
"""

import json
from urllib.parse import urlencode

from hushkey import http, outcomes
from hushkey.discovery import Discovery

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from hushkey.errors import HushkeyError
    from hushkey.http import Network

_TELEMETRY = ("x-client-", "x-anchormailbox", "client-request-id")


class Wire:
    """The HTTP client that MSAL is given: ours, and it remembers the last answer."""

    def __init__(self, network: "Network", *, telemetry: bool) -> None:
        self._session = network.session()
        self._telemetry = telemetry
        self._documents: dict[str, Discovery] = {}
        self._last: Any = None

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def serve(self, document: Discovery) -> None:
        """Answer MSAL's question for *document* from our own cache."""
        self._documents[document.url] = document

    def get(
        self, url: str, params: "Any" = None, headers: "Any" = None, **_: "Any"
    ) -> "Any":
        """Answer a GET of MSAL."""
        if document := self._documents.get(url):
            return _Served(document.metadata())
        if params:
            url += "?" + urlencode(params)
        return self._kept(self._session.get(url, headers=self._headers(headers)))

    def post(
        self,
        url: str,
        params: "Any" = None,
        data: "Any" = None,
        headers: "Any" = None,
        **_: "Any",
    ) -> "Any":
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
        return self._kept(response)

    def close(self) -> None:
        self._session.close()

    def outcome(self, result: "Mapping[str, Any]") -> "HushkeyError":
        """Return what the error dict *result* of MSAL means."""
        last = self._last
        status = last.status_code if last is not None else 400
        headers = last.headers if last is not None else {}
        server = http.server_of(str(last.url)) if last is not None else "MSAL"
        clean = dict(result)
        if last is not None:
            clean = http.without_secrets(clean, last.request.body)
        return outcomes.from_answer(status, clean, headers, server)

    def _headers(self, headers: "Any") -> "dict[str, str]":
        """Return MSAL's headers, without its telemetry for other people's servers."""
        found = dict(headers or {})
        if self._telemetry:
            return found
        return {k: v for k, v in found.items() if not k.lower().startswith(_TELEMETRY)}

    def _kept(self, response: "Any") -> "Any":
        self._last = response
        return response


class _Served:
    """A discovery document in the shape of a response."""

    status_code = 200

    def __init__(self, document: "Mapping[str, Any]") -> None:
        self.text = json.dumps(document)
        self.headers: dict[str, str] = {}

    def raise_for_status(self) -> None:
        """Do nothing: it is there."""
