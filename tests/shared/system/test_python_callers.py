import subprocess
import sys
from pathlib import Path

import pytest

from hushkey.system import python_callers

ASK = (
    "import hushkey_helpers.table; from hushkey import runtime;"
    "runtime.tool_of = hushkey_helpers.table.tool_of;"
    "from hushkey.system import python_callers;"
    "print({}, python_callers.forbidding_option(), sep='|')"
)


def said_inside(
    tool: Path, *words: str, module: bool = False, ask: str = ""
) -> list[str]:
    """Return what a child of a real Python *tool* sees of it: command and option."""
    ask = ask or ASK.format("python_callers.command()")
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
        (["/usr/bin/python3", "/usr/bin/pip3", "install"], "pip"),
        (["python3.12", "/x/bin/pip3.12", "install"], "pip"),
        (["python3", "-mpip", "install"], "pip"),
        (["python3", "-Im", "pip", "install"], "pip"),
        (["python3", "-Bmpip", "install"], "pip"),
        (["python", "-W", "ignore", "-X", "dev", "-m", "pip", "install"], "pip"),
        (["python", "-Wignore", "/x/bin/pip", "install"], "pip"),
        (["pypy3", "-m", "pip", "install"], "pip"),
        (["python", "/x/site-packages/pip/__main__.py", "install"], "pip"),
        (["python", "-Ic", "import pip", "pip"], ""),
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
    assert python_callers.named(words)[0] == program


def test_other_programs_and_subcommands_are_nobody(tmp_path: Path) -> None:
    for name, word in (("pip", "list"), ("other", "install")):
        found = said_inside(tmp_path / name, word, "--no-input")
        assert f"{name} {word}" not in found[0]
    assert said_inside(tmp_path / "other", "--no-input")[1] == ""
