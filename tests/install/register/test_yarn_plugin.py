"""The plug-in for Yarn, in Node, with a program that answers as it is told."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from conftest import do_without
from hushkey_install.register import yarn
from servers.process import Missing, find_program

TOKEN = "at-c4nary"
REGISTRY = "https://npm.test/team"
NOW = 1_800_000_000  # seconds
#: asks as often as each step says, all at once, at its time of a clock of its own
DRIVER = """
const [plugin, steps] = [require(process.argv[2]), JSON.parse(process.argv[3])];
const {hooks} = plugin.factory(require);
let now = 0;
Date.now = () => now;
(async () => {
  const said = [];
  for (const {at, registry, times} of steps) {
    now = at * 1000;
    const one = () => hooks.getNpmAuthenticationHeader("before", registry, {});
    said.push(await Promise.all(Array.from({length: times}, one)));
  }
  process.stdout.write(JSON.stringify(said));
})();
"""


class Node:
    """A folder with the plug-in and its program; *does* is what that does, in sh."""

    def __init__(self, folder: Path, does: str) -> None:
        self.program = folder / "hushkey answer"
        self.program.write_text(f'#!/bin/sh\necho "$*" >>"$0.seen"\n{does}\n')
        self.program.chmod(0o755)
        self.plugin = folder / "plugin.cjs"
        self.plugin.write_text(yarn.plugin(str(self.program)))
        self.driver = folder / "driver.js"
        self.driver.write_text(DRIVER)

    def asks(self, *steps: tuple[int, str, int]) -> tuple[list[set[str]], str]:
        """Return what each of *steps* (seconds, registry, times) hears, and stderr."""
        try:
            node = find_program("node", package="nodejs")
        except Missing as reason:
            do_without(reason)
            raise
        asked = [dict(zip(("at", "registry", "times"), s, strict=True)) for s in steps]
        done = subprocess.run(
            [node, str(self.driver), str(self.plugin), json.dumps(asked)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=True,
        )
        return [set(each) for each in json.loads(done.stdout)], done.stderr

    @property
    def seen(self) -> list[str]:
        path = Path(f"{self.program}.seen")
        return path.read_text().splitlines() if path.exists() else []


def answers(**more: Any) -> str:
    return f"echo '{json.dumps({'authorization': f'Bearer {TOKEN}', **more})}'"


@pytest.mark.parametrize(
    ("expires", "later", "starts"),
    [(3600, 1700, 1), (3600, 1900, 2), (4, 1, 1), (4, 3, 2), (-60, 2, 2), (0, 9**9, 1)],
)
def test_answer_serves_half_of_its_life(
    tmp_path: Path, expires: int, later: int, starts: int
) -> None:
    node = Node(tmp_path, answers(**({"expires": NOW + expires} if expires else {})))

    said, err = node.asks((NOW, REGISTRY, 50), (NOW + later, REGISTRY, 50))

    assert said == [{f"Bearer {TOKEN}"}] * 2
    assert (node.seen, err) == ([f"yarn {REGISTRY}"] * starts, "")


def test_each_registry_is_asked_about(tmp_path: Path) -> None:
    node = Node(tmp_path, 'echo "{\\"authorization\\": \\"of $2\\"}"')

    said, _ = node.asks((NOW, REGISTRY, 2), (NOW, "https://other.test", 2))

    assert said == [{f"of {REGISTRY}"}, {"of https://other.test"}]
    assert len(node.seen) == 2


@pytest.mark.parametrize(
    ("does", "about"),
    [
        ("echo '{}'", ""),  # nobody's
        ("echo 'hushkey: not signed in' >&2; exit 3", "not signed in"),
        ("kill -9 $$", "was ended by SIGKILL"),
        ("echo nonsense", "cannot be read"),
        ("", "cannot be read"),
    ],
)
def test_failure_leaves_what_was_there_for_the_whole_run(
    tmp_path: Path, does: str, about: str
) -> None:
    node = Node(tmp_path, does)

    said, err = node.asks((NOW, REGISTRY, 9), (NOW + 9**9, REGISTRY, 9))

    assert said == [{"before"}, {"before"}]
    assert len(node.seen) == 1
    assert (about in err, err.count("\n")) == (True, bool(about))


def test_program_that_has_gone_is_named(tmp_path: Path) -> None:
    node = Node(tmp_path, "")
    node.program.unlink()

    said, err = node.asks((NOW, REGISTRY, 9))

    assert said == [{"before"}]
    assert err == (
        f"hushkey: cannot start {node.program} (ENOENT); run: hushkey install yarn\n"
    )


def test_program_that_never_ends_is_ended(tmp_path: Path) -> None:
    node = Node(tmp_path, 'echo $$ >"$0.pid"; exec sleep 60')
    text = node.plugin.read_text()
    node.plugin.write_text(text.replace("DEADLINE = 600;", "DEADLINE = 1;"))

    said, err = node.asks((NOW, REGISTRY, 9))

    assert said == [{"before"}]
    assert err == "hushkey: npm.test got no answer in 1 s\n"
    with pytest.raises(ProcessLookupError):
        os.kill(int(Path(f"{node.program}.pid").read_text()), 0)


@pytest.mark.parametrize(
    "registry", ["http://npm.test/team", "https://me:c4nary@npm.test/team"]
)
def test_plain_http_and_a_password_are_not_asked_about(
    tmp_path: Path, registry: str
) -> None:
    node = Node(tmp_path, answers())

    said, _ = node.asks((NOW, registry, 1))

    assert (said, node.seen) == ([{"before"}], [])


@pytest.mark.parametrize(
    "program", ["C:\\Users\\me\\bin\\hushkey-answer.exe", '/a";b/$x `y`', "/ü/;"]
)
def test_any_path_of_the_program_is_written(program: str) -> None:
    (line,) = [
        line
        for line in yarn.plugin(program).splitlines()
        if line.startswith("const PROGRAM = ")
    ]

    assert (
        json.loads(line.removeprefix("const PROGRAM = ").removesuffix(";")) == program
    )
