"""Registries that are not Azure's: one that takes an OAuth token, one with passwords.

Apache's mod_auth_openidc judges our tokens in front of one docker-registry; the other
checks passwords by itself, and hushkey is the store that `docker login` writes to.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import do_without, running
from kit.desk import BIN, Desk, Done
from servers.apache import Apache
from servers.authority import Authority
from servers.browser import Browser
from servers.issuer import Issuer
from servers.process import Missing
from servers.registry import DockerRegistry, find_client, seed

pytestmark = pytest.mark.contract
SECRET = "s3cret-" + "x" * 6000


@pytest.fixture(scope="module")
def behind() -> Iterator[DockerRegistry]:
    yield from running(DockerRegistry())


@pytest.fixture(scope="module")
def front(
    authority: Authority, issuer_process: Issuer, behind: DockerRegistry
) -> Iterator[Apache]:
    seed(behind.port, "app")
    apache = Apache(
        authority,
        issuer_process,
        # A Bearer challenge would send clients to its realm as to a token service.
        challenges=['Basic realm="hushkey test registry"'],
        registry=behind.port,
    )
    yield from running(apache)


@pytest.fixture(scope="module")
def passwords() -> Iterator[DockerRegistry]:
    yield from running(DockerRegistry(user="alice", password="correct"))


class Registered(Desk):
    """A desk whose docker and podman know of us."""

    @property
    def clients(self) -> dict[str, str]:
        home = self.folder / "home"
        return {
            "DOCKER_CONFIG": str(home / ".docker"),
            "DOCKER_HOST": "unix:///nowhere/docker.sock",
            "REGISTRY_AUTH_FILE": str(home / ".config" / "containers" / "auth.json"),
            "SSL_CERT_FILE": str(self.ca_file),
        }

    def client(self, name: str, *words: str, stdin: bytes = b"") -> Done:
        try:
            program = find_client(name)
        except Missing as reason:
            do_without(reason)
            raise
        extra = self.clients
        if name == "skopeo":  # which is to read docker's own file
            del extra["REGISTRY_AUTH_FILE"]
        return self.start(program, *words, stdin=stdin, **extra)

    def credential(self, verb: str, stdin: str = "") -> Done:
        program = str(BIN / "docker-credential-hushkey")
        return self.start(program, verb, stdin=stdin.encode())

    def register(self, tool: str, *hosts: str) -> None:
        done = self.hushkey("install", tool, *hosts, stdin=b"", **self.clients)
        assert done.returncode == 0, done.stderr

    def listed(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.credential("list", "unused").stdout)
        return found


@pytest.fixture
def desk(
    tmp_path: Path,
    issuer: Issuer,
    front: Apache,
    visitor: Browser,
    authority: Authority,
) -> Iterator[Registered]:
    folder = tmp_path / "desk"
    folder.mkdir()
    made = Registered(folder, issuer, front, visitor, authority.ca_file)
    made.configure()
    front.reset()
    yield made
    assert made.leaks() == []


def test_registry_that_takes_an_oauth_token_needs_only_config(desk: Registered) -> None:
    desk.register("docker", desk.apache.host)
    image = f"{desk.apache.host}/app:1"

    shown = desk.client("docker", "manifest", "inspect", image)
    inspected = desk.client("skopeo", "inspect", f"docker://{image}")
    pulled = desk.client("skopeo", "copy", f"docker://{image}", "dir:copied")
    pushed = desk.client(
        "skopeo", "copy", "dir:copied", f"docker://{desk.apache.host}/other:2"
    )

    for done in (shown, inspected, pulled, pushed):
        assert done.returncode == 0, done.stderr
    assert len(desk.visitor.visits()) == 1
    good = [a for a in desk.apache.log() if a.status < 400]
    assert {(a.scheme, a.presented_user) for a in good} == {("Basic", "oauth2")}
    assert {a.secret for a in good} == set(desk.tokens())


def test_podman_reads_its_own_file(desk: Registered) -> None:
    desk.register("podman", desk.apache.host)
    image = f"{desk.apache.host}/app:1"

    found = desk.client("podman", "search", "--list-tags", f"{desk.apache.host}/app")
    shown = desk.client("podman", "manifest", "inspect", image)
    who = desk.client("podman", "login", "--get-login", desk.apache.host)
    left = desk.client("podman", "logout", desk.apache.host)

    for done in (found, shown, who, left):
        assert done.returncode == 0, done.stderr
    assert who.stdout.strip() == b"oauth2"
    assert b"corp stays signed in" in left.stderr
    assert desk.tokens() == []


def test_podman_finds_the_file_that_outlives_a_session(
    desk: Registered, tmp_path: Path
) -> None:
    """And what it keeps for the session goes before that: doctor says so."""
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    desk.extra = {"XDG_RUNTIME_DIR": str(runtime)}
    assert desk.hushkey("install", "podman", desk.apache.host).returncode == 0
    asked = ["manifest", "inspect", f"{desk.apache.host}/app:1"]
    desk.extra["SSL_CERT_FILE"] = str(desk.ca_file)

    found = desk.start(find_client("podman"), *asked)

    assert found.returncode == 0, found.stderr
    session = runtime / "containers" / "auth.json"
    session.parent.mkdir(exist_ok=True)
    held = {"auths": {desk.apache.host: {"auth": "eDp5"}}}  # x:y
    session.write_text(json.dumps(held))
    shadowed = desk.start(find_client("podman"), *asked)

    assert shadowed.returncode != 0
    assert desk.apache.log()[-1].secret == "y"


def test_logout_heals_a_token_that_the_registry_refuses(desk: Registered) -> None:
    """No client calls erase for a 401: `docker logout` is the cure, and asks nobody."""
    desk.register("docker", desk.apache.host)
    image = f"{desk.apache.host}/app:1"
    assert desk.client("docker", "manifest", "inspect", image).returncode == 0
    desk.apache.refuse_seen()
    assert desk.client("docker", "manifest", "inspect", image).returncode != 0

    assert desk.client("docker", "logout", desk.apache.host).returncode == 0

    assert desk.client("docker", "manifest", "inspect", image).returncode == 0
    assert len(desk.visitor.visits()) == 1
    assert desk.issuer.refreshes() == 1


@pytest.mark.parametrize("name", ["docker", "podman"])
def test_login_is_kept_used_listed_and_erased(
    desk: Registered, passwords: DockerRegistry, name: str
) -> None:
    place = passwords.place
    desk.register(name, place)
    insecure = ["--tls-verify=false"] if name == "podman" else []
    login = [name, "login", *insecure, "-u", "alice", "--password-stdin", place]

    wrong = desk.client(*login, stdin=b"wrong")
    right = desk.client(*login, stdin=b"correct")

    assert wrong.returncode != 0
    assert right.returncode == 0, right.stderr
    assert desk.listed() == {place: "alice"}
    assert b"correct" not in desk.files()
    assert json.loads(desk.credential("get", place).stdout)["Secret"] == "correct"

    left = desk.client(name, "logout", place)

    assert left.returncode == 0, left.stderr
    assert desk.listed() == {}
    assert desk.credential("get", place).returncode == 1


def test_login_with_docker_serves_skopeo(
    desk: Registered, passwords: DockerRegistry
) -> None:
    desk.register("docker", passwords.place)
    login = ["login", "-u", "alice", "--password-stdin", passwords.place]
    desk.client("docker", *login, stdin=b"correct")

    copied = desk.client(
        "skopeo",
        "copy",
        "--dest-tls-verify=false",
        f"docker://{desk.apache.host}/app:1",
        f"docker://{passwords.place}/app:1",
        "--src-creds",
        f"oauth2:{_token(desk)}",
    )

    assert copied.returncode == 0, copied.stderr


def _token(desk: Registered) -> str:
    done = desk.hushkey("token", desk.apache.host)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


def test_secret_of_six_kilobytes_is_kept(desk: Registered) -> None:
    request = {"ServerURL": "big.example", "Username": "u", "Secret": SECRET}
    assert desk.credential("store", json.dumps(request)).returncode == 0

    done = desk.credential("get", "https://big.example/v2/")

    assert json.loads(done.stdout)["Secret"] == SECRET


def test_docker_hub_has_one_place_whatever_it_is_called(desk: Registered) -> None:
    key = "https://index.docker.io/v1/"
    request = {"ServerURL": key, "Username": "me", "Secret": "hub-s3cret"}
    assert desk.credential("store", json.dumps(request)).returncode == 0

    for name in (key, "docker.io", "registry-1.docker.io", "https://index.docker.io"):
        assert json.loads(desk.credential("get", name).stdout)["Secret"] == "hub-s3cret"
    assert desk.listed() == {key: "me"}
    assert desk.credential("erase", "docker.io").returncode == 0
    assert desk.listed() == {}


def test_nothing_of_a_login_lands_in_the_clients_own_files(
    desk: Registered, passwords: DockerRegistry
) -> None:
    desk.register("docker", passwords.place)
    login = ["login", "-u", "alice", "--password-stdin", passwords.place]
    assert desk.client("docker", *login, stdin=b"correct").returncode == 0

    text = (desk.folder / "home" / ".docker" / "config.json").read_text()

    assert json.loads(text)["credHelpers"] == {passwords.place: "hushkey"}
    assert not os.path.exists(desk.clients["REGISTRY_AUTH_FILE"])
    assert 'auth"' not in text.replace('"auths"', "")


def test_podman_keeps_a_login_where_it_is_told_to(
    desk: Registered, passwords: DockerRegistry
) -> None:
    """Without --authfile it writes to the session's file, whatever ours says."""
    runtime = desk.folder / "session"
    runtime.mkdir(0o700)
    desk.extra["XDG_RUNTIME_DIR"] = str(runtime)
    file = desk.folder / "home" / ".config" / "containers" / "auth.json"
    podman = find_client("podman")
    said = desk.hushkey("install", "podman", passwords.place, stdin=b"").stderr
    assert f"podman login --authfile {file} {passwords.place}".encode() in said
    login = ["login", "--tls-verify=false", "-u", "alice", "--password-stdin"]

    plain = desk.start(podman, *login, passwords.place, stdin=b"correct")

    assert plain.returncode == 0, plain.stderr
    assert desk.listed() == {}
    kept = json.loads((runtime / "containers" / "auth.json").read_text())
    assert kept["auths"][passwords.place]["auth"]

    told = desk.start(
        podman, *login, "--authfile", str(file), passwords.place, stdin=b"correct"
    )

    assert told.returncode == 0, told.stderr
    assert desk.listed() == {passwords.place: "alice"}


