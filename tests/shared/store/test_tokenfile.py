import errno
import os
import resource
import signal
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hushkey.errors import StoreError
from hushkey.model import TokenKey
from hushkey.store import cipher
from hushkey.store.sealedfile import sealed_files
from hushkey.store.tokencache import TokenCache
from hushkey.store.tokenfile import TokenFile
from kit.core import (
    ME,
    MemoryDrawer,
    child,
    ended,
    grant,
    preload,
    reachable,
    said_by,
    token_file,
    vault_of,
)

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can give files away"
)
SOMEBODY = 65534
NOW = 1_700_000_000


class Desk:
    """One token file with its vault, and what was said about it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key_store = MemoryDrawer()
        self.warnings: list[str] = []

    def file(self, client_id: str = "hushkey") -> TokenFile:
        """Return the file as a new process would open it."""
        return token_file(
            self.folder,
            vault_of(self.folder, self.key_store),
            client_id=client_id,
            warn=self.warnings.append,
        )

    def keep(self, access: str, client_id: str = "hushkey") -> None:
        with self.file(client_id).change(5) as change:
            keep(change.cache, access)
            change.save()

    def kept(self, client_id: str = "hushkey") -> list[str]:
        return [token.value for token in self.file(client_id).read().tokens()]

    def names(self) -> list[str]:
        tokens = self.folder / "tokens"
        return sorted(p.name for p in tokens.iterdir()) if tokens.exists() else []

    def state(self) -> dict[str, bytes]:
        return {
            name: (self.folder / "tokens" / name).read_bytes() for name in self.names()
        }


def keep(cache: TokenCache, access: str) -> None:
    cache.keep(grant(access), ME, TokenKey(("git",)), NOW)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "data")


@pytest.fixture
def used(desk: Desk) -> Desk:
    """A desk whose token file holds one token named `old`."""
    desk.keep("old")
    return desk


def reason(call: Callable[[], object]) -> str:
    with pytest.raises(StoreError) as caught:
        call()
    return caught.value.reason


# ---------------------------------------------------------------- reading, saving


def test_read_of_an_absent_file_is_empty_and_asks_no_keyring(desk: Desk) -> None:
    assert desk.kept() == []
    assert desk.key_store.calls == []
    assert not desk.folder.exists()


def test_save_is_what_the_next_process_reads(used: Desk) -> None:
    assert used.kept() == ["old"]
    used.keep("new")
    assert used.kept() == ["new"]


def test_files_of_two_clients_are_apart(used: Desk) -> None:
    used.keep("other", "another-client")

    assert used.kept() == ["old"]
    assert used.kept("another-client") == ["other"]
    assert len(sealed_files(str(used.folder))) == 2


def test_issuer_and_client_id_are_never_confused(tmp_path: Path) -> None:
    data_key = vault_of(tmp_path)
    one = token_file(tmp_path, data_key, issuer="https://a.example/x", client_id="y")
    two = token_file(tmp_path, data_key, issuer="https://a.example/", client_id="xy")

    assert one.path != two.path


def test_save_leaves_private_files_and_nothing_half_written(used: Desk) -> None:
    (name,) = used.names()

    assert name.endswith(".sealed")
    for folder in (used.folder, used.folder / "tokens", used.folder / "locks"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in (
        *(used.folder / "tokens").iterdir(),
        *(used.folder / "locks").iterdir(),
    ):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_file_on_disk_shows_nothing(used: Desk) -> None:
    (content,) = used.state().values()

    assert content.startswith(cipher.MAGIC)
    for word in (b"old", b"me@example.com", b"id.example.com", b'hushkey"'):
        assert word not in content
    assert len(content) < 1000


def test_change_without_save_changes_nothing(used: Desk) -> None:
    before = used.state()
    with used.file().change(5) as change:
        keep(change.cache, "new")
        change.reserve()
        assert len(used.names()) == 2

    assert used.state() == before


def test_change_that_fails_after_reserve_leaves_nothing(used: Desk) -> None:
    before = used.state()
    with pytest.raises(ValueError, match="mine"), used.file().change(5) as change:
        change.reserve()
        raise ValueError("mine")

    assert used.state() == before


def test_change_can_save_twice(used: Desk) -> None:
    with used.file().change(5) as change:
        for access in ("first", "second"):
            keep(change.cache, access)
            change.reserve()
            change.save()
            assert used.kept() == [access]

    assert len(used.names()) == 1


def test_change_reloads_what_a_sibling_saved(used: Desk) -> None:
    file = used.file()
    file.read()
    used.keep("sibling's")

    with file.change(5) as change:
        assert [token.value for token in change.cache.tokens()] == ["sibling's"]


def test_changes_by_many_processes_are_all_kept(used: Desk) -> None:
    def work(name: str) -> None:
        for n in range(5):
            with used.file().change(30) as change:
                scopes = (f"{name}-{n}",)
                change.cache.keep(grant(name), ME, TokenKey(scopes), NOW)
                change.save()

    with child(lambda: work("a")) as one, child(lambda: work("b")) as two:
        assert (ended(one), ended(two)) == (0, 0)

    assert sorted(used.kept()) == ["a"] * 5 + ["b"] * 5 + ["old"]


def test_save_of_a_shorter_content_leaves_no_tail(used: Desk) -> None:
    with used.file().change(5) as change:
        change.cache.accounts["big"] = {"label": "x" * 700_000}
        change.save()
    with used.file().change(5) as change:
        del change.cache.accounts["big"]
        change.save()

    assert used.kept() == ["old"]


def test_save_of_more_than_was_reserved(used: Desk) -> None:
    with used.file().change(5) as change:
        change.reserve()
        change.cache.accounts["big"] = {"label": "x" * 700_000}
        change.save()

    assert "big" in used.file().read().accounts


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param(None, "no-key", id="no key"),
        pytest.param("b3Rob3Rob3Rob3Rob3Rob3Rob3Rob3Rob3Rob3Rob3Q=", "other-key"),
        pytest.param("no key at all", "other-key", id="something else"),
        pytest.param("", "other-key", id="empty"),
    ],
)
def test_wrong_key_leaves_every_file_untouched(
    used: Desk, text: str | None, why: str
) -> None:
    before = used.state()
    used.key_store.text = text

    assert reason(used.kept) == why
    assert reason(lambda: used.keep("new")) == why
    assert used.state() == before
    assert used.warnings == []
    assert used.key_store.text == text


def test_wrong_key_says_how_to_start_anew(used: Desk) -> None:
    used.key_store.text = None

    with pytest.raises(StoreError) as caught:
        used.kept()
    assert caught.value.line() == (
        "the drawer holds no hushkey key, but sealed tokens exist; "
        "restore the key, or run `hushkey reset` to start over"
    )


def test_no_key_is_made_for_a_new_file_while_another_is_sealed(used: Desk) -> None:
    used.key_store.text = None

    assert reason(lambda: used.keep("x", "another-client")) == "no-key"
    assert used.key_store.text is None


def test_key_that_vanishes_before_save_is_no_key(used: Desk) -> None:
    data_key = vault_of(used.folder, used.key_store)
    file = token_file(used.folder, data_key)
    before = used.state()
    with file.change(5) as change:
        keep(change.cache, "new")
        change.reserve()
        data_key._key = None
        used.key_store.text = None
        assert reason(change.save) == "no-key"

    assert used.state() == before


# ---------------------------------------------------------------- damage


def damage(desk: Desk, how: Callable[[bytes], bytes]) -> None:
    path = Path(desk.file().path)
    path.write_bytes(how(path.read_bytes()))


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(lambda data: data[:-1] + bytes([data[-1] ^ 1]), id="flipped bit"),
        pytest.param(lambda data: data[:20], id="cut short"),
        pytest.param(lambda data: b"\0" * len(data), id="zeros"),
        pytest.param(lambda data: b"{}", id="no seal"),
        pytest.param(lambda data: data + b"\0", id="longer"),
    ],
)
def test_damaged_file_is_moved_aside_with_one_warning(
    used: Desk, how: Callable[[bytes], bytes]
) -> None:
    used.keep("other", "another-client")
    other = Path(used.file("another-client").path).read_bytes()
    damage(used, how)
    damaged = Path(used.file().path).read_bytes()

    assert used.kept() == []
    assert used.kept() == []

    (warning,) = used.warnings
    assert "that identity is signed out" in warning
    (aside,) = (name for name in used.names() if ".damaged-" in name)
    assert aside in warning
    assert used.state()[aside] == damaged
    assert Path(used.file("another-client").path).read_bytes() == other
    assert used.kept("another-client") == ["other"]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"version": 0}', b"\xff"])
def test_file_of_the_right_key_with_another_content_is_damaged(
    used: Desk, content: bytes
) -> None:
    file = used.file()
    key = vault_of(used.folder, used.key_store).ensure_key()
    Path(file.path).write_bytes(cipher.seal(key, content, file._purpose))

    assert used.kept() == []
    assert len(used.warnings) == 1


def test_file_put_in_another_s_place_is_damaged(used: Desk) -> None:
    used.keep("other", "another-client")
    os.replace(used.file("another-client").path, used.file().path)

    assert used.kept() == []
    assert len(used.warnings) == 1


def test_damaged_file_that_cannot_be_moved_is_unwritable(
    used: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(used, lambda data: b"{}")
    monkeypatch.setattr(os, "replace", raising(errno.EACCES))

    assert reason(used.kept) == "unwritable"
    assert used.warnings == []


def test_damaged_file_that_a_sibling_mended_is_read(used: Desk) -> None:
    """What looks damaged is looked at again under the lock."""
    whole = used.state()
    damage(used, lambda data: b"{}")
    file = used.file()
    path = Path(file.path)
    first = file._bytes
    file._bytes = lambda: mend(first())  # type: ignore[method-assign]

    def mend(data: bytes | None) -> bytes | None:
        path.write_bytes(next(iter(whole.values())))
        return data

    assert [token.value for token in file.read().tokens()] == ["old"]
    assert used.warnings == []


# ---------------------------------------------------------------- no room, no right


def raising(number: int) -> Callable[..., None]:
    def fail(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("call", "number"),
    [
        ("posix_fallocate", errno.ENOSPC),
        ("posix_fallocate", errno.EDQUOT),
        ("truncate", errno.EIO),
        ("fsync", errno.EIO),
        ("replace", errno.ENOSPC),
    ],
)
def test_full_or_broken_disk_is_unwritable_and_changes_nothing(
    used: Desk, call: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = used.state()
    monkeypatch.setattr(os, call, raising(number))

    with pytest.raises(StoreError, match=os.strerror(number)) as caught:
        used.keep("new")

    monkeypatch.undo()
    assert caught.value.reason == "unwritable"
    assert "nothing was changed" in caught.value.line()
    assert used.state() == before


def test_full_disk_is_found_before_anybody_is_asked(used: Desk) -> None:
    def work() -> str:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        with used.file().change(5) as change:
            return reason(change.reserve)

    before = used.state()
    assert said_by(work) == "unwritable"
    assert used.state() == before


def test_disk_that_fills_up_after_reserve_changes_nothing(used: Desk) -> None:
    def work() -> str:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with used.file().change(5) as change:
            change.reserve()
            change.cache.accounts["big"] = {"label": "x" * 500_000}
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
            return reason(change.save)

    before = used.state()
    assert said_by(work) == "unwritable"
    assert used.state() == before


def given_away(desk: Desk) -> int | None:
    """Make the desk somebody else's, if we can; return who that is."""
    if os.geteuid() != 0:
        return None
    for path in (desk.folder, *desk.folder.rglob("*")):
        os.chown(path, SOMEBODY, SOMEBODY)
    preload()
    reachable(desk.folder.parent)
    return SOMEBODY


