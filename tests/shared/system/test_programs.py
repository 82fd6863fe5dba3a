from pathlib import Path

import pytest

from hushkey.system import programs


def script(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_find_takes_the_first_folder_that_has_the_program(tmp_path: Path) -> None:
    first, second = script(tmp_path / "a" / "tool"), script(tmp_path / "b" / "tool")
    path = f"{tmp_path}/none:{first.parent}:{second.parent}"

    assert programs.find("tool", {"PATH": path}) == str(first)


@pytest.mark.parametrize("entry", ["", ".", "./bin", "bin", "::"])
def test_find_skips_entries_that_mean_the_working_directory(
    entry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path / "tool")
    script(tmp_path / "bin" / "tool")
    monkeypatch.chdir(tmp_path)

    assert programs.find("tool", {"PATH": entry}) is None


def test_find_skips_folders_and_files_that_cannot_run(tmp_path: Path) -> None:
    (tmp_path / "a" / "tool").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "tool").write_text("no program")

    assert programs.find("tool", {"PATH": f"{tmp_path}/a:{tmp_path}/b"}) is None


def test_find_takes_an_absolute_name_without_path(tmp_path: Path) -> None:
    tool = script(tmp_path / "tool")

    assert programs.find(str(tool), {}) == str(tool)


@pytest.mark.parametrize("name", ["./tool", "a/tool", "../tool", "", "to\0ol"])
def test_find_refuses_relative_and_impossible_names(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path / "tool")
    script(tmp_path / "a" / "tool")
    monkeypatch.chdir(tmp_path)

    assert programs.find(name, {"PATH": str(tmp_path)}) is None
