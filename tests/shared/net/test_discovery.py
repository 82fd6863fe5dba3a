import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hushkey.errors import HushkeyError, Permanent, Transient
from hushkey.net import answers
from hushkey.net.discovery import KEEP, KEEP_IN_NEED, Discovery
from kit.oauth import WELL_KNOWN, OidcServer, Reply, network


@pytest.fixture(params=["", "/realms/dev"], ids=["root issuer", "issuer with a path"])
def server(request: pytest.FixtureRequest) -> Iterator[OidcServer]:
    with OidcServer(request.param) as running:
        yield running


@pytest.fixture
def root() -> Iterator[OidcServer]:
    with OidcServer() as running:
        yield running


def found(server: OidcServer, folder: Path, issuer: str = "") -> Discovery:
    return Discovery(issuer or server.issuer, network(), str(folder))


def answer_with(server: OidcServer, **changes: Any) -> None:
    server.on(WELL_KNOWN, Reply(server.metadata | changes))


def make_older(folder: Path, seconds: float) -> None:
    for path in (folder / "discovery").iterdir():
        kept = json.loads(path.read_text())
        path.write_text(json.dumps(kept | {"fetched_at": time.time() - seconds}))


def test_metadata_of_the_issuer_is_fetched(server: OidcServer, tmp_path: Path) -> None:
    assert found(server, tmp_path).metadata() == server.metadata
    assert found(server, tmp_path).keys()["keys"][0]["kid"] == "k1"


def test_documents_are_kept_for_a_day(server: OidcServer, tmp_path: Path) -> None:
    found(server, tmp_path).keys()
    asked = len(server.calls)
    make_older(tmp_path, KEEP - 60)

    found(server, tmp_path).keys()

    assert len(server.calls) == asked == 2


def test_documents_are_fetched_anew_after_a_day(
    server: OidcServer, tmp_path: Path
) -> None:
    found(server, tmp_path).metadata()
    make_older(tmp_path, KEEP + 60)

    found(server, tmp_path).metadata()

    assert len(server.calls) == 2


def test_document_from_the_future_is_fetched_anew(
    root: OidcServer, tmp_path: Path
) -> None:
    found(root, tmp_path).metadata()
    make_older(tmp_path, -3600)

    found(root, tmp_path).metadata()

    assert len(root.calls) == 2


def test_keys_can_be_asked_for_again(root: OidcServer, tmp_path: Path) -> None:
    found(root, tmp_path).keys()

    found(root, tmp_path).keys(again=True)

    assert len(root.calls_to("/jwks")) == 2


@pytest.mark.parametrize("status", [429, 500, 503])
def test_old_document_serves_while_the_server_fails(
    root: OidcServer, tmp_path: Path, status: int
) -> None:
    found(root, tmp_path).metadata()
    make_older(tmp_path, KEEP + 60)
    root.on(WELL_KNOWN, Reply(status=status))

    assert found(root, tmp_path).metadata() == root.metadata


def test_too_old_document_does_not_serve(root: OidcServer, tmp_path: Path) -> None:
    found(root, tmp_path).metadata()
    make_older(tmp_path, KEEP_IN_NEED + 60)
    root.on(WELL_KNOWN, Reply(status=503))

    with pytest.raises(Transient):
        found(root, tmp_path).metadata()


def test_old_keys_do_not_serve_where_new_ones_are_needed(
    root: OidcServer, tmp_path: Path
) -> None:
    found(root, tmp_path).keys()
    root.on("/jwks", Reply(status=503))

    with pytest.raises(Transient):
        found(root, tmp_path).keys(again=True)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(Reply(status=404), Permanent, id="404"),
        pytest.param(Reply(status=500), Transient, id="500"),
        pytest.param(Reply(b"<html>"), Transient, id="a portal's page"),
        pytest.param(Reply(b"[]"), Transient, id="a list"),
        pytest.param(Reply({}), Permanent, id="no issuer"),
    ],
)
def test_answer_that_is_no_document(
    root: OidcServer, tmp_path: Path, answer: Reply, kind: type[HushkeyError]
) -> None:
    root.on(WELL_KNOWN, answer)

    with pytest.raises(HushkeyError) as caught:
        found(root, tmp_path).metadata()
    assert type(caught.value) is kind


def test_404_names_the_setting(root: OidcServer, tmp_path: Path) -> None:
    root.on(WELL_KNOWN, Reply(status=404))

    with pytest.raises(Permanent) as caught:
        found(root, tmp_path).metadata()
    assert "check `issuer`" in caught.value.line()


@pytest.mark.parametrize("tail", ["/", "/x"])
def test_issuer_is_compared_byte_for_byte(
    root: OidcServer, tmp_path: Path, tail: str
) -> None:
    answer_with(root, issuer=root.issuer + tail)

    with pytest.raises(Permanent, match="calls itself"):
        found(root, tmp_path).metadata()


