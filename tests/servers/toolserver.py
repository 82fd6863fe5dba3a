"""What the clients of hushkey-answer and hushkey run talk to: one TLS server.

Below one origin it plays, by their documents, a sparse cargo registry (/cargo/), a Go
module proxy (/go), a Kubernetes API (/k8s), a Terraform module registry (/terraform),
an npm registry (/npm/), a Maven repository (/maven), a compact index of gems (/gems),
a NuGet feed (/nuget), a Conan remote (/conan), a WebDAV folder (/dav/), a token service
(/sts), AWS's STS (/), APIs of language models (/v1) and an API (/api). Each has one
package: `hello`. Whoever comes without a good token hears 401.
"""

import base64
import hashlib
import io
import json
import re
import ssl
import tarfile
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs

from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from servers.listener import Listener

JSON, TEXT, BYTES = "application/json", "text/plain", "application/octet-stream"
#: RFC 4918 9.1
_FOLDER = (
    b'<d:multistatus xmlns:d="DAV:"><d:response><d:href>/dav/hello</d:href>'
    b"<d:propstat><d:prop><d:getcontentlength>5</d:getcontentlength>"
    b"<d:getlastmodified>Thu, 01 Jan 2026 00:00:00 GMT</d:getlastmodified>"
    b"<d:resourcetype/></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>"
    b"</d:response></d:multistatus>"
)
#: where a password is asked for
_CONAN_LOGIN = "/conan/v2/users/authenticate"
_BASIC = ("/maven", "/gems", "/nuget", _CONAN_LOGIN)
_REFUSED_BY_STS = (
    b"<ErrorResponse><Error><Code>InvalidIdentityToken</Code>"
    b"<Message>No OpenIDConnect provider found</Message></Error></ErrorResponse>"
)


class Seen(NamedTuple):
    """One request: where it went, what it carried, what was said."""

    path: str
    authorization: str
    status: int


class Page(NamedTuple):
    """One answer; *open*: to everybody."""

    body: bytes
    kind: str = JSON
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    open: bool = False


class ToolServer:
    """https on loopback; *accepts* judges the token, *log* has what was asked.

    ``trusts`` judges an ID token that STS is given for keys.
    """

    def __init__(self, context: ssl.SSLContext, accepts: Callable[[str], bool]) -> None:
        self.accepts = accepts
        self.trusts: Callable[[str], bool] = lambda token: token.count(".") == 2
        self._sessions: set[str] = set()
        self.log: list[Seen] = []
        self._server = Listener(
            0, type("Handler", (_Handler,), {"tools": self}), context
        )
        self.port = self._server.server_port
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"https://{self.host}"
        self.pages = _pages(self.url)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.end()

    @property
    def served(self) -> list[str]:
        """The paths that were given out for a token."""
        good = [seen.path for seen in self.log if seen.status < 300]
        return [path for path in good if not self.pages[path].open]

    def aws(self, request: Request) -> tuple[str, Page]:
        """Return what STS says, which is moto's word, and what the request carried."""
        from moto.sts.responses import TokenResponse

        session = request.headers.get("X-Amz-Security-Token", "")
        token = request.form.get("WebIdentityToken", session)
        if not (self.trusts(token) if not session else session in self._sessions):
            page = Page(_REFUSED_BY_STS, "text/xml", status=400)
            return f"Bearer {token}", page
        # as moto's own server has it
        request.from_wsgi_server = True  # type: ignore[attr-defined]
        request.raw_path = "/"  # type: ignore[attr-defined]
        _, _, body = TokenResponse.dispatch(request, request.url, request.headers)
        text = body if isinstance(body, str) else body.decode()
        self._sessions |= set(re.findall("<SessionToken>(.*?)</SessionToken>", text))
        return f"Bearer {token}", Page(text.encode(), "text/xml", open=not session)

    def authorized(self, authorization: str) -> bool:
        """Whether this header carries a good token: Bearer, or as a password."""
        kind, _, value = authorization.partition(" ")
        if kind == "Basic":
            value = _password(authorization)
        return kind in ("Basic", "Bearer") and self.accepts(value)


def _password(authorization: str) -> str:
    """Return the password of a Basic header; nothing in one that is none."""
    try:
        pair = base64.b64decode(authorization.partition(" ")[2]).decode()
    except ValueError:
        return ""
    return pair.partition(":")[2]


