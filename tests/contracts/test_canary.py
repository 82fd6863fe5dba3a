"""The search for secrets finds one: planted in each place, in each form."""

import base64
import sys
from urllib.parse import quote

import pytest

from kit import canary
from kit.canary import Ear, Leak, Place, Secret
from kit.desk import Desk
from servers.gits import Git

TOKEN = Secret("refresh_token", b"s3cr3t/refresh+token~value")


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(TOKEN.value, id="as it is"),
        pytest.param(quote(TOKEN.value, safe="").encode(), id="percent"),
        pytest.param(TOKEN.value.hex().encode(), id="hex"),
        *(
            pytest.param(base64.b64encode(user + TOKEN.value + b"?"), id=f"basic {n}")
            for n, user in enumerate((b"abc", b"u:", b"me:", b"user:"))
        ),
        pytest.param(base64.urlsafe_b64encode(b"me:" + TOKEN.value), id="urlsafe"),
    ],
)
def test_secret_is_found_in_every_form(written: bytes) -> None:
    place = Place("file", "x", b"before " + written + b" after")

    assert canary.leaks([TOKEN], [place]) == [Leak("refresh_token", "file x")]


def test_other_content_is_no_leak() -> None:
    assert canary.leaks([TOKEN], [Place("file", "x", TOKEN.value[:-1])]) == []


def test_secret_is_allowed_in_its_own_place_alone() -> None:
    secrets = [Secret(kind, f"{kind}-value".encode()) for kind in ("state", "code")]
    everything = b" ".join(secret.value for secret in secrets)
    places = [Place(k, "x", everything) for k in ("arguments", "stderr", "file")]

    assert sorted(canary.leaks(secrets, places)) == [
        Leak("code", "arguments x"),
        Leak("code", "file x"),
        Leak("code", "stderr x"),
        Leak("state", "file x"),
    ]


@pytest.mark.contract
def test_every_kind_of_secret_is_known_after_a_sign_in_and_a_refresh(
    desk: Desk, git: Git
) -> None:
    desk.clone(git, "contoso/app", "first")
    desk.age(3601)
    assert desk.get().returncode == 0

    secrets = desk.secrets()

    kinds = [secret.kind for secret in secrets]
    assert set(kinds) == {
        "access_token",
        "code",
        "code_verifier",
        "data key",
        "id_token",
        "refresh_token",
        "state",
    }
    assert kinds.count("refresh_token") == kinds.count("access_token") == 2
    assert {token.encode() for token in desk.tokens()} <= {s.value for s in secrets}
    (key,) = [s.value for s in secrets if s.kind == "data key"]
    assert key == desk.acquirer().data_key.key()
    assert desk.leaks() == []


@pytest.mark.contract
def test_every_child_of_a_helper_is_seen(desk: Desk) -> None:
    assert desk.get().returncode == 0

    places = list(desk.ear.places())

    arguments = [place.content for place in places if place.kind == "arguments"]
    (state,) = [s for s in desk.secrets() if s.kind == "state"]
    assert any(b"git-credential-hushkey" in found for found in arguments)
    assert any(b"http://127.0.0.1:" in found for found in arguments)  # the browser's
    assert not any(state.value in found for found in arguments)
    assert any(b"HUSHKEY_LOG" in p.content for p in places if p.kind == "environment")


@pytest.mark.contract
def test_planted_secret_is_found_wherever_it_is(desk: Desk) -> None:
    assert desk.get().returncode == 0
    (found,) = [s for s in desk.secrets() if s.kind == "refresh_token"]
    secret = found.value.decode()
    child = "import subprocess; subprocess.run(['true'"
    starts = [sys.executable, "-c"]

    desk.start("/bin/sh", "-c", 'echo "$SECRET" >&2', SECRET=secret)
    desk.start("/bin/sh", "-c", 'echo "$SECRET"', SECRET=secret)
    desk.start(*starts, f"import os; {child}, os.environ['X']])", X=secret)
    with desk.ear.trace.open("a") as trace:
        trace.write(f"step={secret}\n")
    (desk.folder / "data" / "left.tmp").write_text(secret)

    places = {leak.place.partition(" ")[0] for leak in desk.leaks()}
    assert {leak.secret for leak in desk.leaks()} == {"refresh_token"}
    assert places == {
        "arguments",
        "environment",
        "file",
        "trace",
        "stderr",
        "stdout",
    }
    _forget(desk)


@pytest.mark.contract
def test_planted_data_key_is_found(desk: Desk) -> None:
    assert desk.get().returncode == 0
    key_file = desk.folder / "data" / "key"
    (desk.folder / "copy").write_bytes(key_file.read_bytes())

    assert desk.leaks() == [Leak("data key", "file copy")]
    _forget(desk)


def _forget(desk: Desk) -> None:
    """Take away what a test has planted: the desk looks again at its end."""
    for path in [*desk.folder.rglob("*"), *desk.ear.trace.parent.iterdir()]:
        if path.is_file():
            path.unlink()
    desk.ear = Ear(desk.folder / "another")
    assert desk.leaks() == []
