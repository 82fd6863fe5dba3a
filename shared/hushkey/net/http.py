"""The one HTTP session: deadlines, one cautious retry, proxies, trust.

Nothing from the environment gets in but what is read here by name. Imported
only when a network call is due.
"""

from __future__ import annotations

import ssl
import time
from base64 import b64decode, b64encode
from functools import partial
from urllib.parse import parse_qsl, quote, quote_plus, unquote_plus, urlencode, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies, should_bypass_proxies
from urllib3.util import Retry

from hushkey import origins, runtime
from hushkey.errors import HushkeyError, Permanent, Transient
from hushkey.model import Frozen
from hushkey.net import answers, outcomes, trust
from hushkey.net.gitsettings import GitConfig, GitSettings
from hushkey.system.deadline import Expired, within
from hushkey.trace import event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, TypeVar

    from requests import PreparedRequest, Response

    T = TypeVar("T")

MAX_BYTES = 256 * 1024
#: seconds for one connection or one read; the whole request has its own end
_STEP = 10.0
#: seconds for the question whether a server answers at all
_QUICK = 5.0
#: statuses with which somebody in front of a server says that it does not
_IN_FRONT = (407, 502, 503, 504)
_FORM = {
    "Accept": "application/json",
    "Content-Type": "application/x-www-form-urlencoded;charset=UTF-8",
}
_SECRETS = frozenset(
    (
        *("refresh_token", "code", "code_verifier", "device_code", "client_secret"),
        *("token", "assertion", "client_assertion", "subject_token"),
    )
)


class Network:
    """What the settings and the environment say about reaching servers."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        environ: Mapping[str, str],
        *,
        whole: bool = False,
    ) -> None:
        """Read the settings; *whole*: all requests together share one deadline."""
        self._timeout = float(settings["silent_timeout"])
        self._until = time.monotonic() + self._timeout if whole else None
        self._ca_file = str(settings["ca_file"])
        self._proxy = str(settings["proxy"])
        self._environ = environ
        git_url = settings.get("git_url")
        self._git = None if git_url is None else GitConfig(git_url, environ)
        #: reading the certificates takes longer than most answers
        self._trusted: ssl.SSLContext | None = None
        #: the servers that have answered
        self.answered: set[str] = set()

    def session(self, *, limit: float | None = None) -> Session:
        """Return a session that is nobody's; *limit* as `Session` has it."""
        return Session(self, limit=limit)

    def check_answers(self, url: str) -> None:
        """Raise what keeps the server of *url* from answering, if anything does.

        What would else show only after a person has signed in: a server that is
        down, its certificate, the proxy. One HEAD, which is safe for any resource and
        brings nothing along (RFC 9110 9.2.1, 9.3.2), so any status but a proxy's or a
        gateway's will do; none at all if a request of this network was answered
        there. Raises Transient, Permanent.
        """
        if _origin(url) in self.answered:
            return
        with Session(self, limit=_QUICK) as session:
            answer = session.head(url)
        if answer.status_code in _IN_FRONT:
            self.answered.discard(_origin(url))
            status, headers = answer.status_code, answer.headers
            raise outcomes.from_answer(status, None, headers, server_of(url))

    def left(self) -> float:
        """Return the seconds that the next request may take.

        Raises Transient rather than begin what cannot end: a refresh token
        whose answer nobody waits for any more is lost.
        """
        until = self._until
        left = self._timeout if until is None else until - time.monotonic()
        left = runtime.left(left)
        if left < min(1.0, self._timeout / 4):
            raise Transient(
                f"no time is left of {self._timeout:g} s",
                hint="check the network, or raise `silent_timeout`",
            )
        return left

    def proxies(self, url: str) -> dict[str, str]:
        """Return the proxies for *url*: the setting, git's if it asks, else the rest.

        As for git, its own goes before the environment's, and an empty one is none.
        Raises Permanent for one that is not spoken here.
        """
        host = urlsplit(url).hostname or ""
        host = f"[{host}]" if ":" in host else host
        if origins.is_loopback(host) or origins.is_link_local(host):
            return {}  # what stays on this machine shows its tokens to no proxy
        if self._proxy:
            return {"http": self._proxy, "https": self._proxy}
        proxy = self.of_git(url).proxy
        if proxy is None or should_bypass_proxies(url, None):
            return dict(get_environ_proxies(url))
        if proxy and "://" not in proxy:
            proxy = f"http://{proxy}"
        if proxy and not proxy.lower().startswith(("http://", "https://")):
            raise Permanent(
                "git's http.proxy is not one that hushkey can use",
                hint="set `proxy` to an http:// one",
            )
        return {"http": proxy, "https": proxy} if proxy else {}

    def of_git(self, url: str) -> GitSettings:
        """Return what git, if it asks, is told for *url*."""
        return self._git.for_url(url) if self._git else GitSettings()

    def trust(self, url: str = "") -> ssl.SSLContext:
        """Return whom to trust at *url*, as `trust.context` finds it.

        Whom git trusts there counts beside them, unless there is a ``ca_file``.
        """
        told = self.of_git(url) if url else GitSettings()
        if not (told.ca or told.certificate):
            if self._trusted is None:
                self._trusted = trust.context(self._ca_file, self._environ)
            return self._trusted
        made = trust.context(self._ca_file, self._environ)
        if not self._ca_file:
            trust.add(made, told.ca, "git's http.sslCAInfo")
        if told.certificate:
            trust.identify(made, told.certificate, told.key, "git's http.sslCert")
        return made


