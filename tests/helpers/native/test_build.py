"""The hook that compiles hushkey-git-client while a wheel is built."""

import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder
from packaging import tags

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """hatchling's hook, whose temporary folders are made in *tmp_path*/T."""
    (tmp_path / "T").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "T"))
    monkeypatch.chdir(tmp_path)
    builder = WheelBuilder(str(REPOSITORY))
    return builder.get_build_hooks(str(tmp_path))["custom"]


def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    (tmp_path / "cc").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "cc").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)


def built(hook: Any) -> str:
    """Return the wheel's tag, nothing if it is everybody's."""
    data: dict[str, Any] = {"shared_scripts": {}}
    hook.initialize("standard", data)
    assert bool(data["shared_scripts"]) is ("tag" in data)
    hook.finalize("standard", data, "")
    return str(data.get("tag", ""))


COMPILES = 'while [ "$1" != -o ]; do shift; done; echo >"$2"'


@pytest.mark.parametrize(
    ("taken", "platform"),
    [
        (["manylinux_2_36_x86_64", "linux_x86_64", "any"], "linux_x86_64"),
        # Python of 32 bits, system of 64: pip takes these two, uv the second
        (["linux_armv8l", "linux_armv7l", "manylinux_2_36_armv8l"], "linux_armv7l"),
        (["linux_i686", "musllinux_1_2_i686"], "linux_i686"),
        (["other_1_0"], ""),
    ],
)
def test_tag_is_one_that_installers_take_here(
    hook: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    taken: list[str],
    platform: str,
) -> None:
    compiler(tmp_path, monkeypatch, COMPILES)
    monkeypatch.setattr(tags, "platform_tags", lambda: iter(taken))
    assert built(hook) == (platform and f"py3-none-{platform}")


@pytest.mark.parametrize("script", ["exit 0", "kill -SEGV $$", "exit 1", "echo >&2"])
def test_compiler_that_makes_nothing_leaves_the_client_out(
    hook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    compiler(tmp_path, monkeypatch, script)
    assert built(hook) == ""
    assert not os.listdir(tmp_path / "T")


def test_compiler_that_hangs_is_ended_with_all_that_it_started(
    hook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(type(hook).initialize.__globals__, "_PATIENCE", 1)
    os.mkfifo(tmp_path / "alive")
    alive = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    compiler(tmp_path, monkeypatch, f"exec 3>{tmp_path}/alive; sleep 40; exit 1")
    assert built(hook) == ""
    os.set_blocking(alive, True)
    ended, _, _ = select.select([alive], [], [], 10)
    os.close(alive)
    assert ended  # `sleep` had it open


def test_compiler_cannot_ask_anything(
    hook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler(tmp_path, monkeypatch, f"read x || exit 1; {COMPILES}")
    reader, writer = os.pipe()
    os.write(writer, b"yes\n")
    kept = os.dup(0)
    os.dup2(reader, 0)
    try:
        assert built(hook) == ""
    finally:
        os.dup2(kept, 0)
        for descriptor in (reader, writer, kept):
            os.close(descriptor)


def test_build_that_fails_later_leaves_no_folder(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from unittest import mock\n"
        "from hatchling.builders.wheel import WheelBuilder as Wheel\n"
        "with mock.patch.object(Wheel, 'build_standard', side_effect=MemoryError):\n"
        "    list(Wheel('.').build(directory=sys.argv[1]))\n"
    )
    folder = tmp_path / "T"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=REPOSITORY,
        env=os.environ | {"TMPDIR": str(folder)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stderr.endswith(b"MemoryError\n")
    assert not os.listdir(folder)
