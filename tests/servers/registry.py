"""Debian's docker-registry on loopback, with or without its own token check."""

import gzip
import hashlib
import http.client
import json
import shutil
import subprocess
from pathlib import Path

from servers.process import (
    CACHE,
    Missing,
    Program,
    Server,
    answers,
    clean_environ,
    find_program,
    free_port,
    short_folder,
)

UNPACKED = CACHE / "docker" / "usr"
"""Where tests/prepare unpacks oras and buildx, and docker's client if need be."""

CONFIGURATION = """\
version: 0.1
log: {{level: info, accesslog: {{disabled: false}}}}
storage:
  filesystem: {{rootdirectory: {folder}/data}}
  delete: {{enabled: true}}
http:
  addr: 127.0.0.1:{port}
  relativeurls: true
{auth}
"""
TOKEN = """\
auth:
  token:
    realm: https://{host}/oauth2/token
    service: {host}
    issuer: {issuer}
    rootcertbundle: {certificates}
"""
PASSWORD = """\
auth:
  htpasswd: {{realm: registry, path: {folder}/users}}
"""


class DockerRegistry(Server):
    """http on 127.0.0.1.

    `host` makes it demand access tokens for that service, signed by somebody whom
    `certificates` vouch for, from the token service at that host. `user` and
    `password` make it demand those. Else it lets everybody in: somebody else judges
    in front of it.
    """

    def __init__(
        self,
        *,
        host: str = "",
        issuer: str = "",
        certificates: Path | None = None,
        user: str = "",
        password: str = "",
    ) -> None:
        self.user = user
        self.password = password
        self.host = host
        self.issuer = issuer
        self.certificates = certificates
        self.port = 0
        self._folder: Path | None = None
        self._program: Program | None = None

    def start(self) -> None:
        program = find_program("docker-registry")
        self.port = self.port or free_port()
        self._folder = folder = short_folder("registry")
        auth = ""
        if self.host:
            auth = TOKEN.format(
                host=self.host, issuer=self.issuer, certificates=self.certificates
            )
        if self.user:
            auth = PASSWORD.format(folder=folder)
            self._write_users(folder / "users")
        file = folder / "config.yml"
        text = CONFIGURATION.format(folder=folder, port=self.port, auth=auth)
        file.write_text(text)
        self._program = Program(
            [program, "serve", str(file)],
            folder / "log",
            environ=clean_environ(HOME=str(folder), OTEL_TRACES_EXPORTER="none"),
        )
        try:
            self._program.wait_until(lambda: answers(self.port), "docker-registry")
        except (RuntimeError, TimeoutError):
            self.stop()
            raise

    @property
    def place(self) -> str:
        """host:port, as images name it."""
        return f"127.0.0.1:{self.port}"

    def _write_users(self, file: Path) -> None:
        program = find_program("htpasswd", package="apache2-utils")
        subprocess.run(
            [program, "-ciBC", "4", str(file), self.user],
            input=self.password.encode(),
            check=True,
            capture_output=True,
        )

    def stop(self) -> None:
        if self._program is not None:
            self._program.stop()
            self._program = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def log(self) -> str:
        assert self._program is not None, "not started"
        return self._program.output()


def find_client(name: str) -> str:
    """Return the path of docker, oras, skopeo or podman, or say how to get it."""
    package = "docker-cli" if name == "docker" else ""
    return find_program(name, package=package, also=[str(UNPACKED / "bin")])


def add_buildx(folder: Path) -> None:
    """Give the docker config in *folder* the plugin buildx; raises Missing."""
    plugin = UNPACKED / "libexec" / "docker" / "cli-plugins" / "docker-buildx"
    if not plugin.exists():
        raise Missing("docker-buildx is not there: run tests/prepare")
    (folder / "cli-plugins").mkdir(parents=True, exist_ok=True)
    (folder / "cli-plugins" / "docker-buildx").symlink_to(plugin)


def seed(port: int, name: str, tag: str = "1", token: str = "") -> str:
    """Put a tiny image into the registry at *port*; return its manifest's digest."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    layer = gzip.compress(bytes(1024), mtime=0)  # an empty tar archive
    diff = _digest(bytes(1024))
    rootfs = {"type": "layers", "diff_ids": [diff]}
    config = json.dumps(
        {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}
    ).encode()
    for blob in (layer, config):
        _upload(port, name, blob, headers)
    kind = "application/vnd.docker"
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": f"{kind}.distribution.manifest.v2+json",
            "config": _described(config, f"{kind}.container.image.v1+json"),
            "layers": [_described(layer, f"{kind}.image.rootfs.diff.tar.gzip")],
        }
    ).encode()
    content = {"Content-Type": f"{kind}.distribution.manifest.v2+json"}
    _send(port, "PUT", f"/v2/{name}/manifests/{tag}", headers | content, manifest)
    return _digest(manifest)


def _upload(port: int, name: str, blob: bytes, headers: dict[str, str]) -> None:
    where = _send(port, "POST", f"/v2/{name}/blobs/uploads/", headers)
    content = {"Content-Type": "application/octet-stream"}
    mark = "&" if "?" in where else "?"
    _send(port, "PUT", f"{where}{mark}digest={_digest(blob)}", headers | content, blob)


def _send(
    port: int, method: str, path: str, headers: dict[str, str], body: bytes = b""
) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, headers)
        given = connection.getresponse()
        said = given.read()
        assert given.status in (201, 202), (given.status, said)
        return given.getheader("Location", "")
    finally:
        connection.close()


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _described(data: bytes, kind: str) -> dict[str, object]:
    return {"mediaType": kind, "size": len(data), "digest": _digest(data)}