def test_docker_logout_of_the_hub_takes_its_three_keys(desk: Registered) -> None:
    """It reads the refresh token to revoke it; here nobody can be reached."""
    desk.register("docker", "docker.io")
    hub = "https://index.docker.io/v1/"
    for part in ("", "access-token", "refresh-token"):
        secret = f"{part}-s3cret..client" if part else "hub-s3cret"
        request = {"ServerURL": hub + part, "Username": "me", "Secret": secret}
        assert desk.credential("store", json.dumps(request)).returncode == 0
    assert len(desk.listed()) == 3
    desk.extra["HTTPS_PROXY"] = "http://127.0.0.1:9"

    left = desk.client("docker", "logout")

    assert left.returncode == 0, left.stderr
    assert b"failure to revoke" in left.stderr  # it had found something to revoke
    assert b"s3cret" not in left.stdout + left.stderr
    assert desk.listed() == {}


def test_docker_shows_why_it_gets_nothing(desk: Registered) -> None:
    """docker drops what a helper says on standard output when it fails."""
    desk.register("docker", desk.apache.host)
    desk.extra["HUSHKEY_INTERACTIVE"] = "never"

    image = f"{desk.apache.host}/app:1"
    done = desk.client("docker", "manifest", "inspect", image)

    assert done.returncode != 0
    assert f"run: hushkey login {desk.apache.host}".encode() in done.stderr


