"""The servers work, proven without hushkey."""

import base64
import hashlib
import http.server
import json
import os
import secrets
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from servers.apache import CHALLENGES, Apache
from servers.authority import Authority
from servers.browser import Browser
from servers.gits import Git
from servers.issuer import CLIENT_ID, Issuer
from servers.process import Program, clean_environ
from servers.secretservice import SecretService

pytestmark = pytest.mark.contract

OFFLINE = "openid offline_access"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


class Receiver:
    """A loopback receiver, as small as can be."""

    def __init__(self) -> None:
        self.answers: list[dict[str, str]] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = urllib.parse.urlsplit(self.path).query
                self._take(query)

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                self._take(self.rfile.read(length).decode())

            def _take(self, query: str) -> None:
                answer = dict(urllib.parse.parse_qsl(query))
                if answer:  # Chromium also asks for a favicon
                    receiver.answers.append(answer)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"You may close this window.")

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self._server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.uri = f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def verify(issuer: Issuer) -> str | bool:
    return str(issuer.authority.ca_file) if issuer.authority else True


def post(issuer: Issuer, endpoint: str, **fields: str) -> requests.Response:
    fields.setdefault("client_id", CLIENT_ID)
    return requests.post(
        issuer.url + endpoint, data=fields, verify=verify(issuer), timeout=10
    )


def browse(browser: Browser, url: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*browser.argv, url],
        env=clean_environ() | browser.environ,
        capture_output=True,
        timeout=60,
        check=False,
    )


def authorize(
    issuer: Issuer, browser: Browser, scope: str, **extra: str
) -> tuple[dict[str, str], str, str]:
    """Visit the authorization endpoint; return the answer, verifier, redirect."""
    verifier = secrets.token_urlsafe(40)
    digest = hashlib.sha256(verifier.encode()).digest()
    with Receiver() as receiver:
        query = {
            "client_id": CLIENT_ID,
            "response_type": "code",
            "redirect_uri": receiver.uri,
            "scope": scope,
            "state": "s1",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        } | extra
        visit = browse(browser, f"{issuer.url}/auth?{urllib.parse.urlencode(query)}")
        assert visit.returncode == 0, visit.stderr.decode()
        assert len(receiver.answers) == 1
        return receiver.answers[0], verifier, receiver.uri


def sign_in(
    issuer: Issuer, browser: Browser, scope: str = f"{OFFLINE} git", **extra: str
) -> dict[str, Any]:
    answer, verifier, uri = authorize(issuer, browser, scope, **extra)
    assert answer["state"] == "s1"
    tokens = post(
        issuer,
        "/token",
        grant_type="authorization_code",
        code=answer["code"],
        redirect_uri=uri,
        code_verifier=verifier,
    )
    assert tokens.status_code == 200, tokens.text
    result: dict[str, Any] = tokens.json()
    return result


def refresh(issuer: Issuer, token: str, **fields: str) -> requests.Response:
    return post(
        issuer, "/token", grant_type="refresh_token", refresh_token=token, **fields
    )


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    result: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return result


