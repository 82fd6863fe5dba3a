import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushkey.store import typed_index
from hushkey.store.typed_index import CredentialKey, Index, Lost
from kit.core import ANY

KEY = bytes(range(32))
SOME = st.one_of(st.none(), ANY)
SLOTS = st.builds(CredentialKey, ANY, ANY, ANY, SOME, SOME)


def index(tmp_path: Path) -> Index:
    return Index(str(tmp_path), KEY)


def put(tmp_path: Path, key: CredentialKey) -> str:
    path = index(tmp_path).path_of(key)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(path).touch()
    return path


def write_key(tmp_path: Path, data: bytes) -> None:
    path = Path(typed_index.index_path(str(tmp_path)))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@given(SLOTS, SLOTS)
def test_two_slots_share_a_file_only_if_they_are_one(
    one: CredentialKey, other: CredentialKey
) -> None:
    same = Index("/x", KEY).path_of(one) == Index("/x", KEY).path_of(other)

    assert same == (one == other)


def test_fields_that_join_to_one_text_stay_apart() -> None:
    made = Index("/x", KEY)

    assert made.path_of(CredentialKey("a", "b", "c")) != made.path_of(
        CredentialKey("ab", "", "c")
    )
    assert made.path_of(CredentialKey("a", "b", "c", None, "")) != made.path_of(
        CredentialKey("a", "b", "c", "", None)
    )


def test_names_need_the_key_and_say_nothing() -> None:
    key = CredentialKey("git", "https", "git.example.com", "app", "me")
    name = Index("/x", KEY).path_of(key)

    assert Index("/x", bytes(32)).path_of(key) != name
    assert not any(word in name for word in ("git", "example", "app", "me@"))


@pytest.mark.parametrize("path", [None, "app", "other"])
@pytest.mark.parametrize("user", [None, "", "me", "you"])
def test_matching_takes_none_for_any(
    tmp_path: Path, path: str | None, user: str | None
) -> None:
    places = [(p, u) for p in (None, "app") for u in (None, "", "me")]
    made = {
        put(tmp_path, CredentialKey("git", "https", "h", p, u)): (p, u)
        for p, u in places
    }
    put(tmp_path, CredentialKey("git", "https", "elsewhere", "app", "me"))
    put(tmp_path, CredentialKey("docker", "https", "h", "app", "me"))

    found = index(tmp_path).matching(CredentialKey("git", "https", "h", path, user))

    assert {made[name] for name in found} == {
        (p, u) for p, u in places if path in (None, p) and user in (None, u)
    }


def test_matching_has_the_newest_first(tmp_path: Path) -> None:
    names = [put(tmp_path, CredentialKey("t", "p", "h", None, user)) for user in "abc"]
    for age, name in enumerate(names):
        os.utime(name, ns=(0, 10**18 - age))

    assert list(index(tmp_path).matching(CredentialKey("t", "p", "h"))) == names


def test_last_one_noted_is_the_newest_whatever_the_dates_say(tmp_path: Path) -> None:
    users = [CredentialKey("t", "p", "h", None, user) for user in "abc"]
    names = [put(tmp_path, key) for key in users]
    for age, name in enumerate(names):
        os.utime(name, ns=(0, 10**18 - age))
    made = index(tmp_path)
    (tmp_path / "stash" / typed_index.DRAFTS).mkdir()

    made.note_last(users[2])

    assert made.is_last(users[2])
    assert not made.is_last(users[0])
    assert list(made.matching(CredentialKey("t", "p", "h"))) == [names[2], *names[:2]]
    assert list(made.matching(users[1])) == [names[1]]
    os.unlink(names[2])
    assert list(made.matching(CredentialKey("t", "p", "h"))) == names[:2]


def test_note_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    made, key = index(tmp_path), CredentialKey("t", "p", "h", None, "u")

    made.note_last(key)

    assert not made.is_last(key)


def test_full_disk_leaves_no_wrong_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = [CredentialKey("t", "p", "h", None, user) for user in "ab"]
    names = [put(tmp_path, key) for key in users]
    os.utime(names[0], ns=(0, 0))
    made, new = index(tmp_path), tmp_path / "stash" / typed_index.DRAFTS
    new.mkdir()
    made.note_last(users[0])

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        made.note_last(users[1])

    assert list(made.matching(CredentialKey("t", "p", "h"))) == [names[1], names[0]]
    assert list(new.iterdir()) == []


def test_half_written_and_damaged_files_do_not_match(tmp_path: Path) -> None:
    name = put(tmp_path, CredentialKey("t", "p", "h", None, "u"))
    os.rename(name, f"{name}.1.2.new")
    Path(f"{name}.damaged-3").touch()

    assert not any(index(tmp_path).matching(CredentialKey("t", "p", "h")))
    assert list(typed_index.files(str(tmp_path))) == []


def test_read_without_a_stash_is_nothing(tmp_path: Path) -> None:
    assert typed_index.read(str(tmp_path / "nowhere")) is None
    assert not typed_index.holds(str(tmp_path), CredentialKey("t", "p", "h"))


def test_read_gives_the_index_that_was_written(tmp_path: Path) -> None:
    write_key(tmp_path, typed_index.dumps(KEY))
    key = CredentialKey("t", "p", "h", "x", "u")
    made = typed_index.read(str(tmp_path))

    assert made is not None
    assert made.path_of(key) == index(tmp_path).path_of(key)
    assert not typed_index.holds(str(tmp_path), key)
    put(tmp_path, key)
    assert typed_index.holds(str(tmp_path), key)
    assert typed_index.holds(str(tmp_path), CredentialKey("t", "p", "h"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        typed_index.dumps(KEY)[:-1],
        typed_index.dumps(KEY) + b"\0",
        b"HUSHIDX2" + typed_index.dumps(KEY)[8:],
        typed_index.dumps(KEY)[:20] + b"\xff" + typed_index.dumps(KEY)[21:],
    ],
    ids=["empty", "short", "long", "newer", "flipped"],
)
def test_read_of_a_damaged_index_is_lost(tmp_path: Path, data: bytes) -> None:
    write_key(tmp_path, data)

    with pytest.raises(Lost):
        typed_index.read(str(tmp_path))
    assert typed_index.holds(str(tmp_path), CredentialKey("t", "p", "h"))


def test_read_of_a_stash_without_an_index_is_lost(tmp_path: Path) -> None:
    put(tmp_path, CredentialKey("t", "p", "h"))

    with pytest.raises(Lost):
        typed_index.read(str(tmp_path))


def test_read_follows_no_link(tmp_path: Path) -> None:
    write_key(tmp_path, typed_index.dumps(KEY))
    path = Path(typed_index.index_path(str(tmp_path)))
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(Lost):
        typed_index.read(str(tmp_path))
