"""`git credential fill` through the agent's line, and through git's own cache.

    .venv/bin/python tests/bench/git_door.py [RUNS]

Whole chains in turn, each beside git's own: what `hushkey install git` writes, with our
client and with git's own; our helper alone. For each git that is here.
"""

import os
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.__main__ import desk
from bench.agent import Row, cache_daemon, warmed
from hushkey_install.register import gitdoor
from hushkey_install.tools import githelpers
from kit.desk import BIN, Desk
from servers.agent import Agent
from servers.gits import Git, newer_git, system_git
from servers.process import Missing, clean_environ

STORED = b"protocol=https\nhost=stored.test\n\n"


def fill(made: Desk, git: Git, name: str, asked: bytes, *helpers: str) -> Row:
    """`git credential fill` of a git that asks *helpers*."""
    path = made.folder / f"{name.replace(' ', '-')}.gitconfig"
    path.write_text("")
    for helper in helpers:
        words = ("config", "--file", path, "--add", "credential.helper", helper)
        assert git.run(*words).returncode == 0
    environ = {**git.environ, "GIT_CONFIG_GLOBAL": str(path)}
    argv = [*git.argv, "credential", "fill"]
    return Row(name, argv, asked, environ, b"password=")


def rows(made: Desk, git: Git, cache: str) -> Iterator[Row]:
    ours = f"protocol=https\nhost={made.apache.host}\n\n".encode()
    by_ours = gitdoor.line(made.environ)
    with mock.patch.object(githelpers, "CLIENT", "hushkey-git-client-is-not-here"):
        by_gits = gitdoor.line(made.environ)
    assert by_ours != by_gits
    helper = str(BIN / "git-credential-hushkey")
    yield fill(made, git, "git's own cache", STORED, f"cache --socket {cache}")
    yield fill(made, git, "the agent's line", ours, by_ours, helper)
    yield fill(made, git, "the line with git's client", ours, by_gits, helper)
    yield fill(made, git, "our helper alone", ours, helper)


def measure(made: Desk, git: Git, cache: str, runs: int) -> None:
    base, *others = rows(made, git, cache)
    for number in range(runs + 1):
        for row in others:
            reference = base.run(made.environ, made.folder)
            took = row.run(made.environ, made.folder)
            if number:
                row.seconds.append(took)
                row.ratios.append(took / reference)
                base.seconds.append(reference)
    base.ratios = [1.0]
    for row in (base, *others):
        least = min(row.seconds) * 1000
        fastest = min(row.seconds) / min(base.seconds)
        print(
            f"| {row.name} | {row.ms:.1f} | {least:.1f} | {row.ratio:.2f} | "
            f"{fastest:.2f} |"
        )
    print(f"(quartiles of the line: {quartiles(others[0])})\n", flush=True)


def quartiles(row: Row) -> str:
    return ", ".join(f"{n:.2f}" for n in statistics.quantiles(row.ratios, n=4))


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    for name in set(os.environ) - set(clean_environ()):
        del os.environ[name]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with desk() as made, Agent() as agent, cache_daemon(made) as cache:
        made.extra |= agent.environ
        made.hushkey("agent", "start")
        warmed(made, agent, 1)
        for find in (system_git, newer_git):
            try:
                git = find()
            except Missing as reason:
                print(f"left out: {reason}\n")
                continue
            print(f"git {'.'.join(map(str, git.version))}\n")
            print("| what | median ms | least ms | x git's own cache | least/least |")
            print("|---|---:|---:|---:|---:|")
            measure(made, git, cache, runs)


if __name__ == "__main__":
    main()
