import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from conftest import do_without
from hushkey_install.cli import main
from kit.oauth import BIN, Machine
from servers.process import Missing


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


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
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


SCRIPTED = {
    "zsh": (
        "compdef() {}; compadd() {}; _describe() { print -l -- ${(P)3%%:*} }; "
        "words=(hushkey login git.); CURRENT=3; source $SCRIPT; _hushkey_completion"
    ),
    "fish": "source $SCRIPT; complete -C 'hushkey login git.' | string split -f1 \\t",
}


@pytest.mark.contract
@pytest.mark.parametrize("shell", SCRIPTED)
def test_shell_completes_with_the_script(
    machine: Machine, tmp_path: Path, shell: str
) -> None:
    program = shutil.which(shell)
    if program is None:
        do_without(Missing(f"{shell} is not there: run tests/prepare"))
    script = tmp_path / "script"
    script.write_bytes(machine.run("hushkey", "completion", shell).stdout)
    bare = ["-f"] if shell == "zsh" else ["--no-config"]

    done = subprocess.run(
        [str(program), *bare, "-c", SCRIPTED[shell]],
        env={**machine.environ, "SCRIPT": str(script), "TERM": "dumb"},
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert "git.test" in done.stdout.decode().split(), done.stderr


@pytest.mark.parametrize(
    ("lines", "typed", "expected"),
    [
        (("hushkey", "login", "git.t"), "git.t", "git.test\thost, identity corp"),
        (("hushkey", "help", "dock"), "dock", "docker\tDocker, "),
        (("hushkey", "config", "set"), "agen", "agent\n"),
    ],
)
def test_powershell_is_offered_words_with_their_help(
    machine: Machine, lines: tuple[str, ...], typed: str, expected: str
) -> None:
    done = machine.run(
        "hushkey",
        COMP_WORDS="\n".join(lines),
        COMP_CWORD=typed,
        _HUSHKEY_COMPLETE="powershell_complete",
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().startswith(expected)


def test_completing_loads_no_network_and_no_cryptography() -> None:
    code = "import sys, hushkey_install.cli; print(*sys.modules)"

    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, check=True, timeout=60
    )

    heavy = {"requests", "cryptography", "msal", "authlib", "keyring", "rich"}
    assert heavy & set(done.stdout.decode().split()) == set()


def hushkey(machine: Machine, *words: str) -> Result:
    return CliRunner().invoke(main, words, env=machine.environ)


@pytest.mark.parametrize(
    ("shell", "place"),
    [
        ("bash", ".local/share/bash-completion/completions/hushkey"),
        ("zsh", ".local/share/zsh/site-functions/_hushkey"),
        ("fish", ".config/fish/completions/hushkey.fish"),
        ("powershell", ".config/powershell/hushkey-completion.ps1"),
    ],
)
def test_install_writes_the_script_and_leaving_takes_it_out(
    machine: Machine, shell: str, place: str
) -> None:
    path = machine.home / place
    printed = hushkey(machine, "completion", shell).stdout

    for _ in range(2):  # once more after an upgrade
        result = hushkey(machine, "completion", shell, "--install")
        assert result.exit_code == 0, result.output
        assert f"wrote {path}" in result.stderr
    assert path.read_text() == printed

    shown = hushkey(machine, "uninstall", "--all", "--dry-run")
    assert f"- {path}" in shown.stdout
    assert path.exists()
    assert hushkey(machine, "uninstall", "--all").exit_code == 0
    assert not path.parent.exists()


def test_file_of_the_user_s_own_stays(machine: Machine) -> None:
    path = machine.home / ".config" / "fish" / "completions" / "hushkey.fish"
    path.parent.mkdir(parents=True)
    path.write_text("# mine\n")

    result = hushkey(machine, "completion", "fish", "--install")

    assert result.exit_code == 1
    assert f"{path} exists already and is not ours" in result.stderr
    path.unlink()
    hushkey(machine, "completion", "fish", "--install")
    path.write_text(path.read_text() + "# edited\n")
    hushkey(machine, "uninstall", "--all")
    assert path.read_text().endswith("# edited\n")
