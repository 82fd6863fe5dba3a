"""What a job leaves in memory, where its runner empties no folder."""

import os
import time
from pathlib import Path

import pytest

from hushkey.system import jobs

DAY = 24 * 3600


def test_what_a_job_left_a_day_ago_is_deleted_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_MEMORY", str(tmp_path))
    environ = {"GITLAB_CI": "true", "CI_JOB_ID": "1"}
    left = Path(jobs.folder(environ))
    running = Path(jobs.folder({**environ, "CI_JOB_ID": "2"}))
    others = [tmp_path / "hushkey-0x-1", tmp_path / "sem.other"]
    for folder in (left, running, *others):
        folder.mkdir()
        (folder / "key").write_text("k")
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    link = tmp_path / f"{left.name[:-1]}x"
    link.symlink_to(elsewhere)
    long_ago = time.time() - DAY - 60
    for path in (left, *others, elsewhere):
        os.utime(path, (long_ago, long_ago))

    jobs.sweep(time.time())

    assert not left.exists()
    assert (running / "key").exists()
    assert all((folder / "key").exists() for folder in others)
    assert link.is_symlink()
    assert elsewhere.is_dir()
    jobs.sweep(time.time() + DAY)
    assert not running.exists()