def test_relative_folder_of_docker_is_the_one_that_docker_reads(
    desk: Registered, passwords: DockerRegistry
) -> None:
    relative = {"DOCKER_CONFIG": "here"}
    words = ("install", "docker", passwords.place)
    done = desk.hushkey(*words, stdin=b"", **desk.clients | relative)
    assert done.returncode == 0, done.stderr
    login = ["login", "-u", "alice", "--password-stdin", passwords.place]

    found = desk.start(
        find_client("docker"), *login, stdin=b"correct", **desk.clients | relative
    )

    assert found.returncode == 0, found.stderr
    assert desk.listed() == {passwords.place: "alice"}


def test_podman_finds_the_hub_by_its_own_name_alone(desk: Registered) -> None:
    desk.register("docker", "docker.io")
    request = {"ServerURL": "docker.io", "Username": "me", "Secret": "hub-s3cret"}
    assert desk.credential("store", json.dumps(request)).returncode == 0
    runtime = desk.folder / "session"
    runtime.mkdir(0o700)
    desk.extra["XDG_RUNTIME_DIR"] = str(runtime)
    whose = (find_client("podman"), "login", "--get-login", "docker.io")
    assert desk.start(*whose).returncode != 0

    assert desk.hushkey("install", "podman", "docker.io", stdin=b"").returncode == 0

    assert desk.start(*whose).stdout == b"me\n"
