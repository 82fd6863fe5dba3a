import base64
import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import keyring.errors
import pytest

from hushkey.errors import HushkeyError, StoreError, Transient
from hushkey.store.datakey import DataKey, open_data_key
from hushkey.store.keystores import KeyFile, KeyringStore
from kit.core import (
    MemoryDrawer,
    MemoryKeyring,
    child,
    ended,
    preload,
    reachable,
    said_by,
    vault_of,
)

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can give files away"
)
SOMEBODY = 65534
KEY = b"k" * 32
TEXT = base64.b64encode(KEY).decode()
SECRET = "s3cr3t"


def error_of(call: Callable[[], object]) -> StoreError:
    with pytest.raises(StoreError) as caught:
        call()
    return caught.value


def raising(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


# ---------------------------------------------------------------- the key


def test_key_of_an_empty_drawer_is_none(tmp_path: Path) -> None:
    assert vault_of(tmp_path).key() is None


def test_key_is_read_once(tmp_path: Path) -> None:
    key_store = MemoryDrawer(TEXT)
    data_key = vault_of(tmp_path, key_store)

    assert [data_key.key(), data_key.key(), data_key.ensure_key()] == [KEY] * 3
    assert key_store.calls == ["get"]


def test_ensure_key_makes_a_random_key_and_keeps_it(tmp_path: Path) -> None:
    key_store = MemoryDrawer()

    made = vault_of(tmp_path, key_store).ensure_key()

    assert len(made) == 32
    assert made != vault_of(tmp_path).ensure_key()
    assert vault_of(tmp_path, key_store).key() == made


@pytest.mark.parametrize(
    "text", ["", "x", SECRET, TEXT[:-4], TEXT + TEXT, "k" * 32, "\u00e9", TEXT + "!"]
)
def test_key_that_is_none_of_ours_is_other_key(tmp_path: Path, text: str) -> None:
    key_store = MemoryDrawer(text)
    data_key = vault_of(tmp_path, key_store)

    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "x.sealed").write_bytes(b"x")

    assert error_of(data_key.key).reason == "other-key"
    error = error_of(data_key.ensure_key)
    assert key_store.text == text
    assert SECRET not in error.line()


def test_key_that_is_none_of_ours_gives_way_while_it_opens_nothing(
    tmp_path: Path,
) -> None:
    key_store = MemoryDrawer("no key of ours")

    made = vault_of(tmp_path, key_store).ensure_key()

    assert vault_of(tmp_path, key_store).key() == made


def test_ensure_key_while_sealed_files_exist_is_no_key(tmp_path: Path) -> None:
    key_store = MemoryDrawer()
    data_key = DataKey(key_store, str(tmp_path), 5, lambda: ["/data/tokens/x.sealed"])

    error = error_of(data_key.ensure_key)

    assert error.reason == "no-key"
    assert "hushkey reset" in error.hint
    assert "put" not in key_store.calls


def test_ensure_key_that_is_not_given_back_is_broken(tmp_path: Path) -> None:
    class Forgetful(MemoryDrawer):
        def put(self, text: str) -> None:
            self.text = "something else"

    data_key = vault_of(tmp_path, Forgetful())

    error = error_of(data_key.ensure_key)

    assert error.reason == "broken"
    assert "did not give back the key" in error.what
    assert error_of(data_key.key).reason == "other-key"


def test_ensure_key_by_a_drawer_that_drops_everything_is_broken(tmp_path: Path) -> None:
    class Sieve(MemoryDrawer):
        def put(self, text: str) -> None:
            pass

    data_key = vault_of(tmp_path, Sieve())

    assert error_of(data_key.ensure_key).reason == "broken"
    assert data_key.key() is None


def test_ensure_key_takes_the_key_that_a_sibling_just_made(tmp_path: Path) -> None:
    """It looks again once it holds the lock."""

    class Sibling(MemoryDrawer):
        def get(self) -> str | None:
            found = super().get()
            self.text = TEXT
            return found

    key_store = Sibling()

    assert vault_of(tmp_path, key_store).ensure_key() == KEY
    assert key_store.calls == ["get", "get"]


