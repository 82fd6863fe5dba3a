"""The demo's folder."""

import os
import shutil
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


def test_folder_goes_although_a_program_writes_there_while_it_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    stage = Stage(Path("/bin/true"), tmp_path, 10)
    remove, late = shutil.rmtree, [stage.folder / "data" / "state"]

    def removed_and_written(path: Path, **options: bool) -> None:
        remove(path, **options)  # type: ignore[arg-type]
        if late:
            late.pop().mkdir(parents=True)

    monkeypatch.setattr(shutil, "rmtree", removed_and_written)

    stage.clear()

    assert not late
    assert not stage.folder.exists()