class _Adapter(HTTPAdapter):
    """Connects with our trust, and again only if no connection was made.

    A request that may have arrived is never repeated: a refresh token that is
    sent twice revokes the whole grant at servers that rotate.
    """

    def __init__(self, trust: ssl.SSLContext | None) -> None:
        """*trust*: None for plain HTTP, straight to the server."""
        self._trust = trust
        super().__init__(
            max_retries=Retry(
                total=None,
                connect=1,
                read=0,
                redirect=0,
                status=0,
                other=0,
                backoff_factor=0.2,
            )
        )

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._trust, **kwargs)

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        kwargs |= {"ssl_context": self._trust, "proxy_ssl_context": self._trust}
        return super().proxy_manager_for(proxy, **kwargs)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave the context as it is; requests would add certifi's roots."""
        conn.cert_reqs = "CERT_REQUIRED"

    def build_connection_pool_key_attributes(
        self, request: PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        """Name our context, and no certificate files, as requests would."""
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {"cert_reqs": "CERT_REQUIRED", "ssl_context": self._trust}


class Refused(Exception):
    """A token endpoint's answer that is no token; ``data`` is JSON or None."""

    def __init__(self, response: Response, data: Any) -> None:
        super().__init__(f"HTTP {response.status_code}")
        self.response = response
        self.data = data

    @property
    def code(self) -> str:
        """The OAuth error code, or nothing."""
        code = self.data.get("error") if isinstance(self.data, dict) else None
        return code if isinstance(code, str) else ""

    def outcome(self) -> HushkeyError:
        """Return what this answer means."""
        return outcomes.from_answer(
            self.response.status_code,
            told(self.response, self.data),
            self.response.headers,
            server_of(str(self.response.url)),
            grant=grant_of(self.response.request.body),
        )


def grant_of(sent: Any) -> str:
    """Return the ``grant_type`` of the request body *sent*, or nothing."""
    return dict(_pairs(sent)).get("grant_type", "")


def _pairs(sent: Any) -> list[tuple[str, str]]:
    body = sent.decode("utf-8", "replace") if isinstance(sent, bytes) else str(sent)
    return parse_qsl(body)


def told(response: Response, data: Any) -> Any:
    """Return *data*, the JSON of *response*, without its request's secrets."""
    request = response.request
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    pairs = []
    if kind == "Basic":
        # RFC 6749 2.3.1 has both encoded as in a form; hardly any server wants that.
        for encoding in ("utf-8", "latin-1"):
            secret = b64decode(given).decode(encoding, "replace").partition(":")[2]
            pairs += [
                ("client_secret", secret),
                ("client_secret", unquote_plus(secret)),
            ]
    body = request.body if isinstance(request.body, str | bytes) else ""
    form = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    return without_secrets(data, f"{form}&{urlencode(pairs)}")


def without_secrets(data: Any, sent: Any) -> Any:
    """Return *data* with nothing in its description that was *sent* as a secret.

    Servers quote what they refuse: "refresh token 'abc' is malformed".
    """
    detail = data.get("error_description") if isinstance(data, dict) else None
    if not isinstance(detail, str):
        return data
    for name, value in _pairs(sent):
        if name in _SECRETS and len(value) > 3:
            for word in (value, quote_plus(value), quote(value, safe="")):
                detail = detail.replace(word, "***")
    return {**data, "error_description": detail}


class Session(requests.Session):
    """A session on our terms; every request raises our outcomes."""

    def __init__(
        self, network: Network, *, limit: float | None = None, **more: Any
    ) -> None:
        """*limit*: the most seconds for a request; None: what the network has left.

        *more* is for another parent of a class below.
        """
        super().__init__(**more)
        self.trust_env = False
        self._network = network
        self._limit = limit
        self._told: set[str] = set()
        self.headers.update({"Accept": "application/json", "User-Agent": "hushkey"})
        self.adapters.clear()  # requests' own would trust as it does
        self.mount("http://", _Adapter(None))

    def _prepare(self, url: str, proxies: Mapping[str, str]) -> None:
        """Trust somebody where TLS may be spoken; at *url* whom git trusts, if it asks.

        Plain HTTP, straight to the server, needs no certificates.
        """
        speaks_tls = proxies or not url.lower().startswith("http://")
        if speaks_tls and "https://" not in self.adapters:
            trusted = self._network.trust()
            self.mount("https://", _Adapter(trusted))
            self.mount("http://", _Adapter(trusted))
        origin = "/".join([*url.split("/", 3)[:3], ""])
        if origin in self._told:
            return
        self._told.add(origin)
        told = self._network.of_git(url)
        if told.ca or told.certificate:
            self.mount(origin, _Adapter(self._network.trust(url)))

    def request(  # type: ignore[override]
        self, method: str, url: str, **kw: Any
    ) -> Response:
        """Send one request; it ends, whatever the server does.

        Raises Transient or Permanent where no answer came.
        """
        kw.setdefault("auth", lambda request: request)
        left = self._network.left()
        if self._limit is not None:
            left = min(left, self._limit)
        kw.update(allow_redirects=False, timeout=(_STEP, left), stream=True)
        kw.setdefault("proxies", self._network.proxies(url))
        self._prepare(url, kw["proxies"])
        send = super().request

        def whole() -> Response:
            return _read(send(method, url, **kw))

        note = partial(event, "http", verb=method, url=url, began=time.monotonic())
        try:
            response = within(left, whole)
        except (Expired, requests.RequestException, OSError) as error:
            if isinstance(error, Expired):
                self.close()
            note(error=error)
            failure = outcomes.from_failure(error, server_of(url))
            if "certificate" in failure.what and self._network.of_git(url).unverified:
                failure.hint += "; git's http.sslVerify does not count here"
            raise failure from error
        self._network.answered.add(_origin(url))
        found = outcomes.correlation({}, response.headers)
        note(status=response.status_code, correlation=found)
        return response

    def resolve_redirects(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Follow nothing; requests looks at the next hop even when it may not go."""
        return iter(())

    def renew(
        self, url: str, refresh_token: str, scopes: str, client: ClientWords
    ) -> dict[str, Any]:
        """Redeem *refresh_token* at *url* (RFC 6749 6); return the token answer.

        That has the old refresh token where the server gave no new one. Raises
        Refused, Transient, Permanent.
        """
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        if scopes:
            form["scope"] = scopes
        body = urlencode({**form, **client.form})
        response = self.post(url, data=body, headers={**_FORM, **client.headers})
        return {"refresh_token": refresh_token, **token_of(response)}


class ClientWords(Frozen):
    """What tells a token endpoint which client asks: in the form, in the headers."""

    _secret = ("form", "headers")
    form: Mapping[str, str]
    headers: Mapping[str, str]


def client_words(client_id: str, secret: str, method: str) -> ClientWords:
    """Return how client *client_id* names itself by *method* (OpenID Connect Core 9).

    Raises ValueError for a name or a secret that *method* cannot send.
    """
    if method == "client_secret_basic":
        pair = f"{client_id}:{secret}".encode("latin-1")
        word = b64encode(pair).decode()
        return ClientWords({}, {"Authorization": f"Basic {word}"})
    if method == "client_secret_post":
        form = {"client_id": client_id, "client_secret": secret}
        return ClientWords(form, {})
    return ClientWords({"client_id": client_id}, {})


def token_of(response: Response) -> dict[str, Any]:
    """Return the token answer (code, device and refresh), or raise Refused."""
    data = json_of(response)
    token = answers.token(data)
    if response.status_code != 200 or token is None:
        raise Refused(response, data)
    return {**token, "server_date": response.headers.get("Date", "")}


def _read(response: Response) -> Response:
    """Read the body up to our limit; raises Transient beyond it."""
    body = bytearray()
    with response:
        for chunk in response.iter_content(65536):
            body += chunk
            if len(body) > MAX_BYTES:
                raise Transient(
                    f"{server_of(str(response.url))}: the answer is too long",
                    hint="is there a captive portal or proxy in between?",
                )
    response._content = bytes(body)
    return response


def json_of(response: Response) -> Any:
    """Return the parsed body, or None if it is not JSON."""
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None


def _origin(url: str) -> str:
    return f"{urlsplit(url).scheme}://{server_of(url)}".lower()


def server_of(url: str) -> str:
    """Return the host and port of *url*, for the words."""
    return urlsplit(url).netloc.rpartition("@")[2] or "the server"


def guarded(call: Callable[[], T]) -> T:
    """Run one token request; whatever it raises becomes one of our outcomes."""
    try:
        return call()
    except Refused as refused:
        raise refused.outcome() from refused
    except (HushkeyError, Expired):
        raise
    except ValueError as error:
        raise Transient("the server's answer makes no sense") from error
