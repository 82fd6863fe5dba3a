"""The demo's folder."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hushkey.errors import StoreError
from hushkey_install.demo.stage import Stage


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_stage_is_not_set_where_another_user_could_swap_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    os.chown(tmp_path, 12345, 12345)
    os.utime(tmp_path, (1, 1))

    with pytest.raises(StoreError) as caught:
        Stage(Path("/bin/true"), tmp_path, 10)

    assert caught.value.reason == "foreign"
    assert tmp_path.stat().st_mtime == 1


#: writes into a folder until that has gone
WRITER = """
import contextlib, pathlib, sys, time
print(flush=True)
until, stage = time.monotonic() + 10, pathlib.Path(sys.argv[1])
while stage.exists() and time.monotonic() < until:
    with contextlib.suppress(OSError):
        stage.joinpath("late").mkdir(exist_ok=True)
        for number in range(50):
            stage.joinpath("late", str(number)).write_text("")
"""


def test_folder_goes_although_a_program_is_still_writing_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    stage = Stage(Path("/bin/true"), tmp_path, 10)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(stage.folder)], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout
        writer.stdout.readline()

        stage.clear()

        assert not stage.folder.exists()
