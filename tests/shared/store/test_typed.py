import errno
import os
import resource
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from hushkey.errors import StoreError
from hushkey.store import cipher, typed_index
from hushkey.store.sealedfile import sealed_files
from hushkey.store.typed import StoredCredential, TypedCredentials
from hushkey.store.typed_index import CredentialKey
from kit.core import (
    ANY,
    MemoryDrawer,
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
HOST = CredentialKey("git", "https", "git.example.com")


def key(
    user: str | None = "me", path: str | None = None, host: str = ""
) -> CredentialKey:
    return CredentialKey("git", "https", host or "git.example.com", path, user)


def record(secret: str, **fields: str) -> StoredCredential:
    return StoredCredential(key(**fields), {"password": secret})


class Desk:
    """One stash with its vault, and what was said about it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key_store = MemoryDrawer()
        self.warnings: list[str] = []

    def typed_store(self) -> TypedCredentials:
        """Return the stash as a new process would open it."""
        data_key = vault_of(self.folder, self.key_store)
        return TypedCredentials(str(self.folder), data_key, self.warnings.append)

    def store(self, secret: str, **fields: str) -> None:
        self.typed_store().store(record(secret, **fields))

    def kept(self, asked: CredentialKey = HOST) -> list[str]:
        return [r.values["password"] for r in self.typed_store().matching(asked)]

    def files(self) -> list[Path]:
        return [Path(path) for path in typed_index.files(str(self.folder))]

    def state(self) -> dict[Path, bytes]:
        below = self.folder / "stash"
        return {p: p.read_bytes() for p in below.rglob("*") if p.is_file()}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "data")


@pytest.fixture
def used(desk: Desk) -> Desk:
    """A desk where one secret named `old` is kept for `me`."""
    desk.store("old")
    return desk


def reason(call: Callable[[], object]) -> str:
    with pytest.raises(StoreError) as caught:
        call()
    return caught.value.reason


# ---------------------------------------------------------------- keeping, finding


def test_matching_nothing_asks_no_keyring_and_makes_no_folder(desk: Desk) -> None:
    assert desk.kept() == []
    assert desk.typed_store().all_keys() == []
    assert desk.typed_store().erase(HOST) == 0
    assert desk.key_store.calls == []
    assert not desk.folder.exists()


def test_matching_another_host_asks_no_keyring(used: Desk) -> None:
    used.key_store.calls.clear()

    assert used.kept(key(host="other.example.com")) == []
    assert used.kept(key(user="you")) == []
    assert used.typed_store().erase(key(user="you")) == 0
    assert used.key_store.calls == []


def test_store_is_what_the_next_process_finds(used: Desk) -> None:
    (found,) = used.typed_store().matching(HOST)

    assert found == record("old")
    assert "old" not in repr(found)


def test_store_overwrites_the_same_slot_only(used: Desk) -> None:
    used.store("new")
    used.store("yours", user="you")
    used.store("for app", path="app")

    assert used.kept() == ["for app", "yours", "new"]
    assert used.kept(key(path="app")) == ["for app"]
    assert used.kept(key(user="you")) == ["yours"]


def test_newest_comes_first_even_if_the_clock_was_set_back(used: Desk) -> None:
    (path,) = used.files()
    os.utime(path, (4e9, 4e9))

    used.store("yours", user="you")
    assert used.kept() == ["yours", "old"]
    used.store("old")
    assert used.kept() == ["old", "yours"]


def test_store_of_what_is_kept_already_writes_nothing(used: Desk) -> None:
    before = [(path, path.stat().st_ino) for path in used.files()]
    (used.folder / "stash").chmod(0o500)

    used.store("old")

    assert [(path, path.stat().st_ino) for path in used.files()] == before


def test_store_alone_forgets_other_users_of_the_host(used: Desk) -> None:
    used.store("elsewhere", host="other.example.com")
    used.store("yours", user="you")

    used.typed_store().store(record("mine"), alone=True)
    assert used.kept() == ["mine"]
    used.store("yours", user="you")
    used.store("mine")
    used.typed_store().store(record("mine"), alone=True)

    assert used.kept() == ["mine"]
    assert used.kept(key(host="other.example.com")) == ["elsewhere"]


def test_erase_forgets_what_matches(used: Desk) -> None:
    used.store("yours", user="you")
    used.store("for app", path="app")

    assert used.typed_store().erase(key(path="app")) == 1
    assert used.kept() == ["yours", "old"]
    assert used.typed_store().erase(HOST) == 2
    assert used.kept() == []
    assert used.typed_store().erase(HOST) == 0


def test_erase_only_what_passes(used: Desk) -> None:
    used.store("yours", user="you")

    gone = used.typed_store().erase(HOST, lambda r: r.values["password"] == "old")

    assert gone == 1
    assert used.kept() == ["yours"]


def test_erase_of_everything_needs_no_key(used: Desk) -> None:
    def locked() -> None:
        raise StoreError("locked", "the drawer is locked")

    used.key_store.before = locked

    assert reason(used.kept) == "locked"
    assert used.typed_store().erase(HOST) == 1
    assert used.kept() == []


def test_slots_lists_everything_without_secrets(used: Desk) -> None:
    used.store("b", host="b.example.com", user="")
    docker = StoredCredential(
        CredentialKey("docker", "", "r.example.com", None, "u"), {"secret": "x"}
    )
    used.typed_store().store(docker)

    assert used.typed_store().all_keys() == [
        docker.key,
        key(host="b.example.com", user=""),
        key(),
    ]
    assert used.typed_store().all_keys("docker") == [docker.key]


@given(st.builds(CredentialKey, ANY, ANY, ANY, ANY, ANY), st.dictionaries(ANY, ANY))
def test_any_text_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    where: CredentialKey,
    values: dict[str, str],
) -> None:
    desk = Desk(tmp_path_factory.mktemp("any"))
    desk.typed_store().store(StoredCredential(where, values))

    assert list(desk.typed_store().matching(where)) == [StoredCredential(where, values)]
    assert desk.typed_store().all_keys() == [where]


class Histories(RuleBasedStateMachine):
    """Any order of stores and erases keeps what a plain list would keep."""

    users = st.sampled_from([None, "", "a", "b"])
    paths = st.sampled_from([None, "", "x"])
    hosts = st.sampled_from(["h", "i"])
    secrets = st.sampled_from(["1", "2"])

    @initialize()
    def start(self) -> None:
        import tempfile

        self.desk = Desk(Path(tempfile.mkdtemp()) / "data")
        self.model: list[StoredCredential] = []

    def teardown(self) -> None:
        import shutil

        shutil.rmtree(self.desk.folder.parent)

    @rule(host=hosts, path=paths, user=users, secret=secrets)
    def store(self, host: str, path: str | None, user: str | None, secret: str) -> None:
        made = StoredCredential(key(user, path, host), {"password": secret})
        self.desk.typed_store().store(made)
        self.model = [made, *(r for r in self.model if r.key != made.key)]

    @rule(host=hosts, path=paths, user=users, secret=secrets)
    def erase(self, host: str, path: str | None, user: str | None, secret: str) -> None:
        asked = key(user, path, host)
        self.desk.typed_store().erase(asked, lambda r: r.values["password"] == secret)
        self.model = [
            r
            for r in self.model
            if r not in self.found(asked) or r.values["password"] != secret
        ]

    @rule()
    def lose_the_index(self) -> None:
        Path(typed_index.index_path(str(self.desk.folder))).unlink(missing_ok=True)

    def found(self, asked: CredentialKey) -> list[StoredCredential]:
        return [
            r
            for r in self.model
            if r.key.host == asked.host
            and asked.path in (None, r.key.path)
            and asked.user in (None, r.key.user)
        ]

    @rule(host=hosts, path=paths, user=users)
    def find(self, host: str, path: str | None, user: str | None) -> None:
        asked = key(user, path, host)
        assert list(self.desk.typed_store().matching(asked)) == self.found(asked)

    @invariant()
    def nothing_doubled(self) -> None:
        if hasattr(self, "model"):
            files = list(typed_index.files(str(self.desk.folder)))
            assert len(files) == len(self.model)


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=30, stateful_step_count=30)


# ---------------------------------------------------------------- the files


def test_files_are_private_and_show_nothing(used: Desk) -> None:
    used.store("hunter2", user="me@example.com", path="app")

    for path in (used.folder, *used.folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    for path, content in used.state().items():
        for word in (b"hunter2", b"old", b"example", b"app"):
            assert word not in content
            assert word not in str(path.relative_to(used.folder)).encode()
    assert {Path(path) for path in sealed_files(str(used.folder))} == set(used.files())


def test_file_put_in_another_s_place_is_damaged(used: Desk) -> None:
    used.store("yours", user="you")
    index = typed_index.read(str(used.folder))
    assert index
    os.replace(index.path_of(key()), index.path_of(key("you")))

    assert used.kept() == []
    (warning,) = used.warnings
    assert "a stored credential is damaged" in warning
    assert "old" not in warning


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(lambda data: data[:-1] + bytes([data[-1] ^ 1]), id="flipped bit"),
        pytest.param(lambda data: data[:20], id="cut short"),
        pytest.param(lambda data: b"", id="empty"),
    ],
)
def test_damaged_file_is_moved_aside_alone(
    used: Desk, how: Callable[[bytes], bytes]
) -> None:
    (path,) = used.files()
    used.store("yours", user="you")
    path.write_bytes(damaged := how(path.read_bytes()))

    assert used.kept() == ["yours"]
    assert used.kept() == ["yours"]
    (warning,) = used.warnings
    (aside,) = (p for p in used.state() if ".damaged-" in p.name)
    assert str(aside) in warning
    assert aside.read_bytes() == damaged
    used.store("mine again")
    assert used.kept() == ["mine again", "yours"]


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"version":2}', b'{"version":1,"slot":1,"values":{}}'],
)
def test_file_of_the_right_key_with_another_content_is_damaged(
    used: Desk, content: bytes
) -> None:
    (path,) = used.files()
    key = vault_of(used.folder, used.key_store).ensure_key()
    purpose = used.typed_store()._file(str(path))._purpose
    path.write_bytes(cipher.seal(key, content, purpose))

    assert used.kept() == []
    assert len(used.warnings) == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param(None, "no-key", id="no key"),
        pytest.param("b3Rob3Rob3Rob3Rob3Rob3Rob3Rob3Rob3Rob3Rob3Q=", "other-key"),
        pytest.param("no key at all", "other-key", id="something else"),
    ],
)
def test_wrong_key_leaves_every_file_untouched(
    used: Desk, text: str | None, why: str
) -> None:
    before = used.state()
    used.key_store.text = text

    assert reason(used.kept) == why
    assert reason(used.typed_store().all_keys) == why
    assert reason(lambda: used.store("old")) == why
    assert reason(lambda: used.typed_store().erase(HOST, lambda r: True)) == why
    assert used.state() == before
    assert used.key_store.text == text
    assert used.warnings == []


# ---------------------------------------------------------------- the index


def lose_index(desk: Desk) -> None:
    (desk.folder / "stash" / "index").unlink()


@pytest.mark.parametrize("act", ["find", "store", "erase", "list"])
def test_lost_index_is_made_anew(used: Desk, act: str) -> None:
    used.store("yours", user="you")
    lose_index(used)
    before = used.files()

    if act == "store":
        used.store("third", host="other.example.com")
    elif act == "erase":
        used.typed_store().erase(key(host="other.example.com"))
    elif act == "list":
        assert len(used.typed_store().all_keys()) == 2

    assert used.kept() == ["yours", "old"]
    assert not set(before) & set(used.files())


def test_damaged_index_is_made_anew(used: Desk) -> None:
    (used.folder / "stash" / "index").write_bytes(b"nonsense")

    assert used.kept() == ["old"]


def test_lost_index_under_another_key_touches_nothing(used: Desk) -> None:
    lose_index(used)
    before = used.state()
    used.key_store.text = None

    assert reason(used.kept) == "no-key"
    assert used.state() == before


def test_index_that_was_half_made_anew_doubles_nothing(
    used: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    used.store("yours", user="you")
    lose_index(used)
    with monkeypatch.context() as patch:
        patch.setattr(typed_index, "dumps", raising(errno.EIO))
        with pytest.raises(OSError, match="Input/output"):
            used.kept()
    assert len(used.files()) == 4

    assert used.kept() == ["yours", "old"]
    assert len(used.files()) == 2


def test_old_names_left_by_a_kill_are_not_listed(used: Desk) -> None:
    (old,) = used.files()
    content = old.read_bytes()
    lose_index(used)
    assert used.kept() == ["old"]
    old.parent.mkdir(exist_ok=True)
    old.write_bytes(content)

    assert used.typed_store().all_keys() == [key()]


# ---------------------------------------------------------------- no room, no right


def raising(number: int) -> Callable[..., None]:
    def fail(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("call", "number"),
    [
        ("posix_fallocate", errno.ENOSPC),
        ("fsync", errno.EIO),
        ("replace", errno.ENOSPC),
    ],
)
def test_full_or_broken_disk_is_unwritable_and_changes_nothing(
    used: Desk, call: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = used.state()
    monkeypatch.setattr(os, call, raising(number))

    assert reason(lambda: used.store("new")) == "unwritable"
    assert reason(lambda: used.store("yours", user="you")) == "unwritable"

    monkeypatch.undo()
    assert used.state() == before


def test_full_disk_at_the_first_store_is_unwritable(desk: Desk) -> None:
    vault_of(desk.folder, desk.key_store).ensure_key()

    def work() -> str:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
        return reason(lambda: desk.store("new"))

    assert said_by(work) == "unwritable"
    assert desk.kept() == []
    desk.store("new")
    assert desk.kept() == ["new"]


def test_read_only_folder_can_be_read_and_nothing_else(used: Desk) -> None:
    uid = given_away(used)
    before = used.state()
    for path in (used.folder / "stash").rglob("??"):
        path.chmod(0o500)

    def work() -> str:
        changes = (
            lambda: used.store("new"),
            lambda: used.typed_store().erase(HOST),
            lambda: used.typed_store().erase(HOST, lambda r: True),
        )
        return f"{used.kept()} {[reason(change) for change in changes]}"

    assert said_by(work, uid=uid) == str(["old"]) + " " + str(["unwritable"] * 3)
    assert used.state() == before


def given_away(desk: Desk) -> int | None:
    if os.geteuid() != 0:
        return None
    for path in (desk.folder, *desk.folder.rglob("*")):
        os.chown(path, SOMEBODY, SOMEBODY)
    preload()
    reachable(desk.folder.parent)
    return SOMEBODY


@needs_root
def test_stash_of_another_user_is_foreign_and_untouched(used: Desk) -> None:
    given_away(used)
    before = used.state()

    assert reason(lambda: used.store("new")) == "foreign"
    assert reason(lambda: used.typed_store().erase(HOST)) == "foreign"
    assert used.state() == before


# ---------------------------------------------------------------- many at once


def test_stores_and_erases_of_many_processes_lose_nothing(desk: Desk) -> None:
    def work(name: str) -> None:
        for n in range(10):
            desk.store(f"{name}{n}", user=f"{name}{n}")
            desk.store("shared", user="shared")
            if n % 2:
                desk.typed_store().erase(key(f"{name}{n}"), lambda r: True)

    vault_of(desk.folder, desk.key_store).ensure_key()
    with child(lambda: work("a")) as one, child(lambda: work("b")) as two:
        assert (ended(one), ended(two)) == (0, 0)

    kept = [f"{name}{n}" for name in "ab" for n in range(0, 10, 2)]
    assert sorted(desk.kept()) == sorted([*kept, "shared"])


def test_store_sweeps_what_a_killed_process_left(used: Desk) -> None:
    new = used.folder / "stash" / "new"
    old, young = new / "a.sealed.1.1.new", new / "a.sealed.2.2.new"
    for left in (old, young):
        left.touch()
    os.utime(old, (0, 0))

    used.store("new")

    assert not old.exists()
    assert young.exists()