def test_configured_trailing_slash_must_be_the_servers_too(
    root: OidcServer, tmp_path: Path
) -> None:
    with pytest.raises(Permanent, match="exactly as the server does"):
        found(root, tmp_path, f"{root.issuer}/").metadata()

    answer_with(root, issuer=f"{root.issuer}/")
    assert found(root, tmp_path, f"{root.issuer}/").metadata()


def test_document_of_another_issuer_is_not_kept(
    root: OidcServer, tmp_path: Path
) -> None:
    answer_with(root, issuer="https://evil.test")
    with pytest.raises(Permanent):
        found(root, tmp_path).metadata()

    answer_with(root)

    assert found(root, tmp_path).metadata() == root.metadata


@pytest.mark.parametrize(
    "name", ["token_endpoint", "authorization_endpoint", "revocation_endpoint"]
)
@pytest.mark.parametrize(
    "url", ["http://id.test/token", "ftp://127.0.0.1/token", "file:///etc/passwd", ""]
)
def test_endpoint_that_is_not_https_is_refused(
    root: OidcServer, tmp_path: Path, name: str, url: str
) -> None:
    answer_with(root, **{name: url})

    with pytest.raises(Permanent, match="not https"):
        found(root, tmp_path).metadata()


def test_keys_that_are_not_https_are_refused(root: OidcServer, tmp_path: Path) -> None:
    answer_with(root, jwks_uri="http://id.test/jwks")

    with pytest.raises(Permanent, match="not https"):
        found(root, tmp_path).keys()


@pytest.mark.parametrize(
    ("url", "issuer", "good"),
    [
        ("https://a.test/t", "https://id.test", True),
        ("http://127.0.0.1:1/t", "http://127.0.0.1:1", True),
        ("http://localhost/t", "http://127.0.0.1:1", True),
        ("http://127.0.0.1/t", "https://id.test", False),
        ("http://localhost.evil.test/t", "http://127.0.0.1", False),
        ("http://127.0.0.1.evil.test/t", "http://127.0.0.1", False),
        ("javascript:alert(1)", "https://id.test", False),
    ],
)
def test_check_secure(url: str, issuer: str, good: bool) -> None:
    if good:
        answers.check_secure(url, issuer)
        return
    with pytest.raises(Permanent):
        answers.check_secure(url, issuer)


@pytest.mark.parametrize("uri", [None, 5, ["https://a"]])
def test_metadata_without_keys_is_permanent(
    root: OidcServer, tmp_path: Path, uri: object
) -> None:
    answer_with(root, jwks_uri=uri)

    with pytest.raises(Permanent, match="jwks_uri"):
        found(root, tmp_path).keys()


@pytest.mark.parametrize("keys", [{}, {"keys": "none"}, {"keys": None}])
def test_keys_that_are_no_set_are_permanent(
    root: OidcServer, tmp_path: Path, keys: dict[str, Any]
) -> None:
    root.on("/jwks", Reply(keys))

    with pytest.raises(Permanent, match="JWK set"):
        found(root, tmp_path).keys()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"url": 1}', '{"fetched_at": "x", "document": {}}', "null"]
)
def test_kept_document_that_is_broken_is_fetched_anew(
    root: OidcServer, tmp_path: Path, text: str
) -> None:
    found(root, tmp_path).metadata()
    for path in (tmp_path / "discovery").iterdir():
        path.write_text(text)

    assert found(root, tmp_path).metadata() == root.metadata


def test_documents_are_private(root: OidcServer, tmp_path: Path) -> None:
    found(root, tmp_path).metadata()

    folder = tmp_path / "discovery"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [p.stat().st_mode & 0o777 for p in folder.iterdir()] == [0o600]


def test_folder_that_cannot_be_written_costs_only_the_copy(
    root: OidcServer, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")

    metadata = found(root, tmp_path / "file").metadata()

    assert metadata == root.metadata
    assert os.listdir(tmp_path) == ["file"]


def test_redirect_of_the_document_is_not_followed(
    root: OidcServer, tmp_path: Path
) -> None:
    root.on("/other", Reply(root.metadata))
    root.on(WELL_KNOWN, Reply(status=302, Location=f"{root.url}/other"))

    with pytest.raises(Transient):
        found(root, tmp_path).metadata()
    assert not root.calls_to("/other")


def test_documents_of_many_issuers_do_not_pile_up(
    root: OidcServer, tmp_path: Path
) -> None:
    """A server may name another place for its keys each day."""
    folder = tmp_path / "discovery"
    folder.mkdir(mode=0o700)
    now = time.time()
    for number in range(300):
        made = folder / f"{number}.json"
        made.touch()
        os.utime(made, (now - number - 1, now - number - 1))
    os.utime(folder / "0.json", (now - KEEP_IN_NEED - 1,) * 2)

    found(root, tmp_path).metadata()

    left = {path.name for path in folder.iterdir()}
    assert len(left) == 100
    assert "0.json" not in left
    assert {"1.json", "99.json"} < left