class TestIssuer:
    def test_code_flow(self, issuer: Issuer, visitor: Browser) -> None:
        """A code with PKCE yields a JWT for git's audience and an ID token."""
        tokens = sign_in(issuer, visitor)

        assert claims(tokens["access_token"])["aud"] == "api://git"
        assert tokens["scope"] == "git"
        identity = claims(tokens["id_token"])
        assert identity["iss"] == issuer.url
        assert identity["aud"] == CLIENT_ID
        assert identity["sub"] == "sub-alice"
        assert identity["preferred_username"] == "alice"
        assert identity["email"] == "alice@corp.test"
        assert issuer.sign_ins() == 1
        assert len(issuer.token_requests("authorization_code", status=200)) == 1
        assert [v["mode"] for v in visitor.visits()] == [""]

    def test_plain_http_without_a_path(
        self, plain_issuer: Issuer, visitor: Browser
    ) -> None:
        """The http issuer signs in too, and its discovery names itself."""
        found = requests.get(
            f"{plain_issuer.url}/.well-known/openid-configuration", timeout=10
        ).json()

        assert found["issuer"] == plain_issuer.url
        assert found["device_authorization_endpoint"]
        assert found["revocation_endpoint"]
        assert sign_in(plain_issuer, visitor)["refresh_token"]

    def test_discovery_below_a_path(self, issuer: Issuer) -> None:
        """Every endpoint of the https issuer lies below its path."""
        found = requests.get(
            f"{issuer.url}/.well-known/openid-configuration",
            verify=verify(issuer),
            timeout=10,
        ).json()

        assert issuer.url.endswith("/oidc")
        for name in ("token_endpoint", "jwks_uri", "authorization_endpoint"):
            assert found[name].startswith(issuer.url + "/")

    def test_form_post(self, issuer: Issuer, visitor: Browser) -> None:
        """The visitor sends the self-submitting form that MSAL insists on."""
        assert sign_in(issuer, visitor, response_mode="form_post")["access_token"]

    def test_login_hint_prefills(self, issuer: Issuer, visitor: Browser) -> None:
        """Without a name of its own the visitor keeps the hinted one."""
        visitor.user = ""
        tokens = sign_in(issuer, visitor, login_hint="bob")

        assert claims(tokens["id_token"])["preferred_username"] == "bob"

    def test_rotation(self, issuer: Issuer, visitor: Browser) -> None:
        """Each refresh gives a new refresh token; a replay kills the family."""
        first = sign_in(issuer, visitor)["refresh_token"]
        second = refresh(issuer, first).json()["refresh_token"]
        replay = refresh(issuer, first)
        dead = refresh(issuer, second)

        assert second != first
        assert (replay.status_code, replay.json()["error"]) == (400, "invalid_grant")
        assert (dead.status_code, dead.json()["error"]) == (400, "invalid_grant")
        assert issuer.refreshes() == 3
        assert [r["status"] for r in issuer.token_requests("refresh_token")] == [
            200,
            400,
            400,
        ]

    def test_every_audience(self, issuer: Issuer, visitor: Browser) -> None:
        """One refresh token serves other resources, and by default the first."""
        tokens = sign_in(issuer, visitor)
        other = refresh(
            issuer,
            tokens["refresh_token"],
            scope=f"{OFFLINE} api://registry/.default",
        ).json()
        back = refresh(issuer, other["refresh_token"]).json()

        assert claims(other["access_token"])["aud"] == "api://registry/.default"
        assert claims(back["access_token"])["aud"] == "api://git"

    def test_one_audience(self, issuer: Issuer, visitor: Browser) -> None:
        """In the other mode a second resource needs a second sign-in."""
        issuer.set(every_audience=False)
        token = sign_in(issuer, visitor)["refresh_token"]
        other = refresh(issuer, token, scope="api://registry/.default")

        assert (other.status_code, other.json()["error"]) == (400, "invalid_scope")

    def test_lifetimes_and_answers(self, issuer: Issuer, visitor: Browser) -> None:
        """Lifetimes and the shape of answers change while the server runs."""
        issuer.set(access_ttl=7, id_token_on_refresh=False, rotate=False)
        tokens = sign_in(issuer, visitor)
        token = tokens["refresh_token"]
        again = refresh(issuer, token).json()
        issuer.set(answer={"expires_in": "60", "scope": None})
        odd = refresh(issuer, token).json()
        issuer.set(refresh_ttl=1, answer={}, rotate=True)
        short = refresh(issuer, token).json()["refresh_token"]
        issuer.forget()
        gone = refresh(issuer, short)

        assert tokens["expires_in"] == 7
        assert "id_token" in tokens
        assert "id_token" not in again
        assert again["refresh_token"] == token
        assert odd["expires_in"] == "60"
        assert "scope" not in odd
        assert gone.json()["error"] == "invalid_grant"

    def test_opaque_tokens(self, issuer: Issuer, visitor: Browser) -> None:
        """Access tokens can be opaque, and revoked."""
        issuer.set(token_format="opaque")
        tokens = sign_in(issuer, visitor)
        revoked = post(
            issuer, "/token/revocation", token=tokens["refresh_token"]
        ).status_code

        assert "." not in tokens["access_token"]
        assert revoked == 200
        assert refresh(issuer, tokens["refresh_token"]).status_code == 400
        assert len(issuer.log("revocation")) == 1

    def test_strict_offline(self, issuer: Issuer, visitor: Browser) -> None:
        """A strict server drops offline_access without prompt=consent."""
        issuer.set(strict_offline=True)

        assert "refresh_token" not in sign_in(issuer, visitor)
        assert "refresh_token" in sign_in(issuer, visitor, prompt="consent")

    def test_new_keys(self, make_issuer: Callable[..., Issuer]) -> None:
        """Keys rotate; the old one stays published only if asked."""
        issuer = make_issuer()

        def kids() -> list[str]:
            found = requests.get(f"{issuer.url}/jwks", timeout=10).json()["keys"]
            return [key["kid"] for key in found]

        first = kids()
        issuer.rotate_keys()
        both = kids()
        issuer.rotate_keys(keep=False)

        assert both[1:] == first
        assert len(kids()) == 1
        assert not set(kids()) & set(both)

    def test_restart(
        self, make_issuer: Callable[..., Issuer], visitor: Browser
    ) -> None:
        """After halt() and start() it has the same address and no memory."""
        issuer = make_issuer()
        token = sign_in(issuer, visitor)["refresh_token"]
        url = issuer.url
        issuer.halt()
        with pytest.raises(requests.ConnectionError):
            refresh(issuer, token)
        issuer.start()

        assert issuer.url == url
        assert refresh(issuer, token).json()["error"] == "invalid_grant"
        assert issuer.sign_ins() == 1

    def test_device_flow(self, issuer: Issuer, visitor: Browser) -> None:
        """A device code is pending until a person has entered the user code."""
        device = post(issuer, "/device/auth", scope=f"{OFFLINE} git").json()
        code = device["device_code"]
        pending = post(issuer, "/token", grant_type=DEVICE, device_code=code)
        visitor.code = device["user_code"]
        visit = browse(visitor, device["verification_uri"])
        done = post(issuer, "/token", grant_type=DEVICE, device_code=code)

        assert pending.json()["error"] == "authorization_pending"
        assert visit.returncode == 0, visit.stderr.decode()
        assert claims(done.json()["access_token"])["aud"] == "api://git"
        assert done.json()["refresh_token"]

    def test_device_flow_complete_uri_declined(
        self, issuer: Issuer, visitor: Browser
    ) -> None:
        """The person may say no on the device page, with the code in the URL."""
        device = post(issuer, "/device/auth", scope=OFFLINE).json()
        visitor.mode = "decline"
        browse(visitor, device["verification_uri_complete"])
        done = post(
            issuer, "/token", grant_type=DEVICE, device_code=device["device_code"]
        )

        assert done.json()["error"] == "access_denied"

    def test_decline_at_the_server(self, issuer: Issuer, visitor: Browser) -> None:
        """A server told to decline redirects with access_denied."""
        issuer.set(decline=True)
        answer, _, _ = authorize(issuer, visitor, OFFLINE)

        assert answer["error"] == "access_denied"
        assert answer["state"] == "s1"
        assert issuer.sign_ins() == 0


