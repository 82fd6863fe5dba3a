import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import keyring.core
import pytest
from keyring import errors
from keyring.backend import KeyringBackend
from keyring.backends.chainer import ChainerBackend
from keyring.credentials import SimpleCredential
from keyring.testing.backend import BackendBasicTests

from hushkey.errors import Transient
from hushkey_helpers import backend
from hushkey_helpers.keyring import services
from kit.oauth import BIN, CANARY, Machine, grant

URL = "https://git.test/simple/"
NEW = "https://new.test/simple/"
TOKEN = f"at-{CANARY}"
MORE = '[host."new.test"]\nidentity = "corp"\nscopes = ["new"]\n'


@pytest.fixture
def machine(home: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(home)
    made.configure(MORE)
    made.has(grant(TOKEN, refresh_token=""))
    monkeypatch.setenv("HUSHKEY_INTERACTIVE", "never")
    made.environ["HUSHKEY_INTERACTIVE"] = "never"
    return made


@pytest.fixture
def ring(machine: Machine) -> backend.Keyring:
    return backend.Keyring()


class KeyStore(KeyringBackend):
    """Another keyring of the user, with entries of their own."""

    priority = 1.0

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.kept.pop((service, username), None) is None:
            raise errors.PasswordDeleteError("not found")


# -- ours ------------------------------------------------------------------------


def test_password_and_credential_of_ours(ring: backend.Keyring) -> None:
    assert ring.get_password(URL, "anybody") == TOKEN
    found = ring.get_credential(URL, "anybody")
    assert isinstance(found, SimpleCredential)
    assert (found.username, found.password) == ("anybody", TOKEN)


def test_user_name_that_we_chose_works_in_the_second_call(
    ring: backend.Keyring,
) -> None:
    found = ring.get_credential(URL, None)

    assert isinstance(found, SimpleCredential)
    assert found.username == "oauth2"
    assert ring.get_password(URL, found.username) == TOKEN


def test_set_and_delete_of_ours_say_why_not(ring: backend.Keyring) -> None:
    with pytest.raises(errors.PasswordSetError, match="identity corp"):
        ring.set_password(URL, "me", "secret")
    with pytest.raises(errors.PasswordDeleteError, match="hushkey logout corp"):
        ring.delete_password(URL, "me")


def test_failure_is_a_keyring_error_with_what_to_run(ring: backend.Keyring) -> None:
    for ask in (ring.get_password, ring.get_credential):
        with pytest.raises(errors.KeyringError, match=r"run: hushkey login new\.test"):
            ask(NEW, "me")


def test_internal_error_is_a_keyring_error_without_its_text(
    ring: backend.Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError(TOKEN)

    monkeypatch.setattr(services.Service, "token", fail)

    with pytest.raises(errors.KeyringError) as caught:
        ring.get_password(URL, "me")
    assert "internal error (ValueError)" in str(caught.value)
    assert CANARY not in str(caught.value)


# -- not ours --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["python-poetry-check", "https://other.test/", "", 5])
def test_not_ours_is_none_and_not_implemented(ring: Any, name: Any) -> None:
    assert ring.get_password(name, "me") is None
    assert ring.get_credential(name, None) is None
    with pytest.raises(NotImplementedError):
        ring.set_password(name, "me", "secret")
    with pytest.raises(NotImplementedError):
        ring.delete_password(name, "me")


def test_wrong_config_serves_nobody_and_is_said_once(
    ring: backend.Keyring, machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    machine.configure("[nonsense]\n")

    assert ring.get_password(URL, "me") is None
    assert ring.get_credential("https://other.test/", None) is None
    with pytest.raises(NotImplementedError):
        ring.set_password("other", "me", "secret")
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "unknown key" in err


# -- a name without a scheme -----------------------------------------------------


class Client:
    """Asks as pip's MultiDomainBasicAuth does, which unearth has, too."""

    def __init__(self, ring: backend.Keyring) -> None:
        self._ring = ring

    def handle_401(self, url: str) -> str | None:
        return self._get_new_credentials(url)

    def _get_new_credentials(self, original_url: str) -> str | None:
        netloc = urlsplit(original_url).netloc.rpartition("@")[2]
        found = self._ring.get_credential(netloc, None)
        return found.password if found else None


@pytest.mark.parametrize(
    "url",
    [
        "https://git.test/x.whl",
        "https://me:pw@git.test/x.whl#sha256=0",
        "HTTPS://GIT.test:443/a%20b?c",
    ],
)
def test_bare_host_is_answered_for_a_request_over_https(
    ring: backend.Keyring, url: str
) -> None:
    assert Client(ring).handle_401(url) == TOKEN


@pytest.mark.parametrize(
    "url",
    [
        "http://git.test/x.whl",
        "http://git.test:443/x.whl",
        "Http://me@git.test/x.whl?https://git.test/x.whl",
        "ftp://git.test/https://git.test/",
        "//git.test/x.whl",
    ],
)
def test_bare_host_is_not_answered_for_any_other_request(
    ring: backend.Keyring, url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def outer(original_url: str) -> str | None:
        """What went over https before a redirect, or in an outer question."""
        return Client(ring).handle_401(url)

    outer.__code__ = outer.__code__.replace(co_name="_get_new_credentials")

    assert outer("https://git.test/x.whl") is None
    assert "gave no token for a host's name alone" in capfd.readouterr().err


def test_bare_host_is_not_answered_to_whoever_names_no_request(
    ring: backend.Keyring,
) -> None:
    def _get_new_credentials(url: str) -> str | None:
        return ring.get_password("git.test", "me")

    assert ring.get_password("git.test", "me") is None
    assert ring.get_credential("git.test", None) is None
    assert _get_new_credentials("https://git.test/x.whl") is None


def test_request_to_another_host_proves_nothing(ring: backend.Keyring) -> None:
    def _get_new_credentials(original_url: str) -> str | None:
        return ring.get_password("git.test", "me")

    for url in ("https://other.test/", "https://git.test:8443/", "git.test", 5):
        assert _get_new_credentials(url) is None  # type: ignore[arg-type]


# -- asked several times ---------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Count the real acquisitions."""
    calls: list[float] = []
    token = services.Service.token

    def counted(self: services.Service, environ: Any, began: float) -> Any:
        calls.append(began)
        return token(self, environ, began)

    monkeypatch.setattr(services.Service, "token", counted)
    yield calls


def test_answer_is_remembered_within_the_process(
    ring: backend.Keyring, asked: list[float]
) -> None:
    for _ in range(3):
        ring.get_credential(URL, None)
        ring.get_credential(f"{URL}other/", None)

    assert len(asked) == 1


def test_answer_is_forgotten_before_it_gets_old(
    ring: backend.Keyring, asked: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    ring.get_password(URL, "me")
    now = time.time()
    for passed, times in ((2900, 1), (3001, 2)):
        monkeypatch.setattr(time, "time", lambda passed=passed: now + passed)
        with suppress(errors.KeyringError):  # old by then, and nothing renews it
            ring.get_password(URL, "me")
        assert len(asked) == times


def test_failure_is_remembered_for_a_minute(
    ring: backend.Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def fail(*_: object) -> None:
        calls.append(1)
        raise Transient("offline")

    monkeypatch.setattr(services.Service, "token", fail)
    now = time.time()
    for passed, times in ((0, 1), (59, 1), (61, 2)):
        monkeypatch.setattr(time, "time", lambda passed=passed: now + passed)
        with pytest.raises(errors.KeyringError, match="offline"):
            ring.get_password(URL, "me")
        assert len(calls) == times


def test_threads_wait_for_one_acquisition(
    ring: backend.Keyring, asked: list[float]
) -> None:
    got: list[str | None] = []
    threads = [
        threading.Thread(target=lambda: got.append(ring.get_password(URL, "me")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert got == [TOKEN] * 8
    assert len(asked) == 1


# -- among other keyrings --------------------------------------------------------


@pytest.fixture
def chain(
    ring: backend.Keyring, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ChainerBackend]:
    """keyring's own chain of ours and the user's."""
    key_store = KeyStore()
    rings = [key_store, ring]
    monkeypatch.setattr("keyring.backend.get_all_keyring", lambda: rings)
    yield ChainerBackend()
    KeyringBackend._classes.discard(KeyStore)


def test_entries_of_the_user_s_own_work_in_a_chain(chain: ChainerBackend) -> None:
    assert isinstance(chain.backends[0], backend.Keyring)
    chain.set_password("mail.test", "me", "mine")
    assert chain.get_password("mail.test", "me") == "mine"
    found = chain.get_credential("mail.test", "me")
    assert found is not None
    assert found.password == "mine"
    chain.delete_password("mail.test", "me")
    assert chain.get_password("mail.test", "me") is None


def test_ours_come_first_in_a_chain(chain: ChainerBackend) -> None:
    chain.backends[1].set_password(URL, "me", "old")

    assert chain.get_password(URL, "me") == TOKEN
    with pytest.raises(errors.PasswordSetError):
        chain.set_password(URL, "me", "new")


def test_chain_goes_before_us_and_other_sign_ins_after() -> None:
    assert 9.9 < backend.Keyring.priority < 10


def test_keyring_finds_and_makes_us_by_name(machine: Machine) -> None:
    made = keyring.core.load_keyring("hushkey_helpers.backend.Keyring")

    assert made.get_password(URL, "me") == TOKEN


def test_real_keyring_command_answers_with_ours(machine: Machine) -> None:
    done = machine.run("keyring", "--mode=creds", "get", URL, "me")

    assert (done.stdout.decode(), done.stderr) == (f"me\n{TOKEN}\n", b"")


class TestOthersInAChain(BackendBasicTests):
    """keyring's own tests of a backend, on the user's entries behind ours."""

    @pytest.fixture(autouse=True)
    def _init_properties(
        self, request: pytest.FixtureRequest, chain: ChainerBackend
    ) -> None:
        self.keyring = chain
        self.credentials_created: set[tuple[str, str]] = set()
        request.addfinalizer(self.cleanup)


class TestOursAlone:
    """Those of them that concern a backend which keeps nothing."""

    test_name_property = BackendBasicTests.test_name_property
    test_set_properties = BackendBasicTests.test_set_properties
    test_new_with_properties = BackendBasicTests.test_new_with_properties

    @pytest.fixture(autouse=True)
    def _ring(self, ring: backend.Keyring) -> None:
        self.keyring = ring


# -- what it costs others --------------------------------------------------------

COST = """
import sys, time
import keyring.core, keyring.backend
before = set(sys.modules)
import hushkey_helpers.backend as backend
print(*sorted(set(sys.modules) - before))
ring = backend.Keyring()
ring.get_password("https://other.test/", "me")
print(*sorted(set(sys.modules) - before))
"""


def test_import_and_foreign_host_load_next_to_nothing(machine: Machine) -> None:
    machine.settle()
    for _ in range(2):  # the first one compiles the config
        done = subprocess.run(
            [sys.executable, "-c", COST],
            env=machine.environ,
            capture_output=True,
            text=True,
            check=True,
        )
    imported, asked = (line.split() for line in done.stdout.splitlines())

    assert imported == ["hushkey_helpers", "hushkey_helpers.backend"]
    ours = {"config", "config.rules", "errors", "model", "origins", "runtime", "system"}
    ours |= {"system.ownership", "system.paths", "trace"}
    foreign = {name for name in asked if not name.startswith("hushkey")}
    assert foreign <= {"__future__", "marshal"}
    assert {n.partition(".")[2] for n in asked if n.startswith("hushkey.")} == ours


def test_noise_does_not_reach_the_stdout_of_keyring_get(machine: Machine) -> None:
    code = (
        "import os, sys; from hushkey_helpers.keyring import services\n"
        "token = services.Service.token\n"
        "def noisy(*a):\n    os.write(1, b'noise'); return token(*a)\n"
        "services.Service.token = noisy\n"
        "from keyring.cli import main\n"
        f"main(['get', '{URL}', 'me'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**machine.environ, "PATH": str(BIN)},
        capture_output=True,
        check=False,
    )

    assert done.stdout == f"{TOKEN}\n".encode(), done.stderr


# -- the only keyring --------------------------------------------------------------


@pytest.fixture
def alone(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> backend.Keyring:
    made = backend.Keyring()
    monkeypatch.setattr("keyring.backend.get_all_keyring", lambda: [made])
    return made


@pytest.mark.parametrize("service", ["poetry-repository-priv", "https://other.test/u/"])
def test_only_keyring_keeps_what_is_not_ours_sealed(
    machine: Machine, alone: backend.Keyring, service: str
) -> None:
    alone.set_password(service, "me", "first")
    alone.set_password(service, "me", "s3cret")
    alone.set_password(service, "you", "other")

    assert alone.get_password(service, "me") == "s3cret"
    assert alone.get_password(service, "nobody") is None
    found = alone.get_credential(service, None)
    assert found is not None
    assert (found.username, found.password) == ("you", "other")
    assert b"s3cret" not in b"".join(
        path.read_bytes() for path in machine.data.rglob("*") if path.is_file()
    )
    alone.delete_password(service, "me")
    assert alone.get_password(service, "me") is None
    with pytest.raises(errors.PasswordDeleteError):
        alone.delete_password(service, "me")


def test_only_keyring_keeps_nothing_for_what_is_ours(alone: backend.Keyring) -> None:
    with pytest.raises(errors.PasswordSetError):
        alone.set_password(URL, "me", "mine")


def test_password_goes_to_a_keyring_that_came_later(
    chain: ChainerBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = chain.backends[0]
    with monkeypatch.context() as at_first:
        at_first.setattr("keyring.backend.get_all_keyring", lambda: [ours])
        ours.set_password("mail.test", "me", "old")
    assert chain.get_password("mail.test", "me") == "old"

    chain.set_password("mail.test", "me", "new")

    assert chain.get_password("mail.test", "me") == "new"


def test_keyring_s_own_program_keeps_with_us_alone(machine: Machine) -> None:
    chosen: dict[str, Any] = {
        "PYTHON_KEYRING_BACKEND": "hushkey_helpers.backend.Keyring"
    }
    words = ("poetry-repository-priv", "me")

    done = machine.run("keyring", "set", *words, stdin=b"s3cret\n", **chosen)
    assert done.returncode == 0, done.stderr
    assert machine.run("keyring", "get", *words, **chosen).stdout == b"s3cret\n"
    assert machine.run("keyring", "del", *words, **chosen).returncode == 0
    assert machine.run("keyring", "get", *words, **chosen).returncode == 1