def test_ensure_key_by_eight_processes_at_once_makes_one(tmp_path: Path) -> None:
    preload()
    start, go = os.pipe()
    read, write = os.pipe()

    def work() -> None:
        os.close(go)
        os.read(start, 1)
        data_key = vault_of(tmp_path, KeyFile(str(tmp_path / "key")), timeout=30)
        os.write(write, data_key.ensure_key())

    with ExitStack() as stack:
        pids = [stack.enter_context(child(work)) for _ in range(8)]
        for descriptor in (go, write, start):
            os.close(descriptor)
        with open(read, "rb") as pipe:
            keys = pipe.read()
        assert {ended(pid) for pid in pids} == {0}

    assert len(keys) == 8 * 32
    assert keys == keys[:32] * 8
    assert (tmp_path / "key").read_text() == base64.b64encode(keys[:32]).decode()


def test_ensure_key_behind_a_busy_lock_is_transient(tmp_path: Path) -> None:
    from hushkey.system import locks

    with (
        locks.held(str(tmp_path / "locks" / "key.lock"), 1),
        pytest.raises(Transient),
    ):
        vault_of(tmp_path, timeout=0.1).ensure_key()


# ---------------------------------------------------------------- what goes wrong


@pytest.fixture
def hang() -> Iterator[Callable[[], object]]:
    release = threading.Event()
    yield release.wait
    release.set()


def calls(data_key: DataKey) -> list[Callable[[], object]]:
    return [data_key.key, data_key.ensure_key, lambda: data_key.unlock(0.05)]


def test_drawer_that_hangs_is_hung_within_the_timeout(
    tmp_path: Path, hang: Callable[[], object]
) -> None:
    for call in calls(vault_of(tmp_path, MemoryDrawer(before=hang), timeout=0.05)):
        began = time.monotonic()
        error = error_of(call)

        assert time.monotonic() - began < 2
        assert error.reason == "hung"
        assert error.what == "the drawer gave no answer within 0.05 s"


@pytest.mark.parametrize(
    "error",
    [
        ValueError(SECRET),
        OSError(5, SECRET),
        RuntimeError(SECRET),
        KeyError(SECRET),
        MemoryError(SECRET),
        StopIteration(SECRET),
        type("DBusError", (Exception,), {})(SECRET),
    ],
    ids=lambda error: type(error).__name__,
)
def test_drawer_that_raises_anything_is_broken_without_its_text(
    tmp_path: Path, error: Exception
) -> None:
    for call in calls(vault_of(tmp_path, MemoryDrawer(before=raising(error)))):
        found = error_of(call)

        assert found.reason == "broken"
        assert found.what == f"the drawer failed with {type(error).__name__}"
        assert SECRET not in found.line()


@pytest.mark.parametrize("reason", ["locked", "absent", "denied"])
def test_drawer_that_says_what_is_wrong_is_believed(
    tmp_path: Path, reason: str
) -> None:
    error = StoreError(reason, "what is wrong", hint="do this")
    for call in calls(vault_of(tmp_path, MemoryDrawer(before=raising(error)))):
        assert error_of(call) is error


def test_unlock_has_its_own_time(tmp_path: Path) -> None:
    key_store = MemoryDrawer(before=lambda: time.sleep(0.1))

    vault_of(tmp_path, key_store, timeout=0.01).unlock(5)

    assert key_store.calls == ["unlock"]


# ---------------------------------------------------------------- the key file


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "key"


def test_key_file_is_private_and_alone(key_file: Path) -> None:
    key_store = KeyFile(str(key_file))
    key_store.put("old")
    key_store.put("new")

    assert key_store.get() == "new"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(key_file.parent.stat().st_mode) == 0o700
    assert list(key_file.parent.iterdir()) == [key_file]
    key_store.unlock()


