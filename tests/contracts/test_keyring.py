"""A real Secret Service in each of its states: five findings, five messages."""

import os
import sys
import time
from collections.abc import Callable

import pytest

from hushkey.store import openitem
from hushkey.store.keystores import ATTRIBUTES, ServiceStore
from hushkey.store.secretservice import SecretServiceStore
from kit.desk import Desk
from kit.oauth import imported, timed_imports
from servers.secretservice import SecretService

pytestmark = pytest.mark.contract
MakeService = Callable[..., SecretService]


def sit_at(desk: Desk, service: SecretService, settings: str = "") -> None:
    desk.extra = dict(service.environ)
    desk.configure(key_store="keyring", settings="keyring_timeout = 2\n" + settings)


def test_key_lives_in_the_keyring_and_tokens_in_a_sealed_file(
    desk: Desk, make_secret_service: MakeService
) -> None:
    sit_at(desk, make_secret_service("unlocked"))

    first, second = desk.get(), desk.get()

    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert len(desk.visitor.visits()) == 1
    assert not (desk.folder / "data" / "key").exists()
    assert len(list((desk.folder / "data" / "tokens").glob("*.sealed"))) == 1


def test_open_key_is_read_without_a_library(
    desk: Desk, make_secret_service: MakeService
) -> None:
    sit_at(desk, make_secret_service("unlocked"))
    assert desk.get().returncode == 0

    done = desk.start(
        *timed_imports("git-credential-hushkey", "get"),
        stdin=f"protocol=https\nhost={desk.apache.host}\n\n".encode(),
        HUSHKEY_AGENT="off",
    )

    found = set(imported(done.stderr))
    assert b"password=" in done.stdout
    assert "hushkey.store.openitem" in found
    heavy = {"jeepney", "secretstorage", "socket", "hmac", "_hashlib", "string"}
    assert found & {*heavy, "cryptography.hazmat.backends.openssl"} == set()


