import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from hushkey.system import callers

#: what whoever answers for tools does first
HANDED_IN = (
    "import hushkey_helpers.table; from hushkey import runtime; "
    "runtime.tool_of = hushkey_helpers.table.tool_of; "
)
ASKS = (
    f"{HANDED_IN} from hushkey.system import callers; print(callers.command_of('git'))"
)


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
    assert callers.command_of("no-such-tool") == ""


# -- git's own setting -----------------------------------------------------------


def environ(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **more}


def test_setting_is_read_from_the_calling_gits_options() -> None:
    options = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "credential.interactive",
        "GIT_CONFIG_VALUE_0": "never",
    }

    assert callers.git_interactive(environ(**options)) == "never"


def test_setting_is_read_from_the_users_file(home: Path) -> None:
    (home / ".gitconfig").write_text("[credential]\n\tinteractive = false\n")

    assert callers.git_interactive(environ()) == "false"


def test_no_setting_is_nothing() -> None:
    assert callers.git_interactive(environ()) == ""


def test_machine_without_git_has_no_setting(tmp_path: Path) -> None:
    assert callers.git_interactive({"PATH": str(tmp_path)}) == ""


@pytest.mark.parametrize("body", ["exit 3", "kill -9 $$"])
def test_git_that_fails_has_no_setting(tmp_path: Path, body: str) -> None:
    script = tmp_path / "git"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)

    assert callers.git_interactive({"PATH": str(tmp_path)}) == ""


def test_git_of_the_working_directory_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "git"
    script.write_text("#!/bin/sh\necho never\n")
    script.chmod(0o755)
    monkeypatch.chdir(tmp_path)

    assert callers.git_interactive({"PATH": f".:{os.pathsep}"}) == ""


# -- registries that docker asks for of its own accord -------------------------------

HOST = "contoso.azurecr.io"
NEEDS = (
    f"{HANDED_IN} import os; from hushkey.system import callers; "
    f"print(callers.needs_registry('{HOST}', os.environ))"
)


def needed_below(*words: str, **environ: str) -> bool:
    """Tell what needs_registry says in a child of a process called *words*."""
    done = subprocess.run(
        [words[0], "-c", f'"{sys.executable}" -c "{NEEDS}"; true', *words[1:]],
        executable="/bin/sh",
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        check=True,
        encoding="utf-8",
    )
    return done.stdout.strip() == "True"


@pytest.mark.parametrize(
    "words",
    [
        ("docker", "pull", f"{HOST}/app"),
        ("docker", "run", "alpine"),
        ("docker", "push", "elsewhere.example/app"),
        ("docker", "login", HOST),
        ("docker", "manifest", "inspect", "build"),
        ("docker", "--context", "build", "pull", "alpine"),
        ("docker", "stack", "deploy"),
        ("docker", "run", "--use-api-socket", f"{HOST}/app"),
        ("docker", "run", "--use-api-socket=true", f"{HOST}:443/app@sha256:0"),
        ("docker-buildx", "buildx", "build", "."),
        ("docker-compose", "compose", "up"),
        ("podman", "build", "."),
        ("skopeo", "copy"),
        ("helm", "pull"),
        ("sh", "build"),
    ],
)
def test_registry_is_needed_by(words: tuple[str, ...]) -> None:
    assert needed_below(*words)


@pytest.mark.parametrize(
    "words",
    [
        ("docker", "build", "-t", f"{HOST}/app", "."),
        ("/usr/bin/docker", "build", "."),
        ("docker", "-D", "build", "."),
        ("docker", "--host", "tcp://h", "build", "."),
        ("docker", "--host=tcp://h", "image", "build", "."),
        ("docker", "builder", "build", "."),
        ("docker", "run", "--use-api-socket", "alpine"),
        ("docker", "run", "--use-api-socket", f"x{HOST}/app"),
        ("docker", "create", "--use-api-socket", f"{HOST}.evil.example/app"),
    ],
)
def test_registry_is_only_listed_by(words: tuple[str, ...]) -> None:
    assert not needed_below(*words)


def test_buildkit_asks_for_what_it_needs() -> None:
    assert needed_below("docker", "build", ".", DOCKER_BUILDKIT="1")


def test_compose_with_the_classic_builder_asks_for_every_key() -> None:
    assert not needed_below("docker-compose", "compose", "up", DOCKER_BUILDKIT="0")


def test_nearest_client_counts(tmp_path: Path) -> None:
    """docker runs BuildKit's plugin, which asks for what it needs."""
    script = f'"{sys.executable}" -c "{NEEDS}"; true'
    outer = 'exec -a docker-buildx /bin/sh -c "$SCRIPT" buildx build .; true'
    done = subprocess.run(
        ["docker", "-c", f"({outer}); true", "build", "."],
        executable="/bin/bash",
        env={**os.environ, "SCRIPT": script},
        stdout=subprocess.PIPE,
        check=True,
        encoding="utf-8",
    )

    assert done.stdout.strip() == "True"


class Hidden:
    def cmdline(self) -> list[str]:
        raise psutil.AccessDenied


class Shown:
    def __init__(self, *words: str) -> None:
        self.words = list(words)

    def cmdline(self) -> list[str]:
        return self.words


@pytest.mark.parametrize(
    ("line", "is_needed"),
    [
        ([Shown("zsh"), Hidden(), Shown("Terminal")], True),
        ([Shown("sh"), Hidden(), Shown("docker", "build", ".")], False),
        ([Hidden(), Shown("zsh")], False),
        ([], True),
    ],
)
def test_only_a_caller_that_cannot_be_looked_at_has_typed_nothing(
    monkeypatch: pytest.MonkeyPatch, line: list[object], is_needed: bool
) -> None:
    """Above every terminal of macOS stands a `login` of root's."""
    monkeypatch.setattr(psutil.Process, "parents", lambda self: line)

    assert callers.needs_registry(HOST, {}) is is_needed


@pytest.mark.parametrize(
    "word",
    [
        HOST,
        f"{HOST}/app",
        f"{HOST.upper()}/app",
        f"docker://{HOST}/app:1",
        f"oci://{HOST}/charts/app",
        f"type=registry,ref={HOST}/cache",
        f"--from={HOST}/app@sha256:0",
        f"{HOST}:443/app",
    ],
)
def test_word_names_a_registry(word: str) -> None:
    assert callers.names_host(word, HOST)


@pytest.mark.parametrize(
    "word",
    [
        "",
        "contoso",
        f"x{HOST}/app",
        f"x.{HOST}/app",
        f"x-{HOST}/app",
        f"{HOST}x/app",
        f"{HOST}.evil.example/app",
        f"{HOST}-evil/app",
        f"{HOST}:8443/app",
        f"{HOST}:tag",
    ],
)
def test_word_names_another_registry(word: str) -> None:
    assert not callers.names_host(word, HOST)


def test_docker_and_its_kin_are_named_by_what_was_typed(tmp_path: Path) -> None:
    asks = ASKS.replace("'git'", "'docker'")
    done = subprocess.run(
        ["podman", "-c", f'"{sys.executable}" -c "{asks}"; true', "pull", "s3cret"],
        executable="/bin/sh",
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        check=True,
        encoding="utf-8",
    )

    assert done.stdout.strip() == f"podman pull in {tmp_path}"