def test_key_file_that_is_absent_is_none(key_file: Path) -> None:
    assert KeyFile(str(key_file)).get() is None
    assert not key_file.parent.exists()


def test_key_file_may_end_in_a_newline(key_file: Path) -> None:
    KeyFile(str(key_file)).put(TEXT + "\n")

    assert KeyFile(str(key_file)).get() == TEXT


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o777, 0o610])
def test_key_file_that_others_can_touch_is_denied(key_file: Path, mode: int) -> None:
    KeyFile(str(key_file)).put(TEXT)
    key_file.chmod(mode)

    error = error_of(KeyFile(str(key_file)).get)

    assert error.reason == "denied"
    assert f"chmod 600 {key_file}" in error.hint


def test_key_file_that_is_a_link_is_denied(key_file: Path, tmp_path: Path) -> None:
    KeyFile(str(tmp_path / "elsewhere" / "key")).put(TEXT)
    key_file.parent.mkdir()
    key_file.symlink_to(tmp_path / "elsewhere" / "key")

    assert error_of(KeyFile(str(key_file)).get).reason == "denied"


def test_key_file_that_is_a_folder_is_denied(key_file: Path) -> None:
    key_file.mkdir(parents=True)

    assert error_of(KeyFile(str(key_file)).get).reason == "denied"
    assert error_of(lambda: KeyFile(str(key_file)).put(TEXT)).reason == "unwritable"


def test_key_file_of_garbage_is_other_key(key_file: Path, tmp_path: Path) -> None:
    key_store = KeyFile(str(key_file))
    key_store.put("")
    key_file.write_bytes(b"\xff\0" * 4096)

    assert error_of(vault_of(tmp_path, key_store).key).reason == "other-key"


def test_key_file_that_cannot_be_read_is_denied(key_file: Path, tmp_path: Path) -> None:
    key_store = KeyFile(str(key_file))
    key_store.put(TEXT)
    key_file.chmod(0)
    uid = None
    if os.geteuid() == 0:
        uid = SOMEBODY
        os.chown(key_file.parent, uid, uid)
    reachable(tmp_path)

    assert said_by(lambda: error_of(key_store.get).reason, uid=uid) == "denied"