def test_read_only_folder_can_be_read_and_not_reserved(used: Desk) -> None:
    uid = given_away(used)
    (used.folder / "tokens").chmod(0o500)

    def work() -> str:
        with used.file().change(5) as change:
            return f"{used.kept()} {reason(change.reserve)}"

    assert said_by(work, uid=uid) == "['old'] unwritable"


def test_damaged_file_in_a_read_only_folder_is_unwritable(used: Desk) -> None:
    damage(used, lambda data: b"{}")
    uid = given_away(used)
    (used.folder / "tokens").chmod(0o500)

    assert said_by(lambda: reason(used.kept), uid=uid) == "unwritable"


def test_unreadable_file_is_unwritable(used: Desk) -> None:
    uid = given_away(used)
    Path(used.file().path).chmod(0)

    assert said_by(lambda: reason(used.kept), uid=uid) == "unwritable"


@needs_root
def test_folder_of_another_user_is_foreign_and_untouched(used: Desk) -> None:
    given_away(used)
    before = used.state()

    assert reason(lambda: used.keep("new")) == "foreign"
    assert used.state() == before
    assert sorted(p.name for p in used.folder.iterdir()) == ["locks", "tokens"]


@needs_root
def test_absent_folder_in_another_user_s_home_is_foreign(desk: Desk) -> None:
    os.chown(desk.folder.parent, SOMEBODY, SOMEBODY)

    assert reason(lambda: desk.keep("new")) == "foreign"
    assert not desk.folder.exists()


