import os
import pwd
import socket
import stat
from pathlib import Path

import pytest

from hushkey.errors import ConfigError, StoreError
from hushkey.system import paths
from hushkey_helpers.agent import protocol
from kit.core import reachable, said_by

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can give files away"
)
SOMEBODY = 65534


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("environ", "config", "data"),
    [
        (
            {"HOME": "/home/me"},
            "/home/me/.config/hushkey/config.toml",
            "/home/me/.local/share/hushkey",
        ),
        (
            {"HOME": "/home/me", "XDG_CONFIG_HOME": "/c", "XDG_DATA_HOME": "/d"},
            "/c/hushkey/config.toml",
            "/d/hushkey",
        ),
        (
            {"HOME": "/home/me", "XDG_CONFIG_HOME": "c", "XDG_DATA_HOME": "./d"},
            "/home/me/.config/hushkey/config.toml",
            "/home/me/.local/share/hushkey",
        ),
        (
            {"HUSHKEY_CONFIG": "/etc/h.toml", "HUSHKEY_DATA_DIR": "/var/h"},
            "/etc/h.toml",
            "/var/h",
        ),
    ],
)
def test_folders_follow_the_environment(
    environ: dict[str, str], config: str, data: str
) -> None:
    assert paths.config_file(environ) == config
    assert paths.data_folder(environ) == data


@pytest.mark.parametrize("named", ["", "c", "./c", "~/c"])
def test_xdg_folders_that_are_not_absolute_do_not_count(named: str) -> None:
    environ = {"HOME": "/home/me", "XDG_CONFIG_HOME": named, "XDG_RUNTIME_DIR": named}

    assert paths.xdg_config(environ) == "/home/me/.config"
    assert paths.xdg_runtime(environ) == ""


def test_xdg_folders_as_named() -> None:
    environ = {"XDG_CONFIG_HOME": "/c", "XDG_RUNTIME_DIR": "/r"}

    assert (paths.xdg_config(environ), paths.xdg_runtime(environ)) == ("/c", "/r")


@pytest.mark.parametrize("value", ["config.toml", "./x", "../x", "~/x", " /x"])
@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("HUSHKEY_CONFIG", paths.config_file),
        ("HUSHKEY_DATA_DIR", paths.data_folder),
        ("HUSHKEY_RUNTIME_DIR", paths.runtime_folder),
    ],
)
def test_relative_override_is_refused(name: str, folder: object, value: str) -> None:
    assert callable(folder)
    with pytest.raises(ConfigError, match=f"{name} must be an absolute path"):
        folder({"HOME": "/home/me", name: value})


def test_empty_override_is_none() -> None:
    environ = {"HOME": "/home/me", "HUSHKEY_DATA_DIR": ""}

    assert paths.data_folder(environ) == "/home/me/.local/share/hushkey"


@pytest.mark.parametrize("home", ["", "relative", "."])
def test_home_that_is_not_absolute_is_the_system_s(home: str) -> None:
    assert paths.home({"HOME": home}) == pwd.getpwuid(os.getuid()).pw_dir
    assert paths.home({}) == pwd.getpwuid(os.getuid()).pw_dir


def test_home_of_a_user_without_an_entry_is_a_config_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 5)

    with pytest.raises(ConfigError, match="HOME"):
        paths.home({})


