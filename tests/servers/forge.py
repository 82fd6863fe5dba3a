"""A forge made of data: how each one's sign-in server differs from the RFCs.

One handler plays all of them; what is particular is a `Facts` with its source. It is no
copy of any: only what its documents, its code or its users say that a client meets.
"""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, urlencode, urlsplit

CLIENT, SECRET = "client", "hush"
GITEA_CLIENT = "a4792ccc-144e-407e-86c9-5e7d8d9c3269"


class Facts(NamedTuple):
    """One forge. Paths are below its base; times are in seconds."""

    source: str
    authorize: str
    token: str
    device: str = ""
    revoke: str = ""
    #: path of the account, scope that it wants, and what it answers
    user: str = ""
    user_scope: str = ""
    #: how a client shows itself at the token endpoint: none, post or basic
    client_auth: str = "none"
    needs_pkce: bool = False
    #: status and code of an answer to a bad refresh token or code
    dead: tuple[int, str] = (400, "invalid_grant")
    bad_client: tuple[int, str] = (401, "invalid_client")
    #: the same where a device code is asked for
    no_device_client: tuple[int, str] = (401, "invalid_client")
    expires_in: int | None = 7200
    gives_refresh_token: bool = True
    #: a refresh ends the access token before it
    ends_old: bool = False
    #: a refresh token serves once
    single_use: bool = True
    #: the field and the separator of granted scopes; no field: none is told
    scope_field: str = "scope"
    separator: str = " "
    #: scope -> those that are left out of an answer beside it
    merges: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - read only
    #: what a client may ask for; anything else is an HTML page. Empty: anything
    known_scopes: tuple[str, ...] = ()
    #: a second scope set for one client and person is `server_error` in the redirect
    one_scope_set: bool = False
    #: it describes itself at /.well-known/openid-configuration
    discovery: bool = False
    bulk_revoke: str = ""
    #: the headers of an answer to somebody without a credential
    shown: dict[str, str] = {}  # noqa: RUF012 - read only


FORGES: dict[str, Facts] = {
    # docs.github.com "Authorizing OAuth apps", "Troubleshooting OAuth app access token
    # request errors" (errors come with 200), "Scopes for OAuth apps" (normalised,
    # separated by commas), "Refreshing user access tokens"
    "github": Facts(
        "docs.github.com/apps",
        "/login/oauth/authorize",
        "/login/oauth/access_token",
        device="/login/device/code",
        user="/api/v3/user",
        client_auth="post",
        dead=(200, "bad_refresh_token"),
        bad_client=(200, "incorrect_client_credentials"),
        no_device_client=(404, "Not Found"),  # github/app issues 876, 1320
        ends_old=True,
        separator=",",
        merges={"repo": ("public_repo", "repo:status")},
        bulk_revoke="/credentials/revoke",
        shown={"X-GitHub-Request-Id": "A1"},
    ),
    # docs.gitlab.com/api/oauth2; doorkeeper-gem/doorkeeper
    "gitlab": Facts(
        "docs.gitlab.com/api/oauth2",
        "/oauth/authorize",
        "/oauth/token",
        device="/oauth/authorize_device",
        revoke="/oauth/revoke",
        user="/oauth/userinfo",
        user_scope="openid",
        ends_old=True,
        known_scopes=("read_repository", "write_repository", "openid", "profile"),
        shown={"X-Gitlab-Meta": "{}", "WWW-Authenticate": 'Basic realm="GitLab"'},
    ),
    # go-gitea/gitea routers/web/auth/oauth2_provider.go,
    # services/oauth2_provider/access_token.go; issues 36762, 38940
    "gitea": Facts(
        "go-gitea/gitea",
        "/login/oauth/authorize",
        "/login/oauth/access_token",
        user="/login/oauth/userinfo",
        needs_pkce=True,
        dead=(400, "unauthorized_client"),
        expires_in=3600,
        single_use=False,
        scope_field="",
        one_scope_set=True,
        shown={"WWW-Authenticate": 'Basic realm="Gitea"'},
        discovery=True,
    ),
    # developer.atlassian.com/cloud/bitbucket/oauth-2; the answer of May 2026
    "bitbucket": Facts(
        "developer.atlassian.com",
        "/site/oauth2/authorize",
        "/site/oauth2/access_token",
        client_auth="basic",
        merges={"repository:write": ("repository",)},
    ),
    # confluence.atlassian.com "Bitbucket OAuth 2.0 provider API"
    "bitbucket-dc": Facts(
        "confluence.atlassian.com",
        "/rest/oauth2/latest/authorize",
        "/rest/oauth2/latest/token",
        user="/rest/api/latest/application-properties",
        shown={"WWW-Authenticate": 'Basic realm="Atlassian Bitbucket"'},
        client_auth="post",
        expires_in=3600,
    ),
}
#: what the account's page answers, and in which header it names the account
USERS: dict[str, dict[str, Any]] = {
    "github": {"login": "alice", "id": 583231},
    "gitlab": {"sub": "7", "nickname": "alice", "name": "Alice A."},
    "gitea": {"sub": "3", "preferred_username": "alice", "name": "Alice"},
    "bitbucket-dc": {},
}


