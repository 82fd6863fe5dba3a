import shutil
import subprocess
from pathlib import Path

import pytest

from hushkey_install.commands import completing
from kit.oauth import BIN, Machine


def completed(machine: Machine, *words: str) -> list[str]:
    """What bash is offered for the last of *words*."""
    done = machine.run(
        "hushkey",
        COMP_WORDS=" ".join(["hushkey", *words]),
        COMP_CWORD=str(len(words)),
        _HUSHKEY_COMPLETE="bash_complete",
    )
    assert done.stderr == b""
    return [line.partition(",")[2] for line in done.stdout.decode().split()]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("login", "cor"), ["corp"]),
        (("login", "git.t"), ["git.test"]),
        (("login", "code"), ["codeberg", "codeberg.org"]),
        (("logout", "git.t"), ["git.test"]),
        (("token", "git.t"), ["git.test"]),
        (("explain", "git.t"), ["git.test"]),
        (("install", "git", "dev"), ["dev.azure.com"]),
        (("config", "set", "agen"), ["agent"]),
        (("config", "unset", "identity.cor"), ["identity.corp."]),
        (("config", "add-host", "--identity", "cor"), ["corp"]),
        (("expl",), ["explain"]),
    ],
)
def test_words_are_completed(
    machine: Machine, words: tuple[str, ...], expected: list[str]
) -> None:
    assert completed(machine, *words) == expected


def test_wrong_config_completes_nothing_and_says_nothing(machine: Machine) -> None:
    machine.configure(text="[settings")

    assert completed(machine, "login", "") == []


@pytest.mark.parametrize("shell", completing.SHELLS)
def test_script_is_one_that_the_shell_reads(machine: Machine, shell: str) -> None:
    script = machine.run("hushkey", "completion", shell).stdout

    assert b"_HUSHKEY_COMPLETE" in script
    if program := shutil.which(shell):
        done = subprocess.run(
            [program, "-n", "/dev/stdin"],
            input=script,
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")


def test_script_starts_no_bash_of_the_working_directory(
    machine: Machine, tmp_path: Path
) -> None:
    planted = tmp_path / "bash"
    planted.write_text(f'#!/bin/sh\ntouch "{tmp_path}/planted"\n')
    planted.chmod(0o755)

    subprocess.run(
        [BIN / "hushkey", "completion", "bash"],
        cwd=tmp_path,
        env={**machine.environ, "PATH": ".:" + machine.environ["PATH"]},
        check=True,
        stdout=subprocess.DEVNULL,
    )

    assert not (tmp_path / "planted").exists()


def test_bash_completes_with_the_script(machine: Machine) -> None:
    ask = (
        "source <(hushkey completion bash); COMP_WORDS=(hushkey login git.); "
        'COMP_CWORD=2; _hushkey_completion hushkey; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", ask],
        env=machine.environ,
        capture_output=True,
        check=True,
    )

    assert done.stdout == b"git.test\n"