class _Handler(BaseHTTPRequestHandler):
    tools: ToolServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(b"")

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_PROPFIND(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def _answer(self, body: bytes) -> None:
        tools, authorization = self.tools, self.headers.get("Authorization", "")
        path = self.path.partition("?")[0].replace("%2f", "/")
        page = tools.pages.get(path) or Page(b"{}", status=404)
        if path == "/":
            builder = EnvironBuilder(
                method=self.command,
                base_url="https://sts.eu-west-1.amazonaws.com",
                headers=list(self.headers.items()),
                data=body,
            )
            authorization, page = tools.aws(Request(builder.get_environ()))
        elif path == "/sts":
            authorization = f"Bearer {parse_qs(body.decode())['subject_token'][0]}"
        if path != "/" and not (page.open or tools.authorized(authorization)):
            page = Page(b'{"error": "unauthorized"}', status=401)
        elif path == _CONAN_LOGIN:  # its own token, for a password
            page = Page(_password(authorization).encode(), TEXT)
        tools.log.append(Seen(path, authorization, page.status))
        self.send_response(page.status)
        if page.status == 401:
            kind = "Basic" if path.startswith(_BASIC) else "Bearer"
            self.send_header("WWW-Authenticate", f'{kind} realm="tools"')
        self.send_header("Content-Type", page.kind)
        for name, value in page.headers:
            self.send_header(name, value)
        if page.status != 204:
            self.send_header("Content-Length", str(len(page.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _json(content: object, kind: str = JSON, **more: Any) -> Page:
    return Page(json.dumps(content).encode(), kind, **more)


def _pages(url: str) -> dict[str, Page]:
    return {
        "/": _json({}),
        "/api": _json({"hello": "world"}),
        "/sts": _json(
            {
                "access_token": "of-the-cloud",
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "token_type": "Bearer",
                "expires_in": 3600,
            }
        ),
        **_cargo(url),
        **_go(),
        **_kubernetes(),
        **_terraform(url),
        **_npm(url),
        "/conan/v1/ping": Page(
            b"", headers=(("X-Conan-Server-Capabilities", "revisions"),), open=True
        ),
        _CONAN_LOGIN: Page(b"", TEXT),
        "/conan/v2/conans/search": _json({"results": ["hello/1.0"]}),
        **_models(),
        "/dav/": Page(_FOLDER, "text/xml", status=207),
        **_nuget(url.replace("127.0.0.1", "localhost")),
        **_maven(),
        **_gems(),
        **_bazel(),
    }


def _tar(files: dict[str, str]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return data.getvalue()


def _cargo(url: str) -> dict[str, Page]:
    """doc.rust-lang.org/cargo/reference/registry-index.html."""
    manifest = '[package]\nname = "hello"\nversion = "0.1.0"\nedition = "2021"\n'
    crate = _tar({"hello-0.1.0/Cargo.toml": manifest, "hello-0.1.0/src/lib.rs": ""})
    entry = {
        "name": "hello",
        "vers": "0.1.0",
        "deps": [],
        "cksum": hashlib.sha256(crate).hexdigest(),
        "features": {},
        "yanked": False,
    }
    root = f"{url}/cargo"
    config = {"dl": f"{root}/dl", "api": root, "auth-required": True}
    return {
        "/cargo/config.json": _json(config),
        "/cargo/he/ll/hello": _json(entry, TEXT),
        "/cargo/dl/hello/0.1.0/download": Page(crate, BYTES),
    }


def _go() -> dict[str, Page]:
    """go.dev/ref/mod#goproxy-protocol."""
    module, root = "example.com/hello", "/go/example.com/hello/@v"
    version = {"Version": "v0.1.0", "Time": "2026-01-01T00:00:00Z"}
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(f"{module}@v0.1.0/go.mod", f"module {module}\n")
        archive.writestr(f"{module}@v0.1.0/a/b/hello.go", "package hello\n")
    return {
        f"{root}/list": Page(b"v0.1.0\n", TEXT),
        f"{root}/v0.1.0.info": _json(version),
        f"{root}/v0.1.0.mod": Page(f"module {module}\n".encode(), TEXT),
        f"{root}/v0.1.0.zip": Page(data.getvalue(), BYTES),
        "/go/example.com/hello/@latest": _json(version),
    }


def _kubernetes() -> dict[str, Page]:
    """kubernetes.io/docs/reference/using-api/api-concepts: discovery, two lists."""
    verbs = ["get", "list"]
    resources = [
        {
            "name": name,
            "singularName": name[:-1],
            "namespaced": name == "secrets",
            "kind": kind,
            "verbs": verbs,
        }
        for name, kind in (("namespaces", "Namespace"), ("secrets", "Secret"))
    ]
    about = {"name": "hello", "creationTimestamp": "2026-01-01T00:00:00Z"}
    item = {"metadata": about, "status": {"phase": "Active"}}
    version = {"major": "1", "minor": "32", "gitVersion": "v1.32.0"}
    v1 = {"apiVersion": "v1"}
    return {
        "/k8s/version": _json(version),
        "/k8s/api": _json({"kind": "APIVersions", "versions": ["v1"]}),
        "/k8s/apis": _json({"kind": "APIGroupList", **v1, "groups": []}),
        "/k8s/api/v1": _json(
            {"kind": "APIResourceList", "groupVersion": "v1", "resources": resources}
        ),
        "/k8s/api/v1/namespaces": _json(
            {"kind": "NamespaceList", **v1, "metadata": {}, "items": [item]}
        ),
        "/k8s/api/v1/namespaces/default/secrets": _json(
            {"kind": "SecretList", **v1, "metadata": {}, "items": []}
        ),
    }


def _terraform(url: str) -> dict[str, Page]:
    """developer.hashicorp.com/terraform/internals/module-registry-protocol."""
    root = "/terraform/acme/hello/null"
    archive = f"{url}/open/hello.tar.gz"
    return {
        "/.well-known/terraform.json": _json({"modules.v1": "/terraform/"}, open=True),
        f"{root}/versions": _json({"modules": [{"versions": [{"version": "1.0.0"}]}]}),
        f"{root}/1.0.0/download": Page(
            b"", status=204, headers=(("X-Terraform-Get", archive),)
        ),
        # fetched without the registry's token
        "/open/hello.tar.gz": Page(_tar({"main.tf": ""}), BYTES, open=True),
    }


def _npm(url: str) -> dict[str, Page]:
    """github.com/npm/registry docs/responses/package-metadata.md."""
    about = {"name": "hello", "version": "1.0.0"}
    archive = _tar({"package/package.json": json.dumps(about)})
    digest = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    tarball = "/npm/hello/-/hello-1.0.0.tgz"
    dist = {
        "tarball": f"{url}{tarball}",
        "integrity": f"sha512-{digest}",
        "shasum": hashlib.sha1(archive, usedforsecurity=False).hexdigest(),
    }
    time = "2026-01-01T00:00:00.000Z"
    return {
        "/npm/hello": _json(
            {
                "name": "hello",
                "dist-tags": {"latest": "1.0.0"},
                "versions": {"1.0.0": {**about, "dist": dist}},
                "modified": time,
                "time": {"created": time, "modified": time, "1.0.0": time},
            }
        ),
        tarball: Page(archive, BYTES),
    }


def _nuget(url: str) -> dict[str, Page]:
    """learn.microsoft.com/nuget/api/overview: a service index, and a search."""
    service = {"@id": f"{url}/nuget/query", "@type": "SearchQueryService/3.0.0-beta"}
    hello = {"id": "hello", "version": "1.0.0", "description": "", "authors": ["me"]}
    versions = [{"version": "1.0.0", "downloads": 1, "@id": f"{url}/nuget/hello"}]
    return {
        "/nuget/v3/index.json": _json({"version": "3.0.0", "resources": [service]}),
        "/nuget/query": _json(
            {"totalHits": 1, "data": [{**hello, "versions": versions}]}
        ),
    }


def _models() -> dict[str, Page]:
    """Two APIs of language models, streamed: one says hello, the other, too."""
    text = {"type": "output_text", "text": "hello"}
    item = {"id": "i", "type": "message", "role": "assistant", "content": [text]}
    counts = ("input_tokens", "output_tokens", "total_tokens")
    response = {"id": "r", "output": [item], "usage": dict.fromkeys(counts, 1)}
    message: dict[str, Any] = {
        **{"id": "m", "type": "message", "role": "assistant", "model": "x"},
        **{"content": [], "stop_reason": None, "usage": dict.fromkeys(counts[:2], 1)},
    }
    block = {"type": "text", "text": ""}
    delta = {"type": "text_delta", "text": "hello"}
    return {
        # platform.claude.com/docs "Streaming messages"
        "/v1/messages": _events(
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn"},
                "usage": {"output_tokens": 1},
            },
            {"type": "message_stop"},
        ),
        # platform.openai.com/docs "Streaming API responses"
        "/v1/responses": _events(
            {"type": "response.created", "response": {"id": "r"}},
            {"type": "response.output_item.done", "item": item},
            {"type": "response.completed", "response": response},
        ),
    }


def _events(*events: dict[str, Any]) -> Page:
    """Server-sent events."""
    lines = (f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events)
    return Page("".join(lines).encode(), "text/event-stream")


def _maven() -> dict[str, Page]:
    """maven.apache.org/repository/layout.html: the parent of a project."""
    pom = (
        b'<project xmlns="http://maven.apache.org/POM/4.0.0">'
        b"<modelVersion>4.0.0</modelVersion><groupId>test</groupId>"
        b"<artifactId>hello</artifactId><version>1</version>"
        b"<packaging>pom</packaging></project>"
    )
    digest = hashlib.sha1(pom, usedforsecurity=False).hexdigest().encode()
    path = "/maven/test/hello/1/hello-1.pom"
    return {path: Page(pom, "text/xml"), f"{path}.sha1": Page(digest, TEXT)}


def _gems() -> dict[str, Page]:
    """guides.rubygems.org/rubygems-org-compact-index-api."""
    info = f"---\n1.0.0 |checksum:{'0' * 64}\n".encode()
    digest = hashlib.md5(info, usedforsecurity=False).hexdigest()
    versions = f"created_at: 2026-01-01T00:00:00Z\n---\nhello 1.0.0 {digest}\n"
    return {
        "/gems/versions": Page(versions.encode(), TEXT),
        "/gems/info/hello": Page(info, TEXT),
        "/gems/names": Page(b"---\nhello\n", TEXT),
    }


def _bazel() -> dict[str, Page]:
    """Two archives and a file, as http_archive and http_file take them."""
    archive = _tar({"BUILD": "", "hello.txt": "hello\n"})
    archives = {f"/bazel/{n}.tar.gz": Page(archive, BYTES) for n in ("one", "two")}
    return {"/bazel/hello.txt": Page(b"hello\n", TEXT), **archives}
