"""How long a forward lasts, and where it listens."""

import ctypes
import os
import shutil
import socket
import stat
import sys
from pathlib import Path

import pytest

from conftest import do_without
from hushkey.errors import Permanent, StoreError
from hushkey_install.forward import places, run
from servers.process import short_folder


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("8h", 28_800), ("90m", 5400), ("1h30m", 5400), ("45", 45), ("2d", 172_800)],
)
def test_length_of_time(text: str, seconds: int) -> None:
    assert run.seconds(text) == seconds


@pytest.mark.parametrize("text", ["0", "h", "8 hours", "-1h", "1m1h", "", "1e3", "8H"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        run.seconds(text)


def test_nobody_but_root_looks_into_its_memory(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform != "linux":
        do_without("what is not dumpable is Linux's")
    folder = short_folder("hidden")
    monkeypatch.setattr(run, "_wait", lambda *_: os._exit(not_dumpable()))

    child = os.fork()
    if not child:
        run.by_socket(str(folder / "upstream"), ("git.test",), 0, os.environ)
        os._exit(9)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    shutil.rmtree(folder)


def not_dumpable() -> int:
    """Return PR_GET_DUMPABLE (prctl(2)): 0 for a process that is nobody's to read."""
    return ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)  # type: ignore[no-any-return]


def test_socket_that_a_killed_forward_left_is_replaced() -> None:
    folder = short_folder("room")
    path = folder / "upstream"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    run._make_room(str(path))

    assert not path.exists()
    folder.rmdir()


def test_socket_that_somebody_answers_stays() -> None:
    folder = short_folder("room")
    path = folder / "upstream"
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(path))
        living.listen()
        with pytest.raises(Permanent, match="answers at"):
            run._make_room(str(path))
    path.unlink()
    folder.rmdir()


def test_what_is_no_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "upstream"
    path.write_text("mine")

    with pytest.raises(Permanent, match="no socket of yours"):
        run._make_room(str(path))

    assert path.read_text() == "mine"


def test_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)

    with pytest.raises(StoreError, match="open to others"):
        run._make_room(str(tmp_path / "upstream"))


def test_place_of_a_killed_forward_is_removed_and_a_living_one_told_of() -> None:
    environ = dict(os.environ)
    place = places.Place(environ, to="me@far")
    left = Path(place.folder).with_name("forward-dead")
    left.mkdir()
    (left / "socket").write_text("")

    ((name, facts),) = places.living(environ)
    places.clean(environ)

    assert (name, facts["to"], facts["pid"]) == (place.name, "me@far", os.getpid())
    assert not left.exists()
    folder = Path(place.folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    place.close()
    assert not folder.exists()
    assert places.living(environ) == []
