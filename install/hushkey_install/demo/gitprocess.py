"""The git server's process: a WSGI application round `git http-backend`."""

from __future__ import annotations

import base64
import json
import os
import shutil
import ssl
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlencode

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wsgi import get_input_stream

from hushkey_install.demo import certificate, service

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

CHALLENGES = [
    ("WWW-Authenticate", 'Basic realm="hushkey demo"'),
    ("WWW-Authenticate", 'Bearer realm="hushkey demo"'),
]


class QuietHandler(WSGIRequestHandler):
    """werkzeug's request handler, without its line per request."""

    def log(self, type: str, message: str, *args: Any) -> None: ...


def build(facts: dict[str, Any]) -> tuple[BaseWSGIServer, dict[str, object]]:
    """Return the server, listening on a free port, and what git must know."""
    files = certificate.issue(Path(facts["folder"]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    application = Application(
        facts, Guard(facts["introspection"], facts["scope"]).user_of
    )
    server = make_server(
        "127.0.0.1",
        0,
        application,
        threaded=True,
        request_handler=QuietHandler,
        ssl_context=context,
    )
    return server, {"port": server.server_port, "authority": str(files.authority)}


class Guard:
    """Asks the identity server whose a token is, each time: revoked means refused."""

    def __init__(self, introspection: Mapping[str, str], scope: str) -> None:
        login = f"{introspection['client_id']}:{introspection['client_secret']}"
        self._url = introspection["url"]
        self._authorization = "Basic " + base64.b64encode(login.encode()).decode()
        self._scope = scope
        # The identity server is on loopback: no proxy knows the way.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def user_of(self, token: str) -> str | None:
        """Return the user, or None if *token* is not good for this server."""
        request = urllib.request.Request(  # noqa: S310 - our own server's address
            self._url,
            urlencode({"token": token}).encode(),
            {"Authorization": self._authorization},
        )
        with self._opener.open(request, timeout=10) as response:
            answer = json.load(response)
        if answer["active"] and self._scope in answer["scope"].split():
            return str(answer["username"])
        return None


def presented(header: str) -> tuple[str, str]:
    """Return the scheme and the token of an Authorization *header*."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return "bearer", value
    if scheme.lower() == "basic":
        try:
            decoded = base64.b64decode(value).decode()
        except ValueError:
            return "basic", ""
        return "basic", decoded.partition(":")[2]
    return "none", ""


class Application:
    """Checks the token, writes the trace, hands the rest to http-backend."""

    def __init__(
        self, facts: Mapping[str, Any], user_of: Callable[[str], str | None]
    ) -> None:
        self._trace = service.Trace(Path(facts["journal"]))
        self._projects = str(facts["projects"])
        self._backend = str(facts["backend"])
        self._user_of = user_of

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterator[bytes]:
        scheme, token = presented(environ.get("HTTP_AUTHORIZATION", ""))
        user = self._user_of(token) if token else None
        if user is None:
            self._record(environ, scheme, 401)
            start_response("401 Unauthorized", CHALLENGES)
            return iter([b"a token, please\n"])
        backend = Backend(self._backend, self._environment(environ, user), environ)
        status, headers = backend.head()
        self._record(environ, scheme, int(status.split()[0]), user)
        start_response(status, headers)
        return backend.body()

    def _record(
        self, environ: WSGIEnvironment, scheme: str, status: int, user: str = ""
    ) -> None:
        self._trace.write(
            {
                "method": environ["REQUEST_METHOD"],
                "path": environ["PATH_INFO"],
                "scheme": scheme,
                "status": status,
                "user": user,
            }
        )

    def _environment(self, environ: WSGIEnvironment, user: str) -> dict[str, str]:
        kept = (
            "CONTENT_TYPE",
            "HTTP_CONTENT_ENCODING",
            "HTTP_GIT_PROTOCOL",
            "PATH_INFO",
            "QUERY_STRING",
            "REQUEST_METHOD",
        )
        return {
            **{name: environ[name] for name in kept if name in environ},
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROJECT_ROOT": self._projects,
            "PATH": os.environ.get("PATH", os.defpath),
            # receive-pack wants to know who pushes before it lets anybody.
            "REMOTE_USER": user,
        }


class Backend:
    """One request to `git http-backend`, by the rules of CGI (RFC 3875)."""

    def __init__(
        self,
        program: str,
        environment: Mapping[str, str],
        environ: WSGIEnvironment,
    ) -> None:
        with tempfile.TemporaryFile() as body:
            # A file, not a pipe: nobody waits for anybody, and the length of a
            # chunked body is known at last.
            shutil.copyfileobj(get_input_stream(environ), body)
            length = str(body.tell())
            body.seek(0)
            self._process = subprocess.Popen(
                [program],
                stdin=body,
                stdout=subprocess.PIPE,
                env={**environment, "CONTENT_LENGTH": length},
            )

    def head(self) -> tuple[str, list[tuple[str, str]]]:
        """Read the status and the headers, up to the empty line."""
        status, headers = "200 OK", []
        for line in self._output:
            name, _, value = line.decode().strip().partition(": ")
            if not name:
                break
            if name == "Status":
                status = value
            else:
                headers.append((name, value))
        return status, headers

    def body(self) -> Iterator[bytes]:
        """Stream the rest; leave no process behind if the client goes away."""
        try:
            while chunk := self._output.read(1 << 16):
                yield chunk
        finally:
            self._process.kill()
            self._output.close()
            self._process.wait()

    @property
    def _output(self) -> IO[bytes]:
        assert self._process.stdout  # noqa: S101 - a pipe, see __init__
        return self._process.stdout


if __name__ == "__main__":
    service.run(build)
