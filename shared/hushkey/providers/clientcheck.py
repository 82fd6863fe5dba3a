"""Whether a server knows a client, asked before anybody is shown a page.

A sign-in is begun and left, in the ways that need no person: a device code (RFC 8628
3.1), a code that nobody gave at the token endpoint, which names a client that it does
not know before it looks at the code (RFC 6749 5.2, ``invalid_client``), and the sign-in
page, which tells about a client or a redirect address in place, as it must not send
anybody to that (RFC 6749 4.1.2.1).
"""

from __future__ import annotations

from secrets import token_urlsafe
from urllib.parse import parse_qsl

from hushkey.errors import HushkeyError, Permanent
from hushkey.net import http, outcomes
from hushkey.providers.oidc import OAuthProvider

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: statuses of a sign-in page that is for no such client, or is not there. A 401 or a
#: 403 may be anybody's who lets programs see no page
_REFUSED = (400, 404, 410)
#: fields of a redirect that are looked at
_FIELDS = 64
_PAGE = {"Accept": "application/json, text/html;q=0.9"}


class ClientCheck(OAuthProvider):
    """A provider that only asks whether its client can sign anybody in."""

    def run(self, redirect_uri: str) -> None:
        """Raise Permanent with the server's reason if it refuses the client.

        Raises Transient if the server does not answer. What it does not tell without
        a person, such as a wrong redirect address behind its sign-in, passes.
        """
        scopes = self._identity.scopes or self._identity.default_scopes
        if self._spec.methods(self._identity.options) == ("device",):
            self.begin_device(scopes)
            return
        with self._advised():
            self._try_code(redirect_uri)
        flow = self.begin_code(scopes, redirect_uri, "")
        with self._advised(), self._network.session() as session:
            self._check_page(session.get(flow.url, headers=_PAGE), redirect_uri)

    def _try_code(self, redirect_uri: str) -> None:
        with self._client() as session:
            try:
                session.fetch_token(
                    self._endpoint("token_endpoint"),
                    grant_type="authorization_code",
                    code=token_urlsafe(32),
                    code_verifier=token_urlsafe(64),
                    redirect_uri=redirect_uri,
                )
            except http.Refused as refused:
                code = outcomes.OTHER_NAMES.get(refused.code, refused.code)
                if code == "invalid_client":
                    raise refused.outcome() from refused
            except ValueError:
                return  # no answer of a token endpoint: a sign-in tells

    def _check_page(self, page: Any, redirect_uri: str) -> None:
        server, data = http.server_of(str(page.url)), http.json_of(page)
        back, _, query = page.headers.get("Location", "").partition("?")
        if back == redirect_uri:
            data = _fields(query)
        elif page.status_code not in _REFUSED:
            return
        error: HushkeyError | None = None
        if isinstance(data, dict) and "error" in data:
            error = outcomes.from_answer(400, data, {}, server)
        elif page.status_code in _REFUSED:
            own = self._identity.option("redirect_uri") or self._spec.redirect_uri
            error = Permanent(
                f"{server}: its sign-in page is not for this client "
                f"(HTTP {page.status_code})",
                hint=f"check client_id, and that {own} is registered as its redirect",
            )
        if isinstance(error, Permanent):
            raise error


def _fields(query: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(query, max_num_fields=_FIELDS))
    except ValueError:
        return {}