def test_runtime_folder_is_below_the_session_s(tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": "/home/me"}

    assert paths.runtime_folder(environ) == f"{tmp_path}/hushkey"


@pytest.mark.parametrize("base", ["", "run", "/nowhere/at/all"])
def test_runtime_folder_without_a_session_is_below_the_data(base: str) -> None:
    environ = {"XDG_RUNTIME_DIR": base, "HUSHKEY_DATA_DIR": "/d"}

    assert paths.runtime_folder(environ) == "/d/run"


@pytest.fixture
def logind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this user's session, which no variable names."""
    folder = tmp_path / "user" / str(os.geteuid())
    folder.mkdir(parents=True, mode=0o700)
    for module in (paths, protocol):
        monkeypatch.setattr(module, "_RUN_USER", str(tmp_path / "user"))
    return folder


@pytest.mark.parametrize("named", [{}, {"XDG_RUNTIME_DIR": ""}])
def test_session_that_was_stripped_is_found(
    logind: Path, named: dict[str, str]
) -> None:
    environ = {"HOME": "/h", **named}
    assert paths.session_bus(environ) == ""
    with socket.socket(socket.AF_UNIX) as bus:
        bus.bind(str(logind / "bus"))

    assert paths.session_folder(environ) == str(logind)
    assert paths.session_bus(environ) == f"unix:path={logind}/bus"
    assert paths.runtime_folder(environ) == protocol.folder(environ)
    assert paths.runtime_folder(environ) == f"{logind}/hushkey"


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_session_folder_that_others_enter_is_none(logind: Path, mode: int) -> None:
    logind.chmod(mode)

    assert paths.session_folder({}) == ""
    assert protocol.folder({"HOME": "/h"}) == "/h/.local/share/hushkey/run"


def test_session_that_is_named_counts(logind: Path, tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": "/h"}
    with socket.socket(socket.AF_UNIX) as bus:
        bus.bind(str(logind / "bus"))

    assert paths.session_bus(environ) == ""
    assert paths.session_bus({paths.BUS: "unix:path=/b"}) == "unix:path=/b"
    assert paths.runtime_folder(environ) == f"{tmp_path}/hushkey"


def test_data_folder_of_one_s_own_has_its_own_agent(logind: Path) -> None:
    environ = {"HUSHKEY_DATA_DIR": "/d"}

    assert paths.runtime_folder(environ) == protocol.folder(environ) == "/d/run"


def test_file_that_is_no_socket_is_no_bus(logind: Path) -> None:
    (logind / "bus").write_text("")

    assert paths.session_bus({}) == ""


def test_runtime_folder_override(tmp_path: Path) -> None:
    environ = {"HUSHKEY_RUNTIME_DIR": "/r", "XDG_RUNTIME_DIR": str(tmp_path)}

    assert paths.runtime_folder(environ) == "/r"


# ---------------------------------------------------------------- making them


def test_make_private_makes_each_missing_folder_0700(tmp_path: Path) -> None:
    paths.make_private(str(tmp_path / "a" / "b" / "c"))

    assert [mode(tmp_path / p) for p in ("a", "a/b", "a/b/c")] == [0o700] * 3


@pytest.mark.parametrize("open_to", [0o755, 0o711, 0o777, 0o1777, 0o770])
def test_make_private_never_changes_a_folder_that_was_there(
    tmp_path: Path, open_to: int
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(open_to)

    said = outcome_of_making(tmp_path / "a")

    assert said == ("open" if open_to & 0o022 else "made")
    assert mode(tmp_path / "a") == open_to


def test_make_private_leaves_a_tighter_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o500)

    paths.make_private(str(tmp_path / "a"))

    assert mode(tmp_path / "a") == 0o500


@pytest.mark.parametrize("below", ["file", "file/folder", "link", "link/folder"])
def test_make_private_with_a_file_in_the_way_is_unwritable(
    tmp_path: Path, below: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")

    with pytest.raises(StoreError, match="cannot write to") as caught:
        paths.make_private(str(tmp_path / below))

    assert caught.value.reason == "unwritable"


def outcome_of_making(folder: Path) -> str:
    try:
        paths.make_private(str(folder))
    except StoreError as error:
        return error.reason
    return "made"


def test_make_private_in_a_read_only_folder_is_unwritable(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    os.chown(tmp_path / "mine", SOMEBODY if os.geteuid() == 0 else -1, -1)
    (tmp_path / "mine").chmod(0o500)
    reachable(tmp_path)
    uid = SOMEBODY if os.geteuid() == 0 else os.geteuid()

    said = said_by(lambda: outcome_of_making(tmp_path / "mine" / "data"), uid=uid)

    assert said == "unwritable"


@needs_root
@pytest.mark.parametrize("below", ["theirs", "theirs/data", "theirs/a/b/c"])
def test_make_private_in_somebody_else_s_folder_is_foreign(
    tmp_path: Path, below: str
) -> None:
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", SOMEBODY, SOMEBODY)

    assert outcome_of_making(tmp_path / below) == "foreign"
    assert list((tmp_path / "theirs").iterdir()) == []


@needs_root
def test_make_private_of_root_s_own_folder_is_foreign_to_others(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o777)
    reachable(tmp_path)

    said = said_by(lambda: outcome_of_making(tmp_path / "data"), uid=SOMEBODY)

    assert said == "foreign"


@needs_root
def test_make_private_on_common_ground_is_made(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    reachable(tmp_path)

    said = said_by(lambda: outcome_of_making(tmp_path / "tmp" / "data"), uid=SOMEBODY)

    assert said == "made"
    assert (tmp_path / "tmp" / "data").stat().st_uid == SOMEBODY


@needs_root
def test_check_owner_behind_a_closed_door_raises_store_errors_only(
    tmp_path: Path,
) -> None:
    (tmp_path / "closed" / "data").mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    reachable(tmp_path)
    (tmp_path / "closed").chmod(0o700)
    data = tmp_path / "closed" / "data" / "tokens"

    assert said_by(lambda: outcome_of_making(data), uid=SOMEBODY) == "unwritable"

    def checked() -> str:
        paths.check_owner(str(data))
        return "nothing to say"

    assert said_by(checked, uid=SOMEBODY) == "nothing to say"
