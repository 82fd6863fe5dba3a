"""The gate: whose each component of a path is, before it is written or obeyed."""

import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hushkey.errors import StoreError
from hushkey.system import ownership
from kit.core import reachable, said_by

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can give files away"
)
SOMEBODY, ANOTHER = 65534, 12345


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def reason(work: Callable[[], object]) -> str:
    try:
        work()
    except StoreError as error:
        return error.reason
    return ""


def given(path: Path, uid: int = SOMEBODY) -> Path:
    os.chown(path, uid, uid, follow_symlinks=False)
    return path


def folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    return path


def link(path: Path, target: Path | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return path


# -- links of one's own --------------------------------------------------------------


@pytest.mark.parametrize(
    "target", ["dotfiles/git", "{}/dotfiles/git", "./a/../dotfiles/git"]
)
def test_own_link_to_what_is_own_is_followed(tmp_path: Path, target: str) -> None:
    real = file(tmp_path / "dotfiles" / "git")
    folder(tmp_path / "a")
    made = link(tmp_path / ".gitconfig", target.format(tmp_path))

    assert ownership.check_owner(str(made)) == str(real)


def test_own_link_to_a_folder_on_the_way_is_followed(tmp_path: Path) -> None:
    folder(tmp_path / "dotfiles" / "hushkey")
    link(tmp_path / ".config", "dotfiles")

    found = ownership.check_owner(str(tmp_path / ".config" / "hushkey" / "new"))

    assert found == str(tmp_path / "dotfiles" / "hushkey" / "new")


def test_circle_of_links_is_an_error_of_ours(tmp_path: Path) -> None:
    link(tmp_path / "a", "b")
    link(tmp_path / "b", "a")

    assert reason(lambda: ownership.check_owner(str(tmp_path / "a" / "x"))) == (
        "unwritable"
    )


def test_link_to_the_root_folder_leads_there(tmp_path: Path) -> None:
    link(tmp_path / "all", "/")

    assert ownership._walk(str(tmp_path / "all"), "") == ("/", os.lstat("/"))


# -- traps ---------------------------------------------------------------------------

#: what another user can have put into a home of their own, or into common ground: a
#: name, and where a write to it would land in the home of the one who is to be fooled
Trap = Callable[[Path, Path], Path]
TRAPS: dict[str, Trap] = {
    "home itself": lambda theirs, ours: theirs / ".gitconfig",
    "folder": lambda theirs, ours: given(folder(theirs / "a")) / "f",
    "deep folder": lambda theirs, ours: given(folder(theirs / "a" / "b")) / "c" / "f",
    "link to a file": lambda theirs, ours: given(link(theirs / "f", file(ours / "f"))),
    "link to a folder": lambda theirs, ours: given(link(theirs / "a", ours)) / "f",
    "link to nothing yet": lambda theirs, ours: given(link(theirs / "f", ours / "new")),
    "link by way of a link": lambda theirs, ours: given(
        link(theirs / "f", given(link(theirs / "g", ours / "f")))
    ),
    "link of ours that they moved": lambda theirs, ours: link(theirs / "a", ours) / "f",
    "hard link": lambda theirs, ours: hard(theirs / "f", file(ours / "f")),
    "folder of ours that they moved": lambda theirs, ours: folder(theirs / "a") / "f",
}


def hard(path: Path, target: Path) -> Path:
    os.link(target, path)
    return path


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Another user's home, and ours."""
    yield given(folder(tmp_path / "theirs")), folder(tmp_path / "ours")


def state(place: Path) -> list[object]:
    found = sorted(place.rglob("*"))
    return [(p, p.lstat().st_mode, p.lstat().st_size, p.lstat().st_uid) for p in found]


@needs_root
@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize(
    "act",
    [
        ownership.check_owner,
        ownership.check_name,
        ownership.check_private,
        ownership.make_folder,
        ownership.make_private,
        ownership.make_inside,
        ownership.check_trusted,
    ],
)
def test_trap_in_another_user_s_home_is_foreign(
    homes: tuple[Path, Path], trap: str, act: Callable[[str], object]
) -> None:
    path = TRAPS[trap](*homes)
    before = state(homes[0]), state(homes[1])

    assert reason(lambda: act(str(path))) == "foreign"
    assert (state(homes[0]), state(homes[1])) == before


@needs_root
@pytest.mark.parametrize(
    "name", [n for n in TRAPS if n.startswith("link") and "moved" not in n]
)
def test_link_of_another_user_is_foreign_on_common_ground(
    tmp_path: Path, homes: tuple[Path, Path], name: str
) -> None:
    common = folder(tmp_path / "tmp")
    common.chmod(0o1777)

    path = TRAPS[name](common, homes[1])

    assert reason(lambda: ownership.check_owner(str(path))) == "foreign"


@needs_root
def test_own_link_into_another_user_s_home_is_foreign(homes: tuple[Path, Path]) -> None:
    theirs, ours = homes
    path = link(ours / ".gitconfig", given(file(theirs / "gitconfig")))

    assert reason(lambda: ownership.check_owner(str(path))) == "foreign"
    assert reason(lambda: ownership.check_trusted(str(path))) == "foreign"
    assert reason(lambda: ownership.check_name(str(path))) == ""  # ours to take away


@needs_root
def test_trap_holds_for_other_users_too(homes: tuple[Path, Path]) -> None:
    """Not only root can be fooled: any user in the home of another one."""
    theirs, ours = homes
    given(ours, ANOTHER)
    path = TRAPS["link to a file"](theirs, ours)
    given(ours / "f", ANOTHER)
    reachable(theirs)
    reachable(ours)

    def work() -> str:
        return reason(lambda: ownership.check_owner(str(path)))

    assert said_by(work, uid=ANOTHER) == "foreign"


@needs_root
def test_what_is_around_the_home_that_the_system_gave_may_be_anybody_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pwd

    home = folder(tmp_path / "group" / "me")
    given(tmp_path / "group")
    path = str(home / ".config" / "f")
    assert reason(lambda: ownership.check_owner(path)) == "foreign"

    entry = pwd.struct_passwd(("me", "x", 0, 0, "", str(home), "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: entry)

    assert ownership.check_owner(path) == path
    assert reason(lambda: ownership.check_owner(str(tmp_path / "group" / "x"))) == (
        "foreign"
    )


@needs_root
@pytest.mark.parametrize(
    ("owner", "shown", "way"),
    [
        (0, "(root), so", "if `sudo` left it there, `hushkey doctor` says how"),
        (65534, "(nobody), so", "run as nobody, or use `sudo -H`"),
        (51234, "(user 51234), so", "run as user 51234, or use `sudo -H`"),
    ],
)
def test_error_says_whose_it_is_and_what_to_do(
    tmp_path: Path, owner: int, shown: str, way: str
) -> None:
    path = tmp_path / "lock"
    path.touch()
    os.chown(path, owner, -1)

    line = ownership.foreign(str(path), "so nothing is changed there").line()

    assert f"{path} belongs to another user {shown} nothing is changed" in line
    assert way in line


# -- what others can change ----------------------------------------------------------


@pytest.mark.parametrize("bits", [0o020, 0o002, 0o022, 0o060, 0o007])
def test_file_that_others_can_write_is_open(tmp_path: Path, bits: int) -> None:
    path = file(tmp_path / "config.toml")
    path.chmod(0o600 | bits)

    with pytest.raises(StoreError) as caught:
        ownership.check_trusted(str(path))

    assert caught.value.reason == "open"
    assert f"chmod go-w {path}" in caught.value.hint


@pytest.mark.parametrize(
    ("bits", "said"),
    [(0o720, "open"), (0o702, "open"), (0o1777, ""), (0o755, ""), (0o700, "")],
)
def test_folder_into_which_others_can_put_a_file_is_open(
    tmp_path: Path, bits: int, said: str
) -> None:
    path = file(tmp_path / "folder" / "config.toml")
    path.chmod(0o600)
    path.parent.chmod(bits)

    assert reason(lambda: ownership.check_trusted(str(path))) == said


def test_folder_behind_a_link_counts(tmp_path: Path) -> None:
    real = file(tmp_path / "dotfiles" / "config.toml")
    real.chmod(0o644)
    real.parent.chmod(0o777)
    path = link(tmp_path / "hushkey" / "config.toml", real)

    assert reason(lambda: ownership.check_trusted(str(path))) == "open"
    real.parent.chmod(0o755)
    assert ownership.check_trusted(str(path)) == real.stat()


def test_no_file_and_devices_are_nothing_to_complain_of(tmp_path: Path) -> None:
    assert ownership.check_trusted(str(tmp_path / "none")) is None
    assert ownership.check_trusted(os.devnull) == os.stat(os.devnull)


@needs_root
def test_root_s_file_counts_for_everybody(tmp_path: Path) -> None:
    path = file(tmp_path / "etc" / "config.toml")
    path.chmod(0o644)
    reachable(tmp_path / "etc")

    def work() -> str:
        return reason(lambda: ownership.check_trusted(str(path)))

    assert said_by(work, uid=SOMEBODY) == ""


def test_link_of_the_kernel_s_is_judged_by_its_file(tmp_path: Path) -> None:
    path = file(tmp_path / "gone")
    path.chmod(0o666)
    with path.open() as opened:
        path.unlink()
        name = f"/dev/fd/{opened.fileno()}"

        assert reason(lambda: ownership.check_trusted(name)) == "open"


# -- whatever the umask is -------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077, 0o277, 0o777])
def test_what_is_made_is_closed_and_usable_whatever_the_umask_is(
    tmp_path: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        ownership.make_folder(str(tmp_path / "a" / "b" / "c"))
        os.close(ownership.create(str(tmp_path / "a" / "f"), os.O_EXCL))
    finally:
        os.umask(before)

    assert [mode(tmp_path / p) for p in ("a", "a/b", "a/b/c")] == [0o700] * 3
    assert mode(tmp_path / "a" / "f") == 0o600


# -- what is believed ------------------------------------------------------------------


@needs_root
def test_file_of_another_user_is_not_believed(tmp_path: Path) -> None:
    path = given(file(tmp_path / "lock"))

    assert reason(lambda: ownership.open_own(str(path))) == "foreign"


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_plain_file_is_not_believed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "lock"
    if kind == "link":
        link(path, file(tmp_path / "real"))
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()

    with pytest.raises(OSError):
        ownership.open_own(str(path))


# -- replaced whole ------------------------------------------------------------------


@pytest.mark.parametrize("asked", [0o600, 0o644])
def test_replace_sets_content_and_mode_whatever_the_umask(
    tmp_path: Path, asked: int
) -> None:
    kept = file(tmp_path / ("x" * 255))
    before = os.umask(0o777)
    try:
        ownership.replace(str(kept), b"new", mode=asked)
    finally:
        os.umask(before)

    assert (kept.read_bytes(), mode(kept)) == (b"new", asked)
    assert os.listdir(tmp_path) == [kept.name]


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
@pytest.mark.parametrize("trouble", [OSError(28, "full"), KeyboardInterrupt()])
def test_replace_that_fails_changes_nothing_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    trouble: BaseException,
) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise trouble

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(trouble)):
        ownership.replace(str(kept), b"new", mode=0o644)

    assert kept.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["kept"]


def test_replace_is_on_the_disk_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    rename = os.replace

    def renamed(source: str, target: str) -> None:
        steps.append("replace")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", lambda _: steps.append("fsync"))
    monkeypatch.setattr(os, "replace", renamed)
    ownership.replace(str(tmp_path / "a"), b"a")
    ownership.replace(str(tmp_path / "b"), b"b", durable=False)

    assert steps == ["fsync", "replace", "replace"]


def test_replace_by_threads_of_one_process_mixes_nothing(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    texts = [bytes([letter]) * 100_000 for letter in b"abcdefgh"]

    def write(text: bytes) -> None:
        for _ in range(20):
            ownership.replace(str(kept), text, durable=False)
            assert kept.read_bytes() in texts

    with ThreadPoolExecutor(len(texts)) as threads:
        list(threads.map(write, texts))