class TestFaults:
    @pytest.fixture
    def token(self, issuer: Issuer, visitor: Browser) -> str:
        return str(sign_in(issuer, visitor)["refresh_token"])

    def test_unavailable_once(self, issuer: Issuer, token: str) -> None:
        """503 as often as asked, logged, and the token is still good after."""
        issuer.fail("status", times=1)

        assert refresh(issuer, token).status_code == 503
        assert refresh(issuer, token).status_code == 200
        statuses = [r["status"] for r in issuer.token_requests("refresh_token")]
        assert statuses == [503, 200]

    def test_too_many(self, issuer: Issuer, token: str) -> None:
        """429 carries Retry-After."""
        issuer.fail("status", status=429, retry_after=7)
        answer = refresh(issuer, token)

        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")

    def test_captive_portal(self, issuer: Issuer, token: str) -> None:
        """A portal answers every endpoint with 200 and HTML."""
        issuer.fail("captive", where="any")
        answer = refresh(issuer, token)

        assert answer.status_code == 200
        assert answer.text.startswith("<!doctype html>")

    def test_oauth_error(self, issuer: Issuer, token: str) -> None:
        """Any OAuth error can be had."""
        issuer.fail("error", error="interaction_required", status=400)

        assert refresh(issuer, token).json()["error"] == "interaction_required"

    def test_drop(self, issuer: Issuer, token: str) -> None:
        """A dropped connection costs no refresh token; a lost answer does."""
        issuer.fail("drop", times=1)
        with pytest.raises(requests.ConnectionError):
            refresh(issuer, token)
        kept = refresh(issuer, token).json()["refresh_token"]
        issuer.fail("lose", times=1)
        with pytest.raises(requests.ConnectionError):
            refresh(issuer, kept)

        assert refresh(issuer, kept).json()["error"] == "invalid_grant"

    def test_hang(self, issuer: Issuer, token: str) -> None:
        """A hanging endpoint accepts and says nothing."""
        issuer.fail("hang")
        with pytest.raises(requests.ReadTimeout):
            requests.post(
                f"{issuer.url}/token",
                data={"grant_type": "refresh_token", "refresh_token": token},
                verify=verify(issuer),
                timeout=0.2,
            )
        issuer.heal()

        assert refresh(issuer, token).status_code == 200

    def test_delay(self, issuer: Issuer, token: str) -> None:
        """The token endpoint can be slow."""
        issuer.set(delay=0.3)
        before = time.monotonic()
        answer = refresh(issuer, token)

        assert answer.status_code == 200
        assert time.monotonic() - before >= 0.3

    def test_other_endpoints(self, issuer: Issuer) -> None:
        """Discovery fails where the token endpoint does not."""
        issuer.fail("status", where="discovery", status=500)
        found = requests.get(
            f"{issuer.url}/.well-known/openid-configuration",
            verify=verify(issuer),
            timeout=10,
        )

        assert found.status_code == 500
        assert post(issuer, "/token", grant_type="refresh_token").status_code == 400


