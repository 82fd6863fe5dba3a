import subprocess
import sys
from pathlib import Path

import pytest

from hushkey import installer

ASK = "from hushkey import installer; print({}, installer.forbidding_option(), sep='|')"


def said_inside(
    tool: Path, *words: str, module: bool = False, ask: str = ""
) -> list[str]:
    """Return what a child of a real Python *tool* sees of it: command and option."""
    ask = ask or ASK.format("installer.command()")
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
    assert installer.named(words)[0] == program


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
    ask = ASK.format("installer.mentions_plain_http('files.test')")

    assert said_inside(tmp_path / "pip", "install", url, ask=ask)[0] == str(plain)


@pytest.mark.parametrize("name", ["pip3", "pip3.11", "some-wrapper"])
def test_plain_http_is_seen_whatever_the_tool_is_called(
    tmp_path: Path, name: str
) -> None:
    """A token over plain http is worse than one that somebody has to ask for."""
    ask = ASK.format("installer.mentions_plain_http('files.test')")

    found = said_inside(tmp_path / name, "install", "http://files.test/x", ask=ask)

    assert found[0] == "True"


@pytest.mark.parametrize(
    "words",
    [
        ("-r", "some.txt"),
        ("-rsome.txt",),
        ("--requirement=some.txt",),
        ("-q", "--constraint", "some.txt"),
        ("-r", "nested.txt"),
        ("-r", "gone.txt", "-r", ".", "-r", "some.txt"),
    ],
)
def test_plain_http_in_pip_s_requirements_is_seen(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "some.txt").write_text("a==1\nx @ http://files.test/x.whl # mine\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "too.txt").write_text("-r ../some.txt\n-r too.txt\n")
    (tmp_path / "nested.txt").write_text("-r more/too.txt\n")
    ask = "installer.mentions_plain_http('{}')"

    def seen(host: str) -> str:
        inside = ASK.format(ask.format(host))
        return said_inside(tmp_path / "pip3", "install", *words, ask=inside)[0]

    assert (seen("files.test"), seen("other.test")) == ("True", "False")


def test_other_programs_and_subcommands_are_nobody(tmp_path: Path) -> None:
    for name, word in (("pip", "list"), ("other", "install")):
        found = said_inside(tmp_path / name, word, "--no-input")
        assert f"{name} {word}" not in found[0]
    assert said_inside(tmp_path / "other", "--no-input")[1] == ""
