"""Azure's managed identity, at a double of each service's documents."""

import ssl
from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest

from hushkey.config import schema
from hushkey.config.identities import compiled
from hushkey.errors import HushkeyError, Permanent, Transient
from hushkey.model import Grant, HostRule, Identity
from hushkey.providers import registry
from hushkey.providers.workload import managed
from kit.oauth import Answer, Call, Reply, Scripted
from servers.authority import Authority

RESOURCE = "499b84ac-1321-427f-aa17-267ca6975798"
IMDS = "/metadata/identity/oauth2/token"
TOKEN = {
    "access_token": "mi-token",
    "expires_in": "3599",
    "resource": RESOURCE,
    "token_type": "Bearer",
}


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as running:
        yield running


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hushkey.providers.workload.asking._PAUSE", 0.0)


def mint(environ: dict[str, str], seconds: int = 5, **keys: Any) -> Grant:
    table = {"provider": "workload", "kind": "managed-identity"} | (
        keys or {"system": True}
    )
    identity = Identity("vm", **compiled(table))
    rule = HostRule("dev.azure.com", identity, scopes=(f"{RESOURCE}/.default",))
    settings: dict[str, Any] = {**schema.DEFAULTS, "silent_timeout": seconds}
    # a proxy that would be asked if anything but this machine were
    proxied = {"http_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}
    minter = registry.open_minter(identity, settings, "/nowhere", proxied | environ)
    return minter.mint(rule, "dev.azure.com")


def fails(environ: dict[str, str], **keys: Any) -> HushkeyError:
    with pytest.raises(HushkeyError) as caught:
        mint(environ, **keys)
    assert "login" not in caught.value.line()
    return caught.value


def query(call: Call) -> dict[str, str]:
    from urllib.parse import parse_qsl

    return dict(parse_qsl(call.path.partition("?")[2]))


def imds(server: Scripted) -> dict[str, str]:
    return {"AZURE_POD_IDENTITY_AUTHORITY_HOST": server.url}


@pytest.mark.parametrize(
    ("keys", "sent"),
    [
        ({"system": True}, {}),
        ({"client_id": "c-1"}, {"client_id": "c-1"}),
        ({"object_id": "o-1"}, {"object_id": "o-1"}),
        ({"resource_id": "/subscriptions/s"}, {"msi_res_id": "/subscriptions/s"}),
    ],
)
def test_imds_is_asked_for_the_one_identity_that_the_config_names(
    keys: dict[str, Any], sent: dict[str, str], server: Scripted
) -> None:
    server.on(IMDS, Reply(TOKEN))

    granted = mint(imds(server), **keys)

    assert (granted.access_token, granted.expires_in) == ("mi-token", 3599)
    (call,) = server.calls
    assert query(call) == {"api-version": "2018-02-01", "resource": RESOURCE} | sent
    assert call.headers["Metadata"] == "true"


@pytest.mark.parametrize(
    ("environ", "path", "version", "header", "resource_id"),
    [
        (
            {"IDENTITY_ENDPOINT": "{url}/msi", "IDENTITY_HEADER": "h-secret"},
            "/msi",
            "2019-08-01",
            ("X-IDENTITY-HEADER", "h-secret"),
            "mi_res_id",
        ),
        (
            {"MSI_ENDPOINT": "{url}/ml?x=1", "MSI_SECRET": "m-secret"},
            "/ml",
            "2017-09-01",
            ("secret", "m-secret"),
            "",
        ),
    ],
)
def test_services_have_their_own_dialects(
    environ: dict[str, str],
    path: str,
    version: str,
    header: tuple[str, str],
    resource_id: str,
    server: Scripted,
) -> None:
    server.on(path, Reply({**TOKEN, "expires_in": None, "expires_on": "99999999999"}))
    found = {
        name: value.replace("{url}", server.url) for name, value in environ.items()
    }

    assert mint(found).access_token == "mi-token"
    (call,) = server.calls
    assert query(call)["api-version"] == version
    assert call.headers[header[0]] == header[1]
    if resource_id:
        mint(found, resource_id="/r")
        assert query(server.calls[-1])[resource_id] == "/r"
    else:
        assert "cannot choose" in fails(found, resource_id="/r").what
        assert len(server.calls) == 1


def test_cloud_shell_is_asked_by_post_and_for_nobody_in_particular(
    server: Scripted,
) -> None:
    server.on("/oauth2/token", Reply(TOKEN))
    environ = {"MSI_ENDPOINT": f"{server.url}/oauth2/token"}

    assert mint(environ).access_token == "mi-token"
    assert server.calls[0].form == {"resource": RESOURCE}
    assert "cannot choose" in fails(environ, client_id="c").what


@pytest.mark.parametrize(
    ("answers", "kind", "words", "calls"),
    [
        (
            [Reply({"error": "invalid_request", "error_description": "x"}, 400)],
            Permanent,
            "or several; asked for was the one with the client id c-1",
            1,
        ),
        ([Reply(b"<html>", 404)], Transient, "is being updated (HTTP 404)", 2),
        ([Reply(status=410)], Transient, "is being updated (HTTP 410)", 2),
        ([Reply({"error": "too_many"}, 429)], Transient, "not now (HTTP 429)", 2),
        ([Reply(b"", 500)], Transient, "HTTP 500", 2),
        ([Reply(b"<html>", 502)], Transient, "HTTP 502", 2),
        ([Reply(b"<html>sign in")], Transient, "something between here and IMDS", 1),
        ([Reply(status=302, Location="http://evil/")], Transient, "HTTP 302", 1),
        ([Reply({"access_token": "x" * 70_000})], Transient, "too long", 1),
        ([Reply({"token": "x"})], Permanent, "holds no token", 1),
        (
            [Reply({"error": "connecting to 169.254.169.254: unreachable"}, 403)],
            Permanent,
            "cannot be reached from this container",
            1,
        ),
        (
            [Reply({"error": "too_many"}, 429, Retry_After="60")],
            Transient,
            "not now (HTTP 429)",
            1,
        ),
    ],
)
def test_every_answer_that_is_no_token_has_its_sentence(
    answers: list[Answer],
    kind: type[HushkeyError],
    words: str,
    calls: int,
    server: Scripted,
) -> None:
    server.on(IMDS, *answers)

    error = fails(imds(server), client_id="c-1")

    assert isinstance(error, kind)
    assert words in error.what
    assert len(server.calls) == calls


def test_one_more_try_is_enough_for_what_was_only_busy(server: Scripted) -> None:
    server.on(IMDS, Reply(status=410), Reply(TOKEN))

    assert mint(imds(server)).access_token == "mi-token"


def test_imds_that_never_answers_ends_in_time(server: Scripted) -> None:
    server.on(IMDS, server.hang)

    error = fails(imds(server), seconds=1)

    assert isinstance(error, Transient)
    assert "no answer in time" in error.what


def test_nothing_at_imds_is_said_at_once() -> None:
    error = fails({"AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1:1"})

    assert isinstance(error, Transient)
    assert "IMDS: 127.0.0.1:1: cannot be reached" in error.what


@pytest.mark.parametrize(
    "environ",
    [
        {"IDENTITY_ENDPOINT": "https://evil.example/", "IDENTITY_HEADER": "h"},
        {"IDENTITY_ENDPOINT": "http://a@127.0.0.1/", "IDENTITY_HEADER": "h"},
        {"MSI_ENDPOINT": "http://10.0.0.1/", "MSI_SECRET": "h"},
        {"AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://169.254.169.254.evil.example"},
        {"IDENTITY_ENDPOINT": "file:///etc/passwd", "IDENTITY_HEADER": "h"},
    ],
)
def test_endpoint_elsewhere_gets_no_secret(environ: dict[str, str]) -> None:
    error = fails(environ)

    assert isinstance(error, Permanent)
    assert "not this machine" in error.what or "holds no URL" in error.what


def test_answer_for_another_identity_is_not_taken(server: Scripted) -> None:
    server.on(IMDS, Reply({**TOKEN, "client_id": "another"}))

    assert "is for the client id another" in fails(imds(server), client_id="c-1").what


# -- Azure Arc ----------------------------------------------------------------------


@pytest.fixture
def arc(server: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(managed, "_ARC_FOLDERS", (str(tmp_path),))
    return tmp_path


def arc_environ(server: Scripted) -> dict[str, str]:
    return {"IDENTITY_ENDPOINT": f"{server.url}/arc", "IMDS_ENDPOINT": "http://x"}


def challenge(path: object) -> Reply:
    return Reply(status=401, WWW_Authenticate=f"Basic realm={path}")


def test_arc_s_file_proves_who_asks(server: Scripted, arc: Path) -> None:
    (arc / "1.key").write_text("arc-secret\n")
    server.on("/arc", challenge(arc / "1.key"), Reply(TOKEN))

    assert mint(arc_environ(server)).access_token == "mi-token"
    assert server.calls[1].headers["Authorization"] == "Basic arc-secret"


@pytest.mark.parametrize(
    "name", ["../x.key", "x.txt", "link.key", "long.key", "no.key"]
)
def test_arc_names_no_file_but_a_small_key_of_its_own(
    name: str, server: Scripted, arc: Path
) -> None:
    for made in ("x.txt", "target"):
        (arc / made).write_text("not-arc-s")
    (arc / "link.key").symlink_to(arc / "target")
    (arc / "long.key").write_text("x" * 5000)
    server.on("/arc", challenge(arc / name), Reply(TOKEN))

    assert isinstance(fails(arc_environ(server)), Permanent)
    assert len(server.calls) == 1


# -- Service Fabric -----------------------------------------------------------------


def fabric(url: str, thumbprint: str) -> dict[str, str]:
    return {
        "IDENTITY_ENDPOINT": f"{url}/fabric",
        "IDENTITY_HEADER": "f-secret",
        "IDENTITY_SERVER_THUMBPRINT": thumbprint,
    }


def thumbprint_of(authority: Authority) -> str:
    der = ssl.PEM_cert_to_DER_cert(
        authority.certificate_file.read_text().partition("-----END CERTIFICATE-----")[0]
        + "-----END CERTIFICATE-----\n"
    )
    return sha1(der).hexdigest().upper()


def test_service_fabric_s_certificate_is_compared_before_anything_is_sent(
    authority: Authority,
) -> None:
    thumbprint = thumbprint_of(authority)
    with Scripted(authority.server_context()) as server:
        server.on("/fabric", Reply(TOKEN))
        assert mint(fabric(server.url, thumbprint)).access_token == "mi-token"
        assert server.calls[0].headers["Secret"] == "f-secret"
        server.calls.clear()

        error = fails(fabric(server.url, "00" * 20))

        assert "its certificate is not the one" in error.what
        assert server.calls == []


def test_service_fabric_that_never_answers_ends_in_time(authority: Authority) -> None:
    thumbprint = thumbprint_of(authority)
    with Scripted(authority.server_context()) as server:
        server.on("/fabric", server.hang)

        error = fails(fabric(server.url, thumbprint), seconds=1)

    assert isinstance(error, Transient)
    assert "no answer in time" in error.what


def test_service_fabric_over_plain_http_is_refused() -> None:
    assert "not https" in fails(fabric("http://127.0.0.1:9", "00")).what