class TestVisitor:
    def test_declines_at_the_redirect(self, issuer: Issuer, visitor: Browser) -> None:
        """Declining reaches the redirect with the right state, not the server."""
        visitor.mode = "decline"
        answer, _, _ = authorize(issuer, visitor, OFFLINE)

        assert (answer["error"], answer["state"]) == ("access_denied", "s1")
        assert issuer.log("authorization") == []

    def test_noise(self, issuer: Issuer, visitor: Browser) -> None:
        """A noisy browser writes on both streams and still signs in."""
        visitor.mode = "noise"
        device = post(issuer, "/device/auth", scope=OFFLINE).json()
        visit = browse(visitor, device["verification_uri_complete"])

        assert visit.returncode == 0
        assert visit.stdout
        assert visit.stderr

    def test_hang(self, visitor: Browser, tmp_path: Path) -> None:
        """A hanging browser is counted at once and does nothing."""
        visitor.mode = "hang"
        program = Program(
            [*visitor.argv, "https://127.0.0.1:1/"],
            tmp_path / "log",
            environ=clean_environ() | visitor.environ,
        )
        program.wait_until(lambda: bool(visitor.visits()), "the visit")
        program.stop()

        assert [v["mode"] for v in visitor.visits()] == ["hang"]

    def test_troubles(self, visitor: Browser) -> None:
        """What went wrong is kept beside the log."""
        visit = browse(visitor, "https://127.0.0.1:1/")

        assert visit.returncode != 0
        assert "refused" in visitor.troubles()

    def test_chromium(self, issuer: Issuer, chromium_browser: Browser) -> None:
        """A real engine completes the same login and leaves screenshots."""
        tokens = sign_in(issuer, chromium_browser)

        assert claims(tokens["id_token"])["preferred_username"] == "alice"
        for name in ("1-login.png", "2-landed.png"):
            data = (chromium_browser.folder / name).read_bytes()
            assert data.startswith(b"\x89PNG")