class Forge:
    """One forge on loopback, below *path*; a person there is signed in as alice."""

    def __init__(self, kind: str, path: str = "", **changes: Any) -> None:
        self.kind = kind
        self.facts = FORGES[kind]._replace(**changes)
        self.path = path
        #: OAuth is turned off by the administrator
        self.off = False
        self.clients = {CLIENT, GITEA_CLIENT}
        #: (verb, path, fields) of each request, tokens among them
        self.log: list[tuple[str, str, dict[str, str]]] = []
        self.live: dict[str, tuple[str, ...]] = {}
        self.refresh: dict[str, tuple[str, ...]] = {}
        self.revoked: list[str] = []
        self.codes: dict[str, dict[str, str]] = {}
        self.granted: dict[str, str] = {}
        self.device_answers: list[str] = []
        #: what a hostile one says of where its codes are entered
        self.device_page: dict[str, str] = {}
        self._count = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self.url = self.origin + path
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    # -- what it does ----------------------------------------------------------

    def answer(
        self, verb: str, target: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], object]:
        """Return status, headers and body; a dict is JSON, text is a page."""
        parts, facts = urlsplit(target), self.facts
        form = body.decode() if verb == "POST" else parts.query
        given = {k: v[0] for k, v in parse_qs(form).items()}
        path = parts.path.removeprefix(self.path)
        self.log.append((verb, path, given))
        routes = {
            facts.authorize: lambda: self._authorize(given),
            facts.token: lambda: self._token(given, headers),
            facts.device: lambda: self._device(given),
            facts.revoke: lambda: self._revoke(given),
            facts.user: lambda: self._user(headers),
            facts.bulk_revoke: lambda: self._bulk(body, headers),
            "/.well-known/openid-configuration": self._discovery,
        }
        hidden = self.off and path in (facts.authorize, facts.token)
        if (
            not path
            or path not in routes
            or hidden
            or not parts.path.startswith(self.path)
        ):
            return 404, facts.shown, "<h1>404</h1>"
        return routes[path]()

    def _authorize(self, given: dict[str, str]) -> tuple[int, dict[str, str], object]:
        facts, scopes = self.facts, given.get("scope", "").split()
        unknown = facts.known_scopes and set(scopes) - {*facts.known_scopes}
        if given.get("client_id") not in self.clients or unknown:
            return 400, {}, "<h1>The requested scope or client is unknown</h1>"
        back = {"state": given["state"]}
        before = self.granted.setdefault(given["client_id"], given.get("scope", ""))
        if facts.needs_pkce and "code_challenge" not in given:
            back["error"] = "invalid_request"
        elif facts.one_scope_set and before != given.get("scope", ""):
            back |= {
                "error": "server_error",
                "error_description": "a grant exists with different scope",
            }
        else:
            back["code"] = self._new("code")
            self.codes[back["code"]] = given
        return 302, {"Location": f"{given['redirect_uri']}?{urlencode(back)}"}, ""

    def _token(
        self, given: dict[str, str], headers: dict[str, str]
    ) -> tuple[int, dict[str, str], object]:
        facts, grant = self.facts, given.get("grant_type")
        if grant == "authorization_code":
            if not self._knows_client(given, headers):
                return self._error(facts.bad_client)
            asked = self.codes.pop(given.get("code", ""), None)
            if asked is None or not _verifies(asked, given):
                return self._error(facts.dead)
            return self._grant(asked.get("scope", "").split(), "")
        if grant == "refresh_token":
            old = given.get("refresh_token", "")
            if old not in self.refresh:
                return self._error(facts.dead)
            if facts.client_auth == "basic" and not self._knows_client(given, headers):
                return self._error(facts.bad_client)
            return self._grant(list(self.refresh[old]), old)
        said = self.device_answers.pop(0) if self.device_answers else ""
        if said:
            return self._error((200 if self.kind == "github" else 400, said))
        return self._grant(["repo", "workflow"], "")

    def _grant(self, scopes: list[str], old: str) -> tuple[int, dict[str, str], object]:
        facts = self.facts
        if old and facts.single_use:
            del self.refresh[old]
        if old and facts.ends_old:
            self.live.clear()
        token = self._new("at")
        self.live[token] = tuple(scopes)
        found: dict[str, Any] = {"access_token": token, "token_type": "bearer"}
        if facts.expires_in is not None:
            found["expires_in"] = facts.expires_in
        if facts.gives_refresh_token:
            found["refresh_token"] = self._new("rt")
            self.refresh[found["refresh_token"]] = tuple(scopes)
        left_out = {s for scope in scopes for s in facts.merges.get(scope, ())}
        if facts.scope_field:
            told = [s for s in scopes if s not in left_out]
            found[facts.scope_field] = facts.separator.join(told)
        return 200, {}, found

    def _knows_client(self, given: dict[str, str], headers: dict[str, str]) -> bool:
        if self.facts.client_auth == "none":
            return given.get("client_id") in self.clients
        if self.facts.client_auth == "post":
            return given.get("client_secret") == SECRET
        named = base64.b64decode(headers.get("Authorization", "")[6:]).decode()
        return named == f"{CLIENT}:{SECRET}" and "client_secret" not in given

    def _device(self, given: dict[str, str]) -> tuple[int, dict[str, str], object]:
        if given.get("client_id") not in self.clients:
            return self._error(self.facts.no_device_client)
        if self.device_answers[:1] == ["device_flow_disabled"]:
            return self._error((200, "device_flow_disabled"))
        found = {
            "device_code": self._new("dc"),
            "user_code": "ABCD-1234",
            "verification_uri": f"{self.url}/login/device",
            "expires_in": 900,
            "interval": 5,
            **self.device_page,
        }
        return 200, {}, found

    def _revoke(self, given: dict[str, str]) -> tuple[int, dict[str, str], object]:
        self.revoked.append(given["token"])
        return 200, {}, {}

    def _bulk(
        self, body: bytes, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], object]:
        if "Authorization" in headers:
            return 403, {}, {"message": "any authenticated request"}
        self.revoked += json.loads(body)["credentials"]
        return 202, {}, {}

    def _user(self, headers: dict[str, str]) -> tuple[int, dict[str, str], object]:
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        scopes = self.live.get(token)
        wanted = self.facts.user_scope
        if scopes is None or (wanted and wanted not in scopes):
            return 401, {}, {"message": "Bad credentials"}
        named = {"X-AUSERNAME": "alice"} if self.kind == "bitbucket-dc" else {}
        return 200, named, USERS[self.kind]

    def _discovery(self) -> tuple[int, dict[str, str], object]:
        if self.off or not self.facts.discovery:
            return 404, {}, "<h1>404</h1>"
        # Gitea writes its own address with a slash at the end (AppURL).
        found = {
            "issuer": f"{self.url}/",
            "userinfo_endpoint": self.url + self.facts.user,
        }
        if self.facts.device:
            found["device_authorization_endpoint"] = self.url + self.facts.device
        return 200, {}, found

    def _error(self, what: tuple[int, str]) -> tuple[int, dict[str, str], object]:
        return what[0], {}, {"error": what[1], "error_description": "said the server"}

    def _new(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self._count}"


def _verifies(asked: dict[str, str], given: dict[str, str]) -> bool:
    if "code_challenge" not in asked:
        return True
    digest = hashlib.sha256(given.get("code_verifier", "").encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return challenge == asked["code_challenge"]


def _handler(forge: Forge) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            sent = dict(self.headers.items())
            status, headers, content = forge.answer(self.command, self.path, body, sent)
            is_json = isinstance(content, dict)
            data = (json.dumps(content) if is_json else str(content)).encode()
            self.send_response(status)
            kind = "application/json" if is_json else "text/html"
            for name, value in {"Content-Type": kind, **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_POST = do_HEAD = _do

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return Handler
