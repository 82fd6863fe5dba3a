"""The demo's folder."""

import os
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