class TestApache:
    @pytest.fixture
    def token(self, issuer: Issuer, visitor: Browser) -> str:
        return str(sign_in(issuer, visitor)["access_token"])

    def trust(self, apache: Apache) -> dict[str, str]:
        return {"GIT_SSL_CAINFO": str(apache.authority.ca_file)}

    def look(self, apache: Apache, **extra: Any) -> requests.Response:
        return requests.get(
            f"{apache.url_of('contoso/app')}/info/refs",
            params={"service": "git-upload-pack"},
            verify=str(apache.authority.ca_file),
            timeout=10,
            **extra,
        )

    def test_challenges(self, apache: Apache) -> None:
        """401 names Basic first, then Bearer."""
        answer = self.look(apache)

        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == ", ".join(CHALLENGES)

    def test_clone_with_basic(
        self, apache: Apache, git: Git, token: str, tmp_path: Path
    ) -> None:
        """A real git clones with the token as its password, and the log says so."""
        url = f"https://oauth2:{token}@{apache.host}/contoso/app.git"
        done = git.run("clone", "-q", url, tmp_path / "a", environ=self.trust(apache))

        assert done.returncode == 0, done.stderr.decode()
        assert (tmp_path / "a" / "README").read_text() == "contoso/app\n"
        accepted = [a for a in apache.log() if a.status == 200]
        assert {a.scheme for a in accepted} == {"Basic"}
        assert {a.user for a in accepted} == {"sub-alice"}
        assert {a.presented_user for a in accepted} == {"oauth2"}
        assert {a.secret for a in accepted} == {token}

    def test_bearer_by_header(
        self, apache: Apache, git: Git, token: str, tmp_path: Path
    ) -> None:
        """Every git clones and pushes with a Bearer header."""
        header = f"http.extraHeader=Authorization: Bearer {token}"
        url, work = apache.make_repository("contoso/push"), tmp_path / "b"
        trust = self.trust(apache)
        cloned = git.run("-c", header, "clone", "-q", url, work, environ=trust)
        assert cloned.returncode == 0, cloned.stderr.decode()
        identity = ["-c", "user.name=T", "-c", "user.email=t@corp.test"]
        more = ["commit", "-q", "--allow-empty", "-m", "more"]
        assert git.run("-C", work, *identity, *more).returncode == 0
        pushed = git.run("-C", work, "-c", header, "push", "-q", environ=trust)

        assert pushed.returncode == 0, pushed.stderr.decode()
        assert {a.scheme for a in apache.log() if a.status == 200} == {"Bearer"}

    def test_bearer_by_helper(
        self, apache: Apache, new_git: Git, token: str, tmp_path: Path
    ) -> None:
        """The newer git takes authtype=Bearer from a helper."""
        helper = tmp_path / "helper"
        helper.write_text(
            "#!/bin/sh\ncat > /dev/null\n"
            'test "$1" = get || exit 0\n'
            "printf '%s\\n' 'capability[]=authtype' authtype=Bearer "
            f"credential={token}\n"
        )
        helper.chmod(0o755)
        done = new_git.run(
            "-c",
            f"credential.helper={helper}",
            "ls-remote",
            apache.url_of("fabrikam/app"),
            environ=self.trust(apache),
        )

        assert new_git.carries_bearer
        assert done.returncode == 0, done.stderr.decode()
        assert [(a.scheme, a.status) for a in apache.log()] == [
            ("", 401),
            ("Bearer", 200),
            ("Bearer", 200),
        ]

    def test_refusals(self, apache: Apache, issuer: Issuer, visitor: Browser) -> None:
        """No, a tampered, a wrong audience's and an expired token are refused."""
        good = sign_in(issuer, visitor)["access_token"]
        other = sign_in(issuer, visitor, f"{OFFLINE} api://registry/.default")
        issuer.set(access_ttl=1)
        short = sign_in(issuer, visitor)["access_token"]
        head, payload, signature = good.split(".")
        tampered = f"{head}.{payload}.{signature[::-1]}"
        while claims(short)["exp"] + 1 >= time.time():
            time.sleep(0.05)

        def status(token: str) -> int:
            header = {"Authorization": f"Bearer {token}"}
            return self.look(apache, headers=header).status_code

        assert status(good) == 200
        assert [status(t) for t in (tampered, other["access_token"], short)] == [
            401,
            401,
            401,
        ]

    def test_revoked_at_the_host(self, apache: Apache, token: str) -> None:
        """Tokens seen so far, or all of them, are refused on demand."""
        header = {"Authorization": f"Bearer {token}"}
        seen = [self.look(apache, headers=header).status_code]
        assert apache.refuse_seen() == 1
        seen.append(self.look(apache, headers=header).status_code)
        seen.append(self.look(apache, auth=("x", token)).status_code)
        apache.refuse_everything()
        seen.append(self.look(apache, auth=("x", token)).status_code)
        apache.accept()
        seen.append(self.look(apache, headers=header).status_code)

        assert seen == [200, 401, 200, 401, 200]

    def test_static_files(self, apache: Apache, token: str) -> None:
        """Plain files are behind the same judge."""
        (apache.static / "hello").write_text("hello\n")
        url, trust = f"{apache.url}/static/hello", str(apache.authority.ca_file)

        assert requests.get(url, verify=trust, timeout=10).status_code == 401
        found = requests.get(url, auth=("u", token), verify=trust, timeout=10)
        assert found.text == "hello\n"

    def test_plain_issuer_and_audience(
        self,
        plain_issuer: Issuer,
        make_apache: Callable[..., Apache],
        visitor: Browser,
    ) -> None:
        """An http issuer's keys are copied; the audience is an option."""
        apache = make_apache(
            plain_issuer,
            audience="api://registry/.default",
            challenges=['Basic realm="registry"'],
        )
        apache.make_repository("contoso/app")
        token = sign_in(plain_issuer, visitor, "openid api://registry/.default")
        refused = self.look(apache)

        assert refused.headers["WWW-Authenticate"] == 'Basic realm="registry"'
        taken = self.look(apache, auth=("u", token["access_token"]))
        assert taken.status_code == 200, apache.errors()

    def test_opaque(
        self, issuer: Issuer, make_apache: Callable[..., Apache], visitor: Browser
    ) -> None:
        """With introspection a revoked opaque token is refused at once."""
        issuer.set(token_format="opaque")
        apache = make_apache(issuer, opaque=True)
        apache.make_repository("contoso/app")
        token = sign_in(issuer, visitor)["access_token"]
        before = self.look(apache, auth=("u", token)).status_code
        issuer.forget("alice")
        after = self.look(apache, auth=("u", token)).status_code

        assert (before, after) == (200, 401), apache.errors()