@needs_root
def test_key_file_in_another_user_s_folder_is_foreign(key_file: Path) -> None:
    key_file.parent.mkdir()
    os.chown(key_file.parent, SOMEBODY, SOMEBODY)

    assert error_of(lambda: KeyFile(str(key_file)).put(TEXT)).reason == "foreign"
    assert list(key_file.parent.iterdir()) == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_key_file_on_a_broken_disk_is_unwritable(
    key_file: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    KeyFile(str(key_file)).put("old")
    monkeypatch.setattr(os, call, fail)

    assert error_of(lambda: KeyFile(str(key_file)).put("new")).reason == "unwritable"
    assert KeyFile(str(key_file)).get() == "old"
    assert list(key_file.parent.iterdir()) == [key_file]


# ---------------------------------------------------------------- keyring classes

MEMORY = "kit.core.MemoryKeyring"


@pytest.fixture(autouse=True)
def empty_keyring() -> Iterator[None]:
    yield
    MemoryKeyring.items.clear()
    MemoryKeyring.fails.clear()


def open_with(choice: str, folder: Path) -> DataKey:
    settings = {"key_store": choice, "keyring_timeout": 5}
    return open_data_key(settings, str(folder), list)


def test_keyring_class_keeps_the_key_where_keyring_get_finds_it(tmp_path: Path) -> None:
    key = open_with(f"keyring:{MEMORY}", tmp_path).ensure_key()

    kept = {("hushkey", "data-key"): base64.b64encode(key).decode()}
    assert MemoryKeyring.items == kept
    assert open_with(f"keyring:{MEMORY}", tmp_path).key() == key


def test_keyring_class_unlocks_by_being_read(tmp_path: Path) -> None:
    data_key = open_with(f"keyring:{MEMORY}", tmp_path)
    data_key.unlock(5)

    MemoryKeyring.fails.append(keyring.errors.KeyringLocked(SECRET))
    assert error_of(lambda: data_key.unlock(5)).reason == "locked"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (keyring.errors.KeyringLocked(SECRET), "locked"),
        (keyring.errors.NoKeyringError(SECRET), "absent"),
        (keyring.errors.InitError(SECRET), "denied"),
        (keyring.errors.PasswordSetError(SECRET), "denied"),
        (keyring.errors.KeyringError(SECRET), "denied"),
        (ValueError(SECRET), "broken"),
        (OSError(SECRET), "broken"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_keyring_class_that_fails(
    tmp_path: Path, error: Exception, reason: str
) -> None:
    MemoryKeyring.fails.append(error)

    found = error_of(open_with(f"keyring:{MEMORY}", tmp_path).key)

    assert found.reason == reason
    assert SECRET not in found.line()


@pytest.mark.parametrize(
    "name",
    [
        "nowhere.at.all.Keyring",
        "kit.core.Nobody",
        "kit.core.Useless",
        "keyring.backends.fail.Keyring",
        "keyring.backends.chainer.ChainerBackend",
        "hushkey_helpers.keyring_backend.HushkeyKeyring",
        "hushkey.store.keystores.KeyringStore",
        "hushkey_install.anything.Keyring",
    ],
)
def test_keyring_class_that_cannot_serve_is_absent(tmp_path: Path, name: str) -> None:
    error = error_of(open_with(f"keyring:{name}", tmp_path).key)

    assert error.reason == "absent"
    assert error.what == f"the keyring ({name}) cannot be used here"
    assert "`hushkey config set key_store file`" in error.hint


def test_keyring_class_is_not_loaded_before_it_is_asked(tmp_path: Path) -> None:
    assert open_with("keyring:nowhere.at.all.Keyring", tmp_path).name


def test_null_keyring_is_broken(tmp_path: Path) -> None:
    data_key = open_with("keyring:keyring.backends.null.Keyring", tmp_path)

    assert error_of(data_key.ensure_key).reason == "broken"


def test_file_is_used_only_where_it_is_chosen(tmp_path: Path) -> None:
    open_with("file", tmp_path).ensure_key()
    assert (tmp_path / "key").exists()

    (tmp_path / "other").mkdir()
    with pytest.raises(HushkeyError):
        open_with("keyring", tmp_path / "other").ensure_key()
    assert not (tmp_path / "other" / "key").exists()


@pytest.mark.parametrize(
    ("platform", "name"),
    [
        ("darwin", "keyring.backends.macOS.Keyring"),
        ("win32", "keyring.backends.Windows.WinVaultKeyring"),
    ],
)
def test_system_s_keyring_is_made_by_name(
    tmp_path: Path, platform: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)

    data_key = open_with("keyring", tmp_path)

    assert data_key.name == f"the keyring ({name})"


def test_five_troubles_have_five_messages(
    tmp_path: Path, hang: Callable[[], object]
) -> None:
    found: dict[str, str] = {}

    def note(data_key: Any) -> None:
        error = error_of(data_key.key)
        found[error.reason] = error.line()

    key_store = KeyringStore(MEMORY)
    for failure in ("KeyringLocked", "NoKeyringError", "KeyringError"):
        MemoryKeyring.fails[:] = [getattr(keyring.errors, failure)()]
        note(vault_of(tmp_path, key_store))
    MemoryKeyring.fails[:] = [ValueError()]
    note(vault_of(tmp_path, key_store))
    note(vault_of(tmp_path, MemoryDrawer(before=hang), timeout=0.05))

    assert found.keys() == {"locked", "absent", "denied", "broken", "hung"}
    assert len(set(found.values())) == 5
    assert all("; " in line for line in found.values())
