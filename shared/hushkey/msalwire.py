"""The HTTP client that MSAL is given: ours, so that MSAL cannot misread an answer.

MSAL (1.39) takes an HTML page for JSON and ends in a traceback, forgets the
status of what it refuses, sends its telemetry headers to every server, and asks
for the discovery document in every process. Imported with `hushkey.entra`.
"""

import base64
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
        self._kept(response)
        return _Served(_tidy(response, body), response.status_code, response.headers)

    def close(self) -> None:
        self._session.close()

    def outcome(
        self, result: "Mapping[str, Any]", *, client_id: str = ""
    ) -> "HushkeyError":
        """Return what the error dict *result* of MSAL means.

        *client_id*: at the end of a sign-in; see `outcomes.from_answer`.
        """
        last = self._last
        status = last.status_code if last is not None else 400
        headers = last.headers if last is not None else {}
        server = http.server_of(str(last.url)) if last is not None else "MSAL"
        clean = dict(result)
        if last is not None:
            clean = http.without_secrets(clean, last.request.body)
        return outcomes.from_answer(status, clean, headers, server, client_id=client_id)

    def _headers(self, headers: "Any") -> "dict[str, str]":
        """Return MSAL's headers, without its telemetry for other people's servers."""
        found = dict(headers or {})
        if self._telemetry:
            return found
        return {k: v for k, v in found.items() if not k.lower().startswith(_TELEMETRY)}

    def _kept(self, response: "Any") -> "Any":
        self._last = response
        return response


def _tidy(response: "Any", body: "dict[str, Any]") -> "dict[str, Any]":
    """Return a token answer that MSAL can read to its end.

    The server may have rotated the refresh token: an odd lifetime, a broken ID
    token or client_info must not keep it from being saved.
    """
    if "access_token" not in body:
        return body
    token = body["access_token"]
    if not (
        isinstance(token, str) and token and token.isascii() and token.isprintable()
    ):
        raise http.Refused(response, body).outcome()
    tidy = dict(body, expires_in=http.seconds(body.get("expires_in")))
    odd = [name for name, value in tidy.items() if value is None]
    if not _is_token(body.get("id_token")):
        odd.append("id_token")
    if payload(body.get("client_info")) is None:
        odd.append("client_info")
    return {name: value for name, value in tidy.items() if name not in odd}


def _is_token(text: object) -> bool:
    """Tell whether *text* has the form of a signed JWT with a JSON payload."""
    parts = text.split(".") if isinstance(text, str) else []
    return len(parts) == 3 and payload(parts[1]) is not None


def payload(text: object) -> "dict[str, Any] | None":
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
        document: "Mapping[str, Any]",
        status: int = 200,
        headers: "Mapping[str, str] | None" = None,
    ) -> None:
        self.text = json.dumps(document)
        self.status_code = status
        self.headers = dict(headers or {})

    def raise_for_status(self) -> None:
        """Do nothing: it is there."""