class TestSecretService:
    """What PyPI's keyring, in a process of its own, makes of each state."""

    SCRIPT = (
        "import keyring\n"
        "try:\n"
        "    keyring.set_password('s', 'u', 'secret')\n"
        "    print(keyring.get_password('s', 'u'))\n"
        "except Exception as error:\n"
        "    print(type(error).__name__)\n"
    )

    def ask(self, server: SecretService, *, seconds: float = 20) -> str:
        backend = "keyring.backends.SecretService.Keyring"
        environ = clean_environ(PYTHON_KEYRING_BACKEND=backend) | server.environ
        done = subprocess.run(
            [sys.executable, "-c", self.SCRIPT],
            env=environ,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        return done.stdout.strip() or done.stderr

    @pytest.mark.parametrize(
        ("state", "outcome"),
        [
            ("unlocked", "secret"),
            ("locked", "KeyringLocked"),
            ("no collection", "InitError"),
            ("no service", "RuntimeError"),
            ("absent", "FileNotFoundError"),
        ],
    )
    def test_states(
        self, state: str, outcome: str, make_secret_service: Callable[..., Any]
    ) -> None:
        """Each state is met as users meet it, and quickly."""
        server = make_secret_service(state)

        assert self.ask(server) == outcome

    def test_frozen(self, make_secret_service: Callable[..., SecretService]) -> None:
        """A frozen daemon never answers, and works again once thawed."""
        server = make_secret_service("frozen")
        with pytest.raises(subprocess.TimeoutExpired):
            self.ask(server, seconds=2)
        server.thaw()

        assert self.ask(server) == "secret"

    def test_lock_and_restart(self, secret_service: SecretService) -> None:
        """Locked while running; unlocked by a daemon that got the password."""
        assert self.ask(secret_service) == "secret"
        secret_service.lock()
        assert self.ask(secret_service) == "KeyringLocked"
        secret_service.stop_daemon()
        secret_service.start_daemon(unlocked=True)

        assert self.ask(secret_service) == "secret"

    def test_nothing_stays(
        self, make_secret_service: Callable[..., SecretService]
    ) -> None:
        """stop() ends both daemons and removes the folder."""
        server = make_secret_service("frozen")
        folder = server.folder
        server.stop()

        assert not folder.exists()


class TestIsolation:
    def test_home(self, home: Path) -> None:
        """Home and the XDG folders are the test's own."""
        assert os.environ["HOME"] == str(home)
        assert os.environ["XDG_CONFIG_HOME"].startswith(str(home))
        assert "CI" not in os.environ
        assert "REQUESTS_CA_BUNDLE" not in os.environ
        assert not list(home.glob(".config"))

    def test_authority(self, authority: Authority) -> None:
        """The leaf serves localhost, and other leaves can be had."""
        assert authority.server_context().cert_store_stats()["x509"] == 0
        assert authority.context().get_ca_certs()
        certificate, key = authority.issue("git.corp.test", days=-0.5)
        assert b"BEGIN CERTIFICATE" in certificate
        assert b"PRIVATE KEY" in key