# ---------------------------------------------------------------- sudden death


def dying(name: str, *, after: bool) -> None:
    """From now on this process dies before or after it calls os.*name*."""
    call = getattr(os, name)

    def die(*args: object) -> None:
        if after:
            call(*args)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(os, name, die)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "step", ["open", "posix_fallocate", "truncate", "fsync", "close", "replace"]
)
def test_process_killed_at_any_step_leaves_old_or_new(
    used: Desk, step: str, after: bool
) -> None:
    def work() -> None:
        with used.file().change(5) as change:
            keep(change.cache, "new")
            dying(step, after=after)
            change.save()

    with child(work) as pid:
        assert ended(pid) == -signal.SIGKILL

    assert used.kept() == (["new"] if (step, after) == ("replace", True) else ["old"])
    used.keep("next")
    assert used.kept() == ["next"]
    assert used.warnings == []


def test_change_sweeps_what_the_dead_left_an_hour_ago(used: Desk) -> None:
    def work() -> None:
        with used.file().change(5) as change:
            change.reserve()
            os.kill(os.getpid(), signal.SIGKILL)

    with child(work) as pid:
        assert ended(pid) == -signal.SIGKILL
    (left,) = (name for name in used.names() if name.endswith(".new"))
    with used.file().change(5):
        assert left in used.names()
    then = time.time() - 3700
    os.utime(used.folder / "tokens" / left, (then, then))

    with used.file().change(5):
        pass

    assert left not in used.names()
    assert used.kept() == ["old"]


def test_sealed_files_without_a_folder(tmp_path: Path) -> None:
    assert sealed_files(str(tmp_path / "nowhere")) == []


def test_file_of_a_newer_hushkey_is_left_alone(used: Desk) -> None:
    (name,) = used.names()
    path = used.folder / "tokens" / name
    path.write_bytes(b"HUSHKEY2" + bytes(64))

    with pytest.raises(StoreError, match="newer hushkey"):
        used.file().read()

    assert path.exists()


def test_empty_file_counts_as_damage(used: Desk) -> None:
    (name,) = used.names()
    (used.folder / "tokens" / name).write_bytes(b"")

    assert used.file().read().tokens() == []
    assert any(".damaged-" in name for name in used.names())


def test_reader_never_sees_a_half_written_file(used: Desk) -> None:
    stop = threading.Event()
    failures: list[object] = []

    def read() -> None:
        while not stop.is_set():
            if used.kept() not in (["old"], ["new"]):
                failures.append(used.kept())

    reader = threading.Thread(target=read)
    reader.start()
    for access in ["new", "old"] * 10:
        used.keep(access)
    stop.set()
    reader.join()

    assert failures == []
    assert used.warnings == []
