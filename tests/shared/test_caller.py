import os
import subprocess
import sys
from pathlib import Path

import pytest

from hushkey import caller

ASKS = "from hushkey import caller; print(caller.command_of('git'))"


def said_below(*words: str, cwd: Path) -> str:
    """Return what command_of says in a child of a process called *words*.

    That process is a shell: the kernel shows a script as its interpreter, while a
    program's first word is free to choose.
    """
    script = f'"{sys.executable}" -c "{ASKS}"; true'
    done = subprocess.run(
        [words[0], "-c", script, *words],
        executable="/bin/sh",
        cwd=cwd,
        stdout=subprocess.PIPE,
        check=True,
        encoding="utf-8",
    )
    return done.stdout.strip()


def test_subcommand_and_folder_are_named(tmp_path: Path) -> None:
    assert said_below("git", "fetch", cwd=tmp_path) == f"git fetch in {tmp_path}"


def test_path_of_the_program_does_not_matter(tmp_path: Path) -> None:
    found = said_below("/usr/bin/git", "clone", cwd=tmp_path)

    assert found == f"git clone in {tmp_path}"


def test_url_with_a_password_is_never_quoted(tmp_path: Path) -> None:
    url = "https://me:s3cret@git.test/app"

    said = said_below("git", "-c", "x=s3cret", "clone", url, cwd=tmp_path)

    assert said == f"git clone in {tmp_path}"


@pytest.mark.parametrize("words", [("git", "status"), ("git",), ("gitk", "fetch")])
def test_unknown_command_is_nobody(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert "git" not in said_below(*words, cwd=tmp_path)


def test_unknown_tool_is_nobody() -> None:
    assert caller.command_of("no-such-tool") == ""


# -- git's own setting -----------------------------------------------------------


def environ(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **more}


def test_wish_is_read_from_the_calling_gits_options() -> None:
    options = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "credential.interactive",
        "GIT_CONFIG_VALUE_0": "never",
    }

    assert caller.git_wish(environ(**options)) == "never"


def test_wish_is_read_from_the_users_file(home: Path) -> None:
    (home / ".gitconfig").write_text("[credential]\n\tinteractive = false\n")

    assert caller.git_wish(environ()) == "false"


def test_no_wish_is_nothing() -> None:
    assert caller.git_wish(environ()) == ""


def test_machine_without_git_has_no_wish(tmp_path: Path) -> None:
    assert caller.git_wish({"PATH": str(tmp_path)}) == ""


@pytest.mark.parametrize("body", ["exit 3", "kill -9 $$"])
def test_git_that_fails_has_no_wish(tmp_path: Path, body: str) -> None:
    script = tmp_path / "git"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)

    assert caller.git_wish({"PATH": str(tmp_path)}) == ""


def test_git_of_the_working_directory_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "git"
    script.write_text("#!/bin/sh\necho never\n")
    script.chmod(0o755)
    monkeypatch.chdir(tmp_path)

    assert caller.git_wish({"PATH": f".:{os.pathsep}"}) == ""