def test_silent_refresh_loads_no_library_of_a_sign_in(
    desk: Desk, make_secret_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_secret_service("unlocked")
    for name, value in service.environ.items():
        monkeypatch.setenv(name, value)
    sit_at(desk, service)
    assert desk.get().returncode == 0
    desk.age(3601)

    done = desk.start(
        *timed_imports("git-credential-hushkey", "get"),
        stdin=f"protocol=https\nhost={desk.apache.host}\n\n".encode(),
        HUSHKEY_AGENT="off",
    )

    found = {name.partition(".")[0] for name in imported(done.stderr)}
    assert b"password=" in done.stdout
    assert desk.issuer.refreshes() == 1
    assert "requests" in found
    heavy = {"authlib", "joserfc", "filelock", "jeepney", "secretstorage", "msal"}
    assert found & heavy == set()


@pytest.mark.parametrize("text", ["", "k", "k" * 16, "k" * 44, "k" * 100_000])
def test_secret_is_what_the_library_reads(
    make_secret_service: MakeService, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    for name, value in make_secret_service("unlocked").environ.items():
        monkeypatch.setenv(name, value)
    store = ServiceStore()
    assert openitem.read(ATTRIBUTES) is None  # there is no such item yet
    store.put(text)
    library = SecretServiceStore("the keyring", ATTRIBUTES, "")

    assert openitem.read(ATTRIBUTES) == text == library.get()
    assert openitem.read({**ATTRIBUTES, "username": "another"}) is None


@pytest.mark.parametrize("state", ["locked", "no collection", "no service", "absent"])
def test_what_is_not_open_is_left_to_the_library(
    make_secret_service: MakeService, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    for name, value in make_secret_service(state).environ.items():
        monkeypatch.setenv(name, value)

    assert openitem.read(ATTRIBUTES) is None


def test_absent_keyring_is_named_before_anybody_signs_in(
    desk: Desk, make_secret_service: MakeService
) -> None:
    sit_at(desk, make_secret_service("absent"))

    done = desk.get()

    assert b"there is no OS keyring here" in done.stderr
    assert b"hushkey config set key_store file" in done.stderr
    assert done.stdout == b"quit=1\n"
    assert desk.visitor.visits() == []
    assert desk.issuer.log() == []


def test_session_that_cron_and_tox_strip_is_found_or_its_variable_named(
    desk: Desk, make_secret_service: MakeService
) -> None:
    sit_at(desk, make_secret_service("unlocked"))
    assert desk.get().returncode == 0
    config = desk.folder / "config.toml"
    before = config.read_text()

    no_bus = desk.get(DBUS_SESSION_BUS_ADDRESS="")
    nothing = desk.get(DBUS_SESSION_BUS_ADDRESS="", XDG_RUNTIME_DIR="")
    refused = desk.hushkey("config", "set", "key_store", "file")

    assert (no_bus.returncode, no_bus.stderr) == (0, b"")
    assert b"password=" in no_bus.stdout
    assert nothing.stdout == b"quit=1\n"
    assert b"DBUS_SESSION_BUS_ADDRESS is not set" in nothing.stderr
    assert b"key_store" not in nothing.stderr
    assert refused.returncode == 1
    assert b"hushkey reset" in refused.stderr
    assert config.read_text() == before
    assert len(desk.visitor.visits()) == 1


def test_keyring_that_died_is_not_given_up(
    desk: Desk, make_secret_service: MakeService
) -> None:
    service = make_secret_service("unlocked")
    sit_at(desk, service)
    assert desk.get().returncode == 0
    service.stop_daemon()

    done = desk.get()

    assert b"cannot be seen from here" in done.stderr
    assert b"key_store" not in done.stderr


def test_no_service_on_the_bus_is_an_absent_keyring(
    desk: Desk, make_secret_service: MakeService
) -> None:
    sit_at(desk, make_secret_service("no service"))

    assert b"there is no OS keyring here" in desk.get().stderr
    assert desk.visitor.visits() == []


@pytest.mark.parametrize("state", ["locked", "no collection"])
def test_locked_keyring_is_not_an_empty_one(
    desk: Desk, make_secret_service: MakeService, state: str
) -> None:
    sit_at(desk, make_secret_service(state))

    nobody_to_ask, nobody_unlocks = desk.get(CI="true"), desk.get()

    assert b"this is a CI job" in nobody_to_ask.stderr
    assert b"keyring" in nobody_unlocks.stderr
    assert b"unlock" in nobody_unlocks.stderr or b"confirm" in nobody_unlocks.stderr
    assert nobody_unlocks.stdout == b"quit=1\n"
    assert desk.visitor.visits() == []
    assert not (desk.folder / "data" / "tokens").exists()


def test_keyring_locked_later_keeps_everything_as_it_is(
    desk: Desk, make_secret_service: MakeService
) -> None:
    service = make_secret_service("unlocked")
    sit_at(desk, service)
    assert desk.get().returncode == 0
    (sealed,) = (desk.folder / "data" / "tokens").glob("*.sealed")
    before = sealed.read_bytes()
    service.lock()

    done = desk.get(CI="true")

    assert b"is locked" in done.stderr
    assert done.stdout == b"quit=1\n"
    assert sealed.read_bytes() == before
    assert len(desk.visitor.visits()) == 1


def test_hanging_keyring_meets_its_timeout(
    desk: Desk, make_secret_service: MakeService
) -> None:
    service = make_secret_service("unlocked")
    sit_at(desk, service)
    assert desk.get().returncode == 0
    service.freeze()
    began = time.monotonic()

    done = desk.get()

    service.thaw()
    assert b"gave no answer within 2 s" in done.stderr
    assert time.monotonic() - began < 8
    assert len(desk.visitor.visits()) == 1
    assert desk.get().returncode == 0


def test_other_key_in_the_keyring_touches_nothing(
    desk: Desk, make_secret_service: MakeService
) -> None:
    first, second = make_secret_service("unlocked"), make_secret_service("unlocked")
    sit_at(desk, first)
    assert desk.get().returncode == 0
    (sealed,) = (desk.folder / "data" / "tokens").glob("*.sealed")
    before = sealed.read_bytes()
    sit_at(desk, second)

    missing = desk.get()
    put_other_key(desk)
    other = desk.get()

    assert b"holds no hushkey key, but sealed tokens exist" in missing.stderr
    assert b"holds another key than the one that sealed" in other.stderr
    assert b"hushkey reset" in missing.stderr
    assert b"hushkey reset" in other.stderr
    assert sealed.read_bytes() == before
    assert len(desk.visitor.visits()) == 1


def put_other_key(desk: Desk) -> None:
    """Put a well-formed key of another store into the keyring."""
    script = (
        "import base64, os\n"
        "from hushkey.store.keystores import ServiceStore\n"
        "ServiceStore().put(base64.b64encode(os.urandom(32)).decode())\n"
    )
    done = desk.start(sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr


def test_file_damaged_under_the_right_key_is_moved_aside_once(desk: Desk) -> None:
    assert desk.get().returncode == 0
    (sealed,) = (desk.folder / "data" / "tokens").glob("*.sealed")
    content = bytearray(sealed.read_bytes())
    content[-1] ^= 1
    sealed.write_bytes(bytes(content))
    os.chmod(sealed, 0o600)

    first, second = desk.get(CI="true"), desk.get(CI="true")

    assert b"a token file is damaged" in first.stderr
    assert b"damaged" not in second.stderr
    assert b"nobody is signed in" in second.stderr
    assert len(list((desk.folder / "data" / "tokens").glob("*.damaged-*"))) == 1
    assert len(desk.visitor.visits()) == 1


def test_reset_starts_anew_and_loses_no_file(desk: Desk) -> None:
    assert desk.get().returncode == 0
    (desk.folder / "data" / "key").write_text("A" * 43 + "=")

    broken = desk.get()
    reset = desk.hushkey("reset", "--yes")
    again = desk.get()

    assert b"another key" in broken.stderr
    assert reset.returncode == 0
    assert again.returncode == 0
    assert list((desk.folder / "data").glob("before-reset-*/tokens/*.sealed"))
    assert len(desk.visitor.visits()) == 2
