import os
import subprocess
import sys
from pathlib import Path

import pytest

from hushkey import caller

ASKS = "from hushkey import caller; print(caller.command_of('git'))"


def said_below(*words: str, cwd: Path, asks: str = ASKS) -> str:
    """Return what *asks* prints in a child of a process called *words*.

    That process is a shell: the kernel shows a script as its interpreter, while a
    program's first word is free to choose.
    """
    script = f'"{sys.executable}" -c "{asks}"; true'
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


# -- Python's tools --------------------------------------------------------------

ASK = "from hushkey import caller; print({}, caller.forbidding_option(), sep='|')"


def said_inside(
    tool: Path, *words: str, module: bool = False, ask: str = ""
) -> list[str]:
    """Return what a child of a real Python *tool* sees of it: command and option."""
    ask = ask or ASK.format("caller.command_of('python')")
    tool.parent.mkdir(exist_ok=True)
    tool.write_text(
        f"import subprocess as s, sys; s.run([sys.executable, '-c', {ask!r}])"
    )
    start = ["-I", str(tool)] if not module else ["-m", tool.stem]
    done = subprocess.run(
        [sys.executable, *start, *words],
        cwd=tool.parent,
        stdout=subprocess.PIPE,
        check=True,
        encoding="utf-8",
    )
    return done.stdout.strip().split("|")


def test_python_tool_is_named_from_inside(tmp_path: Path) -> None:
    place = tmp_path / "app"

    assert said_inside(place / "pip", "install", "s3cret") == [
        f"pip install in {place}",
        "",
    ]
    assert said_inside(place / "twine", "upload", "--non-interactive") == [
        f"twine upload in {place}",
        "twine --non-interactive",
    ]
    # `-m build` would be found in the working directory, as Python does
    assert said_inside(place / "build.py", module=True) == [f"build in {place}", ""]


@pytest.mark.parametrize(
    ("words", "program"),
    [
        (["pip", "install"], "pip"),
        (["python3", "/x/bin/pip", "install"], "pip"),
        (["/x/bin/python3.11", "-I", "-m", "pip", "install"], "pip"),
        (["python", "/x/pip/__pip-runner__.py", "install"], "pip"),
        (["C:/x/pip.exe", "install"], "pip"),
        (["/x/bin/pyproject-build"], "build"),
        (["python", "-c", "import pip", "pip"], ""),
        (["python"], ""),
        (["python", "-m"], ""),
        (["python", "pip.py"], "pip.py"),
        ([], ""),
    ],
)
def test_program_is_found_behind_its_interpreter(
    words: list[str], program: str
) -> None:
    assert caller._program(words)[0] == program


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("http://Files.test/x.whl", True),
        ("x @ http://me@files.test/x.whl", True),
        ("https://files.test/x.whl", False),
        ("http://other.test/x.whl", False),
    ],
)
def test_plain_http_on_the_command_line_is_seen(
    tmp_path: Path, url: str, plain: bool
) -> None:
    ask = ASK.format("caller.mentions_plain_http('files.test')")

    assert said_inside(tmp_path / "pip", "install", url, ask=ask)[0] == str(plain)


def test_other_programs_and_subcommands_are_nobody(tmp_path: Path) -> None:
    for name, word in (("pip", "list"), ("other", "install")):
        found = said_inside(tmp_path / name, word, "--no-input")
        assert f"{name} {word}" not in found[0]
    assert said_inside(tmp_path / "other", "--no-input")[1] == ""


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
